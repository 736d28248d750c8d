/*
 * Image classification, as transformers' ..ForImageClassification and ..ForVideoClassification: one
 * class of a picture or a clip, cross-entropy; several at once: binary cross-entropy of each. What
 * the head reads is the family's (class token, mean, both).
 */
#include "task/metric.h"
#include "task/task.h"

static void metrics(const hora_tally *t, hora_metrics *out) {
    hora_class_metrics(t, out);
    if (t->objective->loss != HORA_LOSS_XENT)
        return;
    hora_metrics_add(out, "top5", hora_metric_within(t->above, t->n, 5));
    hora_metrics_add(out, "calibration_error",
                     hora_metric_calibration(t->truth, t->guess, t->sure, t->n, 15));
}

const hora_task hora_task_image_classification = {
    .name = "image-classification",
    .summary = "one or several classes of a picture or a clip",
    .architecture = "ForImageClassification ForVideoClassification",
    .task_type = "IMAGE_CLS",
    .pictures = true,
    .labels = HORA_LABELS_CLASS,
    .loss = HORA_LOSS_XENT,
    .head = true,
    .head_bias = true,
    .ranges = hora_ranges_both,
    .targets = hora_targets_class,
    .record = hora_record_head,
    .metrics = metrics};
