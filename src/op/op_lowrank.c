/*
 * lowrank: a projection with a low-rank update, in one pass over its output.
 *
 *   z = xd A'                                xd (n, k), A (r, k), z (n, r); xd absent: xd = x
 *   y = a + x W' + b + alpha z B'            x (n, k), W (o, k), B (o, r); b (o); a, y (n, o)
 *
 *   dz = alpha dy B      dB = alpha dy' z    dA = dz' xd    dxd = dz A
 *   dx = dy W (+ dz A where xd is x)         dW = dy' x     db = sum of the rows of dy
 *   da = dy
 *
 * The update of LoRA [lora eq.3, arXiv 2106.09685] and of all that shares its form, whatever makes
 * A and B; xd is x after dropout. Saved: z, when B carries gradient. With frozen W and b, backward
 * reads x only for dA.
 */
#include "op/op_impl.h"

enum { X, W, BIAS, ADDEND, A, B, XD };

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    for (int i = 0; i < 2; i++)
        HORA_TRY(hora_op_matrix(i ? "W" : "x", &in[i]));
    HORA_TRY(hora_op_matrix("A", &in[A]));
    HORA_TRY(hora_op_matrix("B", &in[B]));
    if (in[X].shape.d[1] != in[W].shape.d[1])
        return hora_op_misfit("x", &in[X], "W", &in[W],
                              "give both the same width; W is (outputs, inputs)");
    if (in[A].shape.d[1] != in[W].shape.d[1])
        return hora_op_misfit("A", &in[A], "W", &in[W], "make A as wide as W");
    if (in[B].shape.d[0] != in[W].shape.d[0])
        return hora_op_misfit("B", &in[B], "W", &in[W], "give B as many rows as W");
    if (in[A].shape.d[0] != in[B].shape.d[1])
        return hora_op_misfit("A", &in[A], "B", &in[B], "make B as wide as A has rows");
    out->shape = HORA_SHAPE2(in[X].shape.d[0], in[W].shape.d[0]);
    if (!hora_absent(&in[BIAS]))
        HORA_TRY(hora_op_vector("bias", &in[BIAS], in[W].shape.d[0], "W has rows"));
    if (!hora_absent(&in[ADDEND]))
        HORA_TRY(hora_op_same("addend", &in[ADDEND], "x W'", out));
    return hora_absent(&in[XD]) ? HORA_OK : hora_op_same("xd", &in[XD], "x", &in[X]);
}

static unsigned reads(unsigned grad) {
    unsigned r = 0;
    if (grad & HORA_IN(X))
        r |= HORA_IN(W) | HORA_IN(A) | HORA_IN(B);
    if (grad & HORA_IN(W))
        r |= HORA_IN(X);
    if (grad & HORA_IN(A))
        r |= HORA_IN(X) | HORA_IN(XD) | HORA_IN(B);
    if (grad & HORA_IN(B))
        r |= HORA_SAVED;
    if (grad & HORA_IN(XD))
        r |= HORA_IN(A) | HORA_IN(B);
    return r;
}

static void saves(const hora_view *in, const hora_attr *a, unsigned grad, hora_view *saved) {
    (void)a;
    if (!(grad & HORA_IN(B)))
        return;
    saved[0].dtype = in[X].dtype;
    saved[0].shape = HORA_SHAPE2(in[X].shape.d[0], in[A].shape.d[0]);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    double n = (double)out->shape.d[0], o = (double)out->shape.d[1];
    double k = (double)in[X].shape.d[1], r = (double)in[A].shape.d[0];
    return 2 * n * (o * k + r * (o + k));
}

static double flops_back(const hora_view *in, const hora_view *out, const hora_attr *a,
                         unsigned grad) {
    (void)a;
    const double n = (double)out->shape.d[0], o = (double)out->shape.d[1];
    const double k = (double)in[X].shape.d[1], r = (double)in[A].shape.d[0];
    const bool dropped = !hora_absent(&in[XD]);
    const bool through = grad & (dropped ? HORA_IN(XD) : HORA_IN(X)), da = grad & HORA_IN(A);
    const double big = !!(grad & HORA_IN(X)) + !!(grad & HORA_IN(W));
    const double of_o = !!(grad & HORA_IN(B)) + (through || da), of_k = da + through;
    return 2 * n * (big * o * k + r * (of_o * o + of_k * k));
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, k, o, r;
        bool bias, addend, dropped;
        double alpha;
    } s[] = {{1, 1, 1, 1, true, true, false, 1},      {2, 3, 5, 2, false, false, true, 2},
             {7, 13, 11, 3, true, false, false, 1},   {33, 17, 65, 5, true, true, true, -2},
             {67, 131, 8, 4, false, true, false, 2},  {130, 65, 97, 8, true, true, false, 0.25},
             {257, 64, 96, 16, false, true, true, 2}, {600, 72, 130, 16, false, true, false, 2}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, X, s[k].n, s[k].k);
    hora_case_matrix(c, W, s[k].o, s[k].k);
    hora_case_matrix(c, A, s[k].r, s[k].k);
    hora_case_matrix(c, B, s[k].o, s[k].r);
    c->grad = HORA_IN(X) | HORA_IN(W) | HORA_IN(A) | HORA_IN(B);
    if (s[k].bias) {
        hora_case_vector(c, BIAS, s[k].o);
        c->grad |= HORA_IN(BIAS);
    }
    if (s[k].addend) {
        hora_case_row(c, ADDEND, s[k].n, s[k].o);
        c->grad |= HORA_IN(ADDEND);
    }
    if (s[k].dropped) {
        hora_case_row(c, XD, s[k].n, s[k].k);
        c->grad |= HORA_IN(XD);
    }
    c->rows |= HORA_OUT;
    c->spread[A] = c->spread[B] = 0.3;
    c->attr.alpha = s[k].alpha;
    return true;
}

const hora_op hora_op_lowrank = {.name = "lowrank",
                                 .nin = 7,
                                 .optional = HORA_IN(BIAS) | HORA_IN(ADDEND) | HORA_IN(XD),
                                 .options = HORA_OP_JOINS | HORA_OP_SAVED_ROWS,
                                 .shape = shape,
                                 .reads = reads,
                                 .passes = HORA_IN(ADDEND),
                                 .saves = saves,
                                 .tol = {2e-5, 2e-2},
                                 .sample = sample,
                                 .flops = flops,
                                 .flops_back = flops_back};
