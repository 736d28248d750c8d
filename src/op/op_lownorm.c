/*
 * lownorm: norms of the rows of an adapted weight, which is never formed as a whole.
 *
 *   n_o = norm of row o of W + alpha B A     W (o, k), A (r, k), B (o, r), n (o)
 *
 * Detached: DoRA (S.-Y. Liu et al., 2024, section 4.3) treats the norm as a constant, so there is
 * no backward.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("W", &in[0]));
    HORA_TRY(hora_op_matrix("A", &in[1]));
    HORA_TRY(hora_op_matrix("B", &in[2]));
    if (in[0].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("W", &in[0], "A", &in[1], "give both the same width");
    if (in[0].shape.d[0] != in[2].shape.d[0])
        return hora_op_misfit("W", &in[0], "B", &in[2], "give both the same rows");
    if (in[1].shape.d[0] != in[2].shape.d[1])
        return hora_op_misfit("A", &in[1], "B", &in[2], "make B as wide as A has rows");
    out->shape = HORA_SHAPE1(in[0].shape.d[0]);
    out->dtype = hora_op_wide(&in[0]);
    return HORA_OK;
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)out;
    (void)a;
    return 2.0 * (double)hora_elems(&in[0]) * (double)(in[1].shape.d[0] + 1);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 1}, {5, 3, 2}, {11, 13, 1}, {67, 33, 5}, {129, 130, 8}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k][0], s[k][1]);
    hora_case_matrix(c, 1, s[k][2], s[k][1]);
    hora_case_matrix(c, 2, s[k][0], s[k][2]);
    c->attr.alpha = 0.5;
    return true;
}

const hora_op hora_op_lownorm = {.name = "lownorm",
                                 .nin = 3,
                                 .shape = shape,
                                 .tol = {2e-5, 2e-2},
                                 .sample = sample,
                                 .flops = flops};
