/*
 * The BERT family: BERT, MiniLM, RoBERTa, XLM-R, CamemBERT, DistilBERT. One recording; what differs
 * is a row of `kinds`: names, where positions begin, types of texts, what stands in front of the
 * head. docs/models/bert.md is the specification.
 *
 *   h = norm(E[ids] + P[position] + T[type])
 *   per block:  q, k, v = sites(h);  h = norm(h + O(attention(q, k, v)))
 *               h = norm(h + fc2(act(fc1(h))))
 *   out = h;  for a head of the whole: tanh or relu(dense(h of the first token))
 *
 * Every token of a text sees all of it.
 */
#include <math.h>

#include "base/text.h"
#include "graph/verbs.h"
#include "model/family.h"

/* --- the members ------------------------------------------------------------------------------ */
typedef struct pair_at { /* weight and bias */
    int w, b;
} pair_at;

typedef struct dimension {
    const char *key;
    size_t offset; /* in hora_base */
    int64_t def;   /* -1: required */
} dimension;

static const dimension plain_keys[] = {
    {"hidden_size", offsetof(hora_base, hidden), -1},
    {"intermediate_size", offsetof(hora_base, intermediate), -1},
    {"num_hidden_layers", offsetof(hora_base, layers), -1},
    {"num_attention_heads", offsetof(hora_base, heads), -1},
    {"vocab_size", offsetof(hora_base, vocab), -1},
    {"max_position_embeddings", offsetof(hora_base, max_positions), 512},
    {"type_vocab_size", offsetof(hora_base, types), 2},
    {NULL, 0, 0}};
static const dimension distil_keys[] = {
    {"dim", offsetof(hora_base, hidden), -1},
    {"hidden_dim", offsetof(hora_base, intermediate), -1},
    {"n_layers", offsetof(hora_base, layers), -1},
    {"n_heads", offsetof(hora_base, heads), -1},
    {"vocab_size", offsetof(hora_base, vocab), -1},
    {"max_position_embeddings", offsetof(hora_base, max_positions), 512},
    {NULL, 0, 0}};

typedef struct kind {
    const char *model_types;
    const char *prefix; /* of the body's names */
    const dimension *keys;
    const char *act_key;
    bool shifted; /* positions begin behind the padding id, which itself has none of its own */
    /* names within the prefix; of a block behind `block` and its number */
    const char *block, *q, *k, *v, *o, *attn_norm, *fc1, *fc2, *out_norm;
    /* The dense layer in front of a head of the whole: its module (with the prefix, where it is
     * part of the body), what PEFT calls it alone, the head's own module and its name there */
    const char *dense, *dense_saved, *head, *head_saved;
    hora_act dense_act;
    bool dense_trains; /* PEFT saves it with the head */
} kind;

#define BLOCKS                                                                                     \
    .block = "encoder.layer", .q = "attention.self.query", .k = "attention.self.key",              \
    .v = "attention.self.value", .o = "attention.output.dense",                                    \
    .attn_norm = "attention.output.LayerNorm", .fc1 = "intermediate.dense", .fc2 = "output.dense", \
    .out_norm = "output.LayerNorm"

static const kind kinds[] = {
    {.model_types = "bert",
     .prefix = "bert.",
     .keys = plain_keys,
     .act_key = "hidden_act",
     BLOCKS,
     .dense = "bert.pooler.dense",
     .dense_saved = "pooler",
     .head = "classifier",
     .dense_act = HORA_ACT_TANH},
    {.model_types = "roberta xlm-roberta camembert",
     .prefix = "roberta.",
     .keys = plain_keys,
     .act_key = "hidden_act",
     .shifted = true,
     BLOCKS,
     .dense = "classifier.dense",
     .head = "classifier.out_proj",
     .head_saved = "classifier",
     .dense_act = HORA_ACT_TANH,
     .dense_trains = true},
    {.model_types = "distilbert",
     .prefix = "distilbert.",
     .keys = distil_keys,
     .act_key = "activation",
     .block = "transformer.layer",
     .q = "attention.q_lin",
     .k = "attention.k_lin",
     .v = "attention.v_lin",
     .o = "attention.out_lin",
     .attn_norm = "sa_layer_norm",
     .fc1 = "ffn.lin1",
     .fc2 = "ffn.lin2",
     .out_norm = "output_layer_norm",
     .dense = "pre_classifier",
     .head = "classifier", /* and by its ending `pre_classifier` too */
     .dense_act = HORA_ACT_RELU,
     .dense_trains = true},
};

