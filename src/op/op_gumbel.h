#ifndef HORA_OP_GUMBEL_H
#define HORA_OP_GUMBEL_H
/*
 * What backends share of op gumbel: which row decides for a row, and THE noise, a function of the
 * batch's seed and step, the node's stream, the deciding row's number in the whole step, and the
 * column: the difference of two Gumbel draws, which is log u - log(1 - u).
 */
#include <math.h>

#include "op/op.h"
#include "op/op_dropout.h"

static inline int64_t hora_gumbel_row(const hora_batch *b, const hora_attr *a, int64_t i) {
    return a->w ? b->lo[i] : i;
}
static inline bool hora_gumbel_leads(const hora_batch *b, const hora_attr *a, int64_t i) {
    return b->hi[i] > b->lo[i] && i - b->lo[i] < a->a;
}
static inline double hora_gumbel_noise(const hora_batch *b, const hora_attr *a, int64_t row,
                                       int64_t column) {
    uint32_t words[4];
    if (!a->b)
        return 0;
    hora_dropout_words(b->seed, b->step, a->stream, b->row0 + row, column / 4, words);
    const double u = ((double)words[column % 4] + 0.5) / 4294967296.0;
    return log(u) - log1p(-u);
}
#endif
