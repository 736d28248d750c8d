/*
 * cached_mix_attention: mix_attention while decoding. Forward only.
 *
 * q, k, v and caches K, V as in op_cached_attention.c, to which new rows are appended likewise; M
 * (H, H) recombines the maps over what row i sees there, as in op_mix_attention.c.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_cached(in, a, out));
    return hora_op_mix(&in[5], &in[0], a);
}

/* As if the whole cache were visible: an upper bound. */
static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    const double keys = (double)in[3].shape.d[0];
    return 4.0 * (double)hora_elems(out) * keys +
           2.0 * (double)(a->heads * a->heads) * (double)out->shape.d[0] * keys;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    if (!hora_case_cached(r, k, c, 16))
        return false;
    hora_case_matrix(c, 5, c->attr.heads, c->attr.heads);
    c->spread[5] = 0.3;
    return true;
}

const hora_op hora_op_cached_mix_attention = {.name = "cached_mix_attention",
                                              .nin = 6,
                                              .options =
                                                  HORA_OP_BATCH | HORA_OP_EFFECT | HORA_OP_PAIRS,
                                              .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                              .shape = shape,
                                              .tol = {2e-5, 2e-2},
                                              .sample = sample,
                                              .flops = flops};
