#ifndef HORA_OP_DEPTHWISE_H
#define HORA_OP_DEPTHWISE_H
/* Where op depthwise reads: the grid that a segment of an encoder holds. */
#include "op/op.h"

typedef struct hora_grid_place {
    int64_t t, h, w; /* time, row, column */
    int64_t frames;  /* whole ones of the segment */
    int64_t first;   /* row of the batch that holds (0, 0, 0) */
} hora_grid_place;

/* The place of row i; false: it is in front of the grid, behind its whole frames, or padding. */
static inline bool hora_grid_at(const hora_attr *a, const hora_batch *b, int64_t i,
                                hora_grid_place *p) {
    const int64_t first = b->lo[i] + a->a, each = a->b * a->w, at = i - first;
    const int64_t frames = (b->hi[i] - first) / each;
    *p = (hora_grid_place){at / each, at / a->w % a->b, at % a->w, frames, first};
    return b->lo[i] < b->hi[i] && at >= 0 && at < frames * each;
}

/* The row that tap k of the row at p reads (sign 1), or that reads p by its tap k (sign -1); -1:
 * beyond the grid. */
static inline int64_t hora_grid_tap(const hora_attr *a, const hora_grid_place *p, int64_t k,
                                    int64_t sign) {
    const int64_t *n = a->kernel;
    const int64_t t = p->t + sign * (k / (n[1] * n[2]) - n[0] / 2);
    const int64_t h = p->h + sign * (k / n[2] % n[1] - n[1] / 2);
    const int64_t w = p->w + sign * (k % n[2] - n[2] / 2);
    const bool in = t >= 0 && t < p->frames && h >= 0 && h < a->b && w >= 0 && w < a->w;
    return in ? p->first + (t * a->b + h) * a->w + w : -1;
}
#endif
