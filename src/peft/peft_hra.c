/*
 * HRA: the input of a projection is reflected r times. [arXiv 2405.17484; PEFT's form]
 *
 *   y = W H_0 H_1 .. H_(r-1) x + b      H_j = I - 2 u_j u_j' / u_j'u_j     U (in, r), a column each
 *
 * With gs the columns are first made orthonormal, in their order. Columns start in equal pairs,
 * whose reflections cancel: training starts at the base when r is even. Paper's orthogonality
 * regulariser: not here, as it is not in PEFT's layer.
 *
 * H_0 .. H_(r-1) = I - V U^' with V from a triangle of products, so it merges row by row: each row
 * of W is reflected by H_0 first.
 */
#include <math.h>

#include "base/log.h"
#include "base/rng.h"

#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank;
    bool gs;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "8", 1, 4096, "reflections of each site"),
    OPT_BOOL(gs, "apply_gs", "apply_GS", "false",
             "make the vectors orthonormal first; never starts at the base"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method hra", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *u;
    hora_t rows; /* (r, in) of the recording in progress */
} site;

/* Pairs of equal columns; one that is left over has none, as in PEFT. */
static hora_status pairs(const hora_adapter *a, const hora_param *p, double *out) {
    const int64_t in = p->shape.d[0], r = p->shape.d[1];
    hora_rng rng = hora_rng_new(a->seed, p->name);
    for (int64_t k = 0; k < in; k++)
        for (int64_t j = 0; j < r; j++)
            out[k * r + j] = j % 2 && r % 2 == 0
                                 ? out[k * r + j - 1]
                                 : (2 * hora_rng_uniform(&rng) - 1) / sqrt((double)r);
    return HORA_OK;
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    const hora_site whole = hora_typed_whole(a, i), *s = &whole;
    if (c->rank > s->in)
        return hora_fail(HORA_EUSAGE, "rank %lld is above the width of %s, %lld; take fewer",
                         (long long)c->rank, s->module, (long long)s->in);
    ((site *)a->state)[i].u =
        hora_typed_param(a, s, "hra_u", HORA_SHAPE2(s->in, c->rank),
                         (hora_init){.kind = HORA_INIT_COMPUTED, .compute = pairs});
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    a->state = hora_calloc((size_t)a->base->nsites + 1, sizeof(site));
    if (c->rank % 2 && !c->typed.from_folder)
        hora_warn("hra: rank %lld is odd, so training does not start at the base; even ranks do",
                  (long long)c->rank);
    return hora_typed_setup(a, add);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const config *c = a->config;
    site *st = a->state;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        if (!st[i].u || s->layer != layer)
            continue;
        hora_t u = hora_permute(n->g, hora_net_param(n, st[i].u), 1, s->in, c->rank, 1);
        st[i].rows = c->gs ? hora_orthonormal(n->g, u) : u;
    }
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const site *t = &((const site *)a->state)[s - a->base->sites];
    return hora_net_next(n, s, t->u ? hora_reflect(n->g, x, t->rows) : x, w, b);
}

/* --- merging ---------------------------------------------------------------------------------- */

typedef struct mirrors {
    int64_t in, rank;
    double *u; /* (rank, in), of length 1 */
} mirrors;

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += x[k] * y[k];
    return sum;
}

static mirrors mirrors_of(const hora_adapter *a, int i) {
    const config *c = a->config;
    const hora_param *p = ((const site *)a->state)[i].u;
    mirrors m = {p->shape.d[0], p->shape.d[1], hora_malloc((size_t)p->elems * sizeof(double))};
    for (int64_t j = 0; j < m.rank; j++) {
        double *u = m.u + j * m.in;
        for (int64_t k = 0; k < m.in; k++)
            u[k] = hora_value_at(p->value, a->dtype, k * m.rank + j);
        for (int64_t l = 0; c->gs && l < j; l++) {
            const double f = dot(m.u + l * m.in, u, m.in);
            for (int64_t k = 0; k < m.in; k++)
                u[k] -= f * m.u[l * m.in + k];
        }
        const double norm = sqrt(dot(u, u, m.in));
        for (int64_t k = 0; k < m.in && norm > 0; k++)
            u[k] /= norm;
    }
    return m;
}

static void reflect_row(void *arg, double *w) {
    const mirrors *m = arg;
    for (int64_t j = 0; j < m->rank; j++) {
        const double *u = m->u + j * m->in, f = 2 * dot(u, w, m->in);
        for (int64_t k = 0; k < m->in; k++)
            w[k] -= f * u[k];
    }
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    for (int i = 0; i < a->base->nsites; i++) {
        if (!((const site *)a->state)[i].u)
            continue;
        mirrors v = mirrors_of(a, i);
        hora_status s = hora_merging_rows(m, &a->base->sites[i], reflect_row, &v);
        hora_free(v.u);
        HORA_TRY(s);
    }
    return HORA_OK;
}

/* I - V U': as many columns as reflections. */
static int64_t change_rank(const hora_adapter *a) {
    return ((const config *)a->config)->rank;
}

const hora_method hora_method_hra = {
    .name = "hra",
    .summary = "Householder reflections of a projection's input",
    .form = "y = W H_0 .. H_(r-1) x + b, H_j = I - 2 u_j u_j' / u_j'u_j",
    .paper = "arXiv 2405.17484",
    .default_lr = 2e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = hora_typed_release,
    HORA_TYPED_FOLDER,
    .peft_type = "HRA",
    .whole = true,
    .peft_keys = "r apply_GS init_weights=true " HORA_TYPED_KEYS,
    .merge = merge,
    .factors_rank = "the rank",
    .change_rank = change_rank,
    .peft_config = hora_typed_peft_config,
};
