/*
 * layernorm (J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv 1607.06450).
 * w and b (w) are as wide as one group; a row of x (n, h w) holds h of them, as in op_rmsnorm.c.
 * Per group:
 *
 *   y_j = u_j w_j + b_j,   u_j = (x_j - m) r,   m = mean of x,   r = (mean of (x - m)^2 + eps)^-1/2
 *   dx_j = r (g_j - mean of g - u_j mean of g u),   g_j = w_j dy_j
 *   dw_j = sum over rows and groups of dy_j u_j     db_j = sum over rows and groups of dy_j
 *
 * b absent: 0. Saved: m and r, (n, h) each. Backward reads x, m and r, and w if x carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (in[1].shape.n != 1 || in[1].shape.d[0] < 1 || in[0].shape.d[1] % in[1].shape.d[0])
        return hora_op_misfit("x", &in[0], "w", &in[1],
                              "give w one dimension that divides the width of x");
    if (!hora_absent(&in[2]))
        HORA_TRY(hora_op_vector("b", &in[2], in[1].shape.d[0], "w has"));
    if (!(a->eps >= 0))
        return hora_fail(HORA_EUSAGE, "eps is %g; give 0 or more", a->eps);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    const unsigned x = HORA_IN(0) | HORA_SAVED;
    return (grad & (HORA_IN(0) | HORA_IN(1)) ? x : 0) | (grad & HORA_IN(0) ? HORA_IN(1) : 0);
}

static void saves(const hora_view *in, const hora_attr *a, unsigned grad, hora_view *saved) {
    (void)a;
    if (!(grad & (HORA_IN(0) | HORA_IN(1))))
        return;
    for (int i = 0; i < 2; i++) {
        saved[i].dtype = hora_op_wide(&in[0]);
        saved[i].shape = HORA_SHAPE2(in[0].shape.d[0], in[0].shape.d[1] / in[1].shape.d[0]);
    }
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, h, w;
        bool b;
    } s[] = {{1, 1, 2, true},   {2, 1, 3, false},   {7, 3, 5, true},    {13, 1, 65, true},
             {33, 5, 16, true}, {67, 1, 31, false}, {130, 8, 32, true}, {257, 1, 192, true}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].h * s[k].w);
    hora_case_vector(c, 1, s[k].w);
    c->shift[0] = 0.5;
    c->shift[1] = 1;
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1);
    if (s[k].b) {
        hora_case_vector(c, 2, s[k].w);
        c->grad |= HORA_IN(2);
    }
    c->attr.eps = k == 0 ? 0.25 : 1e-5;
    return true;
}

const hora_op hora_op_layernorm = {.name = "layernorm",
                                   .nin = 3,
                                   .optional = HORA_IN(2),
                                   .options = HORA_OP_CHEAP | HORA_OP_SAVED_ROWS,
                                   .shape = shape,
                                   .reads = reads,
                                   .saves = saves,
                                   .tol = {2e-5, 2e-2},
                                   .sample = sample};
