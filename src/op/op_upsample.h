#ifndef HORA_OP_OP_UPSAMPLE_H
#define HORA_OP_OP_UPSAMPLE_H
/* Whose rows a row of the finer grid is made of. */
#include "op/op.h"

/* The four rows of the grid, counted from its first, and what they give to row `at`. */
typedef struct hora_corners {
    int64_t row[4];
    double share[4];
} hora_corners;

static inline int64_t hora_corner_side(int64_t i, int64_t further, int64_t n) {
    const int64_t j = i + (further ? 1 : -1);
    return j < 0 ? 0 : j < n ? j : n - 1;
}

static inline hora_corners hora_upsample_corners(const hora_attr *a, int64_t at) {
    const int64_t y = at / a->w, x = at % a->w;
    const int64_t v = hora_corner_side(y, a->first / 2, a->b);
    const int64_t u = hora_corner_side(x, a->first % 2, a->w);
    return (hora_corners){{at, y * a->w + u, v * a->w + x, v * a->w + u},
                          {0.5625, 0.1875, 0.1875, 0.0625}};
}
#endif
