/*
 * Vision Transformers: ViT, DeiT, DINOv2 with and without registers, CLIP's vision tower, VideoMAE,
 * and timm's files of the first two. One recording; what differs is a row of `kinds`, where every
 * module has its name in each release. docs/models/vit.md is the specification.
 *
 *   h = pieces W' + b, tokens of their own in front, + positions    [CLIP: layernorm]
 *   per block:  a = layernorm(h);  h = h + l1 * O(attention(q(a), k(a), v(a)))
 *               b = layernorm(h);  h = h + l2 * fc2(act(fc1(b)))  or  l2 * down(silu(gate) * up)
 *   out = layernorm(h)
 *
 * A picture is a segment of rows in which every row sees every row. Leaf `ids` says what a row is:
 * 0 a piece, 1 the class token, 2 and on further tokens; `pos` its position in the table, -1: none.
 */
#include <math.h>

#include "base/text.h"
#include "model/family.h"
#include "model/vit_names.h"

#define POOL_EPS 1e-5 /* of VideoMAE's fc_norm, which does not heed layer_norm_eps */

typedef struct vit_layer {
    int norm[2], norm_bias[2], scale[2]; /* weight indices; -1: none */
} vit_layer;

typedef struct vit {
    const vit_kind *kind;
    double eps, init_std;
    hora_act act;
    bool qkv_bias, gated, mean_pool;
    bool taught;     /* DeiT: the mean of two heads counts */
    int64_t grid[2]; /* of the position table: rows, columns */
    int64_t registers, inner;
    int patch, patch_bias, token[2], positions, registers_at; /* weights; -1: none */
    int pre_norm[2], final_norm[2], pool_norm[2];             /* weight and bias */
    void *sines;                                              /* VideoMAE's table, in b->dtype */
    vit_layer *layer;
} vit;

/* --- configuration ---------------------------------------------------------------------------- */

static hora_status want_int(const hora_json *c, const char *key, int64_t def, int64_t *out) {
    HORA_TRY(hora_json_get_int(c, key, def, out));
    if (*out < 1 || *out > 1 << 22)
        return hora_fail(HORA_EFORMAT, "config.json: %s is %lld, which makes no model", key,
                         (long long)*out);
    return HORA_OK;
}

/* A number, or a list of one or two of them; [0] height, [1] width. */
static hora_status want_pair(const hora_json *c, const char *key, int64_t def, int64_t out[2]) {
    const hora_json *v = hora_json_get(c, key);
    if (hora_json_type(v) != HORA_JARRAY) {
        HORA_TRY(want_int(c, key, def, &out[0]));
        out[1] = out[0];
        return HORA_OK;
    }
    const size_t n = hora_json_len(v);
    if (!hora_json_int(hora_json_at(v, 0), &out[0]) ||
        !hora_json_int(hora_json_at(v, n > 1), &out[1]) || out[0] < 1 || out[1] < 1 ||
        out[0] > 1 << 20 || out[1] > 1 << 20)
        return hora_fail(HORA_EFORMAT, "config.json: %s should be one or two sizes", key);
    return HORA_OK;
}

static hora_status read_vision(hora_base *b, const hora_json *c, vit *v) {
    hora_vision *s = b->vision = hora_calloc(1, sizeof *s);
    int64_t side[2], patch[2];
    HORA_TRY(want_pair(c, "image_size", v->kind->image, side));
    HORA_TRY(want_pair(c, "patch_size", v->kind->patch, patch));
    HORA_TRY(want_int(c, "num_channels", 3, &s->channels));
    s->frames = s->tubelet = 1;
    if (v->kind->video) {
        HORA_TRY(want_int(c, "num_frames", 16, &s->frames));
        HORA_TRY(want_int(c, "tubelet_size", 2, &s->tubelet));
    }
    if (patch[0] != patch[1] || side[0] < patch[0] || side[1] < patch[0] || s->frames < s->tubelet)
        return hora_fail(HORA_EUNSUPPORTED,
                         "config.json: pictures of %lld x %lld in pieces of %lld x %lld; pieces "
                         "are squares that fit",
                         (long long)side[0], (long long)side[1], (long long)patch[0],
                         (long long)patch[1]);
    s->height = side[0];
    s->width = side[1];
    s->patch = patch[0];
    v->grid[0] = side[0] / patch[0];
    v->grid[1] = side[1] / patch[0];
    s->placed = !v->kind->video + v->kind->distilled;
    s->heads = s->placed + v->registers;
    s->fixed = v->kind->video;
    b->max_positions = 0; /* pictures of other sizes have their positions interpolated */
    return HORA_OK;
}

