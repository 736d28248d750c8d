/* Reference kernel of op_orthonormal.c. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
/* v, its gradient, and the gradients of all rows of W. */
static size_t bytes(const hora_call *c) {
    return (size_t)((ref_rows(&c->in[0]) + 2) * ref_width(&c->in[0])) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_orthonormal.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(orthonormal, bytes);

#else

static double T(inner)(const REAL *w, const double *v, int64_t d) {
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += LD(w[k]) * v[k];
    return sum;
}

/* v without its part along w. */
static void T(remove)(const REAL *w, double *v, int64_t d) {
    const double c = T(inner)(w, v, d);
    for (int64_t k = 0; k < d; k++)
        v[k] -= c * LD(w[k]);
}

static void T(forward)(const hora_call *c) {
    const int64_t r = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    double *v = c->scratch;
    for (int64_t i = 0; i < r; i++) {
        double norm = 0;
        for (int64_t k = 0; k < d; k++)
            v[k] = LD(IN(0)[i * d + k]);
        for (int64_t j = 0; j < i; j++)
            T(remove)(OUT + j * d, v, d);
        for (int64_t k = 0; k < d; k++)
            norm += v[k] * v[k];
        norm = sqrt(norm);
        for (int64_t k = 0; k < d; k++)
            OUT[i * d + k] = ST(v[k] / norm);
    }
}

/* v_i before its part along w_j was removed, j counted down from i; i: the end of it. */
static void T(before)(const hora_call *c, int64_t i, int64_t j, double *v) {
    const int64_t d = ref_width(&c->in[0]);
    for (int64_t k = 0; k < d; k++)
        v[k] = LD(IN(0)[i * d + k]);
    for (int64_t l = 0; l < j; l++)
        T(remove)((const REAL *)c->out.data + l * d, v, d);
}

static void T(backward)(const hora_call *c) {
    const int64_t r = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    const REAL *w = c->out.data;
    double *v = c->scratch, *g = v + d, *gw = g + d;
    for (int64_t k = 0; k < r * d; k++)
        gw[k] = LD(DOUT[k]);
    for (int64_t i = r - 1; i >= 0; i--) {
        double norm = 0, along = T(inner)(w + i * d, gw + i * d, d);
        T(before)(c, i, i, v);
        for (int64_t k = 0; k < d; k++)
            norm += v[k] * v[k];
        norm = sqrt(norm);
        for (int64_t k = 0; k < d; k++)
            g[k] = (gw[i * d + k] - along * LD(w[i * d + k])) / norm;
        for (int64_t j = i - 1; j >= 0; j--) {
            T(before)(c, i, j, v);
            const double wv = T(inner)(w + j * d, v, d), wg = T(inner)(w + j * d, g, d);
            for (int64_t k = 0; k < d; k++)
                gw[j * d + k] -= wg * v[k] + wv * g[k];
            T(remove)(w + j * d, g, d);
        }
        for (int64_t k = 0; k < d; k++)
            PUTW(0, &DWIDE(0)[i * d + k], g[k]);
    }
}

#endif