typedef struct bert {
    const kind *kind;
    double eps, init_std;
    hora_act act;
    int32_t pad;
    int position, type;  /* tables; -1: none */
    pair_at norm;        /* of the embeddings */
    pair_at *attn, *out; /* norms per block */
} bert;

/* --- configuration ---------------------------------------------------------------------------- */
static hora_status read_dimensions(hora_base *b, const kind *k) {
    for (const dimension *d = k->keys; d->key; d++) {
        int64_t v;
        HORA_TRY(hora_json_get_int(b->config, d->key, d->def, &v));
        if (v == -1 && d->def == -1)
            return hora_fail(HORA_EFORMAT, "config.json has no `%s`; a %s needs it", d->key,
                             b->model_type);
        if (v < 1 || v > 1 << 26)
            return hora_fail(HORA_EFORMAT, "config.json: %s is %lld, which makes no model", d->key,
                             (long long)v);
        *(int64_t *)((char *)b + d->offset) = v;
    }
    if (b->layers > 4096 || b->heads > 4096 || b->hidden > 1 << 20 || b->hidden % b->heads)
        return hora_fail(HORA_EFORMAT,
                         "config.json: %lld layers, %lld heads and a width of %lld make no model",
                         (long long)b->layers, (long long)b->heads, (long long)b->hidden);
    b->kv_heads = b->heads;
    b->head_dim = b->hidden / b->heads;
    return HORA_OK;
}

