/* Reference kernel of op_place.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* Row of the table for row i; -1: none. */
static int64_t row_of(const hora_call *c, int64_t i) {
    const int32_t *k = hora_batch_leaf(c->batch, c->attr.source);
    const int64_t v = k[i] - c->attr.first;
    return v >= 0 && v < ref_rows(&c->in[1]) ? v : -1;
}

#define REF_TEXT "backend/ref/ref_place.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(place, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t d = ref_width(&c->out);
    for (int64_t i = 0; i < ref_rows(&c->out); i++) {
        const int64_t v = row_of(c, i);
        for (int64_t j = 0; j < d; j++)
            OUT[i * d + j] = v < 0 ? IN(0)[i * d + j] : IN(1)[v * d + j];
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        for (int64_t j = 0; j < d; j++)
            PUT(0, &DIN(0)[i * d + j], row_of(c, i) < 0 ? LD(DOUT[i * d + j]) : 0);
    for (int64_t v = 0; WANT(1) && v < ref_rows(&c->in[1]); v++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += row_of(c, i) == v ? LD(DOUT[i * d + j]) : 0;
            PUTW(1, &DWIDE(1)[v * d + j], sum);
        }
}

#endif
