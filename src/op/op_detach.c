/*
 * detach: y = x, and the gradient ends here: a value that is used as a constant.
 *
 *   dx = nothing
 *
 * The derivative of what is built on it is the one that holds y fixed. Finite differences hold it
 * too (hora_graph_hold), so they can check such a method instead of passing it over.
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

const hora_op hora_op_detach = {.name = "detach",
                                .nin = 1,
                                .options = HORA_OP_HELD,
                                .shape = shape,
                                .tol = {0, 0},
                                .sample = sample};
