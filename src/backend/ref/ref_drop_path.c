/* Reference kernel of op_drop_path.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_dropout.h"

#ifndef REAL

/* m / (1 - p) of the sample that a row belongs to */
static double factor(const hora_call *c, int64_t row) {
    uint32_t words[4];
    hora_dropout_words(c->batch->seed, c->batch->step, c->attr.stream,
                       c->batch->row0 + c->batch->lo[row], 0, words);
    return words[0] >= hora_dropout_threshold(c->attr.alpha) ? 1 / (1 - c->attr.alpha) : 0;
}

#define REF_TEXT "backend/ref/ref_drop_path.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(drop_path, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out), d = ref_width(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(LD(IN(0)[i]) * factor(c, i / d));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; i < n; i++)
        PUT(0, &DIN(0)[i], LD(DOUT[i]) * factor(c, i / d));
}

#endif
