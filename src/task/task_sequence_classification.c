/*
 * Sequence classification, as transformers' ..ForSequenceClassification of decoders: the head
 * `score` on the last token that is not padding. One class: cross-entropy. Several at once: binary
 * cross-entropy of each, mean over samples and classes.
 */
#include <math.h>

#include "task/metric.h"
#include "task/task.h"

hora_counted hora_targets_class(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    const hora_objective *o = rule->own;
    if (!b)
        return (hora_counted){1, 0};
    hora_targets_none(b, s);
    const int64_t row = hora_pooled_row(o, s), k = o->classes;
    const bool one = o->loss == HORA_LOSS_XENT;
    if (one && b->target)
        b->target[row] = s->classes[0];
    for (int64_t i = 0; one && o->soft && b->value && i < k; i++)
        b->value[row * k + i] =
            (float)(o->smoothing / (double)k + (i == s->classes[0] ? 1 - o->smoothing : 0));
    for (int64_t i = 0; i < s->labels && !one; i++)
        b->value[row * k + s->classes[i]] = 1;
    b->weight[row] = one ? hora_objective_weight(o, s->classes[0]) : 1;
    return (hora_counted){1, 0};
}

/* Exact matches, and F1 of each class with the threshold 1/2. */
static void several(const hora_tally *t, hora_metrics *out) {
    const int64_t k = t->objective->classes;
    double sum = 0;
    int64_t exact = 0;
    for (int64_t c = 0; c < k; c++) {
        int64_t tp = 0, wrong = 0;
        for (int64_t i = 0; i < t->n; i++) {
            const bool y = t->y[i * k + c] > 0.5f, g = t->z[i * k + c] > 0;
            tp += y && g;
            wrong += y != g;
        }
        sum += tp + wrong ? 2.0 * (double)tp / (double)(2 * tp + wrong) : 0;
    }
    for (int64_t i = 0; i < t->n; i++) {
        bool same = true;
        for (int64_t c = 0; c < k; c++)
            same &= (t->y[i * k + c] > 0.5f) == (t->z[i * k + c] > 0);
        exact += same;
    }
    hora_metrics_add(out, "accuracy", (double)exact / (double)t->n);
    hora_metrics_add(out, "macro_f1", sum / (double)k);
}

void hora_class_metrics(const hora_tally *t, hora_metrics *out) {
    const int64_t k = t->objective->classes;
    if (t->objective->loss == HORA_LOSS_BCE) {
        several(t, out);
        return;
    }
    int64_t *c = hora_calloc((size_t)(k * k), sizeof *c);
    hora_metric_confusion(t->truth, t->guess, t->n, k, c);
    hora_metrics_add(out, "accuracy", hora_metric_accuracy(t->truth, t->guess, t->n));
    hora_metrics_add(out, "macro_f1", hora_metric_macro_f1(c, k, false));
    hora_metrics_add(out, "macro_f1_all_classes", hora_metric_macro_f1(c, k, true));
    hora_metrics_add(out, "matthews", hora_metric_matthews(c, k));
    hora_tally_scores(t, out);
    hora_free(c);
}

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