static hora_status read_dimensions(hora_base *b, const hora_json *c, vit *v) {
    HORA_TRY(want_int(c, "hidden_size", 768, &b->hidden));
    HORA_TRY(want_int(c, "num_hidden_layers", 12, &b->layers));
    HORA_TRY(want_int(c, "num_attention_heads", 12, &b->heads));
    b->kv_heads = b->heads;
    if (b->hidden % b->heads)
        return hora_fail(HORA_EFORMAT,
                         "config.json: hidden_size %lld is no multiple of num_attention_heads %lld",
                         (long long)b->hidden, (long long)b->heads);
    b->head_dim = b->hidden / b->heads;
    if (hora_json_get(c, "mlp_ratio")) {
        double ratio;
        HORA_TRY(hora_json_get_real(c, "mlp_ratio", 4, &ratio));
        b->intermediate = (int64_t)((double)b->hidden * ratio);
    } else {
        HORA_TRY(want_int(c, "intermediate_size", 4 * b->hidden, &b->intermediate));
    }
    HORA_TRY(hora_json_get_bool(c, "use_swiglu_ffn", false, &v->gated));
    if (v->gated) /* two thirds of it, in eights, as DINOv2 has it */
        b->intermediate = ((int64_t)((double)b->intermediate * 2 / 3) + 7) / 8 * 8;
    if (v->kind->registers)
        HORA_TRY(want_int(c, "num_register_tokens", 4, &v->registers));
    HORA_TRY(hora_json_get_real(c, "layer_norm_eps", v->kind->eps, &v->eps));
    HORA_TRY(hora_json_get_real(c, "initializer_range", 0.02, &v->init_std));
    HORA_TRY(hora_json_get_bool(c, "qkv_bias", true, &v->qkv_bias));
    if (v->kind->video) /* since transformers 5; before it was called qkv_bias, too */
        HORA_TRY(hora_json_get_bool(c, "qv_bias", v->qkv_bias, &v->qkv_bias));
    HORA_TRY(hora_json_get_bool(c, "use_mean_pooling", v->kind->video, &v->mean_pool));
    HORA_TRY(hora_json_get_real(c, "hidden_dropout_prob", 0, &b->drop[0]));
    b->drop[1] = b->drop[0];
    b->drop[2] = v->kind->joined ? 0 : b->drop[0]; /* DINOv2: not behind the MLP */
    if (b->hidden < 1 || b->intermediate < 1 || v->eps <= 0)
        return hora_fail(HORA_EFORMAT, "config.json: widths and layer_norm_eps must be positive");
    return HORA_OK;
}

/* --- weights table ---------------------------------------------------------------------------- */

/* A weight by its names: rows of `vit_names.h` with the prefix of the model and the layer's number
 * put in. NULL name: this kind has none, -1. */
static int add(hora_base *b, const vit_names *n, const char *end, hora_shape shape, hora_role role,
               int layer, double std) {
    if (!n->name)
        return -1;
    const int at =
        hora_base_add_weight(b, hora_vit_name(b, n->name, layer, end), shape, role, layer, std);
    for (int k = 0; k < VIT_OLDER && n->older[k]; k++)
        hora_weight_also(&b->weights[at], hora_vit_name(b, n->older[k], layer, end), 0, 0);
    return at;
}

/* As it lies on disk, where rows of the table are a matrix here. */
static int add_as(hora_base *b, const vit_names *n, const char *end, hora_shape shape,
                  hora_shape disk, hora_role role, double std) {
    const int at = add(b, n, end, shape, role, -1, std);
    if (at >= 0)
        b->weights[at].disk = disk;
    return at;
}

static void add_norm(hora_base *b, const vit_names *n, int layer, int out[2]) {
    out[0] = add(b, n, ".weight", HORA_SHAPE1(b->hidden), HORA_ROLE_NORM, layer, 0);
    out[1] = add(b, n, ".bias", HORA_SHAPE1(b->hidden), HORA_ROLE_BIAS, layer, 0);
}

/* Rows [from, from + out) of a module that holds several sites. */
static void share(hora_base *b, hora_site *s, const vit_names *n, int64_t from, int64_t rows) {
    s->fused = hora_vit_name(b, n->fused, s->layer, "");
    s->row = from;
    s->fused_out = rows;
    const struct {
        int weight;
        const char *end;
    } parts[] = {{s->weight, ".weight"}, {s->bias, ".bias"}};
    for (size_t i = 0; i < HORA_COUNT(parts); i++) {
        if (parts[i].weight < 0)
            continue;
        hora_weight *w = &b->weights[parts[i].weight];
        hora_weight_also(w, hora_vit_name(b, n->fused, s->layer, parts[i].end), from, rows);
        w->spelt = w->nalso - 1;
    }
}

