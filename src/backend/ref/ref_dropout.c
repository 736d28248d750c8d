/* Reference kernel of op_dropout.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_dropout.h"

#ifndef REAL

/* m_ij / (1 - p) */
static double factor(const hora_call *c, int64_t row, int64_t column) {
    uint32_t words[4];
    hora_dropout_words(c->batch->seed, c->batch->step, c->attr.stream, c->batch->row0 + row,
                       column / 4, words);
    bool keep = words[column % 4] >= hora_dropout_threshold(c->attr.alpha);
    return keep ? 1 / (1 - c->attr.alpha) : 0;
}

#define REF_TEXT "backend/ref/ref_dropout.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(dropout, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out), d = ref_width(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(LD(IN(0)[i]) * factor(c, i / d, i % d));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; i < n; i++)
        PUT(0, &DIN(0)[i], LD(DOUT[i]) * factor(c, i / d, i % d));
}

#endif
