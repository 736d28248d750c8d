/*
 * FourierFT: the update has n frequencies, at random places that all sites of a shape share.
 * [arXiv 2405.03003; PEFT's form]
 *
 *   dW = scaling Re(ifft2(F))        F (out, in), zero but F[u_k, v_k] = c_k
 *      = scaling / (out in) sum_k c_k cos(2 pi (u_k o / out + v_k i / in))
 *
 * cos(a + b) = cos a cos b - sin a sin b: a low-rank update of rank 2 n with fixed factors, the
 * cosines and sines of columns and of rows:
 *
 *   y = W x + b + scaling / (out in) E ((c, -c) * (G x))     G (2 n, in), E (out, 2 n)
 *
 * That rank may be above the width of W; then dW is formed where many rows share it.
 *
 * The places are PyTorch's randperm(out in) from random_loc_seed, row major. c starts at random as
 * in PEFT (init_weights: at zero, the base). Merges.
 */
#include <math.h>

#include "base/threads.h"
#include "peft/torch_rng.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t n, seed;
    double scaling;
    bool zero;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(n, "frequencies", "n_frequency", "1000", 1, 1 << 24, "frequencies of each site"),
    OPT_REAL(scaling, "scaling", NULL, "150", -1e9, 1e9, "factor of the update"),
    OPT_INT(seed, "random_loc_seed", NULL, "777", 0, INT32_MAX, "seed of their places"),
    OPT_BOOL(zero, "init_weights", NULL, "false",
             "start at zero, the base, in the place of random numbers"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method fourierft", rows, HORA_COUNT(rows)};

typedef struct table { /* of the sites of one shape */
    int64_t out, in;
    int64_t *place;    /* n of them, u in + v; NULL until needed */
    void *cols, *rows; /* G (2 n, in), E (out, 2 n) in the adapter's dtype */
} table;
typedef struct state {
    hora_param **c;
    int *shape; /* per site: its table */
    table *tables;
    int ntables, ctables;
    double sign[2]; /* 1, -1 in the adapter's dtype */
} state;

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    int t = 0;
    if (c->n > s->in * s->out)
        return hora_fail(HORA_EUSAGE,
                         "%s is %lld x %lld, so it has no more than %lld frequencies; take as many "
                         "or fewer (it was %lld), or leave it out of targets",
                         s->module, (long long)s->out, (long long)s->in,
                         (long long)(s->in * s->out), (long long)c->n);
    if (s->in * s->out >= (INT64_C(1) << 32) / 20)
        return hora_fail(HORA_EUSAGE,
                         "%s is %lld x %lld: places in a matrix so large cannot be drawn as "
                         "PyTorch draws them; leave it out of targets",
                         s->module, (long long)s->out, (long long)s->in);
    while (t < st->ntables && (st->tables[t].out != s->out || st->tables[t].in != s->in))
        t++;
    if (t == st->ntables) {
        table fresh = {.out = s->out, .in = s->in};
        HORA_PUSH(st->tables, st->ntables, st->ctables, fresh);
    }
    st->shape[i] = t;
    st->c[i] = hora_typed_param(a, s, "fourierft_spectrum", HORA_SHAPE1(c->n),
                                c->zero ? (hora_init){.kind = HORA_INIT_ZERO}
                                        : (hora_init){.kind = HORA_INIT_NORMAL, .value = 1});
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->c = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->c);
    st->shape = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->shape);
    hora_value_put(st->sign, a->dtype, 0, 1);
    hora_value_put(st->sign, a->dtype, 1, -1);
    return hora_typed_setup(a, add);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    if (!st)
        return;
    for (int t = 0; t < st->ntables; t++) {
        hora_free(st->tables[t].place);
        hora_free(st->tables[t].cols);
        hora_free(st->tables[t].rows);
    }
    hora_free(st->tables);
    hora_free(st->c);
    hora_free(st->shape);
}

/* --- tables ----------------------------------------------------------------------------------- */

/* 2 pi (u o / out): exact in the product, which may be large. */
static double angle(int64_t u, int64_t o, int64_t out) {
    return 2 * 3.14159265358979323846 * (double)(u * o % out) / (double)out;
}

typedef struct filling {
    table *t;
    int64_t n;
    hora_dtype dtype;
} filling;

/* Row k of G's cosines and of its sines, and column k of E's. */
static void fill_one(void *arg, int64_t k, int thread) {
    const filling *f = arg;
    const table *t = f->t;
    const int64_t u = t->place[k] / t->in, v = t->place[k] % t->in, n = f->n;
    (void)thread;
    for (int64_t i = 0; i < t->in; i++) {
        hora_value_put(t->cols, f->dtype, k * t->in + i, cos(angle(v, i, t->in)));
        hora_value_put(t->cols, f->dtype, (n + k) * t->in + i, sin(angle(v, i, t->in)));
    }
    for (int64_t o = 0; o < t->out; o++) {
        hora_value_put(t->rows, f->dtype, o * 2 * n + k, cos(angle(u, o, t->out)));
        hora_value_put(t->rows, f->dtype, o * 2 * n + n + k, sin(angle(u, o, t->out)));
    }
}