static void add_site(hora_base *b, const vit *v, hora_site_kind kind, int layer, int64_t in,
                     int64_t out, bool bias) {
    const vit_names *n = &v->kind->site[kind];
    hora_site *s = &b->sites[b->nsites++];
    const bool attention = kind <= HORA_SITE_O;
    *s = (hora_site){.kind = kind,
                     .layer = layer,
                     .in = in,
                     .out = out,
                     .heads = attention ? b->heads : 0,
                     .head_dim = b->head_dim,
                     .bias = -1};
    s->module = hora_vit_name(b, n->name, layer, "");
    for (int k = 0; k < VIT_OLDER && n->older[k]; k++)
        hora_site_also(s, hora_vit_name(b, n->older[k], layer, ""));
    s->weight = add(b, n, ".weight", HORA_SHAPE2(out, in), HORA_ROLE_WEIGHT, layer, v->init_std);
    if (bias) {
        s->bias = add(b, n, ".bias", HORA_SHAPE1(out), HORA_ROLE_BIAS, layer, 0);
        if (n->bias) /* VideoMAE's q_bias and v_bias */
            hora_weight_also(&b->weights[s->bias], hora_vit_name(b, n->bias, layer, ""), 0, 0);
    }
    if (n->fused)
        share(b, s, n, n->part * out, n->parts * out);
    else if (n->older_fused) { /* in older files alone */
        hora_weight_also(&b->weights[s->weight], hora_vit_name(b, n->older_fused, layer, ".weight"),
                         n->part * out, n->parts * out);
        if (bias)
            hora_weight_also(&b->weights[s->bias], hora_vit_name(b, n->older_fused, layer, ".bias"),
                             n->part * out, n->parts * out);
    }
}

static void add_layer(hora_base *b, vit *v, int i) {
    const vit_kind *k = v->kind;
    vit_layer *l = &v->layer[i];
    const int64_t d = b->hidden, f = b->intermediate;
    int norm[2];
    for (int at = 0; at < 2; at++) {
        add_norm(b, &k->norm[at], i, norm);
        l->norm[at] = norm[0];
        l->norm_bias[at] = norm[1];
        l->scale[at] = add(b, &k->scale[at], "", HORA_SHAPE1(d), HORA_ROLE_NORM, i, 0);
        if (at)
            break;
        add_site(b, v, HORA_SITE_Q, i, d, d, v->qkv_bias);
        add_site(b, v, HORA_SITE_K, i, d, d, v->qkv_bias && !k->video);
        add_site(b, v, HORA_SITE_V, i, d, d, v->qkv_bias);
        add_site(b, v, HORA_SITE_O, i, d, d, true);
    }
    if (v->gated) {
        add_site(b, v, HORA_SITE_GATE, i, d, f, true);
        add_site(b, v, HORA_SITE_UP, i, d, f, true);
        add_site(b, v, HORA_SITE_DOWN, i, f, d, true);
    } else {
        add_site(b, v, HORA_SITE_FC1, i, d, f, true);
        add_site(b, v, HORA_SITE_FC2, i, f, d, true);
    }
}

