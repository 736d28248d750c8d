/*
 * upsample: a quarter of a grid that is twice as fine.
 *
 *   y_i = sum over u, v in {0, 1} of c_u c_v x_(neighbour)      c = (3/4, 1/4)
 *
 * Behind attr.a rows a segment holds a grid of attr.b x attr.w rows. Each of them becomes 2 x 2
 * cells, bilinearly (PyTorch's interpolate, align_corners false): cell q = attr.first, 2 row +
 * column, lies a quarter of the way to the neighbour above or below, and left or right; beyond the
 * rim the row itself stands for it. y is 0 in rows that are not of the grid. x and y (n, d).
 * Backward reads nothing; dx collects what its row gave.
 */
#include "op/op_upsample.h"
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (a->a < 0 || a->b < 1 || a->w < 1 || a->first < 0 || a->first > 3)
        return hora_op_misfit("x", &in[0], NULL, NULL,
                              "give attr a grid of rows, and in first a quarter, 0 to 3");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][6] = {/* segments, in front, grid, width, quarter */
                                   {1, 0, 1, 1, 1, 0},
                                   {1, 1, 1, 3, 2, 3},
                                   {2, 1, 3, 2, 5, 1},
                                   {3, 2, 3, 4, 33, 2},
                                   {2, 5, 4, 4, 16, 3}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    const int64_t rows = s[k][1] + s[k][2] * s[k][3], n = s[k][0] * rows + k;
    hora_case_row(c, 0, n, s[k][4]);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, n, 2, k, true);
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = i / rows * rows;
        const bool in = i < s[k][0] * rows;
        c->batch.lo[i] = (int32_t)(in ? first : i);
        c->batch.hi[i] = (int32_t)(in ? first + rows : i);
    }
    c->attr = (hora_attr){.a = s[k][1], .b = s[k][2], .w = s[k][3], .first = s[k][5]};
    return true;
}

const hora_op hora_op_upsample = {.name = "upsample",
                                  .nin = 1,
                                  .options = HORA_OP_BATCH,
                                  .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                  .shape = shape,
                                  .reads = reads,
                                  .tol = {1e-6, 2e-2},
                                  .sample = sample};
