/*
 * Approximately orthogonal factors from one vector each. [arXiv 2507.13260 has the idea, that a
 * factor's rows are nearly orthogonal and come from one learnable vector; how is ours]
 *
 *   y = W x + b + (alpha / r) B A dropout(x)    A = the first r rows of H(u)            u (in)
 *                                               B = the first r columns of H(v), each
 *                                                   times its number of l     v (out), l (r)
 *   H(a) = I - 2 a a' / a'a
 *
 * Rows of A and directions of B are orthonormal throughout. l = 0: training starts at the base. For
 * others a plain LoRA.
 */
#include "base/text.h"
#include "peft/beside.h"
#include "peft/made.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank;
    double alpha, dropout;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    HORA_LOWRANK_OPTIONS,
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method aoft", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *u, *v, *l;
} site;
typedef struct state {
    hora_made *made;
    site *site;
    void *one; /* the identity (r, r), in the adapter's dtype */
} state;

static hora_param *declare(hora_adapter *a, const hora_site *s, char what, int64_t n) {
    char *name = hora_format("layers.%d.aoft_%c_%s", s->layer, what, hora_site_short(s->kind));
    hora_param *p =
        hora_adapter_param(a, name, HORA_SHAPE1(n),
                           what == 'l' ? (hora_init){.kind = HORA_INIT_ZERO}
                                       : (hora_init){.kind = HORA_INIT_NORMAL, .value = 1});
    p->layer = s->layer;
    p->decay = what == 'l'; /* of the others only the direction counts */
    p->lora_b = what == 'l';
    hora_free(name);
    return p;
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    const int64_t r = c->rank;
    if (s->layer < 0)
        return hora_fail(HORA_EUSAGE, "targets: %s stands outside of the blocks; leave it out",
                         s->module);
    if (r > hora_min(s->in, s->out))
        return hora_fail(HORA_EUSAGE,
                         "rank %lld: %s has %lld x %lld numbers, and no more orthogonal directions "
                         "than %lld; give at most that",
                         (long long)r, s->module, (long long)s->out, (long long)s->in,
                         (long long)hora_min(s->in, s->out));
    st->made[i] = (hora_made){
        .rank = r, .scale = c->alpha / (double)r, .alpha = c->alpha, .dropout = c->dropout};
    st->site[i] = (site){.u = declare(a, s, 'u', s->in),
                         .v = declare(a, s, 'v', s->out),
                         .l = declare(a, s, 'l', r)};
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    const int64_t r = c->rank;
    state *st = hora_made_state(a, sizeof *st);
    st->site = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->site);
    hora_lowrank_scale(&c->typed.peft, r, &c->alpha, c->dropout);
    HORA_TRY(hora_typed_setup(a, add)); /* refuses a rank that is too large */
    st->one = hora_calloc((size_t)(r * r), hora_dtype_size(a->dtype));
    for (int64_t k = 0; k < r; k++)
        hora_value_put(st->one, a->dtype, k * r + k, 1);
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (!st)
        return;
    hora_free(st->site);
    hora_free(st->one);
}

/* The first r rows of H(q), (r, n). */
static hora_t reflected(hora_net *n, hora_t one, const hora_param *q) {
    hora_t e = hora_fit_width(n->g, one, q->elems);
    return hora_reflect(n->g, e, hora_permute(n->g, hora_net_param(n, q), 1, 1, 1, q->elems));
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const int64_t r = ((const config *)a->config)->rank;
    state *st = a->state;
    hora_t one = HORA_NONE;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        const site *t = &st->site[i];
        if (!st->made[i].rank || s->layer != layer)
            continue;
        if (one == HORA_NONE)
            one = hora_graph_frozen(n->g, "unit vectors",
                                    (hora_view){st->one, a->dtype, HORA_SHAPE2(r, r)});
        hora_t f = hora_permute(n->g, reflected(n, one, t->v), 1, r, s->out, 1); /* (out, r) */
        st->made[i].a = reflected(n, one, t->u);
        st->made[i].f = hora_scale(n->g, f, hora_net_param(n, t->l), 1);
    }
}

const hora_method hora_method_aoft = {
    .name = "aoft",
    .summary = "low-rank factors with orthonormal directions, each made of one vector",
    .form = "y = W x + b + (alpha / r) B A x, A = r rows of H(u), B = r columns of H(v) times l",
    .paper = "arXiv 2507.13260",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    HORA_BESIDE_FOLDER,
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
};
