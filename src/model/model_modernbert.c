/*
 * ModernBERT: an encoder with rotary positions, gated MLPs, norms in front of the sublayers, and
 * two kinds of layers: every n-th sees the whole text, the others `local_attention` / 2 tokens to
 * either side, with another rotary base. docs/models/modernbert.md is the specification.
 *
 *   h = norm(E[ids])
 *   per block:  a = norm(h) (the first: h);  q, k, v = rows of Wqkv;  q, k = rope(q, k)
 *               h = h + Wo attention(q, k, v);  b = norm(h);  g, u = rows of Wi
 *               h = h + Wo (act(g b) * u b)
 *   out = norm(h);  in front of a head: norm(act(dense(h))), of the whole at the first token or of
 *   the mean
 *
 * [Warner et al. 2024, arXiv 2412.13663; transformers modeling_modernbert.py]
 */
#include <math.h>

#include "base/text.h"
#include "graph/verbs.h"
#include "model/family.h"
#include "model/rope.h"

typedef struct pair_at { /* weight and bias; bias -1: none */
    int w, b;
} pair_at;

typedef struct modernbert_layer {
    pair_at attn_norm, mlp_norm; /* attn_norm.w -1: none */
    bool local;
} modernbert_layer;

typedef struct modernbert {
    double eps, init_std;
    hora_act act, head_act;
    bool attention_bias, mlp_bias, norm_bias, head_bias, mean;
    int64_t reach;                 /* of a local layer, to either side */
    hora_rope_frequencies rope[2]; /* of the whole, local */
    modernbert_layer *layer;
    pair_at norm, final_norm;
} modernbert;

/* --- configuration ---------------------------------------------------------------------------- */
static const struct {
    const char *key;
    size_t offset;
    int64_t def; /* -1: required */
} dimensions[] = {
    {"hidden_size", offsetof(hora_base, hidden), -1},
    {"intermediate_size", offsetof(hora_base, intermediate), -1},
    {"num_hidden_layers", offsetof(hora_base, layers), -1},
    {"num_attention_heads", offsetof(hora_base, heads), -1},
    {"vocab_size", offsetof(hora_base, vocab), -1},
    {"max_position_embeddings", offsetof(hora_base, max_positions), 8192},
};

static hora_status read_dimensions(hora_base *b) {
    for (size_t i = 0; i < HORA_COUNT(dimensions); i++) {
        int64_t v;
        HORA_TRY(hora_json_get_int(b->config, dimensions[i].key, dimensions[i].def, &v));
        if (v < 1 || v > 1 << 26)
            return hora_fail(HORA_EFORMAT,
                             v == -1 ? "config.json has no `%s`; a modernbert needs it"
                                     : "config.json: %s makes no model",
                             dimensions[i].key);
        *(int64_t *)((char *)b + dimensions[i].offset) = v;
    }
    if (b->layers > 4096 || b->heads > 4096 || b->hidden > 1 << 20 || b->hidden % (2 * b->heads))
        return hora_fail(HORA_EFORMAT,
                         "config.json: %lld layers, %lld heads and a width of %lld make no model "
                         "with rotary positions",
                         (long long)b->layers, (long long)b->heads, (long long)b->hidden);
    b->kv_heads = b->heads;
    b->head_dim = b->hidden / b->heads;
    return HORA_OK;
}

/* Which layers are local: layer_types where it stands, else all but every n-th. */
static hora_status read_layers(hora_base *b, modernbert *c) {
    int64_t every, span;
    HORA_TRY(hora_json_get_int(b->config, "global_attn_every_n_layers", 3, &every));
    HORA_TRY(hora_json_get_int(b->config, "local_attention", 128, &span));
    const hora_json *types = hora_json_get(b->config, "layer_types");
    const bool listed = hora_json_type(types) == HORA_JARRAY;
    if (every < 1 || span < 2 || span > 1 << 26 ||
        (listed && (int64_t)hora_json_len(types) != b->layers))
        return hora_fail(HORA_EFORMAT, "config.json: global_attn_every_n_layers, local_attention "
                                       "or layer_types make no model");
    c->reach = span / 2;
    for (int64_t i = 0; i < b->layers; i++) {
        const char *t = hora_json_string(hora_json_at(types, (size_t)i), NULL);
        if (listed && !hora_eq(t, "full_attention") && !hora_eq(t, "sliding_attention"))
            return hora_fail(HORA_EUNSUPPORTED,
                             "config.json: layer_types holds `%s`; only full_attention and "
                             "sliding_attention are computed here",
                             t ? t : "?");
        c->layer[i].local = listed ? hora_eq(t, "sliding_attention") : i % every != 0;
    }
    return HORA_OK;
}

