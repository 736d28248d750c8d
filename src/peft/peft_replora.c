/*
 * A generator with diagonal inputs, one per block: RepLoRA-like. The first layers are shared by all
 * targets of the block. [arXiv 2502.03044: its first-layer sharing; the rest is ours]
 *
 *   A_P' = W2a_P act(W1a diag(a))   (in, r)       a, b (r);  W1a, W1b (m, r)
 *   B_P  = W2b_P act(W1b diag(b))   (out, r)      W2a_P (in, m), W2b_P (out, m)
 *   y    = W x + b + (alpha / r) B_P A_P dropout(x)
 *
 * W2b = 0: training starts at the base. Factors are made once a step; for others it is a plain
 * LoRA.
 */
#include <math.h>

#include "base/text.h"
#include "peft/beside.h"
#include "peft/made.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank, hidden;
    double alpha, dropout;
    int act;
} config;

static const hora_act acts[] = {HORA_ACT_RELU, HORA_ACT_IDENTITY, HORA_ACT_TANH, HORA_ACT_SIGMOID,
                                HORA_ACT_GELU};
#define OPT_OF config
static const hora_option rows[] = {
    HORA_RANK_OPTION,
    HORA_ALPHA_OPTION,
    OPT_INT(hidden, "hidden", "m", NULL, 1, 65536,
            "width of the generator; default twice the rank"),
    OPT_CHOICE(act, "act", NULL, "relu", "relu identity tanh sigmoid gelu",
               "between the generator's layers"),
    HORA_DROPOUT_OPTION,
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method replora", rows, HORA_COUNT(rows)};

typedef struct block {
    hora_param *in[2], *w1[2]; /* a and b, W1a and W1b */
    hora_t z[2];               /* (r, m) of the recording in progress */
} block;
typedef struct state {
    hora_made *made;
    block *block;
    hora_param *(*w2)[2]; /* per site */
} state;

static hora_param *declare(hora_adapter *a, int layer, const char *name, char side, char target,
                           hora_shape shape, double std) {
    char *full = target  ? hora_format("layers.%d.%s_%c_%s", layer, name, side,
                                       hora_site_short((hora_site_kind)(target - 1)))
                 : *name ? hora_format("layers.%d.%s_%c", layer, name, side)
                         : hora_format("layers.%d.%c", layer, side);
    hora_param *p =
        hora_adapter_param(a, full, shape, (hora_init){.kind = HORA_INIT_NORMAL, .value = std});
    p->layer = layer;
    if (std == 0) {
        p->init.kind = HORA_INIT_ZERO;
        p->lora_b = true;
    }
    hora_free(full);
    return p;
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    if (s->layer < 0)
        return hora_fail(HORA_EUSAGE,
                         "targets: %s stands outside of the blocks, which have the generators; "
                         "leave it out",
                         s->module);
    block *b = &st->block[s->layer];
    const int64_t r = c->rank, m = c->hidden;
    st->made[i] = (hora_made){
        .rank = r, .scale = c->alpha / (double)r, .alpha = c->alpha, .dropout = c->dropout};
    for (int k = 0; k < 2; k++) {
        const char side = k ? 'b' : 'a';
        if (!b->in[k]) {
            b->in[k] = declare(a, s->layer, "", side, 0, HORA_SHAPE1(r), 1);
            b->w1[k] = declare(a, s->layer, "w1", side, 0, HORA_SHAPE2(m, r), sqrt(2 / (double)r));
        }
        st->w2[i][k] = declare(a, s->layer, "w2", side, (char)(s->kind + 1),
                               HORA_SHAPE2(k ? s->out : s->in, m),
                               k ? 0 : sqrt(1 / (3 * (double)s->in * (double)m)));
    }
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = hora_made_state(a, sizeof *st);
    st->block = hora_calloc((size_t)a->base->layers, sizeof *st->block);
    st->w2 = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->w2);
    if (!c->hidden)
        c->hidden = 2 * c->rank;
    hora_lowrank_scale(&c->typed.peft, c->rank, &c->alpha, c->dropout);
    return hora_typed_setup(a, add);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (!st)
        return;
    hora_free(st->block);
    hora_free(st->w2);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const config *c = a->config;
    state *st = a->state;
    hora_graph *g = n->g;
    if (layer < 0 || !st->block[layer].in[0])
        return;
    block *b = &st->block[layer];
    for (int k = 0; k < 2; k++) {
        hora_t z = hora_scale(g, hora_net_param(n, b->w1[k]), hora_net_param(n, b->in[k]), 1);
        b->z[k] = hora_permute(g, hora_activate(g, z, acts[c->act]), 1, c->hidden, c->rank, 1);
    }
    for (int i = 0; i < a->base->nsites; i++)
        if (st->made[i].rank && a->base->sites[i].layer == layer) {
            st->made[i].a = hora_linear(g, b->z[0], hora_net_param(n, st->w2[i][0]), HORA_NONE,
                                        HORA_NONE, 1); /* (r, in) */
            st->made[i].f = hora_linear(g, hora_net_param(n, st->w2[i][1]), b->z[1], HORA_NONE,
                                        HORA_NONE, 1); /* (out, r) */
        }
}

const hora_method hora_method_replora = {
    .name = "replora",
    .summary = "one generator with diagonal inputs per block makes the low-rank factors",
    .form = "y = W x + b + (alpha / r) B A x, A' = W2a act(W1a diag(a)), B = W2b act(W1b diag(b))",
    .paper = "arXiv 2502.03044",
    .default_lr = 1e-4,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    HORA_BESIDE_FOLDER,
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
};
