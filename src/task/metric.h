#ifndef HORA_TASK_METRIC_H
#define HORA_TASK_METRIC_H
/*
 * Measures of predictions, from plain lists. All sums in double. NaN: not defined, never 0 or 1 in
 * silence.
 */
#include <stdbool.h>
#include <stdint.h>

double hora_metric_accuracy(const int32_t *truth, const int32_t *guess, int64_t n);
/* c (k, k), zeroed by the caller: c[t k + g] counts truth t that was taken for g. */
void hora_metric_confusion(const int32_t *truth, const int32_t *guess, int64_t n, int64_t k,
                           int64_t *c);
/* F1 = 2 tp / (2 tp + fp + fn) of class i; 0 where the class occurs on neither side. */
double hora_metric_f1(const int64_t *c, int64_t k, int64_t i);
double hora_metric_recall(const int64_t *c, int64_t k, int64_t i); /* NaN: never the truth */
/* Mean F1 over the classes that occur in truth or prediction (as scikit-learn's macro), or all. */
double hora_metric_macro_f1(const int64_t *c, int64_t k, bool all);
/* Matthews' correlation for k classes [Gorodkin 2004]; 0 where one side is constant. */
double hora_metric_matthews(const int64_t *c, int64_t k);
/* Share of those above whose truth `above` other classes were put, fewer than k. */
double hora_metric_within(const int32_t *above, int64_t n, int64_t k);
/* Expected calibration error: |accuracy - mean confidence| of `bins` equal intervals of confidence,
 * the last one closed, weighted by how many there are [Guo et al. 2017]. */
double hora_metric_calibration(const int32_t *truth, const int32_t *guess, const float *sure,
                               int64_t n, int bins);
double hora_metric_pearson(const double *x, const double *y, int64_t n);
/* Pearson of ranks; ties take their mean rank. */
double hora_metric_spearman(const double *x, const double *y, int64_t n);

typedef struct hora_entity_counts {
    int64_t right, guessed, true_; /* entities */
} hora_entity_counts;
/* Adds the entities of one sentence: tags like B-PER, I-PER, E-PER, S-PER, O. As conlleval and
 * seqeval's default count them: I without B begins an entity; one is right when type and both ends
 * are. */
void hora_metric_entities(const char *const *truth, const char *const *guess, int64_t n,
                          hora_entity_counts *c);
#endif
