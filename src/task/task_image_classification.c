/*
 * Image classification, as transformers' ..ForImageClassification and ..ForVideoClassification: one
 * class of a picture or a clip, cross-entropy; several at once: binary cross-entropy of each. What
 * the head reads is the family's (class token, mean, both).
 */
#include "task/task.h"

const hora_task hora_task_image_classification = {
    .name = "image-classification",
    .summary = "one or several classes of a picture or a clip",
    .architecture =
        "ForImageClassification ForVideoClassification ForImageClassificationWithTeacher",
    .task_type = "IMAGE_CLS",
    .pictures = true,
    .labels = HORA_LABELS_CLASS,
    .loss = HORA_LOSS_XENT,
    .head = true,
    .head_bias = true,
    .ranges = hora_ranges_whole,
    .targets = hora_targets_class,
    .record = hora_record_head,
    .metrics = hora_class_metrics};