/* transformers 5 and the normalised form have rope_theta and rope_local_base_freq, 4 its own. */
static hora_status read_rope(hora_base *b, modernbert *c) {
    double theta[2];
    HORA_TRY(hora_json_get_real(b->config, "global_rope_theta", 160000, &theta[0]));
    HORA_TRY(hora_json_get_real(b->config, "rope_theta", theta[0], &theta[0]));
    HORA_TRY(hora_json_get_real(b->config, "local_rope_theta", 10000, &theta[1]));
    HORA_TRY(hora_json_get_real(b->config, "rope_local_base_freq", theta[1], &theta[1]));
    for (int k = 0; k < 2; k++) {
        if (!(theta[k] > 0))
            return hora_fail(HORA_EFORMAT, "config.json: a rotary base must be positive");
        const hora_json *scaling = k ? NULL : hora_json_get(b->config, "rope_scaling");
        HORA_TRY(hora_rope_read(&c->rope[k], scaling, theta[k], b->head_dim / 2, b->max_positions));
    }
    b->max_positions = c->rope[0].positions;
    return HORA_OK;
}

static hora_status read_switches(hora_base *b, modernbert *c) {
    const char *pooling;
    HORA_TRY(hora_json_get_bool(b->config, "attention_bias", false, &c->attention_bias));
    HORA_TRY(hora_json_get_bool(b->config, "mlp_bias", false, &c->mlp_bias));
    HORA_TRY(hora_json_get_bool(b->config, "norm_bias", false, &c->norm_bias));
    HORA_TRY(hora_json_get_bool(b->config, "classifier_bias", false, &c->head_bias));
    HORA_TRY(hora_json_get_real(b->config, "norm_eps", 1e-5, &c->eps));
    HORA_TRY(hora_json_get_real(b->config, "initializer_range", 0.02, &c->init_std));
    HORA_TRY(hora_json_get_string(b->config, "classifier_pooling", "cls", &pooling));
    c->mean = hora_eq(pooling, "mean");
    if (!(c->eps > 0))
        return hora_fail(HORA_EFORMAT, "config.json: norm_eps must be positive");
    if (!c->mean && !hora_eq(pooling, "cls"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "config.json: classifier_pooling `%s`; cls and mean are computed here",
                         pooling);
    if (!b->bare)
        return hora_fail(HORA_EUNSUPPORTED,
                         "an encoder writes no text; choose what it is for: --task "
                         "sequence-classification, token-classification, regression or embedding");
    return HORA_OK;
}

/* --- weights table ---------------------------------------------------------------------------- */
static pair_at add_norm(hora_base *b, char *own_module, int layer) {
    const modernbert *c = b->own;
    pair_at p = {-1, -1};
    p.w = hora_base_add_weight(b, hora_format("%s.weight", own_module), HORA_SHAPE1(b->hidden),
                               HORA_ROLE_NORM, layer, 0);
    if (c->norm_bias)
        p.b = hora_base_add_weight(b, hora_format("%s.bias", own_module), HORA_SHAPE1(b->hidden),
                                   HORA_ROLE_BIAS, layer, 0);
    hora_free(own_module);
    return p;
}

typedef struct projection {
    hora_site_kind kind;
    const char *module, *part; /* part NULL: all of the module's rows */
    int64_t in, out, row, rows, heads;
    bool bias;
} projection;

/* Part of a fused weight: files have it as rows of one tensor, under one name. */
static int add_part(hora_base *b, const projection *p, const char *fused, const char *module,
                    const char *what, hora_shape shape, hora_role role, int layer, double std) {
    const int at =
        hora_base_add_weight(b, hora_format("%s.%s", module, what), shape, role, layer, std);
    if (p->part) {
        hora_weight_also(&b->weights[at], hora_format("%s.%s", fused, what), p->row, p->rows);
        b->weights[at].spelt = 0;
    }
    return at;
}

static void add_site(hora_base *b, const projection *p, int layer) {
    const modernbert *c = b->own;
    char *fused = hora_format("model.layers.%d.%s", layer, p->module);
    hora_site *s = &b->sites[b->nsites++];
    *s = (hora_site){.kind = p->kind,
                     .layer = layer,
                     .in = p->in,
                     .out = p->out,
                     .heads = p->heads,
                     .head_dim = b->head_dim,
                     .bias = -1};
    s->module = p->part ? hora_format("%s.%s", fused, p->part) : hora_strdup(fused);
    s->weight = add_part(b, p, fused, s->module, "weight", HORA_SHAPE2(p->out, p->in),
                         HORA_ROLE_WEIGHT, layer, c->init_std);
    if (p->bias)
        s->bias =
            add_part(b, p, fused, s->module, "bias", HORA_SHAPE1(p->out), HORA_ROLE_BIAS, layer, 0);
    if (p->part) {
        s->fused = fused;
        s->row = p->row;
        s->fused_out = p->rows;
    } else {
        hora_free(fused);
    }
}

static void add_block(hora_base *b, modernbert *c, int i) {
    const int64_t d = b->hidden, f = b->intermediate, h = b->heads;
    const bool ab = c->attention_bias, mb = c->mlp_bias;
    const projection rows[] = {
        {HORA_SITE_Q, "attn.Wqkv", "q", d, d, 0, 3 * d, h, ab},
        {HORA_SITE_K, "attn.Wqkv", "k", d, d, d, 3 * d, h, ab},
        {HORA_SITE_V, "attn.Wqkv", "v", d, d, 2 * d, 3 * d, h, ab},
        {HORA_SITE_O, "attn.Wo", NULL, d, d, 0, 0, h, ab},
        {HORA_SITE_GATE, "mlp.Wi", "gate", d, f, 0, 2 * f, 0, mb},
        {HORA_SITE_UP, "mlp.Wi", "up", d, f, f, 2 * f, 0, mb},
        {HORA_SITE_DOWN, "mlp.Wo", NULL, f, d, 0, 0, 0, mb},
    };
    modernbert_layer *l = &c->layer[i];
    l->attn_norm =
        i ? add_norm(b, hora_format("model.layers.%d.attn_norm", i), i) : (pair_at){-1, -1};
    for (size_t r = 0; r < HORA_COUNT(rows); r++)
        add_site(b, &rows[r], i);
    l->mlp_norm = add_norm(b, hora_format("model.layers.%d.mlp_norm", i), i);
}

static hora_status configure(hora_base *b) {
    modernbert *c = b->own = hora_calloc(1, sizeof *c);
    HORA_TRY(read_dimensions(b));
    c->layer = hora_calloc((size_t)b->layers, sizeof *c->layer);
    HORA_TRY(read_switches(b, c));
    HORA_TRY(hora_family_act(b->config, "hidden_activation", "gelu", &c->act));
    HORA_TRY(hora_family_act(b->config, "classifier_activation", "gelu", &c->head_act));
    HORA_TRY(read_layers(b, c));
    HORA_TRY(read_rope(b, c));
    b->prefix = "model.";
    b->head_module = "classifier";
    b->head_biased = true;
    b->head_std = c->init_std;
    b->sites = hora_calloc((size_t)b->layers * HORA_SITES, sizeof *b->sites);
    b->embed =
        hora_base_add_weight(b, hora_strdup("model.embeddings.tok_embeddings.weight"),
                             HORA_SHAPE2(b->vocab, b->hidden), HORA_ROLE_EMBED, -1, c->init_std);
    c->norm = add_norm(b, hora_strdup("model.embeddings.norm"), -1);
    for (int i = 0; i < b->layers; i++)
        add_block(b, c, i);
    c->final_norm = add_norm(b, hora_strdup("model.final_norm"), -1);
    return HORA_OK;
}

static void release(hora_base *b) {
    modernbert *c = b->own;
    if (!c)
        return;
    hora_free(c->rope[0].freq);
    hora_free(c->rope[1].freq);
    hora_free(c->layer);
    hora_free(c);
}

/* Heads of any task. */
static bool ignores(const hora_base *b, const char *name) {
    static const char *const others[] = {"head.", "decoder.", "classifier."};
    (void)b;
    for (size_t i = 0; i < HORA_COUNT(others); i++)
        if (hora_starts(name, others[i]))
            return true;
    return false;
}

/* neck: dense weight, [dense bias], norm weight, [norm bias]; the dense layer is a site too: PEFT's
 * all-linear adapts it */
static hora_status head(hora_base *b, const char *task_type, int64_t classes) {
    (void)classes;
    const modernbert *c = b->own;
    (void)task_type;
    b->neck_module = "head";
    hora_base_neck(b, "head.dense.weight", HORA_SHAPE2(b->hidden, b->hidden), HORA_ROLE_WEIGHT);
    if (c->head_bias)
        hora_base_neck(b, "head.dense.bias", HORA_SHAPE1(b->hidden), HORA_ROLE_BIAS);
    *hora_base_add_site(b) = (hora_site){.kind = HORA_SITE_POOLER,
                                         .layer = -1,
                                         .module = hora_strdup("head.dense"),
                                         .in = b->hidden,
                                         .out = b->hidden,
                                         .weight = b->neck[0],
                                         .bias = c->head_bias ? b->neck[1] : -1};
    hora_base_neck(b, "head.norm.weight", HORA_SHAPE1(b->hidden), HORA_ROLE_NORM);
    if (c->norm_bias)
        hora_base_neck(b, "head.norm.bias", HORA_SHAPE1(b->hidden), HORA_ROLE_BIAS);
    return HORA_OK;
}

/* --- recording -------------------------------------------------------------------------------- */
static hora_t norm(hora_net *n, pair_at p, hora_t x) {
    const modernbert *c = n->base->own;
    return p.w < 0
               ? x
               : hora_layernorm(n->g, x, hora_net_weight(n, p.w), hora_net_weight(n, p.b), c->eps);
}

static hora_t attention(hora_net *n, const modernbert *c, bool local, hora_t x) {
    const hora_base *b = n->base;
    const hora_rope_frequencies *r = &c->rope[local];
    hora_t q = hora_net_site(n, HORA_SITE_Q, x); /* (rows, H dh) */
    hora_t k = hora_net_site(n, HORA_SITE_K, x);
    hora_t v = hora_net_site(n, HORA_SITE_V, x);
    q = hora_rope(n->g, q, b->heads, b->head_dim, r->freq, r->scale);
    k = hora_rope(n->g, k, b->heads, b->head_dim, r->freq, r->scale);
    hora_t y = hora_net_attend_near(n, q, k, v, local ? c->reach + 1 : 0, local ? c->reach : 0,
                                    1 / sqrt((double)b->head_dim));
    return hora_net_site(n, HORA_SITE_O, y);
}

static hora_t record(hora_net *n) {
    const modernbert *c = n->base->own;
    hora_net_begin(n);
    hora_t h = hora_net_tokens(n);
    h = hora_net_embedded(n, norm(n, c->norm, h)); /* (rows, d) */
    for (int i = 0; i < n->base->layers; i++) {
        const modernbert_layer *l = &c->layer[i];
        h = hora_net_block(n, i, h);
        hora_t x = norm(n, l->attn_norm, h);
        h = hora_net_sublayer(n, HORA_BLOCK_ATTN, h, x,
                              attention(n, c, l->local, hora_net_enter(n, HORA_BLOCK_ATTN, h, x)));
        x = norm(n, l->mlp_norm, h);
        h = hora_net_sublayer(n, HORA_BLOCK_MLP, h, x,
                              hora_net_gated(n, hora_net_enter(n, HORA_BLOCK_MLP, h, x), c->act));
        h = hora_net_block_end(n, h);
    }
    return norm(n, c->final_norm, h);
}

static hora_t each(hora_net *n, hora_t hidden) {
    const hora_base *b = n->base;
    const modernbert *c = b->own;
    const int at = 1 + c->head_bias;
    const pair_at p = {b->neck[at], c->norm_bias ? b->neck[at + 1] : -1};
    const hora_t x = hora_net_site(n, HORA_SITE_POOLER, hidden);
    return norm(n, p, hora_activate(n->g, x, c->head_act));
}

static hora_t pool(hora_net *n, hora_t hidden) {
    const modernbert *c = n->base->own;
    return each(n, c->mean ? hora_pool(n->g, hidden, 0, false) : hidden);
}

const hora_family hora_family_modernbert = {
    .name = "modernbert",
    .summary = "ModernBERT",
    .model_types = "modernbert",
    .configure = configure,
    .ignores = ignores,
    .encoder = true,
    .head = head,
    .record = record,
    .pool = pool,
    .each = each,
    .release = release,
};
