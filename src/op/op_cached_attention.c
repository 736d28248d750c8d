/*
 * cached_attention: attention while decoding. Forward only.
 *
 * q (n, H dh); k, v (n, G dh); caches K, V (cap, G dh), states that the op writes; y (n, H dh).
 * First row i of k and v goes to row c_i = batch.cache_row + i of K and V, unless it is padding
 * (lo_i = hi_i). Then, with scale and heads as in op_attention.c and no prefix,
 *
 *   y_i = softmax of (s q_i K_j') times V_j   over j: max(lo_i, c_i - window + 1) <= j < hi_i
 *
 * lo and hi count rows of the cache. Padding rows give zeros. cache_row + n <= cap is the
 * caller's duty for rows that are not padding.
 */
#include "op/op_impl.h"

/* As if the whole cache were visible: an upper bound. */
static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    return 4.0 * (double)hora_elems(out) * (double)in[3].shape.d[0];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    return hora_case_cached(r, k, c, 64);
}

const hora_op hora_op_cached_attention = {.name = "cached_attention",
                                          .nin = 5,
                                          .options = HORA_OP_BATCH | HORA_OP_EFFECT | HORA_OP_PAIRS,
                                          .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                          .shape = hora_op_cached,
                                          .tol = {2e-5, 2e-2},
                                          .sample = sample,
                                          .flops = flops};
