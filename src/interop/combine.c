/* Several low-rank adapters in one: a row of the table says what is pruned, whether signs are
 * elected, and whether factors or whole updates are added up. */
#include "interop/combine.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/text.h"
#include "interop/svd.h"

typedef enum { FACTORS, STACKED, UPDATES } addend;
typedef enum { KEEP, MAGNITUDE, RANDOM } pruning;
/* In the order of the choices below. */
static const struct {
    addend of;
    pruning prune;
    bool elect;
} types[] = {
    {UPDATES, KEEP, false},      {FACTORS, KEEP, false},      {STACKED, KEEP, false},
    {FACTORS, MAGNITUDE, true},  {UPDATES, MAGNITUDE, true},  {FACTORS, RANDOM, false},
    {UPDATES, RANDOM, false},    {FACTORS, RANDOM, true},     {UPDATES, RANDOM, true},
    {FACTORS, MAGNITUDE, false}, {UPDATES, MAGNITUDE, false},
};
enum { LINEAR = 1 };

#define PRUNING                                                                                    \
    "ties ties_svd dare_linear dare_linear_svd dare_ties dare_ties_svd magnitude_prune "           \
    "magnitude_prune_svd"
#define OPT_OF hora_combine_config
static const hora_option rows[] = {
    OPT_CHOICE(type, "type", "combination_type", "svd",
               "svd linear cat ties ties_svd dare_linear dare_linear_svd dare_ties dare_ties_svd "
               "magnitude_prune magnitude_prune_svd",
               "how updates become one; cat and svd are the sum itself"),
    OPT_REAL(density, "density", NULL, "-1", 0, 1,
             "share of the numbers that ties, dare and magnitude_prune keep",
             .with = "type=" PRUNING),
    OPT_CHOICE(majority, "majority_sign", "majority_sign_method", "total", "total frequency",
               "ties: the sign of the sum, or that of most adapters",
               .with = "type=ties ties_svd dare_ties dare_ties_svd"),
    OPT_INT(svd_rank, "svd_rank", NULL, "0", 0, 1 << 20,
            "rank of svd and .._svd; 0: the largest of the adapters",
            .with = "type=svd ties_svd dare_linear_svd dare_ties_svd magnitude_prune_svd"),
    OPT_REAL(svd_clamp, "svd_clamp", NULL, "0", 0, 1,
             "cut both factors at this quantile of their numbers; 0: not"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of what dare drops",
            .with = "type=dare_linear dare_linear_svd dare_ties dare_ties_svd"),
};
const hora_options hora_combine_options = {"Combination", rows, HORA_COUNT(rows)};

/* --- pruning and electing --------------------------------------------------------------------- */
static int falling(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a < b) - (a > b);
}

/* Keeps the int(density n) largest numbers; of equal ones those that stand first [ours]. */
static void keep_largest(double *v, int64_t n, double density) {
    const int64_t k = (int64_t)(density * (double)n);
    double *size = hora_malloc((size_t)n * sizeof *size + 1);
    for (int64_t i = 0; i < n; i++)
        size[i] = fabs(v[i]);
    qsort(size, (size_t)n, sizeof *size, falling);
    const double least = k ? size[k - 1] : INFINITY;
    int64_t equal = k;
    for (int64_t i = 0; i < k; i++)
        equal -= size[i] > least;
    for (int64_t i = 0; i < n; i++)
        if (fabs(v[i]) < least || (fabs(v[i]) == least && equal-- <= 0))
            v[i] = 0;
    hora_free(size);
}

static void prune(double *v, int64_t n, const hora_combine_config *c, const char *stream) {
    const pruning how = types[c->type].prune;
    if (how == KEEP || c->density >= 1)
        return;
    if (how == MAGNITUDE) {
        keep_largest(v, n, c->density);
        return;
    }
    hora_rng r = hora_rng_new((uint64_t)c->seed, stream);
    for (int64_t i = 0; i < n; i++)
        v[i] = hora_rng_uniform(&r) < c->density ? v[i] / c->density : 0;
}

