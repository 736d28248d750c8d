/*
 * snap: what is missing from a share to the choice it stands for.
 *
 *   y_ij = 1 - s_ij where s_ij > 1/2, else -s_ij
 *
 * s + snap(s) is 0 or 1 exactly. It is a constant to derivatives, so the sum has the slope of s:
 * the straight-through estimate. Finite differences hold it (hora_graph_hold).
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    out->shape = in[0].shape;
    return HORA_OK;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {67, 33}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->rows |= HORA_OUT;
    return true;
}

const hora_op hora_op_snap = {.name = "snap",
                              .nin = 1,
                              .options = HORA_OP_HELD,
                              .shape = shape,
                              .tol = {0, 0},
                              .sample = sample};
