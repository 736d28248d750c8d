/*
 * kron: rows times the transpose of a Kronecker product, which is never formed.
 *
 *   y_i = (C (x) D) x_i      C (p, q), D (s, t), x (n, q t), y (n, p s)
 *
 * With a row of x as a (q, t) matrix X, and of y as (p, s): Y = C X D'.
 *
 *   dX = C' dY D      dC = sum over rows of dY (X D')'      dD = sum over rows of (C' dY)' X
 *
 * Backward reads C and D, and x if one of them carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("C", &in[1]));
    HORA_TRY(hora_op_matrix("D", &in[2]));
    if (in[0].shape.d[1] != in[1].shape.d[1] * in[2].shape.d[1])
        return hora_op_misfit("x", &in[0], "C", &in[1],
                              "make x as wide as the widths of C and D multiplied");
    out->shape = HORA_SHAPE2(in[0].shape.d[0], in[1].shape.d[0] * in[2].shape.d[0]);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return HORA_IN(1) | HORA_IN(2) | (grad & (HORA_IN(1) | HORA_IN(2)) ? HORA_IN(0) : 0);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    const double p = (double)in[1].shape.d[0], q = (double)in[1].shape.d[1];
    const double s = (double)in[2].shape.d[0], t = (double)in[2].shape.d[1];
    (void)a;
    return 2 * (double)out->shape.d[0] * (q * t * s + p * q * s);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][5] = {
        {1, 1, 1, 1, 1}, {3, 2, 3, 4, 5}, {13, 4, 1, 1, 6}, {67, 3, 4, 8, 7}, {130, 8, 8, 8, 8}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][2] * s[k][4]);
    hora_case_matrix(c, 1, s[k][1], s[k][2]);
    hora_case_matrix(c, 2, s[k][3], s[k][4]);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1) | HORA_IN(2);
    return true;
}

const hora_op hora_op_kron = {.name = "kron",
                              .nin = 3,
                              .shape = shape,
                              .reads = reads,
                              .tol = {5e-5, 5e-2},
                              .sample = sample,
                              .flops = flops};
