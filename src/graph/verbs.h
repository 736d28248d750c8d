#ifndef HORA_GRAPH_VERBS_H
#define HORA_GRAPH_VERBS_H
/*
 * The verbs a family or method author uses: one typed function per op, shapes beside it.
 * src/op/README.md has the equations. Any handle may be HORA_NONE after an error: verbs then do
 * nothing and the plan reports the first error.
 */
#include "graph/graph.h"

/* E (V, d) -> (rows, d), rows chosen by the batch's ids. */
static inline hora_t hora_embed(hora_graph *g, hora_t table) {
    return hora_graph_node(g, HORA_OP_gather, (hora_t[]){table, HORA_NONE}, &(hora_attr){0});
}
/* E (V, d), n row numbers (borrowed, read at run time) -> (n, d). */
static inline hora_t hora_gather(hora_graph *g, hora_t x, const int32_t *index, int64_t n) {
    return hora_graph_node(g, HORA_OP_gather, (hora_t[]){x, HORA_NONE},
                           &(hora_attr){.index = index, .nindex = n});
}
/* onto (rows, d) or NONE, plus row k - first of the table (V, d), k from leaf `source` of the
 * batch; numbers outside of the table add nothing. */
static inline hora_t hora_lookup(hora_graph *g, hora_t table, hora_leaf source, int64_t first,
                                 hora_t onto) {
    return hora_graph_node(g, HORA_OP_gather, (hora_t[]){table, onto},
                           &(hora_attr){.source = source, .first = first});
}
/* onto (rows, d) with row k - first of the table (V, d) in the place of rows whose number k, from
 * leaf `source` of the batch, is one of the table's. */
static inline hora_t hora_place_rows(hora_graph *g, hora_t onto, hora_t table, hora_leaf source,
                                     int64_t first) {
    return hora_graph_node(g, HORA_OP_place, (hora_t[]){onto, table},
                           &(hora_attr){.source = source, .first = first});
}
/* Leaf `source` of the batch as rows, (rows, columns). */
static inline hora_t hora_leaf_rows(hora_graph *g, hora_leaf source, int64_t columns) {
    return hora_graph_node(g, HORA_OP_input, NULL, &(hora_attr){.source = source, .w = columns});
}
/* x (n, k), w (o, k), b (o) or NONE, addend (n, o) or NONE -> addend + alpha x w' + b (n, o). */
static inline hora_t hora_linear(hora_graph *g, hora_t x, hora_t w, hora_t b, hora_t addend,
                                 double alpha) {
    return hora_graph_node(g, HORA_OP_linear, (hora_t[]){x, w, b, addend},
                           &(hora_attr){.alpha = alpha});
}
/* addend + x w' + b + alpha (xd a') f', with a (r, k), f (o, r); xd NONE: x. */
static inline hora_t hora_lowrank(hora_graph *g, hora_t x, hora_t w, hora_t b, hora_t addend,
                                  hora_t a, hora_t f, hora_t xd, double alpha) {
    return hora_graph_node(g, HORA_OP_lowrank, (hora_t[]){x, w, b, addend, a, f, xd},
                           &(hora_attr){.alpha = alpha});
}
/* x (groups n, k), w (groups o, k) -> (groups n, o), group by group. */
static inline hora_t hora_grouped(hora_graph *g, hora_t x, hora_t w, int64_t groups) {
    return hora_graph_node(g, HORA_OP_grouped, (hora_t[]){x, w}, &(hora_attr){.groups = groups});
}
/* a + beta b, same shape. */
static inline hora_t hora_add(hora_graph *g, hora_t a, hora_t b, double beta) {
    return hora_graph_node(g, HORA_OP_add, (hora_t[]){a, b}, &(hora_attr){.alpha = beta});
}
/* a * b, same shape. */
static inline hora_t hora_mul(hora_graph *g, hora_t a, hora_t b) {
    return hora_graph_node(g, HORA_OP_mul, (hora_t[]){a, b}, &(hora_attr){0});
}
/* x (n, d), v (d) or NONE -> alpha x * v. */
static inline hora_t hora_scale(hora_graph *g, hora_t x, hora_t v, double alpha) {
    return hora_graph_node(g, HORA_OP_scale, (hora_t[]){x, v, HORA_NONE},
                           &(hora_attr){.alpha = alpha});
}
/* x (n, d), v (d) or NONE, b (d) or NONE -> x * v + b. */
static inline hora_t hora_affine(hora_graph *g, hora_t x, hora_t v, hora_t b) {
    return hora_graph_node(g, HORA_OP_scale, (hora_t[]){x, v, b}, &(hora_attr){.alpha = 1});
}
/* a, b same shape, c (1) or NONE -> a / (b + c). */
static inline hora_t hora_ratio(hora_graph *g, hora_t a, hora_t b, hora_t c) {
    return hora_graph_node(g, HORA_OP_ratio, (hora_t[]){a, b, c}, &(hora_attr){0});
}
/* x, used as a constant: no gradient goes through. */
static inline hora_t hora_detach(hora_graph *g, hora_t x) {
    return hora_graph_node(g, HORA_OP_detach, (hora_t[]){x}, &(hora_attr){0});
}
/* a, b (rows, d) -> sum over segments of |a_i - b_i|^2 / d, i the row that stands for the segment
 * (a class token, or the last position), 1 element, F64. Forward only. */
