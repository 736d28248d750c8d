/*
 * Regression: ..ForSequenceClassification with problem_type regression, or with one output. The
 * head `score` on the last token that is not padding; squared distance, mean over samples and
 * outputs.
 */
#include <math.h>

#include "task/metric.h"
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
    double mse = 0, mae = 0;
    for (int64_t i = 0; i < n; i++) {
        y[i] = (double)t->y[i];
        z[i] = (double)t->z[i];
        mse += (y[i] - z[i]) * (y[i] - z[i]) / (double)n;
        mae += fabs(y[i] - z[i]) / (double)n;
    }
    hora_metrics_add(out, "mse", mse);
    hora_metrics_add(out, "mae", mae);
    hora_metrics_add(out, "pearson", hora_metric_pearson(z, y, n));
    hora_metrics_add(out, "spearman", hora_metric_spearman(z, y, n));
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