static void add_weights(hora_base *b, vit *v) {
    const vit_kind *k = v->kind;
    const hora_vision *s = b->vision;
    const int64_t d = b->hidden, p = s->patch, places = v->grid[0] * v->grid[1];
    const int64_t positions = places + !k->video + k->distilled;
    hora_shape conv = {4, {d, s->channels, p, p}};
    if (k->video)
        conv = (hora_shape){5, {d, s->channels, s->tubelet, p, p}};
    const hora_shape vector = HORA_SHAPE1(d), one = HORA_SHAPE2(1, d);
    b->sites = hora_calloc((size_t)b->layers * HORA_SITES, sizeof *b->sites);
    v->token[0] = add_as(b, &k->token[0], "", one, k->flat ? vector : HORA_SHAPE3(1, 1, d),
                         HORA_ROLE_EMBED, v->init_std);
    v->token[1] =
        add_as(b, &k->token[1], "", one, HORA_SHAPE3(1, 1, d), HORA_ROLE_EMBED, v->init_std);
    v->registers_at = add_as(b, &k->register_tokens, "", HORA_SHAPE2(v->registers, d),
                             HORA_SHAPE3(1, v->registers, d), HORA_ROLE_EMBED, v->init_std);
    v->patch = add_as(b, &k->patches, ".weight", HORA_SHAPE2(d, hora_vision_columns(s)), conv,
                      HORA_ROLE_EMBED, v->init_std);
    v->patch_bias = k->flat ? -1 : add_as(b, &k->patches, ".bias", one, vector, HORA_ROLE_BIAS, 0);
    v->positions = add_as(b, &k->positions, "", HORA_SHAPE2(positions, d),
                          k->flat ? HORA_SHAPE2(positions, d) : HORA_SHAPE3(1, positions, d),
                          HORA_ROLE_EMBED, v->init_std);
    add_norm(b, &k->pre_norm, -1, v->pre_norm);
    for (int i = 0; i < b->layers; i++)
        add_layer(b, v, i);
    const vit_names none = {0};
    add_norm(b, k->video && v->mean_pool ? &none : &k->final_norm, -1, v->final_norm);
}

/* VideoMAE's positions: sines and cosines of the place in the whole clip, by pairs of columns. */
static void make_sines(hora_base *b, vit *v) {
    const int64_t n = hora_vision_rows(b->vision), d = b->hidden;
    double *wide = hora_malloc((size_t)(n * d) * sizeof *wide);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const double angle = (double)i / pow(10000, 2 * (double)(j / 2) / (double)d);
            wide[i * d + j] = (double)(float)(j % 2 ? cos(angle) : sin(angle));
        }
    v->sines = hora_malloc((size_t)(n * d) * hora_dtype_size(b->dtype));
    hora_convert(v->sines, b->dtype, wide, HORA_F64, n * d);
    hora_free(wide);
}

/* What there is of a config: CLIP keeps the tower's in vision_config. */
static const hora_json *own_config(const hora_base *b) {
    const hora_json *inner = hora_json_get(b->config, "vision_config");
    return hora_json_type(inner) == HORA_JOBJECT ? inner : b->config;
}

static hora_status configure(hora_base *b) {
    vit *v = b->own = hora_calloc(1, sizeof *v);
    hora_json *made = NULL;
    v->kind = hora_vit_kind_of(b->model_type);
    v->pool_norm[0] = v->pool_norm[1] = -1;
    const hora_json *c = own_config(b);
    if (v->kind->timm) {
        HORA_TRY(hora_vit_timm_config(&made, b->config));
        v->kind = hora_vit_kind_of(hora_json_get(made, "distilled") ? "timm_distilled" : "timm");
        c = made;
    }
    b->prefix = v->kind->prefix;
    b->head_module = v->kind->head;
    hora_status s;
    HORA_TRY_OUT(s, read_dimensions(b, c, v));
    HORA_TRY_OUT(s, hora_family_act(c, "hidden_act", v->kind->act, &v->act));
    HORA_TRY_OUT(s, read_vision(b, c, v));
    v->layer = hora_calloc((size_t)b->layers, sizeof *v->layer);
    b->head_std = v->init_std;
    b->head_in = v->kind->joined ? 2 * b->hidden : b->hidden;
    add_weights(b, v);
    if (v->kind->video)
        make_sines(b, v);
out:
    hora_json_free(made);
    return s;
}

static bool ignores(const hora_base *b, const char *name) {
    const vit *v = b->own;
    for (const char *const *p = v->kind->unused; *p; p++)
        if (hora_starts(name, *p))
            return true;
    return hora_starts(name, "decoder."); /* of segment's head (map_head), or of pretraining */
}

static void release(hora_base *b) {
    vit *v = b->own;
    if (!v)
        return;
    hora_free(v->sines);
    hora_free(v->layer);
    hora_free(v);
}

/* --- recording -------------------------------------------------------------------------------- */

static hora_t norm_by(hora_net *n, const int at[2], hora_t x, double eps) {
    return at[0] < 0
               ? x
               : hora_layernorm(n->g, x, hora_net_weight(n, at[0]), hora_net_weight(n, at[1]), eps);
}

static hora_t norm(hora_net *n, const int at[2], hora_t x) {
    const vit *v = n->base->own;
    return norm_by(n, at, x, v->eps);
}

