/* Reference kernel of op_gather.c. Chains of equal numbers are linked in scratch, ascending. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

static size_t scratch(const hora_call *c) {
    if (c->phase == HORA_FORWARD)
        return 0;
    return (size_t)(ref_rows(&c->in[0]) + ref_rows(&c->out)) * sizeof(int32_t);
}

/* Row of the table for row i; -1: none. */
static int64_t row_of(const hora_call *c, int64_t i) {
    const int32_t *k = c->attr.index ? c->attr.index : hora_batch_leaf(c->batch, c->attr.source);
    const int64_t v = k[i] - (c->attr.index ? 0 : c->attr.first);
    HORA_ASSERT(!c->attr.index || (v >= -1 && v < ref_rows(&c->in[0])));
    return v >= 0 && v < ref_rows(&c->in[0]) ? v : -1;
}

#define REF_TEXT "backend/ref/ref_gather.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(gather, scratch);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->out), d = ref_width(&c->out);
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = row_of(c, i);
        for (int64_t j = 0; j < d; j++)
            OUT[i * d + j] = ST((hora_absent(&c->in[1]) ? 0 : LD(IN(1)[i * d + j])) +
                                (v < 0 ? 0 : LD(IN(0)[v * d + j])));
    }
}

/* dE_v = sum of the dy_i with k_i = v, i ascending; da = dy */
static void T(backward)(const hora_call *c) {
    int64_t rows = ref_rows(&c->in[0]), n = ref_rows(&c->dout), d = ref_width(&c->dout);
    int32_t *first = c->scratch, *next = first + rows;
    for (int64_t v = 0; v < rows; v++)
        first[v] = -1;
    for (int64_t i = n - 1; i >= 0; i--) {
        const int64_t v = row_of(c, i);
        next[i] = v < 0 ? -1 : first[v];
        if (v >= 0)
            first[v] = (int32_t)i;
    }
    for (int64_t v = 0; WANT(0) && v < rows; v++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = first[v]; i >= 0; i = next[i])
                sum += LD(DOUT[i * d + j]);
            PUTW(0, &DWIDE(0)[v * d + j], sum);
        }
    for (int64_t i = 0; WANT(1) && i < n * d; i++)
        PUT(1, &DIN(1)[i], LD(DOUT[i]));
}

#endif
