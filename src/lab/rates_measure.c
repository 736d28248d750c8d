/*
 * Voronoi distances between layers. Always on products DQ_h = B_Q,h A_Q', never on factors, which
 * are not identified.
 */
#include <math.h>

#include "lab/rates_impl.h"

/* |b a' - b2 a2'|_F */
static double product_distance(const double *a, const double *b, const double *a2, const double *b2,
                               int d, int dh) {
    double sum = 0;
    for (int i = 0; i < dh; i++)
        for (int j = 0; j < d; j++) {
            const double x = b[i] * a[j] - b2[i] * a2[j];
            sum += x * x;
        }
    return sqrt(sum);
}

static double factor_distance2(const double *a, const double *b, const double *a2, const double *b2,
                               int d, int dh) {
    double sum = 0;
    for (int i = 0; i < d; i++)
        sum += (a[i] - a2[i]) * (a[i] - a2[i]);
    for (int i = 0; i < dh; i++)
        sum += (b[i] - b2[i]) * (b[i] - b2[i]);
    return sum;
}

typedef struct nearest { /* of one fitted head */
    int cell;
    double of[2], raw; /* distances of DQ and DV from the cell's head; least distance of factors */
} nearest;

static nearest find(const rates_shape *s, const double *c, const rates_teacher *t, int h) {
    nearest best = {0, {INFINITY, INFINITY}, INFINITY};
    for (int j = 0; j < t->heads; j++) {
        double at[2], raw = 0;
        for (int p = 0; p < 2; p++) {
            const double *a = c + hora_rates_at_a(s, p, h), *b = c + hora_rates_at_b(s, p, h);
            at[p] = product_distance(a, b, t->a[p], t->b[p][j], s->d, s->dh);
            raw += factor_distance2(a, b, t->a[p], t->b[p][j], s->d, s->dh);
        }
        const bool mine =
            s->labelled ? j == h : hypot(at[0], at[1]) < hypot(best.of[0], best.of[1]);
        if (mine)
            best = (nearest){j, {at[0], at[1]}, best.raw};
        if (s->labelled ? j == h : sqrt(raw) < best.raw)
            best.raw = sqrt(raw);
    }
    return best;
}

rates_distances hora_rates_measure(const rates_shape *s, const double *c, const rates_teacher *t) {
    rates_distances out = {0};
    nearest of[RATES_H];
    int size[RATES_H] = {0};
    const double w = 1.0 / s->heads;
    for (int h = 0; h < s->heads; h++) {
        of[h] = find(s, c, t, h);
        size[of[h].cell]++;
        out.q += w * of[h].of[0];
        out.v += w * of[h].of[1];
        out.raw += w * of[h].raw;
    }
    for (int j = 0; j < t->heads; j++) {
        out.weight += fabs(size[j] * w - 1.0 / t->heads);
        out.singletons += size[j] == 1;
    }
    out.d = out.weight;
    for (int h = 0; h < s->heads; h++) {
        const double q = of[h].of[0], v = of[h].of[1];
        out.d += w * (size[of[h].cell] == 1 ? q + v : q * q + v * v);
    }
    return out;
}
