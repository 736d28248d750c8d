/*
 * Prefix tuning: each block has further keys and values, in front of all others. [arXiv 2101.00190;
 * PEFT's form]
 *
 *   P (n, layers 2 G dh): row j is, for layer l, a key at 2 l and a value at 2 l + 1
 *   projection:  P = tanh(E W0' + b0) W2' + b2      E (n, G dh)
 *
 * Keys are not rotated; the rows of the batch have positions from n on. Does not merge. What others
 * read is P; with a projection the network that makes it lies beside it.
 */
#include "base/log.h"
#include "base/text.h"
#include "peft/prompts.h"

typedef struct config {
    hora_typed typed;
    int64_t n, hidden;
    int64_t layers, heads, width, submodules; /* of the model, for PEFT's file */
    bool projection;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(n, "virtual_tokens", "num_virtual_tokens", "20", 1, 65536, "rows of the prefix"),
    OPT_BOOL(projection, "prefix_projection", NULL, "false", "a network makes the prefix"),
    OPT_INT(hidden, "encoder_hidden_size", NULL, NULL, 1, 1 << 20,
            "width of the network; default that of a row of keys"),
    OPT_INT(layers, "num_layers", NULL, NULL, 0, 1 << 20, "of the model; written for PEFT"),
    OPT_INT(heads, "num_attention_heads", NULL, NULL, 0, 1 << 20,
            "key and value heads of the model; written for PEFT"),
    OPT_INT(width, "token_dim", NULL, NULL, 0, 1 << 20, "width of keys; written for PEFT"),
    OPT_INT(submodules, "num_transformer_submodules", NULL, "1", 1, 1,
            "1: a decoder; written for PEFT"),
};
static const hora_options options = {"Method prefix", rows, HORA_COUNT(rows)};

typedef struct state {
    hora_param *prompt;                /* (n, layers 2 G dh); NULL with a projection */
    hora_param *e, *w0, *b0, *w2, *b2; /* the network */
    hora_t all;                        /* (layers 2, n G dh) of the recording in progress */
    int32_t *index;                    /* 0 1 2 .. */
    void *value;                       /* P of the last evaluation */
} state;

static int64_t key_width(const hora_base *b) {
    return b->kv_heads * b->head_dim;
}

static hora_status check(const hora_adapter *a, config *c) {
    const hora_base *b = a->base;
    const int64_t have[] = {c->layers, c->heads, c->width},
                  want[] = {b->layers, b->kv_heads, key_width(b)};
    for (int i = 0; i < 3; i++)
        if (have[i] && have[i] != want[i])
            return hora_fail(HORA_EMISMATCH,
                             "this prefix is for %lld layers with keys of %lld x %lld; the model "
                             "has %lld, %lld x %lld",
                             (long long)c->layers, (long long)c->heads,
                             (long long)(c->width / hora_max(1, c->heads)), (long long)b->layers,
                             (long long)b->kv_heads, (long long)b->head_dim);
    c->layers = b->layers;
    c->heads = b->kv_heads;
    c->width = key_width(b);
    if (!c->hidden)
        c->hidden = c->width;
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    const int64_t w = key_width(a->base), all = a->base->layers * 2 * w;
    state *st = a->state = hora_calloc(1, sizeof *st);
    HORA_TRY(check(a, c));
    if (!c->typed.from_folder)
        hora_typed_keys(a);
    if (!c->typed.from_folder && a->base->encoder)
        hora_info(
            "prefix: a %s is an encoder, in which PEFT refuses prefixes; hora alone reads the "
            "folder",
            a->base->model_type);
    st->index = hora_malloc((size_t)(a->base->layers * 2) * sizeof *st->index);
    for (int32_t i = 0; i < a->base->layers * 2; i++)
        st->index[i] = i;
    const hora_init normal = {.kind = HORA_INIT_NORMAL, .value = 1};
    const hora_init zero = {.kind = HORA_INIT_ZERO};
    if (!c->projection) {
        st->prompt = hora_adapter_param(a, "prompt_embeddings", HORA_SHAPE2(c->n, all), normal);
        return HORA_OK;
    }
    st->e = hora_prompt_network(a, "embedding.weight", HORA_SHAPE2(c->n, w), normal);
    st->w0 =
        hora_prompt_network(a, "transform.0.weight", HORA_SHAPE2(c->hidden, w), hora_kaiming(w));
    st->b0 = hora_prompt_network(a, "transform.0.bias", HORA_SHAPE1(c->hidden), zero);
    st->w2 = hora_prompt_network(a, "transform.2.weight", HORA_SHAPE2(all, c->hidden),
                                 hora_kaiming(c->hidden));
    st->b2 = hora_prompt_network(a, "transform.2.bias", HORA_SHAPE1(all), zero);
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    if (!st)
        return;
    hora_free(st->index);
    hora_free(st->value);
}