static table *table_of(const hora_adapter *a, int i) {
    const config *c = a->config;
    const state *st = a->state;
    table *t = &st->tables[st->shape[i]];
    if (t->place)
        return t;
    const size_t size = hora_dtype_size(a->dtype);
    hora_torch_rng r;
    t->place = hora_malloc((size_t)c->n * sizeof *t->place);
    t->cols = hora_malloc((size_t)(2 * c->n * t->in) * size);
    t->rows = hora_malloc((size_t)(2 * c->n * t->out) * size);
    hora_torch_seed(&r, (uint64_t)c->seed);
    hora_torch_randperm(&r, t->out * t->in, t->place, c->n);
    filling f = {t, c->n, a->dtype};
    hora_parallel(c->n, fill_one, &f);
    return t;
}

/* --- recording -------------------------------------------------------------------------------- */

static hora_t fixed(hora_net *n, const hora_adapter *a, const char *name, const void *data,
                    int64_t rows_, int64_t width) {
    return hora_graph_frozen(
        n->g, name, (hora_view){(void *)(uintptr_t)data, a->dtype, HORA_SHAPE2(rows_, width)});
}

/* Products: of every row with both tables, or of the tables first and then of every row with dW. */
static bool forms_update(double rows, double rank, double out, double in) {
    return out * in * (rank + rows) < rows * rank * (out + in);
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const config *c = a->config;
    const state *st = a->state;
    hora_graph *g = n->g;
    const int i = (int)(s - a->base->sites);
    hora_t y = hora_net_next(n, s, x, w, b);
    if (!st->c[i])
        return y;
    const table *t = table_of(a, i);
    const int64_t rank = 2 * c->n;
    const double scale = c->scaling / (double)(s->in * s->out);
    hora_t spectrum = hora_permute(g, hora_net_param(n, st->c[i]), 1, 1, 1, c->n);
    hora_t both = hora_outer(g, fixed(n, a, "signs", st->sign, 1, 2), spectrum); /* (1, 2 n) */
    hora_t columns = fixed(n, a, "columns", t->cols, rank, s->in);
    hora_t rows_ = fixed(n, a, "rows", t->rows, s->out, rank);
    if (forms_update((double)hora_graph_rows(g), (double)rank, (double)s->out, (double)s->in)) {
        columns = hora_permute(g, columns, 1, rank, s->in, 1); /* (in, 2 n) */
        hora_t dw = hora_linear(g, hora_scale(g, rows_, both, 1), columns, HORA_NONE, HORA_NONE, 1);
        return hora_linear(g, x, dw, HORA_NONE, y, scale);
    }
    hora_t z = hora_linear(g, x, columns, HORA_NONE, HORA_NONE, 1);
    return hora_linear(g, hora_scale(g, z, both, 1), rows_, HORA_NONE, y, scale);
}

/* --- merging ---------------------------------------------------------------------------------- */

typedef struct merging {
    const hora_adapter *a;
    const table *t;
    const hora_param *c;
    int64_t n;
    double scale;
    float *w;
} merging;

static void merge_row(void *arg, int64_t o, int thread) {
    const merging *m = arg;
    const int64_t in = m->t->in;
    double *row = hora_calloc((size_t)in, sizeof *row);
    (void)thread;
    for (int64_t k = 0; k < 2 * m->n; k++) {
        const double c = hora_value_at(m->c->value, m->a->dtype, k % m->n) * (k < m->n ? 1 : -1) *
                         hora_value_at(m->t->rows, m->a->dtype, o * 2 * m->n + k);
        for (int64_t i = 0; i < in; i++)
            row[i] += c * hora_value_at(m->t->cols, m->a->dtype, k * in + i);
    }
    for (int64_t i = 0; i < in; i++)
        m->w[o * in + i] += (float)(m->scale * row[i]);
    hora_free(row);
}

static hora_status merge(hora_adapter *a, const hora_merging *to) {
    const config *c = a->config;
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        if (!st->c[i])
            continue;
        merging m = {a,   table_of(a, i), st->c[i], c->n, c->scaling / (double)(s->in * s->out),
                     NULL};
        HORA_TRY(hora_merging_weight(to, s->weight, &m.w));
        hora_parallel(s->out, merge_row, &m);
    }
    return HORA_OK;
}

const hora_method hora_method_fourierft = {
    .name = "fourierft",
    .summary = "an update of a few frequencies at random places",
    .form = "W' = W + scaling Re(ifft2(F)), F zero but at n places",
    .paper = "arXiv 2405.03003",
    .default_lr = 2e-2,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .linear = linear},
    .setup = setup,
    .release = release,
    HORA_TYPED_FOLDER,
    .peft_type = "FOURIERFT",
    .peft_keys = "n_frequency scaling random_loc_seed init_weights n_frequency_pattern!{} "
                 "fan_in_fan_out=false " HORA_TYPED_KEYS,
    .merge = merge,
};
