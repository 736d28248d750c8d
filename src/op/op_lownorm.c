/*
 * lownorm: norms of the rows of an adapted weight, which is never formed as a whole.
 *
 *   n_o = norm of row o of U,  U = W + alpha B A     W (o, k), A (r, k), B (o, r), n (o)
 *
 *   dW = R U     dA = alpha B' R U     dB = alpha R U A'     R = diag(dn / n), 0 where n is
 *
 * An op as any other. DoRA treats the norm as a constant [dora sec.4.3]; the method says so, with
 * hora_detach. Backward reads W, A, B and n.
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

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_IN(1) | HORA_IN(2) | HORA_OUT;
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
    c->grad = HORA_IN(0) | HORA_IN(1) | HORA_IN(2);
    return true;
}

const hora_op hora_op_lownorm = {.name = "lownorm",
                                 .nin = 3,
                                 .shape = shape,
                                 .reads = reads,
                                 .tol = {2e-5, 2e-2},
                                 .sample = sample,
                                 .flops = flops};
