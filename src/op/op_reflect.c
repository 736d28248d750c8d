/*
 * reflect: Householder reflections of rows, one after another.
 *
 *   y_i = H_0 H_1 .. H_(r-1) x_i      H_j = I - 2 u_j u_j' / u_j'u_j      x (n, d), U (r, d)
 *
 * so the last row of U acts first. A reflection is its own inverse: backward walks from y back to x
 * and keeps nothing. With z what H_j made, x = H_j z, g the gradient of z, c = u'u:
 *
 *   du_j += 4 (u'x)(u'g) / c^2 u - 2 / c ((u'x) g + (u'g) x)      g <- H_j g
 *
 * u_j = 0 reflects nothing. Backward reads U, and y if U carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("U", &in[1]));
    if (in[0].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("x", &in[0], "U", &in[1], "give both the same width");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return HORA_IN(1) | (grad & HORA_IN(1) ? HORA_OUT : 0);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    return 4.0 * (double)hora_elems(out) * (double)in[1].shape.d[0];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 1}, {3, 5, 2}, {17, 8, 3}, {67, 33, 1}, {200, 40, 4}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_matrix(c, 1, s[k][2], s[k][1]);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1);
    return true;
}

const hora_op hora_op_reflect = {.name = "reflect",
                                 .nin = 2,
                                 .shape = shape,
                                 .reads = reads,
                                 .tol = {5e-5, 5e-2},
                                 .sample = sample,
                                 .flops = flops};
