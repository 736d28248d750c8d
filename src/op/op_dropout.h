#ifndef HORA_OP_OP_DROPOUT_H
#define HORA_OP_OP_DROPOUT_H
/*
 * THE mask of op dropout, which every backend shares. It is a function of the batch's seed and
 * step, the node's stream, the row's number in the whole step, and the column: cutting a step
 * differently, recomputing, or another thread count cannot change it.
 *
 *   words = philox(seed + step * 0x9E3779B97F4A7C15, stream, (row << 24) + column / 4)
 *   the element is kept if words[column % 4] >= p 2^32
 *
 * Rows are below 2^40 and columns below 2^26 (the shape rule checks), so no two elements share a
 * word.
 */
#include "base/rng.h"

#define HORA_DROPOUT_COLUMNS ((int64_t)1 << 26)

static inline uint32_t hora_dropout_threshold(double p) {
    return (uint32_t)(p * 4294967296.0); /* p < 1 */
}
static inline uint64_t hora_dropout_key(uint64_t seed, uint64_t step) {
    return seed + step * 0x9E3779B97F4A7C15u;
}
static inline uint64_t hora_dropout_counter(int64_t row, int64_t quad) {
    return ((uint64_t)row << 24) + (uint64_t)quad;
}
/* Words of columns 4 * quad .. 4 * quad + 3 of `row`, counted over the whole step. */
static inline void hora_dropout_words(uint64_t seed, uint64_t step, uint64_t stream, int64_t row,
                                      int64_t quad, uint32_t words[4]) {
    hora_philox(hora_dropout_key(seed, step), stream, hora_dropout_counter(row, quad), words);
}
#endif
