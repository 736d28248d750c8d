/*
 * Gates of heads and sublayers in the manner of AdaViT [arXiv 2111.15668, the one about which
 * patches, heads and blocks run; not 2504.03589]: in each block, what the block reads decides which
 * heads and which of the two sublayers take part, within a budget.
 *
 *   m_a, m_f, m_1 .. m_H = choices of W x + b       x: residual stream in front of the block
 *   attention: y = m_a * W_o (m_h * head_h)_h       feed-forward: y = m_f * MLP(..)
 *   loss + 2 (mean of all m - budget)^2
 *
 * [ours] All but the idea: the paper was not at hand. A sample's first row (a class token) decides
 * for the sample, or each row for itself (per=token), as it must be where rows see only what is
 * before them: the first token of a text says nothing of the rest. Its choice of patches is dyt.
 * Sublayers of samples that take no part cost nothing outside of training; heads are only taken
 * times 0. Trains the gates alone: adapters beside it do the rest. Does not merge.
 */
#include "peft/gates.h"
#include "peft/replaced.h"

enum { AUTO, SAMPLE, TOKEN };
typedef struct config {
    hora_gates_config gates;
    bool heads, sublayers;
    int per;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(heads, "heads", NULL, "true", "gates of heads"),
    OPT_BOOL(sublayers, "sublayers", NULL, "true", "gates of attention and feed-forward"),
    OPT_CHOICE(per, "per", NULL, "auto", "auto sample token",
               "who decides: a sample's first row for all of it, each row for itself; auto: sample "
               "where rows see each other both ways"),
    HORA_GATES_OPTIONS(gates, "0.7"),
};
static const hora_options options = {"Method adavit", rows, HORA_COUNT(rows)};

typedef struct block_params {
    hora_gate_params attention, mlp, heads;
} block_params;
typedef struct state {
    block_params *layer;
    hora_t heads, mlp, sum; /* gates of the block in progress */
} state;

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)a->base->layers, sizeof *st->layer);
    if (!c->heads && !c->sublayers)
        return hora_fail(HORA_EUSAGE, "heads and sublayers are both off: there is no gate");
    if (c->per == AUTO)
        c->per = a->base->encoder ? SAMPLE : TOKEN;
    if (!a->base->encoder && c->per == SAMPLE)
        return hora_fail(HORA_EUSAGE, "per=sample: in this model the first token sees itself alone "
                                      "and cannot decide for the others; give per=token");
    for (int i = 0; i < a->base->layers; i++) {
        if (c->sublayers) {
            hora_gates_declare(&st->layer[i].attention, a, &c->gates, i, "policy.attention", 1);
            hora_gates_declare(&st->layer[i].mlp, a, &c->gates, i, "policy.mlp", 1);
        }
        if (c->heads)
            hora_gates_declare(&st->layer[i].heads, a, &c->gates, i, "policy.heads",
                               a->base->heads);
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

/* All gates of a block, from what it reads; each group counts by how many it holds. */
static hora_t decide(hora_net *n, hora_adapter *a, int layer, hora_t x) {
    const config *c = a->config;
    state *st = a->state;
    const block_params *p = &st->layer[layer];
    const bool last = layer + 1 == a->base->layers, whole = c->per == SAMPLE;
    const double heads = c->heads ? (double)a->base->heads : 0;
    const double all = (heads + (c->sublayers ? 2 : 0)) * (double)a->base->layers;
    hora_t m = HORA_NONE;
    st->heads = st->mlp = HORA_NONE;
    if (c->heads) {
        st->heads = hora_gates_record(&p->heads, n, a, &c->gates, x, 0, whole);
        hora_gates_count(n, &c->gates, st->heads, heads / all, 0, last && !c->sublayers, &st->sum);
    }
    if (c->sublayers) {
        m = hora_gates_record(&p->attention, n, a, &c->gates, x, 0, whole);
        st->mlp = hora_gates_record(&p->mlp, n, a, &c->gates, x, 0, whole);
        hora_gates_count(n, &c->gates, m, 1 / all, 0, false, &st->sum);
        hora_gates_count(n, &c->gates, st->mlp, 1 / all, 0, last, &st->sum);
    }
    return m;
}

static hora_t takes(hora_net *n, hora_adapter *a, int layer, hora_where where, hora_t res,
                    bool *whole) {
    state *st = a->state;
    if (n->pass)
        return HORA_NONE;
    *whole = ((const config *)a->config)->per == SAMPLE;
    if (where != HORA_BLOCK_ATTN)
        return st->mlp;
    if (layer == 0)
        st->sum = HORA_NONE;
    return decide(n, a, layer, res);
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    hora_t m = ((const state *)a->state)->heads;
    if (s->kind != HORA_SITE_O || m == HORA_NONE || n->pass)
        return hora_net_next(n, s, x, w, b);
    m = n->packed ? hora_take_rows(n->g, m, n->gate) : m;
    return hora_net_next(n, s, hora_gate(n->g, x, m), w, b);
}

const hora_method hora_method_adavit = {
    .name = "adavit",
    .summary = "gates of heads and sublayers, decided by what the block reads",
    .form = "y = m_a * W_o (m_h * head_h)_h, y = m_f * MLP, m = choices of W x + b",
    .paper = "arXiv 2111.15668",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "which rows take part in a sublayer is decided for all of a batch",
    .hooks = {.linear = linear, .takes = takes},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
