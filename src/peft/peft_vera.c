/*
 * VeRA: one pair of random matrices for the whole model, which never trains, and two vectors for
 * each site. [arXiv 2310.11454]
 *
 *   y = W x + b + diag(l_b) B diag(l_d) A dropout(x)
 *
 *   A (r, in), B (out, r)   the first columns and rows of the model's pair, which is as large as
 *                           the largest site asks
 *   l_d (r) = d_initial, l_b (out) = 0        training starts at the base
 *
 * Both are folded into low-rank factors once a step: B diag(l_d) by columns, then its rows by l_b.
 */
#include <math.h>

#include "base/text.h"
#include "peft/made.h"
#include "peft/random_pair.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank, key;
    double dropout, d_initial;
    bool projection;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "256", 1, 65536, "rows of the shared A"),
    OPT_REAL(d_initial, "d_initial", NULL, "0.1", -100, 100, "start of the vectors l_d"),
    OPT_REAL(dropout, "dropout", "vera_dropout", "0", 0, 0.99,
             "probability of dropping an input of A"),
    OPT_INT(key, "projection_prng_key", NULL, "0", 0, INT32_MAX,
            "seed of the shared pair, which is drawn as PyTorch draws it"),
    OPT_BOOL(projection, "save_projection", NULL, "true",
             "the shared pair lies in the adapter; off: it is drawn again from its seed"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method vera", rows, HORA_COUNT(rows)};

typedef struct vectors {
    hora_param *d, *b;
} vectors;
typedef struct state {
    hora_made *made;
    vectors *site;
    hora_random_pair pair;
} state;

/* PEFT's Kaiming draw, gain sqrt 2: U(-sqrt(6 / fan in), ..). */
static void draw_one(const hora_adapter *a, hora_torch_rng *r, const hora_param *p, double *out) {
    (void)a;
    hora_torch_uniform(r, sqrt(6 / (double)p->shape.d[1]), out, p->elems);
}

static hora_status draw(const hora_adapter *a, const hora_param *p, double *out) {
    hora_random_pair_draw(&((const state *)a->state)->pair, a, ((const config *)a->config)->key, p,
                          out, draw_one);
    return HORA_OK;
}

static void shared(hora_adapter *a, const bool *on) {
    const config *c = a->config;
    state *st = a->state;
    int64_t in, out;
    hora_random_pair_sides(a, on, &in, &out);
    hora_random_pair_declare(&st->pair, a, "vera", HORA_SHAPE2(c->rank, in),
                             HORA_SHAPE2(out, c->rank), hora_max(in, out), draw, c->projection);
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site whole = hora_typed_whole(a, i), *s = &whole;
    st->made[i] = (hora_made){.rank = c->rank, .scale = 1, .alpha = (double)c->rank};
    st->made[i].dropout = c->dropout;
    st->site[i].b = hora_typed_param(a, s, "vera_lambda_b", HORA_SHAPE1(s->out),
                                     (hora_init){.kind = HORA_INIT_ZERO});
    st->site[i].d = hora_typed_param(a, s, "vera_lambda_d", HORA_SHAPE1(c->rank),
                                     (hora_init){.kind = HORA_INIT_CONST, .value = c->d_initial});
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    state *st = hora_made_state(a, sizeof *st);
    st->site = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->site);
    return hora_typed_setup_shared(a, shared, add);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (!st)
        return;
    hora_free(st->site);
    hora_free(st->pair.first);
}

/* The first n rows of x. */
static hora_t first(hora_graph *g, hora_t x, const state *st, int64_t n) {
    return hora_graph_view(g, x)->shape.d[0] == n ? x : hora_gather(g, x, st->pair.first, n);
}

/* The first n columns of x (rows, cols), by way of its transpose. */
static hora_t columns(hora_graph *g, hora_t x, const state *st, int64_t n) {
    const hora_shape s = hora_graph_view(g, x)->shape;
    if (s.d[1] == n)
        return x;
    hora_t t = first(g, hora_permute(g, x, 1, s.d[0], s.d[1], 1), st, n);
    return hora_permute(g, t, 1, n, s.d[0], 1);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    hora_graph *g = n->g;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        if (!st->made[i].rank || s->layer != layer)
            continue;
        const hora_site whole = hora_typed_whole(a, i);
        hora_t pair =
                   hora_typed_rows(n, a, i, first(g, hora_net_param(n, st->pair.b), st, whole.out)),
               b = hora_permute(g, hora_net_param(n, st->site[i].b), whole.out, 1, 1, 1);
        hora_t f = hora_scale(g, pair, hora_net_param(n, st->site[i].d), 1); /* (out, r) */
        b = hora_typed_rows(n, a, i, b);
        st->made[i].a = columns(g, hora_net_param(n, st->pair.a), st, s->in); /* (r, in) */
        st->made[i].f = hora_outer(g, b, f);
    }
}

const hora_method hora_method_vera = {
    .name = "vera",
    .summary = "one shared random pair of factors, two trained vectors per site",
    .form = "y = W x + b + diag(l_b) B diag(l_d) A x, A and B random and shared",
    .paper = "arXiv 2310.11454",
    .default_lr = 4e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    HORA_TYPED_FOLDER,
    .peft_type = "VERA",
    .whole = true,
    .peft_keys = "r d_initial vera_dropout projection_prng_key save_projection init_weights=true "
                 "fan_in_fan_out=false " HORA_TYPED_KEYS,
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
};
