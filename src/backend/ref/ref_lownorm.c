/* Reference kernel of op_lownorm.c. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_lownorm.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(lownorm, NULL);

#else

/* Element (i, j) of W + alpha B A. */
static double T(adapted)(const hora_call *c, int64_t i, int64_t j) {
    int64_t k = ref_width(&c->in[0]), r = ref_rows(&c->in[1]);
    double ba = 0;
    for (int64_t l = 0; l < r; l++)
        ba += LD(IN(2)[i * r + l]) * LD(IN(1)[l * k + j]);
    return LD(IN(0)[i * k + j]) + c->attr.alpha * ba;
}

static void T(forward)(const hora_call *c) {
    int64_t o = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    for (int64_t i = 0; i < o; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) {
            double w = T(adapted)(c, i, j);
            sum += w * w;
        }
        OUT[i] = ST(sqrt(sum));
    }
}

/* Element (i, j) of R U. */
static double T(weighted)(const hora_call *c, int64_t i, int64_t j) {
    double n = LD(OUT[i]);
    return n > 0 ? LD(DOUT[i]) / n * T(adapted)(c, i, j) : 0;
}

static void T(backward)(const hora_call *c) {
    int64_t o = ref_rows(&c->in[0]), k = ref_width(&c->in[0]), r = ref_rows(&c->in[1]);
    for (int64_t i = 0; WANT(0) && i < o; i++)
        for (int64_t j = 0; j < k; j++)
            PUTW(0, &DWIDE(0)[i * k + j], T(weighted)(c, i, j));
    for (int64_t l = 0; WANT(1) && l < r; l++)
        for (int64_t j = 0; j < k; j++) {
            double sum = 0;
            for (int64_t i = 0; i < o; i++)
                sum += LD(IN(2)[i * r + l]) * T(weighted)(c, i, j);
            PUTW(1, &DWIDE(1)[l * k + j], c->attr.alpha * sum);
        }
    for (int64_t i = 0; WANT(2) && i < o; i++)
        for (int64_t l = 0; l < r; l++) {
            double sum = 0;
            for (int64_t j = 0; j < k; j++)
                sum += T(weighted)(c, i, j) * LD(IN(1)[l * k + j]);
            PUTW(2, &DWIDE(2)[i * r + l], c->attr.alpha * sum);
        }
}

#endif
