/*
 * RandLoRA: an update of full rank, the sum of many products of random matrices that never train;
 * two small matrices of each site weigh them. [arXiv 2502.00987; PEFT's form]
 *
 *   m = min(in, out), n = ceil(m / r) bases of rank r; the model has one pair A (r, 1, m) and
 *   B (max(in, out), n, r), as large as the largest site asks, of which a site takes the first
 *   columns, rows and bases
 *
 *   U[(k, b), j] = l[k, b] A[k, j] g[b, j]     l (r, n) = 0, g (n, m) = 1 / max(n, m)
 *   dW = (alpha / r) B U  where m = in, else (alpha / r) U' B'    rows of U are counted k n + b,
 *                                                 columns of B b r + k: PEFT joins them so
 *
 * l = 0: training starts at the base. Both factors are made once a step.
 */
#include <math.h>

#include "base/text.h"
#include "peft/made.h"
#include "peft/random_pair.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank, key, alpha;
    double dropout;
    bool projection, sparse, very_sparse;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "32", 1, 65536, "rank of a base"),
    OPT_INT(alpha, "alpha", "randlora_alpha", "640", 1, 1 << 30, "scale is alpha / rank"),
    OPT_REAL(dropout, "dropout", "randlora_dropout", "0", 0, 0.99,
             "probability of dropping an input"),
    OPT_INT(key, "projection_prng_key", NULL, "0", 0, INT32_MAX,
            "seed of the random pair, which is drawn as PyTorch draws it"),
    OPT_BOOL(projection, "save_projection", NULL, "true",
             "the random pair lies in the adapter; off: it is drawn again from its seed"),
    OPT_BOOL(sparse, "sparse", NULL, "false", "the pair holds -1, 0 and 1: a third each"),
    OPT_BOOL(very_sparse, "very_sparse", NULL, "false",
             "the same with one number of sqrt(m) that is not 0"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method randlora", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *l, *g;
    int64_t bases, least;
    int32_t *row, *base; /* of each row of U: k, b */
} site;
typedef struct state {
    hora_made *made;
    site *site;
    hora_random_pair pair;
    int64_t bases;    /* of the pair */
    char **copies[2]; /* names of a and of b beside every site */
    int ncopies;      /* of either */
} state;

/* --- the pair --------------------------------------------------------------------------------- */