static hora_status refuse(const hora_base *b) {
    static const char *const off[] = {"is_decoder", "add_cross_attention"};
    const char *positions;
    bool on;
    for (size_t i = 0; i < HORA_COUNT(off); i++) {
        HORA_TRY(hora_json_get_bool(b->config, off[i], false, &on));
        if (on)
            return hora_fail(HORA_EUNSUPPORTED,
                             "config.json: %s; this family computes encoders alone", off[i]);
    }
    HORA_TRY(hora_json_get_string(b->config, "position_embedding_type", "absolute", &positions));
    if (!hora_eq(positions, "absolute"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "config.json: position_embedding_type `%s`; only absolute ones are "
                         "computed here",
                         positions);
    if (!b->bare)
        return hora_fail(HORA_EUNSUPPORTED,
                         "an encoder writes no text; choose what it is for: --task "
                         "sequence-classification, token-classification, regression or embedding");
    return HORA_OK;
}

static hora_status read_rest(hora_base *b, bert *c) {
    int64_t pad;
    HORA_TRY(hora_json_get_real(b->config, "layer_norm_eps", 1e-12, &c->eps));
    HORA_TRY(hora_json_get_real(b->config, "initializer_range", 0.02, &c->init_std));
    HORA_TRY(hora_json_get_int(b->config, "pad_token_id", c->kind->shifted ? 1 : 0, &pad));
    const bool distil = hora_eq(c->kind->act_key, "activation"); /* DistilBERT: not of attention */
    HORA_TRY(hora_json_get_real(b->config, distil ? "dropout" : "hidden_dropout_prob", 0.1,
                                &b->drop[0]));
    b->drop[1] = distil ? 0 : b->drop[0];
    b->drop[2] = b->drop[0];
    if (!(c->eps > 0))
        return hora_fail(HORA_EFORMAT, "config.json: layer_norm_eps must be positive");
    if (c->kind->shifted) {
        if (pad < 0 || pad > b->max_positions - 2)
            return hora_fail(HORA_EFORMAT,
                             "config.json: positions begin behind pad_token_id %lld, but there are "
                             "only %lld",
                             (long long)pad, (long long)b->max_positions);
        c->pad = (int32_t)pad;
        b->max_positions -= pad + 1;
    }
    return HORA_OK;
}

/* --- weights table ---------------------------------------------------------------------------- */
static pair_at add_norm(hora_base *b, char *own_module, int layer) {
    pair_at p;
    p.w = hora_base_add_weight(b, hora_format("%s.weight", own_module), HORA_SHAPE1(b->hidden),
                               HORA_ROLE_NORM, layer, 0);
    p.b = hora_base_add_weight(b, hora_format("%s.bias", own_module), HORA_SHAPE1(b->hidden),
                               HORA_ROLE_BIAS, layer, 0);
    /* as checkpoints of TensorFlow have them */
    hora_weight_also(&b->weights[p.w], hora_format("%s.gamma", own_module), 0, 0);
    hora_weight_also(&b->weights[p.b], hora_format("%s.beta", own_module), 0, 0);
    hora_free(own_module);
    return p;
}

static void add_site(hora_base *b, hora_site_kind kind, char *own_module, int layer, int64_t in,
                     int64_t out, int64_t heads) {
    const bert *c = b->own;
    hora_site *s = &b->sites[b->nsites++];
    *s = (hora_site){.kind = kind,
                     .layer = layer,
                     .module = own_module,
                     .in = in,
                     .out = out,
                     .heads = heads,
                     .head_dim = b->head_dim};
    s->weight = hora_base_add_weight(b, hora_format("%s.weight", own_module), HORA_SHAPE2(out, in),
                                     HORA_ROLE_WEIGHT, layer, c->init_std);
    s->bias = hora_base_add_weight(b, hora_format("%s.bias", own_module), HORA_SHAPE1(out),
                                   HORA_ROLE_BIAS, layer, 0);
}

static void add_block(hora_base *b, bert *c, int i) {
    const kind *k = c->kind;
    const int64_t d = b->hidden, f = b->intermediate;
    const struct {
        hora_site_kind kind;
        const char *module;
        int64_t in, out, heads;
    } rows[] = {{HORA_SITE_Q, k->q, d, d, b->heads}, {HORA_SITE_K, k->k, d, d, b->heads},
                {HORA_SITE_V, k->v, d, d, b->heads}, {HORA_SITE_O, k->o, d, d, b->heads},
                {HORA_SITE_FC1, k->fc1, d, f, 0},    {HORA_SITE_FC2, k->fc2, f, d, 0}};
    for (size_t r = 0; r < HORA_COUNT(rows); r++) {
        if (rows[r].kind == HORA_SITE_FC1)
            c->attn[i] =
                add_norm(b, hora_format("%s%s.%d.%s", k->prefix, k->block, i, k->attn_norm), i);
        add_site(b, rows[r].kind, hora_format("%s%s.%d.%s", k->prefix, k->block, i, rows[r].module),
                 i, rows[r].in, rows[r].out, rows[r].heads);
    }
    c->out[i] = add_norm(b, hora_format("%s%s.%d.%s", k->prefix, k->block, i, k->out_norm), i);
}

static int add_table(hora_base *b, const char *name, int64_t rows, double std) {
    const bert *c = b->own;
    return hora_base_add_weight(b, hora_format("%sembeddings.%s.weight", c->kind->prefix, name),
                                HORA_SHAPE2(rows, b->hidden), HORA_ROLE_EMBED, -1, std);
}

static void add_weights(hora_base *b, bert *c, int64_t positions) {
    b->sites = hora_calloc((size_t)b->layers * HORA_SITES + 1, sizeof *b->sites);
    b->embed = add_table(b, "word_embeddings", b->vocab, c->init_std);
    c->position = add_table(b, "position_embeddings", positions, c->init_std);
    c->type = b->types ? add_table(b, "token_type_embeddings", b->types, c->init_std) : -1;
    c->norm = add_norm(b, hora_format("%sembeddings.LayerNorm", c->kind->prefix), -1);
    for (int i = 0; i < b->layers; i++)
        add_block(b, c, i);
}

static hora_status configure(hora_base *b) {
    bert *c = b->own = hora_calloc(1, sizeof *c);
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        if (hora_has_word(kinds[i].model_types, b->model_type))
            c->kind = &kinds[i];
    HORA_ASSERT(c->kind);
    HORA_TRY(refuse(b));
    HORA_TRY(read_dimensions(b, c->kind));
    HORA_TRY(hora_family_act(b->config, c->kind->act_key, "gelu", &c->act));
    const int64_t positions = b->max_positions;
    HORA_TRY(read_rest(b, c));
    c->attn = hora_calloc((size_t)b->layers, sizeof *c->attn);
    c->out = hora_calloc((size_t)b->layers, sizeof *c->out);
    b->prefix = c->kind->prefix;
    b->head_module = "classifier";
    b->head_biased = true;
    b->head_std = c->init_std;
    b->tied = false;
    add_weights(b, c, positions);
    return HORA_OK;
}

static void release(hora_base *b) {
    bert *c = b->own;
    if (!c)
        return;
    hora_free(c->attn);
    hora_free(c->out);
    hora_free(c);
}

/* Heads of any task and buffers, within the prefix or beside it. */
static bool ignores(const hora_base *b, const char *name) {
    static const char *const others[] = {"pooler.",          "cls.",
                                         "lm_head.",         "classifier.",
                                         "pre_classifier.",  "vocab_transform.",
                                         "qa_outputs.",      "vocab_layer_norm.",
                                         "vocab_projector.", "embeddings.position_ids"};
    if (b->prefix && hora_starts(name, b->prefix))
        name += strlen(b->prefix);
    for (size_t i = 0; i < HORA_COUNT(others); i++)
        if (hora_starts(name, others[i]))
            return true;
    return false;
}

/* A head of the whole has a dense layer in front; BERT's is a site like any other. */
static hora_status head(hora_base *b, const char *task_type, int64_t classes) {
    (void)classes;
    const bert *c = b->own;
    const kind *k = c->kind;
    if (hora_eq(task_type, "TOKEN_CLS"))
        return HORA_OK;
    b->head_module = k->head;
    b->head_saved = k->head_saved;
    b->neck_module = k->dense_saved;
    char *w = hora_format("%s.weight", k->dense), *bias = hora_format("%s.bias", k->dense);
    hora_base_neck(b, w, HORA_SHAPE2(b->hidden, b->hidden), HORA_ROLE_WEIGHT);
    hora_base_neck(b, bias, HORA_SHAPE1(b->hidden), HORA_ROLE_BIAS);
    hora_free(w);
    hora_free(bias);
    b->neck_trains |= k->dense_trains;
    if (!k->dense_trains)
        *hora_base_add_site(b) = (hora_site){.kind = HORA_SITE_POOLER,
                                             .layer = -1,
                                             .module = hora_strdup(k->dense),
                                             .in = b->hidden,
                                             .out = b->hidden,
                                             .weight = b->neck[0],
                                             .bias = b->neck[1]};
    return HORA_OK;
}

/* --- recording -------------------------------------------------------------------------------- */
static hora_t norm(hora_net *n, pair_at p, hora_t x) {
    const bert *c = n->base->own;
    return hora_layernorm(n->g, x, hora_net_weight(n, p.w), hora_net_weight(n, p.b), c->eps);
}

static hora_t embed(hora_net *n) {
    const bert *c = n->base->own;
    hora_graph *g = n->g;
    hora_net_begin(n);
    hora_t h = hora_net_tokens(n);
    h = c->kind->shifted
            ? hora_lookup(g, hora_net_weight(n, c->position), HORA_LEAF_place, -(c->pad + 1), h)
            : hora_lookup(g, hora_net_weight(n, c->position), HORA_LEAF_pos, 0, h);
    if (c->type >= 0)
        h = hora_lookup(g, hora_net_weight(n, c->type), HORA_LEAF_type, 0, h);
    return hora_net_embedded(n, norm(n, c->norm, h)); /* (rows, d) */
}

static hora_t attention(hora_net *n, hora_t x) {
    hora_t q = hora_net_site(n, HORA_SITE_Q, x); /* (rows, H dh) */
    hora_t k = hora_net_site(n, HORA_SITE_K, x);
    hora_t v = hora_net_site(n, HORA_SITE_V, x);
    hora_t y = hora_net_attend(n, q, k, v, 0, 1 / sqrt((double)n->base->head_dim));
    return hora_net_site(n, HORA_SITE_O, y);
}

static hora_t mlp(hora_net *n, hora_t x) {
    const bert *c = n->base->own;
    hora_t f = hora_net_site(n, HORA_SITE_FC1, x); /* (rows, f) */
    return hora_net_site(n, HORA_SITE_FC2, hora_activate(n->g, f, c->act));
}

static hora_t record(hora_net *n) {
    const bert *c = n->base->own;
    hora_t h = embed(n);
    for (int i = 0; i < n->base->layers; i++) {
        h = hora_net_block(n, i, h);
        h = norm(n, c->attn[i],
                 hora_net_sublayer(n, HORA_BLOCK_ATTN, h, h,
                                   attention(n, hora_net_enter(n, HORA_BLOCK_ATTN, h, h))));
        h = norm(n, c->out[i],
                 hora_net_sublayer(n, HORA_BLOCK_MLP, h, h,
                                   mlp(n, hora_net_enter(n, HORA_BLOCK_MLP, h, h))));
        h = hora_net_block_end(n, h);
    }
    return h;
}

static hora_t pool(hora_net *n, hora_t hidden) {
    const hora_base *b = n->base;
    const kind *k = ((const bert *)b->own)->kind;
    hora_t x = k->dense_trains ? hora_linear(n->g, hidden, hora_net_weight(n, b->neck[0]),
                                             hora_net_weight(n, b->neck[1]), HORA_NONE, 1)
                               : hora_net_site(n, HORA_SITE_POOLER, hidden);
    return hora_activate(n->g, x, k->dense_act);
}

const hora_family hora_family_bert = {
    .name = "bert",
    .summary = "BERT, MiniLM, RoBERTa, XLM-R, CamemBERT, DistilBERT",
    .model_types = "bert roberta xlm-roberta camembert distilbert",
    .configure = configure,
    .ignores = ignores,
    .encoder = true,
    .head = head,
    .record = record,
    .pool = pool,
    .release = release,
};