static inline hora_t hora_moved(hora_graph *g, hora_t a, hora_t b) {
    return hora_graph_node(g, HORA_OP_moved, (hora_t[]){a, b}, &(hora_attr){0});
}
/* x (rows, d) whose segments hold, behind `lead` rows, frames of h x w pieces; k (d, taps) in the
 * order of time, row, column, taps = kernel[0] kernel[1] kernel[2]; b (d) or NONE -> (rows, d):
 * each column convolved with its row of k, zeros around the grid; 0 in the rows in front. */
static inline hora_t hora_depthwise(hora_graph *g, hora_t x, hora_t k, hora_t b, int64_t lead,
                                    int64_t h, int64_t w, const int64_t kernel[3]) {
    return hora_graph_node(
        g, HORA_OP_depthwise, (hora_t[]){x, k, b},
        &(hora_attr){.a = lead, .b = h, .w = w, .kernel = {kernel[0], kernel[1], kernel[2]}});
}
/* x (rows, d), v (r, T), u (T, r) -> (rows, d): u act(v x) along the rows of a segment; run > 0: of
 * each run of so many rows, or across them. */
static inline hora_t hora_tokenmix(hora_graph *g, hora_t x, hora_t v, hora_t u, hora_act act,
                                   int64_t run, bool across) {
    return hora_graph_node(g, HORA_OP_tokenmix, (hora_t[]){x, v, u},
                           &(hora_attr){.act = act, .a = run, .b = across});
}
/* q (rows, H dh), k (rows, G dh), both from detach, x (rows, d) -> S x (rows, d), S the edges of
 * their attention map; a: as of attention. */
static inline hora_t hora_isomorph(hora_graph *g, hora_t q, hora_t k, hora_t x,
                                   const hora_attr *a) {
    return hora_graph_node(g, HORA_OP_isomorph, (hora_t[]){q, k, x}, a);
}
/* z (rows, k), t (rows, k) from detach -> KL(softmax t, softmax z) of the rows that count, weighted
 * as a cross-entropy is, 1 element, F64. */
static inline hora_t hora_divergence(hora_graph *g, hora_t z, hora_t t) {
    return hora_graph_node(g, HORA_OP_divergence, (hora_t[]){z, t}, &(hora_attr){0});
}
/* x (rows, k) -> shares of a yes, (rows, k): g((x + noise) / tau). lead: first rows of a segment
 * that are a yes; noise: of Gumbel's; whole: the first row of a segment decides for all. */
static inline hora_t hora_gumbel(hora_graph *g, hora_t x, double tau, int64_t lead, bool noise,
                                 bool whole, uint64_t stream) {
    return hora_graph_node(
        g, HORA_OP_gumbel, (hora_t[]){x},
        &(hora_attr){.alpha = tau, .a = lead, .b = noise, .w = whole, .stream = stream});
}
/* s (rows, k), shares -> 0 or 1 where s is above 1/2, with the slope of s. */
static inline hora_t hora_choice(hora_graph *g, hora_t s) {
    hora_t rest = hora_graph_node(g, HORA_OP_snap, (hora_t[]){s}, &(hora_attr){0});
    return hora_add(g, s, rest, 1);
}
/* x, other (rows, d) -> the rows of task `route` from x, the rest from other (NONE: zeros). */
static inline hora_t hora_route(hora_graph *g, hora_t x, hora_t other, int64_t route) {
    return hora_graph_node(g, HORA_OP_route, (hora_t[]){x, other}, &(hora_attr){.a = route});
}
/* x (rows, k w), m (rows, k) -> runs of w columns times m (rows, k w). */
static inline hora_t hora_gate(hora_graph *g, hora_t x, hora_t m) {
    return hora_graph_node(g, HORA_OP_gate, (hora_t[]){x, m}, &(hora_attr){0});
}
/* m (rows, k), sum (1) or NONE -> sum + weight mean of m, without the first `lead` rows of a
 * segment (1). */
