/* Reference kernel of op_gramdist.c. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_gramdist.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(gramdist, NULL);

#else

/* The r vectors of length k: element l of vector i. */
static double T(at)(const hora_call *c, int64_t i, int64_t l) {
    const int64_t w = ref_width(&c->in[0]);
    return LD(IN(0)[c->attr.w ? l * w + i : i * w + l]);
}

/* Entry (i, j) of the Gram matrix less that of I. */
static double T(entry)(const hora_call *c, int64_t i, int64_t j) {
    const int64_t k = c->attr.w ? ref_rows(&c->in[0]) : ref_width(&c->in[0]);
    double sum = i == j ? -1 : 0;
    for (int64_t l = 0; l < k; l++)
        sum += T(at)(c, i, l) * T(at)(c, j, l);
    return sum;
}

static double T(distance)(const hora_call *c) {
    const int64_t r = c->attr.w ? ref_width(&c->in[0]) : ref_rows(&c->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            const double e = T(entry)(c, i, j);
            sum += e * e;
        }
    return sqrt(sum);
}

static void T(forward)(const hora_call *c) {
    *(double *)c->out.data = T(distance)(c);
}

static void T(backward)(const hora_call *c) {
    const int64_t r = c->attr.w ? ref_width(&c->in[0]) : ref_rows(&c->in[0]);
    const int64_t k = c->attr.w ? ref_rows(&c->in[0]) : ref_width(&c->in[0]);
    const double n = T(distance)(c), f = n > 0 ? 2 * *(const double *)c->dout.data / n : 0;
    const int64_t w = ref_width(&c->in[0]);
    for (int64_t i = 0; i < r; i++)
        for (int64_t l = 0; l < k; l++) {
            WIDE *to = &DWIDE(0)[c->attr.w ? l * w + i : i * w + l];
            PUTW(0, to, 0.0);
        }
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            const double e = f * T(entry)(c, i, j);
            for (int64_t l = 0; l < k; l++) {
                WIDE *to = &DWIDE(0)[c->attr.w ? l * w + i : i * w + l];
                *to = (WIDE)((double)*to + e * T(at)(c, j, l));
            }
        }
}

#endif