/* The table of positions for the pictures' grid, (rows of it, d). */
static hora_t positions(hora_net *n) {
    const vit *v = n->base->own;
    const hora_vision *s = n->base->vision;
    const int64_t h = s->height / s->patch, w = s->width / s->patch;
    if (v->kind->video)
        return hora_graph_frozen(
            n->g, "positions",
            (hora_view){v->sines, n->base->dtype,
                        HORA_SHAPE2(hora_vision_rows(s) - s->slots, n->base->hidden)});
    hora_t table = hora_net_weight(n, v->positions);
    if (h == v->grid[0] && w == v->grid[1])
        return table;
    hora_graph_in_before(n->g, true);
    table = hora_regrid(n->g, table, 1 + v->kind->distilled, v->grid[0], v->grid[1], h, w,
                        v->kind->antialias);
    hora_graph_in_before(n->g, false);
    return table;
}

static hora_t embed(hora_net *n) {
    const vit *v = n->base->own;
    hora_graph *g = n->g;
    hora_net_begin(n);
    hora_t x = hora_leaf_rows(g, HORA_LEAF_patch, hora_vision_columns(n->base->vision));
    hora_t h = hora_linear(g, x, hora_net_weight(n, v->patch), HORA_NONE, HORA_NONE, 1);
    if (v->patch_bias >= 0)
        h = hora_lookup(g, hora_net_weight(n, v->patch_bias), HORA_LEAF_ids, 0, h);
    for (int i = 0; i < 2; i++)
        if (v->token[i] >= 0)
            h = hora_lookup(g, hora_net_weight(n, v->token[i]), HORA_LEAF_ids, 1 + i, h);
    if (v->registers_at >= 0)
        h = hora_lookup(g, hora_net_weight(n, v->registers_at), HORA_LEAF_ids, 2, h);
    h = hora_lookup(g, positions(n), HORA_LEAF_pos, 0, h);
    return hora_net_embedded(n, norm(n, v->pre_norm, h));
}

static hora_t attention(hora_net *n, hora_t x) {
    hora_t q = hora_net_site(n, HORA_SITE_Q, x); /* (rows, d) each */
    hora_t k = hora_net_site(n, HORA_SITE_K, x);
    hora_t v = hora_net_site(n, HORA_SITE_V, x);
    hora_t y = hora_net_attend(n, q, k, v, 0, 1 / sqrt((double)n->base->head_dim));
    return hora_net_site(n, HORA_SITE_O, y);
}

static hora_t mlp(hora_net *n, const vit *v, hora_t x) {
    if (v->gated)
        return hora_net_gated(n, x, HORA_ACT_SILU);
    return hora_net_site(n, HORA_SITE_FC2,
                         hora_activate(n->g, hora_net_site(n, HORA_SITE_FC1, x), v->act));
}

static hora_t record(hora_net *n) {
    const vit *v = n->base->own;
    hora_t h = embed(n); /* (rows, d) */
    for (int i = 0; i < n->base->layers; i++) {
        const vit_layer *l = &v->layer[i];
        h = hora_net_block(n, i, h);
        for (int half = 0; half < 2; half++) {
            hora_t x = norm(n, (int[]){l->norm[half], l->norm_bias[half]}, h);
            const hora_where where = half ? HORA_BLOCK_MLP : HORA_BLOCK_ATTN;
            hora_t in = hora_net_enter(n, where, h, x);
            hora_t y = half ? mlp(n, v, in) : attention(n, in);
            if (l->scale[half] >= 0)
                y = hora_scale(n->g, y, hora_net_weight(n, l->scale[half]), 1);
            h = hora_net_sublayer(n, where, h, x, y);
        }
        h = hora_net_block_end(n, h);
    }
    return norm(n, v->final_norm, h);
}

/* CLIP: the mean of the pieces. VideoMAE: that of all, normalised. DINOv2: the class token and the
 * mean of the pieces side by side. The others: the class token, which is there. */
static hora_t pool(hora_net *n, hora_t h) {
    const vit *v = n->base->own;
    const int64_t heads = n->base->vision->heads + hora_net_slots(n);
    if (v->kind->joined)
        return hora_pool(n->g, h, heads, true);
    if (v->kind->mean || v->mean_pool)
        return norm_by(n, v->pool_norm, hora_pool(n->g, h, heads, false), POOL_EPS);
    return h;
}