static inline hora_t hora_share(hora_graph *g, hora_t m, hora_t sum, double weight, int64_t lead) {
    return hora_graph_node(g, HORA_OP_share, (hora_t[]){m, sum},
                           &(hora_attr){.alpha = weight, .a = lead});
}
/* The same for the last m: the square of its distance from `budget`, a loss. */
static inline hora_t hora_over_budget(hora_graph *g, hora_t m, hora_t sum, double weight,
                                      int64_t lead, double budget) {
    return hora_graph_node(g, HORA_OP_share, (hora_t[]){m, sum},
                           &(hora_attr){.alpha = weight, .a = lead, .eps = budget, .w = 1});
}
/* x (rows, d), m (rows, 1) -> the rows with m != 0 alone; what is made of them has so many rows,
 * until hora_put_rows puts zeros where the others were. Forward only, where hora_graph_packs. */
static inline hora_t hora_take_rows(hora_graph *g, hora_t x, hora_t m) {
    return hora_graph_node(g, HORA_OP_pack, (hora_t[]){x, m}, &(hora_attr){0});
}
static inline hora_t hora_put_rows(hora_graph *g, hora_t x, hora_t m) {
    return hora_graph_node(g, HORA_OP_unpack, (hora_t[]){x, m}, &(hora_attr){0});
}
static inline hora_t hora_activate(hora_graph *g, hora_t x, hora_act act) {
    return act == HORA_ACT_IDENTITY
               ? x
               : hora_graph_node(g, HORA_OP_act, (hora_t[]){x}, &(hora_attr){.act = act});
}
/* act(gate) * up, both (n, d). */
static inline hora_t hora_glu(hora_graph *g, hora_t gate, hora_t up, hora_act act) {
    return hora_graph_node(g, HORA_OP_glu, (hora_t[]){gate, up}, &(hora_attr){.act = act});
}
/* x (n, h width), w (width): each run of `width` columns is normalised on its own. */
static inline hora_t hora_rmsnorm(hora_graph *g, hora_t x, hora_t w, double eps) {
    return hora_graph_node(g, HORA_OP_rmsnorm, (hora_t[]){x, w}, &(hora_attr){.eps = eps});
}
/* The same by mean and variance, with b (width) or NONE. */
static inline hora_t hora_layernorm(hora_graph *g, hora_t x, hora_t w, hora_t b, double eps) {
    return hora_graph_node(g, HORA_OP_layernorm, (hora_t[]){x, w, b}, &(hora_attr){.eps = eps});
}
/* x (rows, d) -> in the first row of each segment, causal or not, the mean of its rows, without the
 * first `skip`: (rows, d); with `joined` behind the row itself: (rows, 2d). */
static inline hora_t hora_pool(hora_graph *g, hora_t x, int64_t skip, bool joined) {
    return hora_graph_node(g, HORA_OP_pool, (hora_t[]){x}, &(hora_attr){.a = skip, .b = joined});
}
/* x (rows, d) of clips, `frames` of `rows` rows each -> the mean over the frames of each, in the
 * rows of its first. */
static inline hora_t hora_frames(hora_graph *g, hora_t x, int64_t frames, int64_t rows) {
    return hora_graph_node(g, HORA_OP_frames, (hora_t[]){x}, &(hora_attr){.a = frames, .b = rows});
}
/* x (rows, d) -> the mean over the prompt of each row's segment, (rows, d): the rows up to the
 * first with a target; all of them where none has one or rows see each other both ways. */
