/*
 * mix_attention: attention whose maps are recombined over the heads before they meet the values
 * (Z. Miao et al., "Coeff-Tuning", arXiv 2503.18337).
 *
 * q (n, H dh); k, v (n, G dh); M (H, H); y (n, H dh). Query head h reads key-value head
 * c(h) = h G / H. Row i sees J_i as in op_attention.c, and no prefix. With s = attr.scale:
 *
 *   P_h,ij = exp(s q_h,i k_c(h),j' - L_h,i)    P+_g = P_g + sum_h M[g,h] P_h    y_g = P+_g v_c(g)
 *
 *   dP+_g,ij = dy_g,i v_c(g),j'                 dM[g,h] = sum_ij dP+_g,ij P_h,ij
 *   dP_h = dP+_h + sum_g M[g,h] dP+_g           dZ_h,ij = P_h,ij (dP_h,ij - sum_l P_h,il dP_h,il)
 *   dq_h,i = s sum_j dZ_h,ij k_c(h),j           dk_c,j = s sum_h,i dZ_h,ij q_h,i  over c(h) = c
 *   dv_c,j = sum_g,i P+_g,ij dy_g,i  over c(g) = c
 *
 * Padding rows (lo_i = hi_i) give zeros. Backward reads all inputs; scores are made again.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_heads(&in[0], &in[1], &in[2], a));
    HORA_TRY(hora_op_mix(&in[3], &in[0], a));
    HORA_TRY(hora_op_window(a));
    return hora_op_like(in, a, out);
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_IN(1) | HORA_IN(2) | HORA_IN(3);
}

/* As if every row saw every row. */
static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    const double pairs = (double)in[0].shape.d[0] * (double)in[0].shape.d[0];
    return 4.0 * (double)hora_elems(out) * (double)in[0].shape.d[0] +
           2.0 * (double)(a->heads * a->heads) * pairs;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, heads, kv, dh, window, padding;
        bool bidirectional;
        int64_t ahead;
    } s[] = {{1, 1, 1, 1, 0, 0, false, 0},    {7, 3, 1, 5, 0, 2, false, 0},
             {13, 4, 2, 8, 0, 1, false, 0},   {33, 2, 2, 7, 5, 0, false, 0},
             {67, 6, 3, 16, 0, 3, true, 0},   {130, 4, 4, 16, 17, 1, false, 0},
             {150, 2, 1, 64, 0, 9, false, 0}, {29, 2, 2, 8, 3, 2, true, 2}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_heads(c, s[k].n, s[k].heads, s[k].kv, s[k].dh);
    hora_case_matrix(c, 3, s[k].heads, s[k].heads);
    c->spread[3] = 0.3;
    c->grad = HORA_IN(0) | HORA_IN(1) | HORA_IN(2) | HORA_IN(3);
    hora_case_batch(c, r, s[k].n, 2, s[k].padding, s[k].bidirectional);
    c->attr.window = s[k].window;
    c->attr.ahead = s[k].ahead;
    return true;
}

const hora_op hora_op_mix_attention = {.name = "mix_attention",
                                       .nin = 4,
                                       .options = HORA_OP_BATCH | HORA_OP_PAIRS,
                                       .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                       .shape = shape,
                                       .reads = reads,
                                       .tol = {2e-5, 2e-2},
                                       .sample = sample,
                                       .flops = flops};