/* A head that judges every piece: one layer, or one before and one behind a grid twice as fine. */
static hora_status map_head(hora_base *b) {
    vit *v = b->own;
    const char *kind = hora_json_string(hora_json_get(b->config, "segment_head"), NULL);
    v->taught = false;
    b->head_in = b->hidden;
    if (v->kind->video)
        return hora_fail(HORA_EUNSUPPORTED, "%s: %s reads clips; segment is for pictures", b->dir,
                         b->model_type);
    if (!hora_eq(kind, "upsampled"))
        return HORA_OK;
    b->head_in = hora_max(b->hidden / 2, 1);
    b->neck_module = "decoder";
    hora_base_neck(b, "decoder.weight", HORA_SHAPE2(b->head_in, b->hidden), HORA_ROLE_WEIGHT);
    hora_base_neck(b, "decoder.bias", HORA_SHAPE1(b->head_in), HORA_ROLE_BIAS);
    return HORA_OK;
}

/* VideoMAE's norm of the mean. What was pretrained alone has none: it begins as ones and zeros, in
 * transformers too, so that it is known and need not train for that reason. */
static void add_pool_norm(hora_base *b, vit *v) {
    const bool trains = b->neck_trains;
    b->neck_module = "fc_norm";
    hora_base_neck(b, "fc_norm.weight", HORA_SHAPE1(b->hidden), HORA_ROLE_NORM);
    hora_base_neck(b, "fc_norm.bias", HORA_SHAPE1(b->hidden), HORA_ROLE_BIAS);
    b->neck_trains = trains;
    v->pool_norm[0] = b->neck[0];
    v->pool_norm[1] = b->neck[1];
}

/* Both heads of a distilled model, where its files have them for these classes: a new one reads
 * the class token alone. */
static hora_status head(hora_base *b, const char *task_type, int64_t classes) {
    vit *v = b->own;
    const char *const *names = v->kind->taught;
    const hora_json *list = hora_json_get(b->config, "architectures");
    const char *made = hora_json_string(hora_json_at(list, 0), NULL);
    int64_t own = 0;
    if (hora_eq(task_type, "IMAGE_SEG"))
        return map_head(b);
    if (v->kind->video && v->mean_pool)
        add_pool_norm(b, v);
    if (!hora_json_int(hora_json_get(b->config, "num_classes"), &own))
        own = (int64_t)hora_json_len(hora_json_get(b->config, "id2label"));
    v->taught = names[0] && !b->head_fresh && (!own || own == classes) &&
                (v->kind->timm || (made && hora_ends(made, "WithTeacher")));
    if (!v->taught)
        return HORA_OK;
    char *w = hora_format("%s.weight", names[1]), *bias = hora_format("%s.bias", names[1]);
    b->head_module = names[0];
    hora_base_neck(b, w, HORA_SHAPE2(classes, b->hidden), HORA_ROLE_WEIGHT);
    hora_base_neck(b, bias, HORA_SHAPE1(classes), HORA_ROLE_BIAS);
    hora_free(w);
    hora_free(bias);
    return HORA_OK;
}

/* z = ((W1 c + b1) + (W2 d + b2)) / 2, c and d the class and the distillation token */
static hora_t heads(hora_net *n, hora_t x, hora_head *h) {
    const vit *v = n->base->own;
    const int *second = n->base->neck;
    if (!v->taught)
        return x;
    if (h->u != HORA_NONE) {
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                         "an adapter of the head of a distilled model, which has "
                                         "two; train a new head"));
        return x;
    }
    hora_graph_in_before(n->g, true);
    h->b = hora_add(n->g, h->b, h->b, -0.5);
    h->b = hora_add(n->g, h->b, hora_net_weight(n, second[1]), 0.5);
    hora_graph_in_before(n->g, false);
    h->u = hora_shift(n->g, x, 1);
    h->f = hora_net_weight(n, second[0]);
    h->alpha = 0.5;
    return hora_scale(n->g, x, HORA_NONE, 0.5);
}

/* --- for those who recompute a layer ---------------------------------------------------------- */
static void attention_form(const hora_base *b, int layer, hora_attention_form *out) {
    const vit *v = b->own;
    (void)layer;
    *out = (hora_attention_form){
        .scale = 1 / sqrt((double)b->head_dim), .q_norm = -1, .k_norm = -1, .eps = v->eps};
}

const hora_family hora_family_vit = {
    .name = "vit",
    .summary =
        "ViT, DeiT, DINOv2 with and without registers, CLIP's vision tower, VideoMAE; timm's ViT",
    .model_types = "vit deit dinov2 dinov2_with_registers clip clip_vision_model videomae timm",
    .vision = true,
    .encoder = true,
    .configure = configure,
    .ignores = ignores,
    .record = record,
    .pool = pool,
    .head = head,
    .heads = heads,
    .release = release,
    .attention = attention_form,
};
