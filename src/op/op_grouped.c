/*
 * grouped: one product per group of rows, each with its own weight.
 *
 *   y_g = x_g W_g'                           g = attr.groups; x (g n, k), W (g o, k), y (g n, o)
 *   dx_g = dy_g W_g      dW_g = dy_g' x_g
 *
 * x_g is rows g n .. (g+1) n - 1 of x, W_g and y_g alike. Backward reads x if W carries gradient
 * and W if x does.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("W", &in[1]));
    if (in[0].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("x", &in[0], "W", &in[1],
                              "give both the same width; W is (groups x outputs, inputs)");
    if (a->groups < 1 || in[0].shape.d[0] % a->groups || in[1].shape.d[0] % a->groups)
        return hora_op_misfit("x", &in[0], "W", &in[1],
                              "give both a number of rows that attr.groups divides");
    out->shape = HORA_SHAPE2(in[0].shape.d[0], in[1].shape.d[0] / a->groups);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return (grad & HORA_IN(1) ? HORA_IN(0) : 0) | (grad & HORA_IN(0) ? HORA_IN(1) : 0);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    return 2.0 * (double)hora_elems(out) * (double)in[0].shape.d[1];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t g, n, k, o;
    } s[] = {{1, 1, 1, 1}, {1, 3, 2, 5}, {3, 1, 5, 2}, {5, 7, 3, 11}, {4, 33, 16, 17}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k].g * s[k].n, s[k].k);
    hora_case_matrix(c, 1, s[k].g * s[k].o, s[k].k);
    c->grad = HORA_IN(0) | HORA_IN(1);
    c->attr.groups = s[k].g;
    return true;
}

const hora_op hora_op_grouped = {.name = "grouped",
                                 .nin = 2,
                                 .shape = shape,
                                 .reads = reads,
                                 .tol = {2e-5, 2e-2},
                                 .sample = sample,
                                 .flops = flops};