static inline hora_t hora_prompt_mean(hora_graph *g, hora_t x) {
    return hora_graph_node(g, HORA_OP_prompt_mean, (hora_t[]){x}, &(hora_attr){0});
}
/* x (rows, d), whose first row goes into the state leaf s (1, d) -> x. Forward only. */
static inline hora_t hora_keep(hora_graph *g, hora_t x, hora_t s) {
    return hora_graph_node(g, HORA_OP_keep, (hora_t[]){x, s}, &(hora_attr){0});
}
/* Table (first + h w, d) of a grid -> (first + height width, d), bicubically; `first` rows stay. */
static inline hora_t hora_regrid(hora_graph *g, hora_t table, int64_t first, int64_t h, int64_t w,
                                 int64_t height, int64_t width, bool antialias) {
    return hora_graph_node(
        g, HORA_OP_resample, (hora_t[]){table},
        &(hora_attr){
            .first = first, .a = h, .b = w, .groups = height, .w = width, .antialias = antialias});
}
/* x (rows, heads head_dim); freq (head_dim/2) borrowed. */
static inline hora_t hora_rope(hora_graph *g, hora_t x, int64_t heads, int64_t head_dim,
                               const double *freq, double scale) {
    return hora_graph_node(
        g, HORA_OP_rope, (hora_t[]){x},
        &(hora_attr){.heads = heads, .head_dim = head_dim, .freq = freq, .rope_scale = scale});
}
/* The same with `shift` added to every position, and, with tables > 1, freq (tables, head_dim/2)
 * of which head h takes row h tables / heads. */
static inline hora_t hora_rope_from(hora_graph *g, hora_t x, int64_t heads, int64_t head_dim,
                                    const double *freq, int64_t tables, double scale,
                                    int64_t shift) {
    return hora_graph_node(g, HORA_OP_rope, (hora_t[]){x},
                           &(hora_attr){.heads = heads,
                                        .head_dim = head_dim,
                                        .freq = freq,
                                        .groups = tables,
                                        .rope_scale = scale,
                                        .shift = shift});
}
/* The same, but rows of sequences of more than `far` positions take the second half of freq
 * (head_dim), or with stretch > 0 what that makes of freq (head_dim/2). */
static inline hora_t hora_rope_reach(hora_graph *g, hora_t x, int64_t heads, int64_t head_dim,
                                     const double *freq, double scale, int64_t shift, int64_t far,
                                     double stretch) {
    return hora_graph_node(g, HORA_OP_rope_reach, (hora_t[]){x},
                           &(hora_attr){.heads = heads,
                                        .head_dim = head_dim,
                                        .freq = freq,
                                        .rope_scale = scale,
                                        .shift = shift,
                                        .far = far,
                                        .stretch = stretch});
}
/* q (rows, H dh), k v (rows, G dh), prefix kp vp (p, G dh) or NONE -> (rows, H dh). a: heads,
 * kv_heads, head_dim, window, scale. */
static inline hora_t hora_attention(hora_graph *g, hora_t q, hora_t k, hora_t v, hora_t kp,
                                    hora_t vp, const hora_attr *a) {
    return hora_graph_node(g, HORA_OP_attention, (hora_t[]){q, k, v, kp, vp}, a);
}
/* As attention, over state leaves K V (capacity, G dh) to which k and v are appended first. Forward
 * only. */
static inline hora_t hora_cached_attention(hora_graph *g, hora_t q, hora_t k, hora_t v, hora_t kc,
                                           hora_t vc, const hora_attr *a) {
    return hora_graph_node(g, HORA_OP_cached_attention, (hora_t[]){q, k, v, kc, vc}, a);
}
/* As attention without a prefix, with maps recombined by m (H, H): P_g + sum_h m[g,h] P_h. */
static inline hora_t hora_mix_attention(hora_graph *g, hora_t q, hora_t k, hora_t v, hora_t m,
                                        const hora_attr *a) {
    return hora_graph_node(g, HORA_OP_mix_attention, (hora_t[]){q, k, v, m}, a);
}
static inline hora_t hora_cached_mix_attention(hora_graph *g, hora_t q, hora_t k, hora_t v,
                                               hora_t kc, hora_t vc, hora_t m, const hora_attr *a) {
    return hora_graph_node(g, HORA_OP_cached_mix_attention, (hora_t[]){q, k, v, kc, vc, m}, a);
}
/* q (rows, H dh), r (rows, 2p G), both turned, c (rows, w), U (G (dh - 2p), w) or NONE, V (G dh, w)
 * over the state leaf K (capacity, 2p G + w), to which r and c are appended first -> (rows, H dh):
 * attention over keys (r, U c) and values V c. U and V may have one more column, their bias. */
