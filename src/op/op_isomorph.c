/*
 * isomorph: rows added up along the edges of a sparse graph that attention's map makes.
 *
 *   A_ij = min(1, sum over heads softmax_j(scale q_i k_j'))    j in row i's range, as in attention
 *   S_ij = g(10 (A_ij - 1/2)) where A_ij > 1/2, else 0         g: the logistic function
 *   y_i  = sum_j S_ij x_j
 *
 * q (n, H dh), k (n, G dh), x (n, d); attr as attention's. S is a constant: q and k carry no
 * gradient here, so whoever records this passes them through detach.
 *
 *   dx_j = sum_i S_ij dy_i
 *
 * A row of A adds up to at most H, so it has fewer than 2 H edges: saved are their weights (n, 2 H)
 * and rows (n, 2 H), -1 behind the last. [arXiv 2501.02393, Sparse-GIN as its code has it]
 */
#include "op/op_impl.h"

#include <math.h>

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_heads(&in[0], &in[1], &in[1], a));
    HORA_TRY(hora_op_matrix("x", &in[2]));
    if (in[2].shape.d[0] != in[0].shape.d[0])
        return hora_op_misfit("q", &in[0], "x", &in[2], "give both the same rows");
    out->shape = in[2].shape;
    out->dtype = in[2].dtype;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_SAVED;
}

static void saves(const hora_view *in, const hora_attr *a, unsigned grad, hora_view *saved) {
    for (int i = 0; grad && i < 2; i++) {
        saved[i].dtype = hora_op_wide(&in[0]);
        saved[i].shape = HORA_SHAPE2(in[0].shape.d[0], 2 * a->heads);
    }
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    (void)out;
    return 2.0 * (double)hora_elems(&in[0]) * (double)in[0].shape.d[0];
}

static double flops_back(const hora_view *in, const hora_view *out, const hora_attr *a,
                         unsigned grad) {
    (void)in;
    (void)grad;
    return 4.0 * (double)a->heads * (double)hora_elems(out);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, heads, kv, dh, d, window, ahead;
        bool bidirectional;
    } s[] = {{1, 1, 1, 1, 1, 0, 0, false},
             {7, 4, 2, 3, 5, 0, 0, false},
             {13, 4, 4, 5, 7, 4, 0, false},
             {33, 6, 2, 4, 16, 0, 0, true},
             {67, 8, 8, 4, 33, 5, 4, true}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].heads * s[k].dh);
    hora_case_row(c, 1, s[k].n, s[k].kv * s[k].dh);
    hora_case_row(c, 2, s[k].n, s[k].d);
    c->spread[0] = c->spread[1] = 2; /* edges, not only shades */
    hora_case_batch(c, r, s[k].n, 2, s[k].n / 9, s[k].bidirectional);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(2);
    c->attr.heads = s[k].heads;
    c->attr.kv_heads = s[k].kv;
    c->attr.head_dim = s[k].dh;
    c->attr.window = s[k].window;
    c->attr.ahead = s[k].ahead;
    c->attr.scale = 1 / sqrt((double)s[k].dh);
    return true;
}

const hora_op hora_op_isomorph = {.name = "isomorph",
                                  .nin = 3,
                                  .options = HORA_OP_BATCH | HORA_OP_SAVED_ROWS | HORA_OP_PAIRS |
                                             HORA_OP_SCORES,
                                  .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                  .shape = shape,
                                  .reads = reads,
                                  .saves = saves,
                                  .tol = {2e-5, 2e-2},
                                  .sample = sample,
                                  .flops = flops,
                                  .flops_back = flops_back};
