/*
 * blocks: each run of b columns times a square block of its own, or all times the same one.
 *
 *   y = P' (P x : blocks R)     x (n, d), R (d, b), block k its rows from k b on; or (b, b)
 *   u_k = (P x)_k, y = P'(u_0 R_0, u_1 R_1, ..)
 *
 * P exchanges columns as BOFT's butterflies do: attr.a = 0 leaves all in place; with level a, runs
 * of b 2^a columns are cut into 2^(a+1) pieces, and piece i of the run goes where the i-th of
 * 0 2 4 .. 1 3 5 .. stands.
 *
 *   dx = P'(P dy : blocks R')      dR_k = sum over rows of u_k' (P dy)_k
 *
 * Backward reads R, and x if R carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("R", &in[1]));
    const int64_t d = in[0].shape.d[1], b = in[1].shape.d[1], rows = in[1].shape.d[0];
    if (b < 1 || d % b || (rows != d && rows != b))
        return hora_op_misfit("x", &in[0], "R", &in[1],
                              "make the block divide x's width, and R (width, b) or (b, b)");
    if (a->a && (b % 2 || d % (b << a->a)))
        return hora_op_misfit("x", &in[0], "R", &in[1],
                              "a butterfly needs an even block, and 2^level of them to divide x");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return HORA_IN(1) | (grad & HORA_IN(1) ? HORA_IN(0) : 0);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    return 2.0 * (double)hora_elems(out) * (double)in[1].shape.d[1];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d, b, level;
        bool shared;
    } s[] = {{1, 1, 1, 0, false},     {3, 6, 2, 0, false},   {5, 8, 4, 0, true},
             {7, 8, 2, 1, false},     {13, 32, 4, 2, false}, {67, 48, 8, 1, true},
             {523, 64, 32, 0, false}, {261, 96, 4, 0, true}, {157, 67, 1, 0, true}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_matrix(c, 1, s[k].shared ? s[k].b : s[k].d, s[k].b);
    c->rows |= HORA_OUT;
    c->attr.a = s[k].level;
    c->grad = HORA_IN(0) | HORA_IN(1);
    return true;
}

const hora_op hora_op_blocks = {.name = "blocks",
                                .nin = 2,
                                .shape = shape,
                                .reads = reads,
                                .tol = {2e-5, 5e-2},
                                .sample = sample,
                                .flops = flops};