/* --- recording -------------------------------------------------------------------------------- */

/* P (n, layers 2 G dh) */
static hora_t prompt(hora_net *n, const state *st) {
    if (st->prompt)
        return hora_net_param(n, st->prompt);
    hora_t h = hora_linear(n->g, hora_net_param(n, st->e), hora_net_param(n, st->w0),
                           hora_net_param(n, st->b0), HORA_NONE, 1);
    h = hora_activate(n->g, h, HORA_ACT_TANH);
    return hora_linear(n->g, h, hora_net_param(n, st->w2), hora_net_param(n, st->b2), HORA_NONE, 1);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const config *c = a->config;
    state *st = a->state;
    if (layer < 0)
        st->all = hora_permute(n->g, prompt(n, st), 1, c->n, a->base->layers * 2, c->width);
}

/* Row `at` of the (layers 2, n G dh), as (n, G dh). */
static hora_t part(hora_net *n, const hora_adapter *a, int at) {
    const config *c = a->config;
    const state *st = a->state;
    hora_t row = hora_gather(n->g, st->all, st->index + at, 1);
    return hora_permute(n->g, row, c->n, 1, 1, c->width);
}

static void kv(hora_net *n, hora_adapter *a, int layer, hora_t *kp, hora_t *vp) {
    hora_net_prefix(n, kp, part(n, a, 2 * layer));
    hora_net_prefix(n, vp, part(n, a, 2 * layer + 1));
}

static int64_t shift(const hora_adapter *a) {
    return ((const config *)a->config)->n;
}

/* --- on disk ---------------------------------------------------------------------------------- */

/* P of the network, brought back from layer by layer to row by row. */
static hora_status evaluate(hora_adapter *a, float *out) {
    const config *c = a->config;
    const state *st = a->state;
    const int64_t parts = a->base->layers * 2, w = c->width;
    float *all = hora_malloc((size_t)(parts * c->n * w) * sizeof *all);
    hora_status s = hora_prompt_evaluate(a, &st->all, all);
    for (int64_t l = 0; l < parts && !s; l++)
        for (int64_t j = 0; j < c->n; j++)
            memcpy(out + (j * parts + l) * w, all + (l * c->n + j) * w, (size_t)w * sizeof *out);
    hora_free(all);
    return s;
}

static hora_status save(hora_adapter *a, const char *dir) {
    const config *c = a->config;
    const state *st = a->state;
    if (st->prompt)
        return hora_typed_save(a, dir);
    const hora_shape shape = HORA_SHAPE2(c->n, a->base->layers * 2 * c->width);
    float *p = hora_malloc((size_t)hora_shape_elems(&shape) * sizeof *p);
    hora_status s = evaluate(a, p);
    if (!s)
        s = hora_prompt_save(a, dir, p, shape);
    hora_free(p);
    return s;
}

/* Without the network beside it a prefix is what it is. */
static hora_status configure(const hora_method *m, void *own, const hora_foreign *f) {
    config *c = own;
    HORA_TRY(hora_typed_configure(m, own, f));
    if (!f->native && c->projection) {
        c->projection = false;
        hora_json_set(c->typed.peft.own, "prefix_projection", hora_json_new_bool(false));
    }
    return HORA_OK;
}

const hora_method hora_method_prefix = {
    .name = "prefix",
    .summary = "further keys and values in front of each block's, made by a network or free",
    .form = "K' = [P_k ; K], V' = [P_v ; V] in each block",
    .paper = "arXiv 2101.00190",
    .default_lr = 1e-2,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.prelude = prelude, .kv = kv, .shift = shift},
    .setup = setup,
    .release = release,
    .claims = hora_prompt_claims,
    .configure = configure,
    .save = save,
    .load = hora_prompt_load,
    .peft_type = "PREFIX_TUNING",
    .peft_keys = "num_virtual_tokens prefix_projection encoder_hidden_size num_layers "
                 "num_attention_heads token_dim num_transformer_submodules init_weights=null",
};
