#ifndef HORA_OP_OP_SEGMENT_H
#define HORA_OP_OP_SEGMENT_H
/*
 * Where the logits of a pixel come from. A picture is a segment of rows: `lead` of them, then
 * pieces of side x side pixels, row by row. A piece's row holds the logits of split x split cells,
 * row by row, k of each; so all cells make a grid, and a pixel lies between four of them, at
 * (i + 1/2) split / side - 1/2 along each side, at the rim between fewer: PyTorch's interpolate
 * with mode "bilinear" and align_corners false.
 */
#include "op/op.h"

typedef struct hora_mesh {
    int64_t lead, high, wide; /* rows in front; pieces */
    int64_t split, side, k;
} hora_mesh;

static inline hora_mesh hora_mesh_of(const hora_attr *a, int64_t width) {
    return (hora_mesh){a->a, a->b, a->w, a->groups, a->first, width / (a->groups * a->groups)};
}
static inline int64_t hora_mesh_cells_high(const hora_mesh *m) {
    return m->high * m->split;
}
static inline int64_t hora_mesh_cells_wide(const hora_mesh *m) {
    return m->wide * m->split;
}
/* First logit of cell (y, x) in the rows of a segment. */
static inline int64_t hora_mesh_at(const hora_mesh *m, int64_t y, int64_t x) {
    const int64_t s = m->split, row = m->lead + y / s * m->wide + x / s;
    return (row * s * s + y % s * s + x % s) * m->k;
}
/* The entry of leaf `pixels`, of a segment, that belongs to pixel (y, x). */
static inline int64_t hora_mesh_pixel(const hora_mesh *m, int64_t y, int64_t x) {
    const int64_t p = m->side, row = m->lead + y / p * m->wide + x / p;
    return row * p * p + y % p * p + x % p;
}

/* Two neighbours along a side; the second counts `share`, the first the rest. */
typedef struct hora_between {
    int64_t at[2];
    double share;
} hora_between;
/* Of pixel i of so many pixels, among `cells`. */
static inline hora_between hora_mesh_between(int64_t i, int64_t pixels, int64_t cells) {
    double x = ((double)i + 0.5) * (double)cells / (double)pixels - 0.5;
    x = x < 0 ? 0 : x;
    int64_t low = (int64_t)x;
    low = low < cells - 1 ? low : cells - 1;
    const int64_t high = low < cells - 1 ? low + 1 : low;
    return (hora_between){{low, high}, high > low ? x - (double)low : 0};
}
#endif
