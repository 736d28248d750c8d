/*
 * Sequence classification, as transformers' ..ForSequenceClassification: the head of decoders on
 * the last token that is not padding, of encoders on the first. One class: cross-entropy. Several
 * at once: binary cross-entropy of each, mean over samples and classes.
 */
#include "task/task.h"

const hora_task hora_task_sequence_classification = {
    .name = "sequence-classification",
    .summary = "one or several classes of a text or a pair",
    .architecture = "ForSequenceClassification",
    .task_type = "SEQ_CLS",
    .labels = HORA_LABELS_CLASS,
    .loss = HORA_LOSS_XENT,
    .head = true,
    .ranges = hora_ranges_causal,
    .targets = hora_targets_class,
    .record = hora_record_head,
    .metrics = hora_class_metrics};
