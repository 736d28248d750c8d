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

static bool together(const hora_site *a, const hora_site *b) {
    return a->fused && b->fused && hora_eq(a->fused, b->fused);
}

static hora_factors factors_of(hora_adapter *a, int i) {
    hora_factors f;
    a->method->factors(a, i, &f);
    return f;
}

/* The group that site i begins; false: another has begun it. */
static bool begins(hora_adapter *a, int i, group *g) {
    const hora_base *b = a->base;
    const hora_factors own = factors_of(a, i);
    *g = (group){&b->sites[i], 0, own.scale, true, false, false};
    for (int k = 0; k < b->nsites; k++) {
        if (!together(&b->sites[i], &b->sites[k]))
            continue;
        const hora_factors f = factors_of(a, k);
        if (f.rank && k < i)
            return false;
        g->rank += f.rank;
        g->shared &= !f.rank || f.a == own.a;
        g->magnitude |= f.magnitude != NULL;
        g->bias |= f.bias != NULL;
    }
    if (g->shared)
        g->rank = own.rank;
    return true;
}

static double get(const hora_adapter *a, const void *v, int64_t i) {
    return hora_value_at(v, a->dtype, i);
}

/* Rows of A and the block of B of one site; `at`: rank before it. */
static void put_site(hora_adapter *a, const group *g, const hora_site *s, const hora_factors *f,
                     int64_t at, void *wa, void *wb) {
    for (int64_t i = 0; i < f->rank * s->in; i++)
        hora_value_put(wa, a->dtype, at * s->in + i, get(a, f->a, i));
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < f->rank; j++)
            hora_value_put(wb, a->dtype, (s->row + o) * g->rank + at + j,
                           get(a, f->b, o * f->rank + j) * (f->scale / g->scale));
}

/* A site that is not adapted keeps the norms of its rows. */
static void put_magnitude(hora_adapter *a, const hora_site *s, const hora_factors *f, void *m) {
    const hora_view w = a->base->weights[s->weight].view;
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++)
        hora_value_put(m, a->dtype, s->row + o,
                       f->magnitude ? get(a, f->magnitude, o)
                                    : hora_dora_norm(a, &w, s, f, o, row));
    hora_free(row);
}

typedef struct list {
    hora_factor_tensor *at;
    int n, cap;
} list;

static void *push(list *l, const hora_adapter *a, const char *module, hora_peft_part part,
                  hora_shape shape, const void *borrowed) {
    hora_factor_tensor t = {.name = hora_peft_key(module, part)};
    if (!borrowed)
        t.own = hora_calloc((size_t)hora_shape_elems(&shape), hora_dtype_size(a->dtype));
    t.view = (hora_view){borrowed ? (void *)(uintptr_t)borrowed : t.own, a->dtype, shape};
    HORA_PUSH(l->at, l->n, l->cap, t);
    return t.own;
}

static void push_group(list *l, hora_adapter *a, const group *g) {
    const hora_base *b = a->base;
    const hora_site *s = g->first;
    void *wa = push(l, a, s->fused, HORA_PEFT_LORA_A, HORA_SHAPE2(g->rank, s->in), NULL);
    void *wb = push(l, a, s->fused, HORA_PEFT_LORA_B, HORA_SHAPE2(s->fused_out, g->rank), NULL);
    void *m = g->magnitude
                  ? push(l, a, s->fused, HORA_PEFT_MAGNITUDE, HORA_SHAPE1(s->fused_out), NULL)
                  : NULL;
    void *c =
        g->bias ? push(l, a, s->fused, HORA_PEFT_LORA_BIAS, HORA_SHAPE1(s->fused_out), NULL) : NULL;
    int64_t at = 0;
    for (int k = 0; k < b->nsites; k++) {
        if (!together(s, &b->sites[k]))
            continue;
        const hora_factors f = factors_of(a, k);
        put_site(a, g, &b->sites[k], &f, at, wa, wb);
        if (m)
            put_magnitude(a, &b->sites[k], &f, m);
        for (int64_t o = 0; f.bias && o < b->sites[k].out; o++) /* it has B's scale */
            hora_value_put(c, a->dtype, b->sites[k].row + o,
                           get(a, f.bias, o) * (f.scale / g->scale));
        at += g->shared ? 0 : f.rank;
    }
}