/* out = sum of w_i v_i; elected: of those with the sign of the majority, divided by how many. */
static void add_up(double *out, double *const *v, const double *w, int n, int64_t elems,
                   const hora_combine_config *c) {
    for (int64_t k = 0; k < elems; k++) {
        double vote = 0, sum = 0;
        int kept = 0;
        for (int i = 0; i < n; i++)
            vote += c->majority ? (double)((v[i][k] > 0) - (v[i][k] < 0)) : v[i][k];
        for (int i = 0; i < n; i++) {
            const bool with = vote >= 0 ? v[i][k] > 0 : v[i][k] < 0;
            if (types[c->type].elect && !with)
                continue;
            sum += w[i] * v[i][k];
            kept++;
        }
        out[k] = types[c->type].elect ? sum / hora_max(kept, 1) : sum;
    }
}

/* --- one site --------------------------------------------------------------------------------- */
typedef struct task { /* an adapter that changes the site */
    int64_t rank;
    double weight, scale;
    double *a, *b; /* (rank, in), (out, rank) */
    int adapter;
} task;

static hora_status take(task *t, const hora_adapter *a, const hora_site *s, const hora_factors *f) {
    if (f->magnitude || f->bias)
        return hora_fail(HORA_EUNSUPPORTED,
                         "adapter %s has a %s at %s, for which a sum of low-rank updates has no "
                         "place; give several --adapter to `hora merge` instead",
                         a->name, f->magnitude ? "magnitude (DoRA)" : "bias (lora_bias)",
                         s->module);
    *t = (task){.rank = f->rank, .weight = a->weight, .scale = f->scale};
    t->a = hora_malloc((size_t)(f->rank * s->in) * sizeof *t->a);
    t->b = hora_malloc((size_t)(f->rank * s->out) * sizeof *t->b);
    for (int64_t i = 0; i < f->rank * s->in; i++)
        t->a[i] = hora_value_at(f->a, a->dtype, i);
    for (int64_t i = 0; i < f->rank * s->out; i++)
        t->b[i] = hora_value_at(f->b, a->dtype, i);
    return HORA_OK;
}

static void put(hora_flat *f, const hora_site *s, int64_t rank, const double *b, const double *a) {
    f->rank = rank;
    f->a = hora_malloc((size_t)(rank * s->in) * sizeof *f->a);
    f->b = hora_malloc((size_t)(s->out * rank) * sizeof *f->b);
    for (int64_t i = 0; i < rank * s->in; i++)
        f->a[i] = (float)a[i];
    for (int64_t i = 0; i < s->out * rank; i++)
        f->b[i] = (float)b[i];
}

/* A and B each on their own. */
static hora_status add_factors(hora_flat *f, const hora_site *s, task *t, int n,
                               const hora_combine_config *c) {
    const int64_t rank = t[0].rank, na = rank * s->in, nb = s->out * rank;
    double *w = hora_malloc((size_t)(2 * n) * sizeof *w),
           **v = hora_malloc(2 * (size_t)n * sizeof *v);
    double *a = hora_malloc((size_t)(na + nb) * sizeof *a), *b = a + na;
    hora_status st = HORA_OK;
    for (int i = 0; i < n && st == HORA_OK; i++) {
        const double both = t[i].weight * t[i].scale;
        char *ka = hora_format("%s/A/%d", s->module, t[i].adapter),
             *kb = hora_format("%s/B/%d", s->module, t[i].adapter);
        if (t[i].rank != rank)
            st =
                hora_fail(HORA_EUSAGE,
                          "%s has rank %lld in one adapter and %lld in another, and this type adds "
                          "factors up, which want one rank; take --type cat, svd or one of .._svd",
                          s->module, (long long)rank, (long long)t[i].rank);
        w[i] = sqrt(fabs(both)) * (both >= 0 ? 1 : -1);
        w[n + i] = sqrt(fabs(both));
        v[i] = t[i].a;
        v[n + i] = t[i].b;
        if (st == HORA_OK) {
            prune(v[i], na, c, ka);
            prune(v[n + i], nb, c, kb);
        }
        hora_free(ka);
        hora_free(kb);
    }
    if (st == HORA_OK) {
        add_up(a, v, w, n, na, c);
        add_up(b, v + n, w + n, n, nb, c);
        put(f, s, rank, b, a);
    }
    hora_free(a);
    hora_free(v);
    hora_free(w);
    return st;
}

