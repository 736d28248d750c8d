/*
 * Attention prompt tuning: further keys and values in each block, the same for all heads, put there
 * behind the projections. [arXiv 2403.06978]
 *
 *   K' = [K ; P_k max(c_k, 1)]   V' = [V ; P_v max(c_v, 1)]    P (n, dh), c (n), a factor a prompt
 *
 * Not rotated, seen by every query. max(c, 1) = c + relu(1 - c), so that c moves from its start at
 * 1. Not the base at the start: P is random, U(-b, b) with b = sqrt(6 / (hidden + dh)) [ours: the
 * paper's has the patch size in it]. Does not merge.
 */
#include <math.h>

#include "base/text.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t n;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(n, "prompts", "n", "16", 1, 65536, "further keys and values of each block"),
};
static const hora_options options = {"Method apt", rows, HORA_COUNT(rows)};

enum { K, V, SIDES };
typedef struct prompt {
    hora_param *p, *c; /* (n, dh), (n) */
} prompt;
typedef struct state {
    prompt (*layer)[SIDES];
    hora_t (*made)[SIDES]; /* (n, G dh) of the recording in progress */
    void *ones;            /* n G of them, in the adapter's dtype */
} state;

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const hora_base *b = a->base;
    static const char *const names[SIDES] = {"k", "v"};
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)b->layers, sizeof *st->layer);
    st->made = hora_calloc((size_t)b->layers, sizeof *st->made);
    const int64_t most = c->n * b->kv_heads;
    st->ones = hora_malloc((size_t)most * hora_dtype_size(a->dtype));
    for (int64_t i = 0; i < most; i++)
        hora_value_put(st->ones, a->dtype, i, 1);
    const double bound = sqrt(6 / (double)(b->hidden + b->head_dim));
    for (int i = 0; i < b->layers; i++)
        for (int k = 0; k < SIDES; k++) {
            char *p = hora_format("layers.%d.apt_%s", i, names[k]);
            char *s = hora_format("layers.%d.apt_%s_scale", i, names[k]);
            prompt *t = &st->layer[i][k];
            t->p = hora_adapter_param(a, p, HORA_SHAPE2(c->n, b->head_dim),
                                      (hora_init){.kind = HORA_INIT_UNIFORM, .value = bound});
            t->c = hora_adapter_param(a, s, HORA_SHAPE1(c->n),
                                      (hora_init){.kind = HORA_INIT_CONST, .value = 1});
            t->c->decay = false;
            t->p->layer = t->c->layer = i;
            hora_free(p);
            hora_free(s);
        }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    if (!st)
        return;
    hora_free(st->layer);
    hora_free(st->made);
    hora_free(st->ones);
}

/* (rows, width) of ones. */
static hora_t ones(hora_net *n, const hora_adapter *a, int64_t rows, int64_t width) {
    const state *st = a->state;
    return hora_graph_frozen(n->g, "ones",
                             (hora_view){st->ones, a->dtype, HORA_SHAPE2(rows, width)});
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const config *c = a->config;
    state *st = a->state;
    hora_graph *g = n->g;
    for (int k = 0; k < SIDES && layer >= 0; k++) {
        const prompt *t = &st->layer[layer][k];
        hora_t one = ones(n, a, c->n, 1);
        hora_t s = hora_permute(g, hora_net_param(n, t->c), c->n, 1, 1, 1); /* (n, 1) */
        hora_t more = hora_activate(g, hora_add(g, one, s, -1), HORA_ACT_RELU);
        hora_t p = hora_outer(g, hora_add(g, s, more, 1), hora_net_param(n, t->p));
        st->made[layer][k] = hora_outer(g, ones(n, a, c->n, a->base->kv_heads), p);
    }
}

static void kv(hora_net *n, hora_adapter *a, int layer, hora_t *kp, hora_t *vp) {
    const state *st = a->state;
    hora_net_prefix(n, kp, st->made[layer][K]);
    hora_net_prefix(n, vp, st->made[layer][V]);
}

const hora_method hora_method_apt = {
    .name = "apt",
    .summary = "further keys and values of each block, shared by its heads",
    .form = "K' = [K ; P_k max(c_k, 1)], V' = [V ; P_v max(c_v, 1)], P the same for all heads",
    .paper = "arXiv 2403.06978",
    .default_lr = 1e-2,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.prelude = prelude, .kv = kv},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
