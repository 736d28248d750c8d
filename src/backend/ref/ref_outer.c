/* Reference kernel of op_outer.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_outer.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(outer, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), p = ref_width(&c->in[0]), q = ref_width(&c->in[1]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < p; j++)
            for (int64_t l = 0; l < q; l++)
                OUT[(i * p + j) * q + l] = ST(LD(IN(0)[i * p + j]) * LD(IN(1)[i * q + l]));
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), p = ref_width(&c->in[0]), q = ref_width(&c->in[1]);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        for (int64_t j = 0; j < p; j++) {
            double sum = 0;
            for (int64_t l = 0; l < q; l++)
                sum += LD(DOUT[(i * p + j) * q + l]) * LD(IN(1)[i * q + l]);
            PUTW(0, &DWIDE(0)[i * p + j], sum);
        }
    for (int64_t i = 0; WANT(1) && i < n; i++)
        for (int64_t l = 0; l < q; l++) {
            double sum = 0;
            for (int64_t j = 0; j < p; j++)
                sum += LD(DOUT[(i * p + j) * q + l]) * LD(IN(0)[i * p + j]);
            PUTW(1, &DWIDE(1)[i * q + l], sum);
        }
}

#endif
