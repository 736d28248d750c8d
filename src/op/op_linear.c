/*
 * linear: a projection, with bias and something to add to.
 *
 *   y = a + alpha x W' + b                   x (n, k), W (o, k), b (o), a (n, o), y (n, o)
 *   dx = alpha dy W      dW = alpha dy' x    db = sum of the rows of dy      da = dy
 *
 * Backward reads x if W carries gradient and W if x does; b and a cost nothing. A frozen W below
 * which nothing trains is never read backward, and x is not kept for a frozen W.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("W", &in[1]));
    if (in[0].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("x", &in[0], "W", &in[1],
                              "give both the same width; W is (outputs, inputs)");
    out->shape = HORA_SHAPE2(in[0].shape.d[0], in[1].shape.d[0]);
    if (!hora_absent(&in[2]))
        HORA_TRY(hora_op_vector("bias", &in[2], in[1].shape.d[0], "W has rows"));
    if (!hora_absent(&in[3]))
        HORA_TRY(hora_op_same("addend", &in[3], "x W'", out));
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
        int64_t n, k, o;
        bool bias, addend;
        double alpha;
    } s[] = {{1, 1, 1, true, true, 1},      {2, 3, 5, false, false, 1},
             {7, 13, 11, true, false, 1},   {13, 7, 3, false, true, 0.5},
             {33, 17, 65, true, true, -2},  {5, 8, 129, false, true, 1},
             {67, 131, 8, true, false, 2},  {130, 65, 97, true, true, 0.25},
             {257, 64, 96, false, false, 1}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].k);
    hora_case_matrix(c, 1, s[k].o, s[k].k);
    c->grad = HORA_IN(0) | HORA_IN(1);
    if (s[k].bias) {
        hora_case_vector(c, 2, s[k].o);
        c->grad |= HORA_IN(2);
    }
    if (s[k].addend) {
        hora_case_row(c, 3, s[k].n, s[k].o);
        c->grad |= HORA_IN(3);
    }
    c->rows |= HORA_OUT;
    c->attr.alpha = s[k].alpha;
    return true;
}

const hora_op hora_op_linear = {.name = "linear",
                                .nin = 4,
                                .optional = HORA_IN(2) | HORA_IN(3),
                                .options = HORA_OP_JOINS,
                                .shape = shape,
                                .reads = reads,
                                .passes = HORA_IN(3),
                                .tol = {2e-5, 2e-2},
                                .sample = sample,
                                .flops = flops};
