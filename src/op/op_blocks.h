#ifndef HORA_OP_BLOCKS_H
#define HORA_OP_BLOCKS_H
/* The columns that op blocks exchanges, for all backends. */
#include <stdint.h>

/* Column of x that stands at column `at` of P'x: blocks of b, level 0 leaves all in place. */
static inline int64_t hora_butterfly(int64_t at, int64_t b, int64_t level) {
    if (!level)
        return at;
    const int64_t piece = b / 2, run = b << level, half = (int64_t)1 << level;
    const int64_t i = at % run / piece;
    return at - at % run + (i < half ? 2 * i : 2 * (i - half) + 1) * piece + at % piece;
}
#endif
