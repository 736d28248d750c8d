/* Reference kernel of op_gather.c. Chains of equal ids are linked in scratch, ascending. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

static size_t scratch(const hora_call *c) {
    if (c->phase == HORA_FORWARD)
        return 0;
    return (size_t)(ref_rows(&c->in[0]) + ref_rows(&c->out)) * sizeof(int32_t);
}

#define REF_TEXT "backend/ref/ref_gather.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(gather, scratch);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->out), d = ref_width(&c->out);
    const int32_t *id = c->attr.index ? c->attr.index : c->batch->ids;
    for (int64_t i = 0; i < n; i++) {
        HORA_ASSERT(id[i] >= 0 && id[i] < ref_rows(&c->in[0]));
        for (int64_t j = 0; j < d; j++)
            OUT[i * d + j] = IN(0)[id[i] * d + j];
    }
}

/* dE_v = sum of the dy_i with id_i = v, i ascending. */
static void T(backward)(const hora_call *c) {
    int64_t rows = ref_rows(&c->in[0]), n = ref_rows(&c->dout), d = ref_width(&c->dout);
    const int32_t *id = c->attr.index ? c->attr.index : c->batch->ids;
    int32_t *first = c->scratch, *next = first + rows;
    for (int64_t v = 0; v < rows; v++)
        first[v] = -1;
    for (int64_t i = n - 1; i >= 0; i--) {
        next[i] = first[id[i]];
        first[id[i]] = (int32_t)i;
    }
    for (int64_t v = 0; v < rows; v++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = first[v]; i >= 0; i = next[i])
                sum += LD(DOUT[i * d + j]);
            PUTW(0, &DWIDE(0)[v * d + j], sum);
        }
}

#endif
