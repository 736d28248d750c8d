/*
 * KAdaptation: the update is a sum of n Kronecker products whose slow factors all blocks share.
 * [arXiv 2203.16329]
 *
 *   dW = scale sum_j (s_j t_j') (x) (u_j v_j')     s, t (n, n): rows s_j, one pair per target
 *   y  = W x + b + dW dropout(x) + bias            u (n, out / n), v (n, in / n), bias (out)
 *
 * Each term has rank 1, (s_j (x) u_j)(t_j (x) v_j)', so dW is low-rank with factors made of outer
 * products, row by row, and nothing of its size is formed. v = 0: training starts at the base.
 * [ours: the released code starts u and v at zero, where neither ever moves]
 */
#include <math.h>

#include "base/text.h"
#include "peft/made.h"
#include "peft/replaced.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t n;
    double scale, dropout;
    bool bias;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(n, "terms", "n", "32", 1, 4096, "Kronecker products, and width of their slow factors"),
    OPT_REAL(scale, "scale", NULL, "1", -1e6, 1e6, "factor of the update"),
    OPT_REAL(dropout, "dropout", NULL, "0", 0, 0.99, "probability of dropping an input"),
    OPT_BOOL(bias, "bias", NULL, "true",
             "a bias of its own behind each target; off: merges into models without biases"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method kadapt", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *u, *v, *bias;
    hora_t shift; /* of the recording in progress: the bias times the adapter's weight */
} site;
typedef struct state {
    hora_made *made;
    site *site;
    hora_param *s[HORA_SITES], *t[HORA_SITES]; /* per kind of target */
} state;

static hora_param *declare(hora_adapter *a, int layer, const char *what, hora_site_kind k,
                           hora_shape shape, double std) {
    char *name = layer < 0 ? hora_format("kadapt_%s_%s", what, hora_site_short(k))
                           : hora_format("layers.%d.kadapt_%s_%s", layer, what, hora_site_short(k));
    hora_param *p = hora_adapter_param(a, name, shape,
                                       std > 0 ? (hora_init){.kind = HORA_INIT_NORMAL, .value = std}
                                               : (hora_init){.kind = HORA_INIT_ZERO});
    p->layer = layer;
    hora_free(name);
    return p;
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    const int64_t n = c->n;
    int64_t fits = hora_min(n, hora_min(s->in, s->out));
    while (s->in % fits || s->out % fits)
        fits--;
    if (fits != n)
        return hora_fail(HORA_EUSAGE,
                         "terms=%lld does not divide %s, which is %lld x %lld; take a number that "
                         "divides both, %lld for one",
                         (long long)n, s->module, (long long)s->out, (long long)s->in,
                         (long long)fits);
    if (!st->s[s->kind]) {
        st->s[s->kind] = declare(a, -1, "s", s->kind, HORA_SHAPE2(n, n), 1 / sqrt((double)n));
        st->t[s->kind] = declare(a, -1, "t", s->kind, HORA_SHAPE2(n, n), 1 / sqrt((double)n));
    }
    st->made[i] = (hora_made){
        .rank = n, .scale = c->scale, .alpha = c->scale * (double)n, .dropout = c->dropout};
    st->site[i].u = declare(a, s->layer, "u", s->kind, HORA_SHAPE2(n, s->out / n),
                            1 / sqrt((double)(s->out / n)));
    st->site[i].v = declare(a, s->layer, "v", s->kind, HORA_SHAPE2(n, s->in / n), 0);
    if (c->bias) {
        st->site[i].bias = declare(a, s->layer, "b", s->kind, HORA_SHAPE1(s->out), 0);
        st->site[i].bias->decay = false;
    }
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    state *st = hora_made_state(a, sizeof *st);
    st->site = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->site);
    return hora_typed_setup(a, add);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (st)
        hora_free(st->site);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const config *c = a->config;
    state *st = a->state;
    hora_graph *g = n->g;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        if (!st->made[i].rank || s->layer != layer)
            continue;
        hora_t f = hora_outer(g, hora_net_param(n, st->s[s->kind]),
                              hora_net_param(n, st->site[i].u)); /* (n, out) */
        st->made[i].a = hora_outer(g, hora_net_param(n, st->t[s->kind]),
                                   hora_net_param(n, st->site[i].v)); /* (n, in) */
        st->made[i].f = hora_permute(g, f, 1, c->n, s->out, 1);
        hora_param *bias = st->site[i].bias;
        if (bias)
            st->site[i].shift = a->weight == 1
                                    ? hora_net_param(n, bias)
                                    : hora_scale(g, hora_net_param(n, bias), HORA_NONE, a->weight);
    }
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const site *t = &((const state *)a->state)->site[s - a->base->sites];
    hora_t y = hora_made_linear(n, a, s, x, w, b);
    if (t->bias)
        hora_net_beyond(n);
    return t->bias ? hora_affine(n->g, y, HORA_NONE, t->shift) : y;
}

static hora_status merge_bias(const hora_adapter *a, int i, const hora_merging *m) {
    const hora_site *s = &a->base->sites[i];
    const hora_param *p = ((const state *)a->state)->site[i].bias;
    float *bias;
    if (s->bias < 0)
        return hora_fail(
            HORA_EUNSUPPORTED,
            "%s has no bias that kadapt's could be merged into; train with bias=false, "
            "or use the adapter beside its base",
            s->module);
    HORA_TRY(hora_merging_weight(m, s->bias, &bias));
    for (int64_t o = 0; o < s->out; o++)
        bias[o] += (float)hora_value_at(p->value, a->dtype, o);
    return HORA_OK;
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++)
        if (st->site[i].bias)
            HORA_TRY(merge_bias(a, i, m));
    return hora_lowrank_merge(a, m);
}

const hora_method hora_method_kadapt = {
    .name = "kadapt",
    .summary = "sum of Kronecker products, slow factors shared by all blocks",
    .form = "W' = W + sum_j (s_j t_j') (x) (u_j v_j'), s and t shared by all blocks",
    .paper = "arXiv 2203.16329",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
    .merge = merge,
    HORA_MADE_FACTORS,
    .factors_rank = "the terms; trained with bias=false",
};
