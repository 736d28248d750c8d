/*
 * Low-rank factors as PEFT's tensors. A site of its own has A and B. Sites that are rows of one
 * module on disk have one A and one B together: those that share A (PEFT's LoRA of that module) as
 * it is; those that do not, A's one below the other and B in blocks, of the rank of all, which is
 * exact.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "peft/dora.h"

typedef struct group {      /* sites of one module */
    const hora_site *first; /* of those adapted */
    int64_t rank;           /* of the whole */
    double scale;
    bool shared, magnitude, bias;
} group;

typedef struct source { /* what is written: of the base's sites and ends, in `dtype` */
    const hora_base *b;
    hora_dtype dtype;
    const hora_factors *f;
    int sites;
} source;

static bool together(const hora_site *a, const hora_site *b) {
    return a->fused && b->fused && hora_eq(a->fused, b->fused);
}

/* The group that site i begins; false: another has begun it. */
static bool begins(const source *x, int i, group *g) {
    const hora_base *b = x->b;
    const hora_factors *own = &x->f[i];
    *g = (group){&b->sites[i], 0, own->scale, true, false, false};
    for (int k = 0; k < b->nsites; k++) {
        const hora_factors *f = &x->f[k];
        if (!together(&b->sites[i], &b->sites[k]))
            continue;
        if (f->rank && k < i)
            return false;
        g->rank += f->rank;
        g->shared &= !f->rank || f->a == own->a;
        g->magnitude |= f->magnitude != NULL;
        g->bias |= f->bias != NULL;
    }
    if (g->shared)
        g->rank = own->rank;
    return true;
}

static double get(const source *x, const void *v, int64_t i) {
    return hora_value_at(v, x->dtype, i);
}

/* Rows of A and the block of B of one site; `at`: rank before it. */
static void put_site(const source *x, const group *g, const hora_site *s, const hora_factors *f,
                     int64_t at, void *wa, void *wb) {
    for (int64_t i = 0; i < f->rank * s->in; i++)
        hora_value_put(wa, x->dtype, at * s->in + i, get(x, f->a, i));
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < f->rank; j++)
            hora_value_put(wb, x->dtype, (s->row + o) * g->rank + at + j,
                           get(x, f->b, o * f->rank + j) * (f->scale / g->scale));
}

/* A site that is not adapted keeps the norms of its rows. */
static void put_magnitude(const source *x, const hora_site *s, const hora_factors *f, void *m) {
    const hora_view w = x->b->weights[s->weight].view;
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++)
        hora_value_put(m, x->dtype, s->row + o,
                       f->magnitude ? get(x, f->magnitude, o)
                                    : hora_dora_norm(x->dtype, &w, s, f, o, row));
    hora_free(row);
}

typedef struct list {
    hora_factor_tensor *at;
    int n, cap;
} list;

static void *push(list *l, const source *x, const char *module, hora_peft_part part,
                  hora_shape shape, const void *borrowed) {
    hora_factor_tensor t = {.name = hora_peft_key(module, part)};
    if (!borrowed)
        t.own = hora_calloc((size_t)hora_shape_elems(&shape), hora_dtype_size(x->dtype));
    t.view = (hora_view){borrowed ? (void *)(uintptr_t)borrowed : t.own, x->dtype, shape};
    HORA_PUSH(l->at, l->n, l->cap, t);
    return t.own;
}

