/* Reference kernel of op_reflect.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
/* One row of doubles for x, one for g. */
static size_t bytes(const hora_call *c) {
    return 2 * (size_t)ref_width(&c->in[0]) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_reflect.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(reflect, bytes);

#else

/* u'v, or 2 u'v / u'u. */
static double T(inner)(const REAL *u, const double *v, int64_t d) {
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += LD(u[k]) * v[k];
    return sum;
}

static double T(square)(const REAL *u, int64_t d) {
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += LD(u[k]) * LD(u[k]);
    return sum;
}

static void T(mirror)(const REAL *u, double *v, int64_t d) {
    const double c = T(square)(u, d), f = c > 0 ? 2 * T(inner)(u, v, d) / c : 0;
    for (int64_t k = 0; k < d; k++)
        v[k] -= f * LD(u[k]);
}

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]), r = ref_rows(&c->in[1]);
    double *v = c->scratch;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < d; k++)
            v[k] = LD(IN(0)[i * d + k]);
        for (int64_t j = r - 1; j >= 0; j--)
            T(mirror)(IN(1) + j * d, v, d);
        for (int64_t k = 0; k < d; k++)
            OUT[i * d + k] = ST(v[k]);
    }
}

/* Gradient of u_j from x, what it acted on, and g, that of its result. */
static void T(slope)(const hora_call *c, int64_t j, const double *x, const double *g, bool first) {
    const int64_t d = ref_width(&c->in[0]);
    const REAL *u = IN(1) + j * d;
    const double s = T(square)(u, d), ux = T(inner)(u, x, d), ug = T(inner)(u, g, d);
    for (int64_t k = 0; k < d; k++) {
        const double v =
            s > 0 ? 4 * ux * ug / (s * s) * LD(u[k]) - 2 / s * (ux * g[k] + ug * x[k]) : 0;
        WIDE *to = &DWIDE(1)[j * d + k];
        *to = (WIDE)((first && (c->overwrite & HORA_IN(1)) ? 0 : (double)*to) + v);
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout), r = ref_rows(&c->in[1]);
    double *x = c->scratch, *g = x + d;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < d; k++) {
            x[k] = WANT(1) ? LD(OUT[i * d + k]) : 0;
            g[k] = LD(DOUT[i * d + k]);
        }
        for (int64_t j = 0; j < r; j++) {
            T(mirror)(IN(1) + j * d, x, d);
            if (WANT(1))
                T(slope)(c, j, x, g, i == 0);
            T(mirror)(IN(1) + j * d, g, d);
        }
        for (int64_t k = 0; WANT(0) && k < d; k++)
            PUT(0, &DIN(0)[i * d + k], g[k]);
    }
}

#endif
