/* Measures of predictions. */
#include "task/metric.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

/* --- classes ---------------------------------------------------------------------------------- */
double hora_metric_accuracy(const int32_t *truth, const int32_t *guess, int64_t n) {
    int64_t right = 0;
    for (int64_t i = 0; i < n; i++)
        right += truth[i] == guess[i];
    return n ? (double)right / (double)n : NAN;
}

void hora_metric_confusion(const int32_t *truth, const int32_t *guess, int64_t n, int64_t k,
                           int64_t *c) {
    for (int64_t i = 0; i < n; i++)
        c[truth[i] * k + guess[i]]++;
}

typedef struct margins {
    int64_t truth, guess; /* how often class i is the one and the other */
} margins;

static margins margins_of(const int64_t *c, int64_t k, int64_t i) {
    margins m = {0, 0};
    for (int64_t j = 0; j < k; j++) {
        m.truth += c[i * k + j];
        m.guess += c[j * k + i];
    }
    return m;
}

double hora_metric_f1(const int64_t *c, int64_t k, int64_t i) {
    const margins m = margins_of(c, k, i);
    return m.truth + m.guess ? 2.0 * (double)c[i * k + i] / (double)(m.truth + m.guess) : 0;
}

double hora_metric_recall(const int64_t *c, int64_t k, int64_t i) {
    const margins m = margins_of(c, k, i);
    return m.truth ? (double)c[i * k + i] / (double)m.truth : NAN;
}

double hora_metric_macro_f1(const int64_t *c, int64_t k, bool all) {
    double sum = 0;
    int64_t classes = 0;
    for (int64_t i = 0; i < k; i++) {
        const margins m = margins_of(c, k, i);
        if (!all && !m.truth && !m.guess)
            continue;
        sum += hora_metric_f1(c, k, i);
        classes++;
    }
    return classes ? sum / (double)classes : NAN;
}

double hora_metric_matthews(const int64_t *c, int64_t k) {
    double n = 0, right = 0, both = 0, tt = 0, gg = 0;
    for (int64_t i = 0; i < k; i++) {
        const margins m = margins_of(c, k, i);
        n += (double)m.truth;
        right += (double)c[i * k + i];
        both += (double)m.truth * (double)m.guess;
        tt += (double)m.truth * (double)m.truth;
        gg += (double)m.guess * (double)m.guess;
    }
    const double spread = (n * n - gg) * (n * n - tt);
    return !n ? NAN : spread > 0 ? (n * right - both) / sqrt(spread) : 0;
}

double hora_metric_iou(const int64_t *c, int64_t k, int64_t i) {
    const margins m = margins_of(c, k, i);
    const int64_t tp = c[i * k + i], all = m.truth + m.guess - tp;
    return all ? (double)tp / (double)all : NAN;
}

double hora_metric_dice(const int64_t *c, int64_t k, int64_t i) {
    const margins m = margins_of(c, k, i);
    return m.truth + m.guess ? hora_metric_f1(c, k, i) : NAN;
}

double hora_metric_over_classes(double (*fn)(const int64_t *c, int64_t k, int64_t i),
                                const int64_t *c, int64_t k) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < k; i++) {
        const double v = fn(c, k, i);
        sum += isnan(v) ? 0 : v;
        n += !isnan(v);
    }
    return n ? sum / (double)n : NAN;
}

double hora_metric_calibration(const double *confidence, const bool *right, int64_t n,
                               int64_t bins) {
    double *gap = hora_calloc((size_t)bins, sizeof *gap), sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double at = floor(confidence[i] * (double)bins);
        gap[(int64_t)fmax(0, fmin(at, (double)(bins - 1)))] += confidence[i] - (right[i] ? 1 : 0);
    }
    for (int64_t k = 0; k < bins; k++)
        sum += fabs(gap[k]);
    hora_free(gap);
    return n ? sum / (double)n : NAN;
}

/* --- numbers ---------------------------------------------------------------------------------- */
static double mean(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

double hora_metric_pearson(const double *x, const double *y, int64_t n) {
    if (n < 2)
        return NAN;
    const double mx = mean(x, n), my = mean(y, n);
    double xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xx > 0 && yy > 0 ? fmax(-1, fmin(1, xy / (sqrt(xx) * sqrt(yy)))) : NAN;
}

typedef struct place {
    double value;
    int64_t at;
} place;

static int ascending(const void *pa, const void *pb) {
    const place *a = pa, *b = pb;
    return a->value != b->value ? (a->value > b->value) - (a->value < b->value)
                                : (a->at > b->at) - (a->at < b->at);
}

static double *ranks(const double *x, int64_t n) {
    place *p = hora_malloc((size_t)n * sizeof *p);
    double *rank = hora_malloc((size_t)n * sizeof *rank);
    for (int64_t i = 0; i < n; i++)
        p[i] = (place){x[i], i};
    qsort(p, (size_t)n, sizeof *p, ascending);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && p[end].value == p[i].value;)
            end++;
        for (int64_t k = i; k < end; k++)
            rank[p[k].at] = (double)(i + end + 1) / 2;
    }
    hora_free(p);
    return rank;
}

double hora_metric_spearman(const double *x, const double *y, int64_t n) {
    if (n < 2)
        return NAN;
    double *rx = ranks(x, n), *ry = ranks(y, n);
    const double r = hora_metric_pearson(rx, ry, n);
    hora_free(rx);
    hora_free(ry);
    return r;
}
