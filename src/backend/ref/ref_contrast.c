/* Reference kernel of op_contrast.c. Scratch: lse per row, one gradient. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

#include <math.h>

static size_t scratch(const hora_call *c) {
    return (size_t)(ref_rows(&c->in[0]) + ref_width(&c->in[0])) * sizeof(double);
}

/* The last row up to i that holds an anchor; -1: none. */
static int64_t anchor(const hora_batch *b, int64_t i) {
    while (i >= 0 && b->target[i] != 0)
        i--;
    return i;
}

#define REF_TEXT "backend/ref/ref_contrast.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(contrast, scratch);

#else

#include "backend/ref/ref_length.h"

/* s cos(x_a, x_j) */
static double T(score)(const hora_call *c, int64_t a, int64_t j) {
    const int64_t d = ref_width(&c->in[0]);
    const REAL *x = IN(0) + a * d, *y = IN(0) + j * d;
    return c->attr.scale * T(dot)(x, y, d) / (T(length)(x, d) * T(length)(y, d));
}

static double T(lse)(const hora_call *c, int64_t a) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < ref_rows(&c->in[0]); j++)
        if (c->batch->target[j] >= 1)
            most = fmax(most, T(score)(c, a, j));
    for (int64_t j = 0; j < ref_rows(&c->in[0]); j++)
        if (c->batch->target[j] >= 1)
            sum += exp(T(score)(c, a, j) - most);
    return most + log(sum);
}

static bool T(asks)(const hora_call *c, int64_t p) {
    return c->batch->target[p] == 1 && c->batch->weight[p] != 0 && anchor(c->batch, p) >= 0;
}

static void T(forward)(const hora_call *c) {
    double sum = 0;
    for (int64_t p = 0; p < ref_rows(&c->in[0]); p++) {
        const int64_t a = anchor(c->batch, p);
        if (T(asks)(c, p))
            sum += (double)c->batch->weight[p] * (T(lse)(c, a) - T(score)(c, a, p));
    }
    *(double *)c->out.data = c->batch->scale * sum;
}

/* du += g u of row i */
static void T(gather)(const hora_call *c, int64_t i, double g, double *du) {
    const int64_t d = ref_width(&c->in[0]);
    const double length = T(length)(IN(0) + i * d, d);
    for (int64_t k = 0; k < d; k++)
        du[k] += g * LD(IN(0)[i * d + k]) / length;
}

static void T(backward)(const hora_call *c) {
    const hora_batch *b = c->batch;
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    const double s = *(const double *)c->dout.data * b->scale * c->attr.scale;
    double *lse = c->scratch, *du = lse + n;
    for (int64_t p = 0; p < n; p++)
        lse[p] = T(asks)(c, p) ? T(lse)(c, anchor(b, p)) : 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < d; k++)
            du[k] = 0;
        for (int64_t p = 0; p < n; p++) {
            const int64_t a = T(asks)(c, p) ? anchor(b, p) : -1;
            for (int64_t j = 0; j < n && a >= 0; j++)
                if (b->target[j] >= 1 && (i == a || i == j))
                    T(gather)
            (c, i == a ? j : a,
             s * (double)b->weight[p] * (exp(T(score)(c, a, j) - lse[p]) - (j == p)), du);
        }
        const double length = T(length)(IN(0) + i * d, d);
        double along = 0;
        for (int64_t k = 0; k < d; k++)
            along += du[k] * LD(IN(0)[i * d + k]) / length;
        for (int64_t k = 0; k < d; k++)
            PUT(0, &DIN(0)[i * d + k], (du[k] - along * LD(IN(0)[i * d + k]) / length) / length);
    }
}

#endif