static void push_site(list *l, hora_adapter *a, const hora_site *s, const hora_factors *f) {
    const bool table = s->kind == HORA_SITE_EMBED;
    push(l, a, s->module, table ? HORA_PEFT_EMB_A : HORA_PEFT_LORA_A, HORA_SHAPE2(f->rank, s->in),
         f->a);
    push(l, a, s->module, table ? HORA_PEFT_EMB_B : HORA_PEFT_LORA_B, HORA_SHAPE2(s->out, f->rank),
         f->b);
    if (f->magnitude)
        push(l, a, s->module, HORA_PEFT_MAGNITUDE, HORA_SHAPE1(s->out), f->magnitude);
    if (f->bias)
        push(l, a, s->module, HORA_PEFT_LORA_BIAS, HORA_SHAPE1(s->out), f->bias);
}

hora_factor_tensor *hora_factor_tensors(hora_adapter *a, int *n) {
    list l = {0};
    const int sites = a->base->nsites + (a->method->ends ? a->base->nends : 0);
    for (int i = 0; i < sites; i++) {
        const hora_site *s = &a->base->sites[i];
        const hora_factors f = factors_of(a, i);
        group g;
        if (!f.rank)
            continue;
        if (!s->fused)
            push_site(&l, a, s, &f);
        else if (begins(a, i, &g))
            push_group(&l, a, &g);
    }
    *n = l.n;
    return l.at;
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

/* Is there another module in the layer of s, not adapted, whose path ends in `name`? */
static bool means_more(hora_adapter *a, const hora_site *s, const char *name) {
    const hora_base *b = a->base;
    for (int i = 0; i < b->nsites; i++) {
        const char *path = module_of(&b->sites[i]);
        const size_t n = strlen(path), m = strlen(name);
        if (b->sites[i].layer == s->layer && !hora_eq(path, module_of(s)) && n > m &&
            path[n - m - 1] == '.' && hora_ends(path, name) && !factors_of(a, i).rank)
            return true;
    }
    return false;
}

/* The shortest end of the module's path that means it alone: ModernBERT has attn.Wo and mlp.Wo. */
static const char *short_name(hora_adapter *a, const hora_site *s) {
    const char *path = module_of(s), *at = path + strlen(path);
    do {
        at -= at > path;
        while (at > path && at[-1] != '.')
            at--;
    } while (at > path && means_more(a, s, at));
    return at;
}

static void push_target(hora_peft_config *c, const char *name, int *cap) {
    for (int i = 0; i < c->n_targets; i++)
        if (hora_eq(c->target_modules[i], name))
            return;
    HORA_PUSH(c->target_modules, c->n_targets, *cap, hora_strdup(name));
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
    const int sites = b->nsites + (a->method->ends ? b->nends : 0);
    bool any = false;
    int cap = 0;
    for (int i = 0; i < b->nsites; i++)
        any |= b->sites[i].fused && factors_of(a, i).rank;
    if (!any)
        return;
    hora_list_free(c->target_modules, c->n_targets);
    hora_free(c->target_regex);
    c->target_modules = NULL;
    c->target_regex = NULL;
    c->n_targets = 0;
    forget(&c->rank_pattern, &c->n_rank);
    forget(&c->alpha_pattern, &c->n_alpha);
    for (int i = 0; i < sites; i++) {
        const hora_site *s = &b->sites[i];
        const hora_factors f = factors_of(a, i);
        group g = {s, f.rank, f.scale, true, false, false};
        if (!f.rank)
            continue;
        const char *module = module_of(s);
        push_target(c, short_name(a, s), &cap);
        if (s->fused && !begins(a, i, &g))
            continue;
        const double r = (double)g.rank;
        push_value(&c->rank_pattern, &c->n_rank, module, r, (double)c->r);
        push_value(&c->alpha_pattern, &c->n_alpha, module, g.scale * (c->use_rslora ? sqrt(r) : r),
                   c->lora_alpha);
    }
}
