/* Reference kernel of op_shift.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* The row that y_i is; -1: none. */
static int64_t source(const hora_call *c, int64_t i) {
    const hora_batch *b = c->batch;
    const int64_t at = i + c->attr.a;
    return b->lo[i] < b->hi[i] && at < b->hi[i] ? at : -1;
}

#define REF_TEXT "backend/ref/ref_shift.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(shift, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->out), d = ref_width(&c->out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const int64_t at = source(c, i);
            OUT[i * d + j] = ST(at < 0 ? 0 : LD(IN(0)[at * d + j]));
        }
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout);
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = 0; j < d; j++) {
            const int64_t i = k - c->attr.a;
            const bool read = i >= 0 && source(c, i) == k;
            PUT(0, &DIN(0)[k * d + j], read ? LD(DOUT[i * d + j]) : 0);
        }
}

#endif
