/*
 * interleave: runs of columns of two tensors in turn, parts of heads put together.
 *
 *   y[i, g (s + t) + l] = a[i, g s + l] for l < s, else b[i, g t + l - s]
 *
 * a (n, G s), b (n, G t), y (n, G (s + t)); G = attr.groups. The gradients are the runs of dy.
 * Backward reads nothing.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *at, hora_view *out) {
    HORA_TRY(hora_op_matrix("a", &in[0]));
    HORA_TRY(hora_op_matrix("b", &in[1]));
    const int64_t a = in[0].shape.d[1], b = in[1].shape.d[1];
    if (in[0].shape.d[0] != in[1].shape.d[0] || at->groups < 1 || a % at->groups || b % at->groups)
        return hora_op_misfit("a", &in[0], "b", &in[1],
                              "give both the same rows, and widths that attr.groups divides");
    out->shape = HORA_SHAPE2(in[0].shape.d[0], a + b);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][4] = {
        {1, 1, 1, 1}, {3, 2, 3, 1}, {13, 5, 2, 4}, {67, 4, 33, 7}, {200, 8, 1, 16}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1] * s[k][2]);
    hora_case_row(c, 1, s[k][0], s[k][1] * s[k][3]);
    c->rows |= HORA_OUT;
    c->attr.groups = s[k][1];
    c->grad = HORA_IN(0) | HORA_IN(1);
    return true;
}

const hora_op hora_op_interleave = {.name = "interleave",
                                    .nin = 2,
                                    .options = HORA_OP_CHEAP,
                                    .shape = shape,
                                    .reads = reads,
                                    .tol = {1e-6, 1e-2},
                                    .sample = sample};
