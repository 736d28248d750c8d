/*
 * gate: runs of columns times a number of their row.
 *
 *   y[i, j w + l] = m[i, j] x[i, j w + l]      x, y (n, k w), m (n, k)
 *
 *   dx[i, j w + l] = m[i, j] dy[i, j w + l]    dm[i, j] = sum_l dy[i, j w + l] x[i, j w + l]
 *
 * k = 1: whole rows; k = heads: heads. Backward reads m for x's gradient, x for m's.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("m", &in[1]));
    if (in[0].shape.d[0] != in[1].shape.d[0] || in[1].shape.d[1] < 1 ||
        in[0].shape.d[1] % in[1].shape.d[1])
        return hora_op_misfit("x", &in[0], "m", &in[1],
                              "give both the same rows, and m's width must divide x's");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return (grad & HORA_IN(0) ? HORA_IN(1) : 0) | (grad & HORA_IN(1) ? HORA_IN(0) : 0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 1}, {3, 5, 1}, {13, 4, 3}, {67, 33, 1}, {40, 16, 8}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1] * s[k][2]);
    hora_case_row(c, 1, s[k][0], s[k][2]);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1);
    return true;
}

const hora_op hora_op_gate = {.name = "gate",
                              .nin = 2,
                              .options = HORA_OP_CHEAP,
                              .shape = shape,
                              .reads = reads,
                              .tol = {1e-5, 2e-2},
                              .sample = sample};
