/*
 * pool: the mean of a segment, in its first row.
 *
 *   y_i = mean over j of x_j, i + a <= j < e_i    in a segment's first row, i = lo_i < hi_i
 *   y_i = 0                                       elsewhere
 *   dx_j = sum over those i of dy_i / (e_i - i - a)
 *
 * e_i, the segment's end, is the largest hi of its rows: causal ones see only those before them.
 *
 * x and y (n, d); attr.a: rows at the head of a segment that are left out (a class token); a mean
 * of none is 0. With attr.b = 1 y is (n, 2d): x_i itself stands in front of the mean.
 *
 * Backward reads no tensor.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (a->a < 0 || a->b < 0 || a->b > 1)
        return hora_fail(HORA_EUSAGE, "a is %lld, b %lld; give 0 or more, and 0 or 1",
                         (long long)a->a, (long long)a->b);
    out->shape = HORA_SHAPE2(in[0].shape.d[0], (1 + a->b) * in[0].shape.d[1]);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][4] = {{1, 1, 0, 0},   {3, 5, 1, 0},    {13, 7, 0, 1},
                                   {67, 33, 2, 1}, {200, 48, 1, 0}, {130, 16, 0, 0}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_batch(c, r, s[k][0], 2, s[k][0] / 9, k != 5);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    c->attr.a = s[k][2];
    c->attr.b = s[k][3];
    return true;
}

const hora_op hora_op_pool = {.name = "pool",
                              .nin = 1,
                              .options = HORA_OP_BATCH,
                              .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                              .shape = shape,
                              .reads = reads,
                              .tol = {1e-5, 2e-2},
                              .sample = sample};
