/*
 * rmsnorm (B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", 2019). w (w) is as wide
 * as one group; a row of x (n, h w) holds h of them: h = 1 for a layer's norm, the number of heads
 * for a norm of queries and keys. Per group:
 *
 *   y_j = x_j r w_j,   r = (mean of x^2 + eps)^-1/2
 *   dx_j = r (w_j dy_j - x_j r m),   m = mean over j of w_j dy_j x_j r
 *   dw_j = sum over rows and groups of dy_j x_j r
 *
 * Saved: r (n, h). Backward reads x and r, and w if x carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (in[1].shape.n != 1 || in[1].shape.d[0] < 1 || in[0].shape.d[1] % in[1].shape.d[0])
        return hora_op_misfit("x", &in[0], "w", &in[1],
                              "give w one dimension that divides the width of x");
    if (!(a->eps >= 0))
        return hora_fail(HORA_EUSAGE, "eps is %g; give 0 or more", a->eps);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return HORA_IN(0) | HORA_SAVED | (grad & HORA_IN(0) ? HORA_IN(1) : 0);
}

static void saves(const hora_view *in, const hora_attr *a, unsigned grad, hora_view *saved) {
    (void)a;
    if (!grad)
        return;
    saved[0].dtype = hora_op_wide(&in[0]);
    saved[0].shape = HORA_SHAPE2(in[0].shape.d[0], in[0].shape.d[1] / in[1].shape.d[0]);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 1},   {2, 1, 3},   {7, 3, 5},    {13, 1, 65},
                                   {33, 5, 16}, {67, 1, 31}, {130, 8, 32}, {257, 1, 64}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1] * s[k][2]);
    hora_case_vector(c, 1, s[k][2]);
    c->shift[1] = 1;
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1);
    c->attr.eps = k == 0 ? 0.25 : 1e-5;
    return true;
}

const hora_op hora_op_rmsnorm = {.name = "rmsnorm",
                                 .nin = 2,
                                 .options = HORA_OP_CHEAP | HORA_OP_SAVED_ROWS,
                                 .shape = shape,
                                 .reads = reads,
                                 .saves = saves,
                                 .tol = {1e-5, 2e-2},
                                 .sample = sample};