/* What x / x.std() gives, in the precision of the draw. */
static void normalise(double *x, int64_t n, bool bf16) {
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        mean += x[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    float std = (float)sqrt(sum / (double)(n - 1));
    if (bf16)
        std = hora_bf16_to_f32(hora_f32_to_bf16(std));
    for (int64_t i = 0; i < n; i++) {
        const float y = (float)x[i] / std;
        x[i] = bf16 ? (double)hora_bf16_to_f32(hora_f32_to_bf16(y)) : (double)y;
    }
}

/* Kaiming's draws with a = sqrt 5: U(-b, b), b = 1 / sqrt(fan in). B comes base by base. */
static void draw_dense(hora_torch_rng *r, const hora_param *p, bool first, double *out) {
    const int64_t *d = p->shape.d;
    const int64_t bases = first ? 1 : d[1], rows = d[0], width = d[2];
    double *x = hora_malloc((size_t)(rows * width) * sizeof *x);
    for (int64_t b = 0; b < bases; b++) {
        hora_torch_uniform_bf16(r, 1 / sqrt((double)width), x, rows * width);
        for (int64_t i = 0; i < rows; i++)
            memcpy(out + (i * bases + b) * width, x + i * width, (size_t)width * sizeof *x);
    }
    hora_free(x);
    normalise(out, p->elems, true);
}

static void draw_sparse(hora_torch_rng *r, const hora_param *p, double sparsity, double *out) {
    const float low = (float)(1 / (2 * sparsity)), high = (float)(1 - 1 / (2 * sparsity));
    for (int64_t i = 0; i < p->elems; i++) {
        const float x = (float)(hora_torch_next(r) & 0xffffff) / 16777216.0F;
        out[i] = x < low ? -1 : x > high ? 1 : 0;
    }
    normalise(out, p->elems, false);
}

static void draw_one(const hora_adapter *a, hora_torch_rng *r, const hora_param *p, double *out) {
    const config *c = a->config;
    const hora_random_pair *pair = &((const state *)a->state)->pair;
    if (c->sparse || c->very_sparse)
        draw_sparse(r, p, c->very_sparse ? sqrt((double)pair->a->shape.d[2]) : 3, out);
    else
        draw_dense(r, p, p == pair->a, out);
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
    const int64_t least = hora_min(in, out), most = hora_max(in, out);
    st->bases = hora_ceil_div(least, c->rank);
    hora_random_pair_declare(&st->pair, a, "randlora", HORA_SHAPE3(c->rank, 1, least),
                             HORA_SHAPE3(most, st->bases, c->rank), most, draw, c->projection);
}

/* --- setup ------------------------------------------------------------------------------------ */

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    site *t = &st->site[i];
    t->least = hora_min(s->in, s->out);
    t->bases = hora_ceil_div(t->least, c->rank);
    const int64_t all = c->rank * t->bases;
    st->made[i] = (hora_made){.rank = all,
                              .scale = (double)c->alpha / (double)c->rank,
                              .alpha = (double)c->alpha * (double)t->bases,
                              .dropout = c->dropout};
    t->l = hora_typed_param(a, s, "randlora_lambda", HORA_SHAPE2(c->rank, t->bases),
                            (hora_init){.kind = HORA_INIT_ZERO});
    const double g = 1 / (double)hora_max(t->bases, t->least);
    t->g = hora_typed_param(a, s, "randlora_gamma", HORA_SHAPE2(t->bases, t->least),
                            (hora_init){.kind = HORA_INIT_CONST, .value = g});
    t->row = hora_malloc((size_t)all * sizeof *t->row);
    t->base = hora_malloc((size_t)all * sizeof *t->base);
    for (int64_t k = 0; k < all; k++) {
        t->row[k] = (int32_t)(k / t->bases);
        t->base[k] = (int32_t)(k % t->bases);
    }
    st->copies[0][st->ncopies] = hora_typed_name(s, "randlora_A");
    st->copies[1][st->ncopies++] = hora_typed_name(s, "randlora_B");
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    state *st = hora_made_state(a, sizeof *st);
    const size_t sites = (size_t)a->base->nsites + 1;
    st->site = hora_calloc(sites, sizeof *st->site);
    for (int k = 0; k < 2; k++)
        st->copies[k] = hora_calloc(sites, sizeof **st->copies);
    HORA_TRY(hora_typed_setup_shared(a, shared, add));
    /* PEFT's files have the pair beside every site too */
    st->pair.a->copies = st->copies[0];
    st->pair.b->copies = st->copies[1];
    st->pair.a->ncopies = st->pair.b->ncopies = st->ncopies;
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    for (int i = 0; st && st->site && i < a->base->nsites; i++) {
        hora_free(st->site[i].row);
        hora_free(st->site[i].base);
    }
    if (!st)
        return;
    hora_free(st->site);
    hora_free(st->pair.first);
    for (int k = 0; k < 2; k++)
        hora_list_free(st->copies[k], st->ncopies);
}

/* --- recording -------------------------------------------------------------------------------- */

static void make(hora_net *n, const hora_adapter *a, int i) {
    const config *c = a->config;
    const state *st = a->state;
    const site *t = &st->site[i];
    const hora_site *s = &a->base->sites[i];
    hora_graph *g = n->g;
    const int64_t all = c->rank * t->bases, most = hora_max(s->in, s->out);
    hora_t p =
        hora_permute(g, hora_net_param(n, st->pair.a), c->rank, 1, 1, st->pair.a->shape.d[2]);
    p = hora_gather(g, hora_fit_width(g, p, t->least), t->row, all);
    p = hora_mul(g, p, hora_gather(g, hora_net_param(n, t->g), t->base, all));
    hora_t u = hora_outer(g, hora_permute(g, hora_net_param(n, t->l), all, 1, 1, 1), p);
    hora_t b = hora_permute(g, hora_net_param(n, st->pair.b), st->pair.b->shape.d[0], 1, 1,
                            st->bases * c->rank);
    b = hora_fit_width(g, hora_gather(g, b, st->pair.first, most), all); /* (most, all) */
    const bool wide = t->least < s->in;
    st->made[i].a = wide ? hora_permute(g, b, 1, most, all, 1) : u;     /* (all, in) */
    st->made[i].f = wide ? hora_permute(g, u, 1, all, t->least, 1) : b; /* (out, all) */
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++)
        if (st->made[i].rank && a->base->sites[i].layer == layer)
            make(n, a, i);
}

const hora_method hora_method_randlora = {
    .name = "randlora",
    .summary = "an update of full rank from random matrices, weighed by trained ones",
    .form = "y = W x + b + (alpha / r) B U x, U[(k, b), j] = l[k, b] A[k, j] g[b, j], A, B random",
    .paper = "arXiv 2502.00987",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    HORA_TYPED_FOLDER,
    .peft_type = "RANDLORA",
    .peft_keys = "r randlora_alpha randlora_dropout projection_prng_key save_projection sparse "
                 "very_sparse init_weights=true fan_in_fan_out=false " HORA_TYPED_KEYS,
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
    .factors_rank = "the smaller side of the matrix, in whole bases of `rank`",
};