/* All ranks one after another, weights and scales in A as PEFT has them. */
static int64_t stack(const hora_site *s, const task *t, int n, double **a, double **b) {
    int64_t rank = 0, from = 0;
    for (int i = 0; i < n; i++)
        rank += t[i].rank;
    *a = hora_malloc((size_t)(rank * s->in) * sizeof **a);
    *b = hora_malloc((size_t)(s->out * rank) * sizeof **b);
    for (int i = 0; i < n; from += t[i++].rank) {
        for (int64_t k = 0; k < t[i].rank * s->in; k++)
            (*a)[from * s->in + k] = t[i].weight * t[i].scale * t[i].a[k];
        for (int64_t o = 0; o < s->out; o++)
            memcpy(*b + o * rank + from, t[i].b + o * t[i].rank, (size_t)t[i].rank * sizeof **b);
    }
    return rank;
}

/* Numbers beyond the quantile of all of them, as torch.quantile interpolates it, are cut. */
static void clamp(double *a, int64_t na, double *b, int64_t nb, double quantile) {
    const int64_t n = na + nb;
    double *all = hora_malloc((size_t)n * sizeof *all);
    memcpy(all, b, (size_t)nb * sizeof *all);
    memcpy(all + nb, a, (size_t)na * sizeof *all);
    qsort(all, (size_t)n, sizeof *all, falling);
    const double at = (1 - quantile) * (double)(n - 1), low = floor(at);
    const int64_t i = (int64_t)low, j = hora_min(i + 1, n - 1);
    const double high = all[i] + (at - low) * (all[j] - all[i]);
    for (int64_t k = 0; k < na; k++)
        a[k] = fmax(-high, fmin(high, a[k]));
    for (int64_t k = 0; k < nb; k++)
        b[k] = fmax(-high, fmin(high, b[k]));
    hora_free(all);
}

/* The update s B A of one adapter, (out, in). */
static double *update_of(const hora_site *s, const task *t) {
    double *d = hora_calloc((size_t)(s->out * s->in), sizeof *d);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < t->rank; j++)
            for (int64_t k = 0; k < s->in; k++)
                d[o * s->in + k] += t->scale * t->b[o * t->rank + j] * t->a[j * s->in + k];
    return d;
}

static double *mixed_updates(const hora_site *s, const task *t, int n,
                             const hora_combine_config *c) {
    const int64_t elems = s->out * s->in;
    double *d = hora_malloc((size_t)elems * sizeof *d), *w = hora_malloc((size_t)n * sizeof *w),
           **v = hora_malloc((size_t)n * sizeof *v);
    for (int i = 0; i < n; i++) {
        char *key = hora_format("%s/W/%d", s->module, t[i].adapter);
        v[i] = update_of(s, &t[i]);
        w[i] = t[i].weight;
        prune(v[i], elems, c, key);
        hora_free(key);
    }
    add_up(d, v, w, n, elems, c);
    for (int i = 0; i < n; i++)
        hora_free(v[i]);
    hora_free(v);
    hora_free(w);
    return d;
}

static hora_status add_updates(hora_flat *f, const hora_site *s, const task *t, int n, int64_t rank,
                               const hora_combine_config *c) {
    int64_t all = 0; /* of that rank the sum is at most */
    for (int i = 0; i < n; i++)
        all += t[i].rank;
    rank = hora_min(rank, hora_min(s->out, s->in));
    if (types[c->type].prune == KEEP)
        rank = hora_min(rank, all);
    double *a = hora_calloc((size_t)(rank * (s->in + s->out)), sizeof *a), *b = a + rank * s->in;
    double left, *fa, *fb;
    hora_status st;
    /* the quantile is of numbers with signs, which are those that LAPACK gives the whole matrix */
    if (types[c->type].prune == KEEP && c->svd_clamp <= 0) {
        const int64_t r = stack(s, t, n, &fa, &fb);
        st = hora_best_rank_product(fb, fa, s->out, s->in, r, rank, b, a, &left);
        hora_free(fa);
        hora_free(fb);
    } else {
        double *d = mixed_updates(s, t, n, c);
        st = hora_best_rank(d, s->out, s->in, rank, b, a, &left);
        hora_free(d);
    }
    if (st == HORA_OK && c->svd_clamp > 0)
        clamp(a, rank * s->in, b, s->out * rank, c->svd_clamp);
    if (st == HORA_OK)
        put(f, s, rank, b, a);
    hora_free(a);
    return st;
}

static hora_status combine_site(hora_flat *f, const hora_site *s, task *t, int n, int64_t rank,
                                const hora_combine_config *c) {
    double *a, *b;
    if (types[c->type].of == FACTORS)
        return add_factors(f, s, t, n, c);
    if (types[c->type].of == UPDATES)
        return add_updates(f, s, t, n, rank, c);
    const int64_t all = stack(s, t, n, &a, &b);
    put(f, s, all, b, a);
    hora_free(a);
    hora_free(b);
    return HORA_OK;
}

