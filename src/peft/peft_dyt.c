/*
 * Dynamic tuning (DyT): an adapter for all tokens, the frozen feed-forward for those alone that a
 * dispatcher picks. [arXiv 2403.11808]
 *
 *   m_j = 1[g((w z_j + b + noise) / tau) > 1/2]     straight through; class tokens always 1
 *   y   = z + m * MLP(norm z) + s f(z)              z: residual stream behind attention
 *   f(z) = W_up act(W_down z + b_down) + b_up
 *   loss = L(gated) + 2 (mean m - rho)^2 [+ L(ungated)] [+ KL(ungated, a constant || gated)]
 *
 * As its released code has it; attention runs on every token. Without noise and tau outside of
 * training, where tokens that are not picked cost the feed-forward nothing: the others are packed.
 * [ours] w = 0 and b = 2 at the start (all are picked), and no token is always 1 where tokens see
 * only what is before them. Does not merge.
 */
#include "peft/bottleneck.h"
#include "peft/gates.h"
#include "peft/replaced.h"

enum { OFF, LOSS, DISTIL };
typedef struct config {
    hora_gates_config gates;
    int64_t width;
    double scale, dropout;
    int act, second;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(width, "bottleneck", "k", "64", 1, 65536, "width of the adapter's hidden layer"),
    OPT_REAL(scale, "scale", "s", "0.1", -1e6, 1e6, "factor of what the adapter adds"),
    OPT_CHOICE(act, "act", NULL, "relu", hora_bottleneck_acts, "of the hidden layer"),
    OPT_REAL(dropout, "dropout", NULL, "0.1", 0, 0.99, "probability of dropping a hidden number"),
    OPT_CHOICE(second, "second_pass", NULL, "off", "off loss loss+kl",
               "a pass without gates in training: its loss, and the gated one follows it"),
    HORA_GATES_OPTIONS(gates, "0.5"),
};
static const hora_options options = {"Method dyt", rows, HORA_COUNT(rows)};

typedef struct block_params {
    hora_gate_params gate;
    hora_bottleneck adapter;
} block_params;
typedef struct state {
    block_params *layer;
    hora_t sum; /* of shares, in the recording in progress */
} state;

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)a->base->layers, sizeof *st->layer);
    for (int i = 0; i < a->base->layers; i++) {
        hora_gates_declare(&st->layer[i].gate, a, &c->gates, i, "dispatch", 1);
        hora_bottleneck_declare(&st->layer[i].adapter, a, i, "adapter", c->width);
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

static hora_t takes(hora_net *n, hora_adapter *a, int layer, hora_where where, hora_t res,
                    bool *whole) {
    const config *c = a->config;
    state *st = a->state;
    const int64_t lead = hora_gates_lead(a->base), layers = a->base->layers;
    (void)whole;
    if (where != HORA_BLOCK_MLP || n->pass)
        return HORA_NONE;
    if (layer == 0)
        st->sum = HORA_NONE;
    hora_t m = hora_gates_record(&st->layer[layer].gate, n, a, &c->gates, res, lead, false);
    hora_gates_count(n, &c->gates, m, 1 / (double)layers, lead, layer + 1 == layers, &st->sum);
    return m;
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    const state *st = a->state;
    if (where != HORA_BLOCK_MLP)
        return s->y;
    hora_t f = hora_bottleneck_record(&st->layer[layer].adapter, n, a, s->res,
                                      hora_bottleneck_act(c->act), c->dropout, 0);
    return hora_add(n->g, s->y, f, c->scale);
}

static bool second(const hora_adapter *a, bool *distil) {
    const config *c = a->config;
    *distil |= c->second == DISTIL;
    return c->second != OFF;
}

const hora_method hora_method_dyt = {
    .name = "dyt",
    .summary = "an adapter for all tokens, the feed-forward for those that a dispatcher picks",
    .form = "y = z + m * MLP(norm z) + s f(z), m_j = 1[g((w z_j + b) / tau) > 1/2]",
    .paper = "arXiv 2403.11808",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "which rows take part in a sublayer is decided for all of a batch",
    .hooks = {.block = block, .takes = takes, .second = second},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
