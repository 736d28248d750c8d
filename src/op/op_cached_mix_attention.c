/*
 * cached_mix_attention: mix_attention while decoding. Forward only.
 *
 * q, k, v and caches K, V as in op_cached_attention.c, to which new rows are appended likewise; M
 * (H, H) recombines the maps over what row i sees there, as in op_mix_attention.c.
 */
#include "op/op_impl.h"

#include <math.h>

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_heads(&in[0], &in[1], &in[2], a));
    HORA_TRY(hora_op_matrix("key cache", &in[3]));
    HORA_TRY(hora_op_same("key cache", &in[3], "value cache", &in[4]));
    if (in[3].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("key cache", &in[3], "k", &in[1], "give both the same width");
    HORA_TRY(hora_op_matrix("mix", &in[5]));
    if (in[5].shape.d[0] != a->heads || in[5].shape.d[1] != a->heads)
        return hora_op_misfit("mix", &in[5], "q", &in[0], "make it heads x heads");
    if (a->window < 0)
        return hora_fail(HORA_EUSAGE, "window is %lld; give 0 for none", (long long)a->window);
    out->shape = in[0].shape;
    return HORA_OK;
}

/* As if the whole cache were visible: an upper bound. */
static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    const double keys = (double)in[3].shape.d[0];
    return 4.0 * (double)hora_elems(out) * keys +
           2.0 * (double)(a->heads * a->heads) * (double)out->shape.d[0] * keys;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, heads, kv, dh, cap, at, window;
    } s[] = {{1, 1, 1, 1, 1, 0, 0},    {1, 4, 2, 7, 13, 12, 0},     {5, 3, 1, 5, 17, 0, 3},
             {7, 6, 3, 16, 67, 31, 0}, {1, 2, 2, 33, 300, 255, 40}, {64, 4, 2, 16, 256, 150, 0}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    for (int i = 0; i < 3; i++)
        hora_case_row(c, i, s[k].n, (i ? s[k].kv : s[k].heads) * s[k].dh);
    hora_case_matrix(c, 3, s[k].cap, s[k].kv * s[k].dh);
    hora_case_matrix(c, 4, s[k].cap, s[k].kv * s[k].dh);
    hora_case_matrix(c, 5, s[k].heads, s[k].heads);
    c->spread[5] = 0.3;
    c->rows |= HORA_OUT;
    hora_case_batch(c, r, s[k].n, 2, 0, false);
    int32_t *lo = hora_case_alloc(c, (size_t)s[k].n, sizeof *lo);
    int32_t *hi = hora_case_alloc(c, (size_t)s[k].n, sizeof *hi);
    for (int64_t i = 0; i < s[k].n; i++) {
        lo[i] = k == 3 ? 2 : 0;
        hi[i] = k == 2 && i == s[k].n - 1 ? 0 : (int32_t)(s[k].at + i + 1); /* last: padding */
    }
    c->batch.lo = lo;
    c->batch.hi = hi;
    c->batch.cache_row = s[k].at;
    c->attr.heads = s[k].heads;
    c->attr.kv_heads = s[k].kv;
    c->attr.head_dim = s[k].dh;
    c->attr.window = s[k].window;
    c->attr.scale = 1 / sqrt((double)s[k].dh);
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
