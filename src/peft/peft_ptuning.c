/*
 * P-tuning: rows in front of every text, made by a network that trains. [arXiv 2103.10385; PEFT's
 * form with the MLP]
 *
 *   H = [P ; E[ids]]     P = relu(relu(Q W0' + b0) W2' + b2) W4' + b4      Q (n, d)
 *                        W0 (h, d), W2 (h, h), W4 (d, h)
 *
 * As prompt in everything else. What others read is P; the network lies beside it.
 */
#include "base/text.h"
#include "peft/prompts.h"

typedef struct config {
    hora_prompt_config prompt;
    int64_t hidden;
    int kind;
    bool made; /* of a folder without its network: P itself trains */
} config;

#define OPT_OF config
static const hora_option rows[] = {
    HORA_PROMPT_OPTIONS,
    OPT_INT(hidden, "encoder_hidden_size", NULL, NULL, 1, 1 << 20,
            "width of the network; default that of the model"),
    OPT_CHOICE(kind, "encoder_reparameterization_type", NULL, "MLP", "MLP LSTM",
               "kind of network; LSTM is PEFT's"),
};
static const hora_options options = {"Method ptuning", rows, HORA_COUNT(rows)};

enum { LAYERS = 3 };
typedef struct state {
    hora_param *q, *w[LAYERS], *b[LAYERS];
    hora_param *p; /* in the network's place */
    hora_t all;    /* P of the recording in progress */
} state;

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    const int64_t d = a->base->hidden;
    if (!c->hidden)
        c->hidden = d;
    HORA_TRY(hora_prompt_check(a));
    const hora_init normal = {.kind = HORA_INIT_NORMAL, .value = 1};
    if (c->made) {
        st->p = hora_adapter_param(a, "prompt_embeddings", HORA_SHAPE2(c->prompt.n, d), normal);
        return HORA_OK;
    }
    if (c->kind)
        return hora_fail(HORA_EUNSUPPORTED, "encoder_reparameterization_type=LSTM is not computed "
                                            "here; MLP is");
    const int64_t width[LAYERS + 1] = {d, c->hidden, c->hidden, d};
    st->q = hora_prompt_network(a, "embedding.weight", HORA_SHAPE2(c->prompt.n, d), normal);
    for (int k = 0; k < LAYERS; k++) {
        char *w = hora_format("mlp_head.%d.weight", 2 * k),
             *b = hora_format("mlp_head.%d.bias", 2 * k);
        st->w[k] =
            hora_prompt_network(a, w, HORA_SHAPE2(width[k + 1], width[k]), hora_kaiming(width[k]));
        st->b[k] = hora_prompt_network(a, b, HORA_SHAPE1(width[k + 1]),
                                       (hora_init){.kind = HORA_INIT_ZERO});
        hora_free(w);
        hora_free(b);
    }
    return HORA_OK;
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    if (layer >= 0)
        return;
    st->all = hora_net_param(n, st->p ? st->p : st->q); /* (n, d) */
    for (int k = 0; k < LAYERS && !st->p; k++) {
        if (k)
            st->all = hora_activate(n->g, st->all, HORA_ACT_RELU);
        st->all = hora_linear(n->g, st->all, hora_net_param(n, st->w[k]),
                              hora_net_param(n, st->b[k]), HORA_NONE, 1);
    }
}

static hora_t tokens(hora_net *n, hora_adapter *a, hora_t h) {
    const state *st = a->state;
    return hora_lookup(n->g, st->all, HORA_LEAF_ids, -hora_prompt_slots(a), h);
}

/* --- on disk ---------------------------------------------------------------------------------- */

static hora_status save(hora_adapter *a, const char *dir) {
    const config *c = a->config;
    const state *st = a->state;
    if (st->p)
        return hora_typed_save(a, dir);
    const hora_shape shape = HORA_SHAPE2(c->prompt.n, a->base->hidden);
    float *p = hora_malloc((size_t)hora_shape_elems(&shape) * sizeof *p);
    hora_status s = hora_prompt_evaluate(a, &st->all, p);
    if (!s)
        s = hora_prompt_save(a, dir, p, shape);
    hora_free(p);
    return s;
}

static hora_status configure(const hora_method *m, void *own, const hora_foreign *f) {
    config *c = own;
    HORA_TRY(hora_typed_configure(m, own, f));
    c->made = !f->native;
    return HORA_OK;
}

const hora_method hora_method_ptuning = {
    .name = "ptuning",
    .summary = "rows in front of every text, made by a network",
    .form = "H = [P ; E[ids]], P = relu(relu(Q W0' + b0) W2' + b2) W4' + b4",
    .paper = "arXiv 2103.10385",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement,
              .prelude = prelude,
              .tokens = tokens,
              .slots = hora_prompt_slots},
    .setup = setup,
    .release = hora_typed_release,
    .claims = hora_prompt_claims,
    .configure = configure,
    .save = save,
    .load = hora_prompt_load,
    .peft_type = "P_TUNING",
    .peft_keys = "encoder_reparameterization_type encoder_hidden_size encoder_num_layers=2 "
                 "encoder_dropout=0.0 " HORA_PROMPT_KEYS,
};
