/* Reference kernel of op_isomorph.c: one row after another, its line of A in scratch. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL

/* The scores of a head, and A. */
static size_t scratch(const hora_call *c) {
    return c->phase == HORA_FORWARD ? (size_t)(2 * ref_rows(&c->in[0])) * sizeof(double) : 0;
}

static double edge(double a) {
    return a > 0.5 ? 1 / (1 + exp(-10 * (fmin(1, a) - 0.5))) : 0;
}

#define REF_TEXT "backend/ref/ref_isomorph.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(isomorph, scratch);

#else

/* a[j - lo] = sum over heads of row i's map. */
static void T(map)(const hora_call *c, int64_t i, int64_t lo, int64_t hi, double *a, double *z) {
    const int64_t dh = c->attr.head_dim, n = hi - lo;
    memset(a, 0, (size_t)hora_max(n, 0) * sizeof *a);
    for (int64_t h = 0; h < c->attr.heads && n > 0; h++) {
        const REAL *q = IN(0) + (i * c->attr.heads + h) * dh;
        const int64_t g = h * c->attr.kv_heads / c->attr.heads;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) {
            z[j] = c->attr.scale * T(dot)(q, IN(1) + ((lo + j) * c->attr.kv_heads + g) * dh, dh);
            most = fmax(most, z[j]);
        }
        for (int64_t j = 0; j < n; j++)
            sum += z[j] = exp(z[j] - most);
        for (int64_t j = 0; j < n; j++)
            a[j] += z[j] / sum;
    }
}

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[2]), most = 2 * c->attr.heads;
    double *a = c->scratch, *z = a + n;
    for (int64_t i = 0; i < n; i++) {
        int64_t lo, hi, edges = 0;
        hora_call_sees(c, i, &lo, &hi);
        T(map)(c, i, lo, hi, a, z);
        for (int64_t l = 0; l < d; l++) {
            double sum = 0;
            for (int64_t j = lo; j < hi; j++)
                sum += edge(a[j - lo]) * LD(IN(2)[j * d + l]);
            OUT[i * d + l] = ST(sum);
        }
        for (int64_t j = lo; c->grad && j < hi; j++)
            if (a[j - lo] > 0.5) {
                ((WIDE *)SAVED(0))[i * most + edges] = (WIDE)edge(a[j - lo]);
                ((WIDE *)SAVED(1))[i * most + edges++] = (WIDE)j;
            }
        for (; c->grad && edges < most; edges++)
            ((WIDE *)SAVED(1))[i * most + edges] = ((WIDE *)SAVED(0))[i * most + edges] = -1;
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout), most = 2 * c->attr.heads;
    const WIDE *weight = SAVED(0), *row = SAVED(1);
    for (int64_t j = 0; j < n; j++)
        for (int64_t l = 0; l < d; l++) {
            double sum = 0;
            for (int64_t e = 0; e < n * most; e++)
                if ((double)row[e] == (double)j)
                    sum += (double)weight[e] * LD(DOUT[e / most * d + l]);
            PUT(2, &DIN(2)[j * d + l], sum);
        }
}

#endif