static inline hora_t hora_latent_attention(hora_graph *g, hora_t q, hora_t r, hora_t c, hora_t u,
                                           hora_t v, hora_t cache, const hora_attr *a) {
    return hora_graph_node(g, HORA_OP_latent_attention, (hora_t[]){q, r, c, u, v, cache}, a);
}
static inline hora_t hora_dropout(hora_graph *g, hora_t x, double p, uint64_t stream) {
    return p <= 0 ? x
                  : hora_graph_node(g, HORA_OP_dropout, (hora_t[]){x},
                                    &(hora_attr){.alpha = p, .stream = stream});
}
/* The branch of a whole sample is left out with probability p. */
static inline hora_t hora_drop_path(hora_graph *g, hora_t x, double p, uint64_t stream) {
    return p <= 0 ? x
                  : hora_graph_node(g, HORA_OP_drop_path, (hora_t[]){x},
                                    &(hora_attr){.alpha = p, .stream = stream});
}
/* a (n, g s), b (n, g t) -> (n, g (s + t)): of each group the columns of a, then those of b. */
static inline hora_t hora_interleave(hora_graph *g, hora_t a, hora_t b, int64_t groups) {
    return hora_graph_node(g, HORA_OP_interleave, (hora_t[]){a, b}, &(hora_attr){.groups = groups});
}
/* x (rows, d) of an encoder -> the row that stands `by` behind in the same segment, or zeros. */
static inline hora_t hora_shift(hora_graph *g, hora_t x, int64_t by) {
    return hora_graph_node(g, HORA_OP_shift, (hora_t[]){x}, &(hora_attr){.a = by});
}
/* x of groups*a*b*w elements, read as (groups, a, b, w) -> (groups b, a w): blocks of w change
 * places. */
static inline hora_t hora_permute(hora_graph *g, hora_t x, int64_t groups, int64_t a, int64_t b,
                                  int64_t w) {
    return hora_graph_node(g, HORA_OP_permute, (hora_t[]){x},
                           &(hora_attr){.groups = groups, .a = a, .b = b, .w = w});
}
/* a (n, p), b (n, q) -> (n, p q), the outer products of the rows; p = 1: rows of b times a. */
static inline hora_t hora_outer(hora_graph *g, hora_t a, hora_t b) {
    return hora_graph_node(g, HORA_OP_outer, (hora_t[]){a, b}, &(hora_attr){0});
}
/* x (n, d), u (r, d) -> (n, d): Householder reflections along the rows of u, the last one first. */
static inline hora_t hora_reflect(hora_graph *g, hora_t x, hora_t u) {
    return hora_graph_node(g, HORA_OP_reflect, (hora_t[]){x, u}, &(hora_attr){0});
}
/* u (r, d) -> (r, d), its rows made orthonormal in their order. */
static inline hora_t hora_orthonormal(hora_graph *g, hora_t u) {
    return hora_graph_node(g, HORA_OP_orthonormal, (hora_t[]){u}, &(hora_attr){0});
}
/* p (blocks, b (b - 1) / 2) or, whole, (blocks, b b) -> rotations (blocks b, b); terms 0: exact. */
static inline hora_t hora_cayley(hora_graph *g, hora_t p, int64_t b, int64_t terms, bool whole) {
    return hora_graph_node(g, HORA_OP_cayley, (hora_t[]){p},
                           &(hora_attr){.b = b, .a = terms, .w = whole});
}
/* x (n, d), r (d, b) or (b, b) -> (n, d): runs of b columns times their blocks, between butterflies
 * of that level (0: none). */
