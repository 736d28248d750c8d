/*
 * Regression: ..ForSequenceClassification with problem_type regression, or with one output. The
 * head `score` on the last token that is not padding; squared distance, mean over samples and
 * outputs.
 */
#include "task/task.h"

static hora_counted targets(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    const hora_objective *o = rule->own;
    if (!b)
        return (hora_counted){1, 0};
    hora_targets_none(b, s);
    const int64_t row = hora_pooled_row(o, s), k = o->classes;
    for (int64_t i = 0; i < k; i++)
        b->value[row * k + i] = s->numbers[i];
    b->weight[row] = 1;
    return (hora_counted){1, 0};
}

static void metrics(const hora_tally *t, hora_metrics *out) {
    const int64_t n = t->n * t->objective->classes;
    double *y = hora_malloc((size_t)n * sizeof *y), *z = hora_malloc((size_t)n * sizeof *z);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (double)t->y[i];
        z[i] = (double)t->z[i];
    }
    hora_metrics_numbers(out, z, y, n);
    hora_free(y);
    hora_free(z);
}

const hora_task hora_task_regression = {.name = "regression",
                                        .summary = "numbers of a text or a pair",
                                        .architecture = "ForSequenceClassification",
                                        .task_type = "SEQ_CLS",
                                        .labels = HORA_LABELS_NUMBER,
                                        .loss = HORA_LOSS_MSE,
                                        .head = true,
                                        .ranges = hora_ranges_causal,
                                        .targets = targets,
                                        .record = hora_record_head,
                                        .metrics = metrics};
