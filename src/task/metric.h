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
/* IoU = tp / (tp + fp + fn) and Dice = 2 tp / (2 tp + fp + fn) of class i, for instance of pixels;
 * NaN where it occurs on neither side, so that a mean leaves it out. */
double hora_metric_iou(const int64_t *c, int64_t k, int64_t i);
double hora_metric_dice(const int64_t *c, int64_t k, int64_t i);
/* Mean of fn over the classes where it is defined; NaN: nowhere. */
double hora_metric_over_classes(double (*fn)(const int64_t *c, int64_t k, int64_t i),
                                const int64_t *c, int64_t k);
/* Expected calibration error [Naeini 2015]: of `bins` equal ones, [lo, hi) but the last, which is
 * closed, the distance of mean confidence and share of right answers, weighted by their counts. */
double hora_metric_calibration(const double *confidence, const bool *right, int64_t n,
                               int64_t bins);
enum { HORA_CALIBRATION_BINS = 15 };
double hora_metric_pearson(const double *x, const double *y, int64_t n);
/* Pearson of ranks; ties take their mean rank. */
double hora_metric_spearman(const double *x, const double *y, int64_t n);

typedef struct hora_entity_counts {
    int64_t right, guessed, true_; /* entities */
} hora_entity_counts;
/* Adds the entities of one sentence: tags like B-PER, I-PER, E-PER, S-PER, O, and L-PER for E-PER,
 * U-PER for S-PER. As conlleval and
 * seqeval's default count them: I without B begins an entity; one is right when type and both ends
 * are. */
void hora_metric_entities(const char *const *truth, const char *const *guess, int64_t n,
                          hora_entity_counts *c);
/* The same by the letter, as seqeval's strict mode: IOB2, where an entity is B I*; with `ends`
 * IOBES (or BILOU), where it is B I* E or S. What is not well formed is no entity. */
void hora_metric_entities_strict(const char *const *truth, const char *const *guess, int64_t n,
                                 bool ends, hora_entity_counts *c);
/* Whether a tag ends an entity by itself, so the scheme is IOBES or BILOU. */
bool hora_metric_tag_ends(const char *tag);
#endif
