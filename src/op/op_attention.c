/*
 * attention: softmax attention over a range of rows, tile by tile (T. Dao et al., "FlashAttention",
 * 2022): the scores are never stored.
 *
 * q (n, H dh); k, v (n, G dh); prefix kp, vp (p, G dh), optional, both or neither; y (n, H dh).
 * Query head h reads key-value head g = h G / H (integer division). Row i sees
 *
 *   J_i = { j : max(lo_i, i - window + 1) <= j < min(hi_i, i + ahead + 1) }
 *
 * (window 0: from lo_i; ahead 0: up to hi_i) and, if lo_i < hi_i, every row of the prefix, which
 * carries no position. With s = attr.scale, per row and head, j over J_i (k_j, v_j) and the prefix
 * (kp_j, vp_j):
 *
 *   z_ij = s q_i k_j',   L_i = log sum_j exp z_ij,   P_ij = exp(z_ij - L_i),   y_i = sum_j P_ij v_j
 *   D_i = dy_i y_i',   dZ_ij = P_ij (dy_i v_j' - D_i)
 *   dq_i = s sum_j dZ_ij k_j     dk_j = s sum_i dZ_ij q_i     dv_j = sum_i P_ij dy_i
 *
 * dk and dv of a key-value head sum over the H / G query heads that share it. A row with
 * lo_i = hi_i is padding: y_i = 0, L_i = 0, no gradient. Gradients are written in every row, zero
 * where nobody looked.
 *
 * Saved: L (n, H). Backward reads q, k, v, kp, vp, y and L, whatever carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_heads(&in[0], &in[1], &in[2], a));
    if (hora_absent(&in[3]) != hora_absent(&in[4]))
        return hora_fail(HORA_ESHAPE, "a prefix of %s alone; give both or neither",
                         hora_absent(&in[3]) ? "values" : "keys");
    if (!hora_absent(&in[3])) {
        HORA_TRY(hora_op_matrix("prefix keys", &in[3]));
        HORA_TRY(hora_op_same("prefix keys", &in[3], "prefix values", &in[4]));
        if (in[3].shape.d[1] != in[1].shape.d[1])
            return hora_op_misfit("prefix keys", &in[3], "k", &in[1], "give both the same width");
    }
    HORA_TRY(hora_op_window(a));
    return hora_op_like(in, a, out);
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_IN(1) | HORA_IN(2) | HORA_IN(3) | HORA_IN(4) | HORA_OUT | HORA_SAVED;
}

static void saves(const hora_view *in, const hora_attr *a, unsigned grad, hora_view *saved) {
    if (!grad)
        return;
    saved[0].dtype = hora_op_wide(&in[0]);
    saved[0].shape = HORA_SHAPE2(in[0].shape.d[0], a->heads);
}

/* As if every row saw every row and the prefix: an upper bound, the batch decides the rest. */
static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    int64_t keys = in[1].shape.d[0] + (hora_absent(&in[3]) ? 0 : in[3].shape.d[0]);
    return 4.0 * (double)hora_elems(out) * (double)keys;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, heads, kv, dh, p, window, padding;
        bool bidirectional;
        int64_t ahead;
    } s[] = {{1, 1, 1, 1, 0, 0, 0, false, 0},      {2, 1, 1, 3, 1, 0, 0, false, 0},
             {7, 3, 1, 5, 0, 0, 2, false, 0},      {13, 4, 2, 8, 3, 0, 1, false, 0},
             {33, 2, 2, 7, 0, 5, 0, false, 0},     {67, 6, 3, 16, 0, 0, 3, true, 0},
             {65, 2, 1, 32, 5, 9, 4, true, 0},     {130, 4, 4, 16, 0, 17, 1, false, 0},
             {201, 3, 3, 24, 0, 0, 9, false, 0},   {300, 4, 2, 64, 0, 0, 0, false, 0},
             {270, 2, 1, 64, 0, 70, 9, false, 0},  {200, 4, 2, 128, 0, 0, 5, true, 0},
             {330, 2, 1, 128, 0, 0, 40, false, 0}, {29, 2, 2, 8, 0, 3, 2, true, 2},
             {270, 2, 2, 64, 0, 65, 9, true, 64},  {150, 2, 1, 16, 3, 0, 0, true, 20},
             {290, 4, 2, 64, 70, 0, 9, false, 0},  {200, 3, 1, 24, 20, 33, 5, true, 32},
             {3, 2, 2, 16, 4, 0, 0, true, 0}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_heads(c, s[k].n, s[k].heads, s[k].kv, s[k].dh);
    c->grad = HORA_IN(0) | HORA_IN(1) | HORA_IN(2);
    if (s[k].p) {
        hora_case_matrix(c, 3, s[k].p, s[k].kv * s[k].dh);
        hora_case_matrix(c, 4, s[k].p, s[k].kv * s[k].dh);
        c->grad |= HORA_IN(3) | HORA_IN(4);
    }
    hora_case_batch(c, r, s[k].n, 2, s[k].padding, s[k].bidirectional);
    c->attr.window = s[k].window;
    c->attr.ahead = s[k].ahead;
    return true;
}

const hora_op hora_op_attention = {.name = "attention",
                                   .nin = 5,
                                   .optional = HORA_IN(3) | HORA_IN(4),
                                   .options = HORA_OP_BATCH | HORA_OP_SAVED_ROWS | HORA_OP_PAIRS,
                                   .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                   .shape = shape,
                                   .reads = reads,
                                   .saves = saves,
                                   .tol = {2e-5, 2e-2},
                                   .sample = sample,
                                   .flops = flops};