static void push_group(list *l, const source *x, const group *g) {
    const hora_base *b = x->b;
    const hora_site *s = g->first;
    void *wa = push(l, x, s->fused, HORA_PEFT_LORA_A, HORA_SHAPE2(g->rank, s->in), NULL);
    void *wb = push(l, x, s->fused, HORA_PEFT_LORA_B, HORA_SHAPE2(s->fused_out, g->rank), NULL);
    void *m = g->magnitude
                  ? push(l, x, s->fused, HORA_PEFT_MAGNITUDE, HORA_SHAPE1(s->fused_out), NULL)
                  : NULL;
    void *c =
        g->bias ? push(l, x, s->fused, HORA_PEFT_LORA_BIAS, HORA_SHAPE1(s->fused_out), NULL) : NULL;
    int64_t at = 0;
    for (int k = 0; k < b->nsites; k++) {
        const hora_factors *f = &x->f[k];
        if (!together(s, &b->sites[k]))
            continue;
        put_site(x, g, &b->sites[k], f, at, wa, wb);
        if (m)
            put_magnitude(x, &b->sites[k], f, m);
        for (int64_t o = 0; f->bias && o < b->sites[k].out; o++) /* it has B's scale */
            hora_value_put(c, x->dtype, b->sites[k].row + o,
                           get(x, f->bias, o) * (f->scale / g->scale));
        at += g->shared ? 0 : f->rank;
    }
}

static void push_site(list *l, const source *x, const hora_site *s, const hora_factors *f) {
    const bool table = s->kind == HORA_SITE_EMBED;
    push(l, x, s->module, table ? HORA_PEFT_EMB_A : HORA_PEFT_LORA_A, HORA_SHAPE2(f->rank, s->in),
         f->a);
    push(l, x, s->module, table ? HORA_PEFT_EMB_B : HORA_PEFT_LORA_B, HORA_SHAPE2(s->out, f->rank),
         f->b);
    if (f->magnitude)
        push(l, x, s->module, HORA_PEFT_MAGNITUDE, HORA_SHAPE1(s->out), f->magnitude);
    if (f->bias)
        push(l, x, s->module, HORA_PEFT_LORA_BIAS, HORA_SHAPE1(s->out), f->bias);
}

hora_factor_tensor *hora_factor_list(const hora_base *b, hora_dtype dtype, const hora_factors *f,
                                     int sites, int *n) {
    const source x = {b, dtype, f, sites};
    list l = {0};
    for (int i = 0; i < sites; i++) {
        const hora_site *s = &b->sites[i];
        group g;
        if (!f[i].rank)
            continue;
        if (!s->fused)
            push_site(&l, &x, s, &f[i]);
        else if (begins(&x, i, &g))
            push_group(&l, &x, &g);
    }
    *n = l.n;
    return l.at;
}

int64_t hora_factor_rank(const hora_base *b, const hora_factors *f, int site) {
    int64_t rank = 0;
    const void *one = NULL;
    bool shared = true;
    for (int k = 0; k < b->nsites && b->sites[site].fused; k++) {
        if (!together(&b->sites[site], &b->sites[k]) || !f[k].rank)
            continue;
        shared &= !one || f[k].a == one;
        one = f[k].a;
        rank = shared ? f[k].rank : 0;
    }
    for (int k = 0; k < b->nsites && !shared; k++)
        rank += together(&b->sites[site], &b->sites[k]) ? f[k].rank : 0;
    return b->sites[site].fused ? rank : f[site].rank;
}

/* Of all sites, and of the ends where the method is asked about them; new. */
static hora_factors *all_factors(hora_adapter *a, int *sites) {
    *sites = a->base->nsites + (a->method->ends ? a->base->nends : 0);
    hora_factors *f = hora_calloc((size_t)(a->base->nsites + a->base->nends) + 1, sizeof *f);
    for (int i = 0; i < *sites; i++)
        a->method->factors(a, i, &f[i]);
    return f;
}

hora_factor_tensor *hora_factor_tensors(hora_adapter *a, int *n) {
    int sites;
    hora_factors *f = all_factors(a, &sites);
    hora_factor_tensor *all = hora_factor_list(a->base, a->dtype, f, sites, n);
    hora_free(f);
    return all;
}

void hora_factor_tensors_free(hora_factor_tensor *at, int n) {
    for (int i = 0; i < n; i++) {
        hora_free(at[i].name);
        hora_free(at[i].own);
    }
    hora_free(at);
}

/* --- the configuration ------------------------------------------------------------------------ */

static const char *module_of(const hora_site *s) {
    return s->fused ? s->fused : s->module;
}

