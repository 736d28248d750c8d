/*
 * latent_attention: attention while decoding over a cache of latents, as multi-head latent
 * attention absorbs it (DeepSeek-V2, arXiv 2405.04434, section 2.1; MHA2MLA, arXiv 2502.14837).
 * Forward only.
 *
 * q (n, H dh), its rotary pairs turned already; r (n, G 2p), turned; c (n, w); U (G (dh - 2p), w or
 * w + 1), V (G dh, w or w + 1); cache K (cap, G 2p + w), a state that the op writes; y (n, H dh).
 * U is absent where 2p = dh. The pairs of a head are its columns (l, l + dh/2): of them the first p
 * are rotary. With q^r the 2p columns of those and q^n the others, both in order, and g = h G / H,
 *
 *   first row (r_i, c_i) goes to row cache_row + i of K, unless it is padding (lo_i = hi_i)
 *   a_ih = U_g' q^n_ih                                               (w)
 *   z_j  = s (q^r_ih r_jg + a_ih c_j)     over j: max(lo_i, cache_row + i - window + 1) <= j < hi_i
 *   y_ih = V_g sum_j softmax(z)_j c_j + V_g's last column, where it has one more than c
 *
 * That is attention over keys (r_j, U c_j) and values V c_j, neither of which is formed. A last
 * column of U adds the same to each z_j, so it says nothing. Padding rows give zeros.
 */
#include <math.h>

#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    static const char *const names[] = {"q", "r", "c", "U", "V", "cache"};
    for (int i = 0; i < 6; i++)
        if (i != 3 || !hora_absent(&in[3]))
            HORA_TRY(hora_op_matrix(names[i], &in[i]));
    if (a->heads < 1 || a->kv_heads < 1 || a->heads % a->kv_heads || a->head_dim < 2 ||
        in[0].shape.d[1] != a->heads * a->head_dim)
        return hora_op_misfit("q", &in[0], NULL, NULL,
                              "make it as wide as heads x head_dim, heads a multiple of kv_heads");
    const int64_t g = a->kv_heads, turned = in[1].shape.d[1] / g, w = in[2].shape.d[1];
    if (in[1].shape.d[1] % g || turned % 2 || turned > a->head_dim ||
        in[1].shape.d[0] != in[0].shape.d[0] || in[2].shape.d[0] != in[0].shape.d[0])
        return hora_op_misfit("q", &in[0], "r", &in[1],
                              "r has an even share of head_dim for each key-value head");
    if (in[4].shape.d[0] != g * a->head_dim || (in[4].shape.d[1] != w && in[4].shape.d[1] != w + 1))
        return hora_op_misfit("c", &in[2], "V", &in[4], "V maps c to kv_heads x head_dim");
    if (hora_absent(&in[3]) != (turned == a->head_dim) ||
        (!hora_absent(&in[3]) &&
         (in[3].shape.d[0] != g * (a->head_dim - turned) || in[3].shape.d[1] != in[4].shape.d[1])))
        return hora_op_misfit("r", &in[1], "V", &in[4],
                              "U maps c to what of the keys is not in r, and is as wide as V");
    if (in[5].shape.d[1] != in[1].shape.d[1] + w)
        return hora_op_misfit("c", &in[2], "cache", &in[5], "its rows are one of r and one of c");
    HORA_TRY(hora_op_window(a));
    return hora_op_like(in, a, out);
}

/* As if the whole cache were visible: an upper bound. */
static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    const double n = (double)out->shape.d[0], h = (double)a->heads, w = (double)in[2].shape.d[1];
    const double turned = (double)(in[1].shape.d[1] / a->kv_heads);
    return 2 * n * h * w * (2 * (double)a->head_dim - turned) +
           2 * n * h * (2 * w + turned) * (double)in[5].shape.d[0];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, heads, kv, dh, p, w, cap, at, window;
        bool bias;
    } s[] = {{1, 1, 1, 2, 1, 1, 1, 0, 0, false},        {1, 4, 2, 6, 1, 5, 13, 12, 0, false},
             {5, 3, 1, 8, 3, 7, 17, 0, 3, true},        {7, 6, 3, 16, 2, 33, 67, 31, 0, false},
             {1, 12, 12, 8, 1, 40, 300, 255, 40, true}, {40, 4, 2, 64, 8, 48, 256, 150, 0, false},
             {70, 6, 3, 10, 2, 24, 128, 50, 30, true},  {33, 4, 2, 16, 8, 21, 64, 20, 0, true},
             {130, 2, 1, 12, 1, 6, 200, 70, 0, false}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    const int64_t n = s[k].n, g = s[k].kv, wide = s[k].w + s[k].bias;
    hora_case_row(c, 0, n, s[k].heads * s[k].dh);
    hora_case_row(c, 1, n, g * 2 * s[k].p);
    hora_case_row(c, 2, n, s[k].w);
    if (2 * s[k].p < s[k].dh)
        hora_case_matrix(c, 3, g * (s[k].dh - 2 * s[k].p), wide);
    hora_case_matrix(c, 4, g * s[k].dh, wide);
    hora_case_matrix(c, 5, s[k].cap, g * 2 * s[k].p + s[k].w);
    c->spread[3] = c->spread[4] = 1 / sqrt((double)s[k].w);
    c->rows |= HORA_OUT;
    c->attr.heads = s[k].heads;
    c->attr.kv_heads = g;
    c->attr.head_dim = s[k].dh;
    c->attr.scale = 1 / sqrt((double)s[k].dh);
    c->attr.window = s[k].window;
    hora_case_seen(c, r, k, n, s[k].at);
    return true;
}

const hora_op hora_op_latent_attention = {.name = "latent_attention",
                                          .nin = 6,
                                          .optional = HORA_IN(3),
                                          .options = HORA_OP_BATCH | HORA_OP_EFFECT | HORA_OP_PAIRS,
                                          .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                          .shape = shape,
                                          .tol = {2e-5, 3e-2},
                                          .sample = sample,
                                          .flops = flops};