static inline hora_t hora_blocks(hora_graph *g, hora_t x, hora_t r, int64_t level) {
    return hora_graph_node(g, HORA_OP_blocks, (hora_t[]){x, r}, &(hora_attr){.a = level});
}
/* x (n, q t), c (p, q), d (s, t) -> (n, p s): rows times (c (x) d)'. */
static inline hora_t hora_kron(hora_graph *g, hora_t x, hora_t c, hora_t d) {
    return hora_graph_node(g, HORA_OP_kron, (hora_t[]){x, c, d}, &(hora_attr){0});
}
/* x (n, d) -> (n, w), cut or filled with zeros. */
static inline hora_t hora_fit_width(hora_graph *g, hora_t x, int64_t w) {
    return hora_graph_node(g, HORA_OP_fit, (hora_t[]){x}, &(hora_attr){.w = w});
}
/* x (n, d) -> (n, w), from column `at` on, zeros elsewhere. */
static inline hora_t hora_fit_at(hora_graph *g, hora_t x, int64_t w, int64_t at) {
    return hora_graph_node(g, HORA_OP_fit, (hora_t[]){x}, &(hora_attr){.w = w, .a = at});
}
/* x (rows, d) whose segments hold, behind `lead` rows, a grid of h x w -> (rows, d): of the grid
 * twice as fine, bilinearly, the cell in `quarter` (2 row + column) of each; 0 elsewhere. */
static inline hora_t hora_upsample(hora_graph *g, hora_t x, int64_t lead, int64_t h, int64_t w,
                                   int64_t quarter) {
    return hora_graph_node(g, HORA_OP_upsample, (hora_t[]){x},
                           &(hora_attr){.a = lead, .b = h, .w = w, .first = quarter});
}
/* z (rows, split split k), logits of the split x split cells of each piece of a grid (`grid`:
 * op_segment.c) -> cross-entropy of every pixel, bilinearly between the cells, and alpha times soft
 * Dice loss; leaf `pixels` has the classes; 1 element, F64. */
static inline hora_t hora_segment_loss(hora_graph *g, hora_t z, const hora_attr *grid) {
    return hora_graph_node(g, HORA_OP_segment, (hora_t[]){z}, grid);
}
/* p (r, k) -> |p p' - I|, one element, F64; columns: |p' p - I|. */
static inline hora_t hora_gramdist(hora_graph *g, hora_t p, bool columns) {
    return hora_graph_node(g, HORA_OP_gramdist, (hora_t[]){p}, &(hora_attr){.w = columns});
}
/* W (o, k), A (r, k), B (o, r) -> (o): row norms of W + alpha B A. */
static inline hora_t hora_lownorm(hora_graph *g, hora_t w, hora_t a, hora_t b, double alpha) {
    return hora_graph_node(g, HORA_OP_lownorm, (hora_t[]){w, a, b}, &(hora_attr){.alpha = alpha});
}
/* x (rows, d), w (V, d), b (V) or NONE, u (rows, r) and f (V, r) or NONE -> cross-entropy of
 * x w' + b + alpha u f' against the batch's targets, 1 element, F64. */
static inline hora_t hora_head_xent(hora_graph *g, hora_t x, hora_t w, hora_t b, hora_t u, hora_t f,
                                    double alpha) {
    return hora_graph_node(g, HORA_OP_head_xent, (hora_t[]){x, w, b, u, f},
                           &(hora_attr){.alpha = alpha});
}
/* z (rows, k) -> mean squared distance from the batch's values, 1 element, F64. */
static inline hora_t hora_mse(hora_graph *g, hora_t z) {
    return hora_graph_node(g, HORA_OP_mse, (hora_t[]){z}, &(hora_attr){0});
}
/* z (rows, k) -> cross-entropy against shares of classes, the batch's values, 1 element, F64. */
static inline hora_t hora_soft_xent(hora_graph *g, hora_t z) {
    return hora_graph_node(g, HORA_OP_soft_xent, (hora_t[]){z}, &(hora_attr){0});
}
/* x (rows, d) whose rows with a target hold texts -> cross-entropy of scaled cosines of each anchor
 * with the texts of the batch, against its own, 1 element, F64. */
static inline hora_t hora_contrast(hora_graph *g, hora_t x, double scale) {
    return hora_graph_node(g, HORA_OP_contrast, (hora_t[]){x}, &(hora_attr){.scale = scale});
}
/* The same x -> (rows, 1): cosine of each text with the anchor of its record. */
static inline hora_t hora_cosine(hora_graph *g, hora_t x) {
    return hora_graph_node(g, HORA_OP_cosine, (hora_t[]){x}, &(hora_attr){0});
}
/* z (rows, k) -> binary cross-entropy of logits against the batch's values, 1 element, F64. */
static inline hora_t hora_bce(hora_graph *g, hora_t z) {
    return hora_graph_node(g, HORA_OP_bce, (hora_t[]){z}, &(hora_attr){0});
}
#endif