/* --- all -------------------------------------------------------------------------------------- */
static hora_status ready(const hora_export *x, const hora_combine_config *c) {
    if (!x->n)
        return hora_fail(HORA_EUSAGE, "there is nothing to combine; give --adapter, twice or more");
    if (types[c->type].prune != KEEP && c->density < 0)
        return hora_fail(HORA_EUSAGE, "this type keeps a share of the numbers; say which, "
                                      "--density 0.5");
    if (types[c->type].prune == RANDOM && c->density == 0)
        return hora_fail(HORA_EUSAGE, "dare divides by --density, which must not be 0");
    return hora_flat_only(x, false);
}

static hora_status site_tasks(task *t, int *n, const hora_export *x, int site) {
    const hora_base *b = x->base;
    for (int k = 0; k < x->n; k++) {
        hora_adapter *a = x->adapters[k];
        hora_factors f = {0};
        if (site < b->nsites || a->method->ends)
            a->method->factors(a, site, &f);
        if (!f.rank)
            continue;
        HORA_TRY(take(&t[*n], a, &b->sites[site], &f));
        t[(*n)++].adapter = k;
    }
    return HORA_OK;
}

static int64_t largest_rank(const hora_export *x) {
    int64_t rank = 0;
    for (int k = 0; k < x->n; k++)
        for (int i = 0; i < hora_flat_sites(x->base); i++) {
            hora_factors f = {0};
            if (i < x->base->nsites || x->adapters[k]->method->ends)
                x->adapters[k]->method->factors(x->adapters[k], i, &f);
            rank = hora_max(rank, f.rank);
        }
    return rank;
}

bool hora_combines_itself(const hora_export *x) {
    bool yes = x->n > 0;
    for (int k = 0; k < x->n; k++)
        yes &= x->adapters[k]->method->combine && x->adapters[k]->method == x->adapters[0]->method;
    return yes;
}

/* Adapters are finite when they are read, so it is the weights. */
static hora_status too_large(const char *what) {
    return hora_fail(HORA_ENUMERIC,
                     "the sum of %s is no finite number any more; give smaller weights "
                     "(--adapter A:0.5)",
                     what);
}

static bool finite_all(const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

hora_status hora_combine_own(hora_adapter **out, const hora_export *x, bool typed) {
    const hora_method *m = x->adapters[0]->method;
    if (typed)
        return hora_fail(HORA_EUSAGE,
                         "adapters of %s are put together in one way, sums by weight; leave --type "
                         "and its options out",
                         m->name);
    HORA_TRY(m->combine(out, x->adapters, x->n));
    if (hora_adapter_finite(*out, false) == HORA_OK)
        return HORA_OK;
    hora_peft_detach(*out);
    *out = NULL;
    return too_large(m->name);
}

hora_status hora_combine(hora_flat **out, const hora_export *x, const hora_combine_config *config) {
    const hora_base *b = x->base;
    hora_combine_config c = *config;
    *out = NULL;
    HORA_TRY(ready(x, &c));
    if (x->n == 1) /* as PEFT has it */
        c.type = LINEAR;
    for (int k = 0; k < x->n; k++)
        HORA_TRY(hora_adapter_materialise(x->adapters[k]));
    const int64_t rank = c.svd_rank ? c.svd_rank : largest_rank(x);
    hora_flat *f = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *f);
    task *t = hora_calloc((size_t)x->n, sizeof *t);
    hora_status s = HORA_OK;
    for (int i = 0; i < hora_flat_sites(b) && s == HORA_OK; i++) {
        int n = 0;
        f[i].site = i;
        s = site_tasks(t, &n, x, i);
        if (s == HORA_OK && n)
            s = combine_site(&f[i], &b->sites[i], t, n, rank, &c);
        if (s == HORA_OK && f[i].rank &&
            !(finite_all(f[i].a, f[i].rank * b->sites[i].in) &&
              finite_all(f[i].b, f[i].rank * b->sites[i].out)))
            s = too_large(b->sites[i].module);
        for (int k = 0; k < n; k++) {
            hora_free(t[k].a);
            hora_free(t[k].b);
        }
    }
    hora_free(t);
    if (s)
        hora_flat_free(f, b);
    else
        *out = f;
    return s;
}
