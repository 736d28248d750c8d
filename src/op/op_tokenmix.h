#ifndef HORA_OP_TOKENMIX_H
#define HORA_OP_TOKENMIX_H
/* Which rows op tokenmix mixes with each other: lines of a segment's rows. */
#include "op/op.h"

typedef struct hora_token_line {
    int64_t first, step, n; /* rows of the batch: first, first + step, .. */
} hora_token_line;

/* The end of the segment that begins in row `from`; padding rows are segments of nothing. */
static inline int64_t hora_segment_end(const hora_batch *b, int64_t from, int64_t rows) {
    int64_t to = from + 1;
    while (to < rows && b->lo[to] == b->lo[from] && b->hi[to] > b->lo[to])
        to++;
    return to;
}

/* Line k of the segment [from, to); false: there is none. */
static inline bool hora_token_line_at(const hora_attr *a, int64_t from, int64_t to, int64_t k,
                                      hora_token_line *l) {
    const int64_t len = to - from, s = a->a;
    if (!s)
        *l = (hora_token_line){from, 1, len};
    else if (!a->b)
        *l = (hora_token_line){from + k * s, 1, hora_min(s, len - k * s)};
    else
        *l = (hora_token_line){from + k, s, (len - k + s - 1) / s};
    return s ? (a->b ? k < hora_min(s, len) : k * s < len) : k == 0;
}
#endif