/* layers_to_transform leaves the layer out. */
static bool left_out(const hora_peft_config *c, int layer) {
    bool in = !c->n_layers;
    for (int i = 0; i < c->n_layers; i++)
        in |= c->layers[i] == layer;
    return !in;
}

/* The site, or another of its module. */
static bool module_on(const hora_base *b, const bool *on, int site) {
    bool yes = on[site];
    for (int i = 0; i < b->nsites && b->sites[site].fused && !yes; i++)
        yes = on[i] && together(&b->sites[site], &b->sites[i]);
    return yes;
}

/* Is there another module, not on, whose path ends in `name`? */
static bool means_more(const hora_peft_config *c, const hora_base *b, const bool *on,
                       const hora_site *s, const char *name) {
    for (int i = 0; i < b->nsites; i++) {
        const char *path = module_of(&b->sites[i]);
        const size_t n = strlen(path), m = strlen(name);
        if (!hora_eq(path, module_of(s)) && n > m && path[n - m - 1] == '.' &&
            hora_ends(path, name) && !left_out(c, b->sites[i].layer) && !module_on(b, on, i))
            return true;
    }
    return false;
}

const char *hora_module_short(const hora_peft_config *c, const hora_base *b, const bool *on,
                              const hora_site *s) {
    const char *path = module_of(s), *at = path + strlen(path);
    do {
        at -= at > path;
        while (at > path && at[-1] != '.')
            at--;
    } while (at > path && means_more(c, b, on, s, at));
    return at;
}

static void push_target(hora_peft_config *c, const char *name, int *cap) {
    for (int i = 0; i < c->n_targets; i++)
        if (hora_eq(c->target_modules[i], name))
            return;
    HORA_PUSH(c->target_modules, c->n_targets, *cap, hora_strdup(name));
}

void hora_module_targets(hora_peft_config *c, const hora_base *b, const bool *on, int n) {
    int cap = 0;
    hora_list_free(c->target_modules, c->n_targets);
    hora_free(c->target_regex);
    c->target_modules = NULL;
    c->target_regex = NULL;
    c->n_targets = 0;
    for (int i = 0; i < n; i++)
        if (on[i])
            push_target(c, hora_module_short(c, b, on, &b->sites[i]), &cap);
}

static void push_value(hora_peft_pattern **p, int *n, const char *path, double value,
                       double usual) {
    int cap = *n;
    if (value != usual)
        HORA_PUSH(*p, *n, cap, ((hora_peft_pattern){hora_strdup(path), value}));
}

static void forget(hora_peft_pattern **p, int *n) {
    for (int i = 0; i < *n; i++)
        hora_free((*p)[i].pattern);
    hora_free(*p);
    *p = NULL;
    *n = 0;
}

/* Whatever patterns made the ranks, files name modules: parts have none. */
void hora_factor_config(hora_adapter *a, hora_peft_config *c) {
    const hora_base *b = a->base;
    int sites;
    hora_factors *f = all_factors(a, &sites);
    const source x = {b, a->dtype, f, sites};
    bool any = false, *on = hora_calloc((size_t)sites + 1, sizeof *on);
    for (int i = 0; i < sites; i++) {
        on[i] = f[i].rank > 0;
        any |= i < b->nsites && b->sites[i].fused && on[i];
    }
    if (any) {
        hora_module_targets(c, b, on, sites);
        forget(&c->rank_pattern, &c->n_rank);
        forget(&c->alpha_pattern, &c->n_alpha);
    }
    for (int i = 0; i < sites && any; i++) {
        const hora_site *s = &b->sites[i];
        group g = {s, f[i].rank, f[i].scale, true, false, false};
        if (!f[i].rank || (s->fused && !begins(&x, i, &g)))
            continue;
        const double r = (double)g.rank;
        push_value(&c->rank_pattern, &c->n_rank, module_of(s), r, (double)c->r);
        push_value(&c->alpha_pattern, &c->n_alpha, module_of(s),
                   g.scale * (c->use_rslora ? sqrt(r) : r), c->lora_alpha);
    }
    hora_free(on);
    hora_free(f);
}
