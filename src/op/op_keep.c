/*
 * keep: the first row of x, which stands for all, into a state that later passes read.
 *
 *   y = x,  S = x_0
 *
 * x and y (n, d); S (1, d), a state that the op writes. Forward only.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("state", &in[1]));
    if (in[1].shape.d[0] != 1 || in[1].shape.d[1] != in[0].shape.d[1])
        return hora_op_misfit("state", &in[1], "x", &in[0], "give the state one row of its width");
    out->shape = in[0].shape;
    return HORA_OK;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {67, 33}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_matrix(c, 1, 1, s[k][1]);
    c->rows |= HORA_OUT;
    return true;
}

const hora_op hora_op_keep = {.name = "keep",
                              .nin = 2,
                              .options = HORA_OP_EFFECT,
                              .shape = shape,
                              .tol = {0, 0},
                              .sample = sample};
