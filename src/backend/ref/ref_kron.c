/* Reference kernel of op_kron.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_kron.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(kron, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), p = ref_rows(&c->in[1]), q = ref_width(&c->in[1]);
    const int64_t s = ref_rows(&c->in[2]), t = ref_width(&c->in[2]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t a = 0; a < p; a++)
            for (int64_t e = 0; e < s; e++) {
                double sum = 0;
                for (int64_t b = 0; b < q; b++)
                    for (int64_t f = 0; f < t; f++)
                        sum += LD(IN(1)[a * q + b]) * LD(IN(2)[e * t + f]) *
                               LD(IN(0)[(i * q + b) * t + f]);
                OUT[(i * p + a) * s + e] = ST(sum);
            }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), p = ref_rows(&c->in[1]), q = ref_width(&c->in[1]);
    const int64_t s = ref_rows(&c->in[2]), t = ref_width(&c->in[2]);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        for (int64_t b = 0; b < q; b++)
            for (int64_t f = 0; f < t; f++) {
                double sum = 0;
                for (int64_t a = 0; a < p; a++)
                    for (int64_t e = 0; e < s; e++)
                        sum += LD(IN(1)[a * q + b]) * LD(IN(2)[e * t + f]) *
                               LD(DOUT[(i * p + a) * s + e]);
                PUT(0, &DIN(0)[(i * q + b) * t + f], sum);
            }
    for (int64_t a = 0; WANT(1) && a < p; a++)
        for (int64_t b = 0; b < q; b++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                for (int64_t e = 0; e < s; e++)
                    for (int64_t f = 0; f < t; f++)
                        sum += LD(DOUT[(i * p + a) * s + e]) * LD(IN(2)[e * t + f]) *
                               LD(IN(0)[(i * q + b) * t + f]);
            PUTW(1, &DWIDE(1)[a * q + b], sum);
        }
    for (int64_t e = 0; WANT(2) && e < s; e++)
        for (int64_t f = 0; f < t; f++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                for (int64_t a = 0; a < p; a++)
                    for (int64_t b = 0; b < q; b++)
                        sum += LD(DOUT[(i * p + a) * s + e]) * LD(IN(1)[a * q + b]) *
                               LD(IN(0)[(i * q + b) * t + f]);
            PUTW(2, &DWIDE(2)[e * t + f], sum);
        }
}

#endif
