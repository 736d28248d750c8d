/*
 * What a merge adds to each weight as a LoRA, by singular values: of methods that are no low-rank
 * updates as they stand. Eckart and Young: no LoRA of that rank is nearer in the Frobenius norm.
 */
#include <math.h>

#include "interop/interop.h"
#include "interop/svd.h"

int hora_flat_unranked(const hora_export *x) {
    for (int k = 0; k < x->n; k++)
        if (!x->adapters[k]->method->factors && !x->adapters[k]->method->change_rank)
            return k;
    return -1;
}

int64_t hora_flat_change_rank(const hora_export *x) {
    int64_t sum = 0;
    for (int k = 0; k < x->n; k++) {
        hora_adapter *a = x->adapters[k];
        int64_t rank = a->method->change_rank ? a->method->change_rank(a) : 0;
        for (int i = 0; a->method->factors && i < a->base->nsites; i++) {
            hora_factors f;
            a->method->factors(a, i, &f);
            rank = hora_max(rank, f.magnitude ? 0 : f.rank);
        }
        if (!rank)
            return 0;
        sum += rank;
    }
    return sum;
}

static int site_of(const hora_base *b, int weight) {
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (b->sites[i].weight == weight)
            return i;
    return -1;
}

void hora_flat_put(hora_flat *f, const hora_site *s, int64_t rank, const double *b,
                   const double *a) {
    f->rank = rank;
    f->a = hora_realloc(f->a, (size_t)(rank * s->in) * sizeof *f->a);
    f->b = hora_realloc(f->b, (size_t)(s->out * rank) * sizeof *f->b);
    for (int64_t i = 0; i < rank * s->in; i++)
        f->a[i] = (float)a[i];
    for (int64_t i = 0; i < s->out * rank; i++)
        f->b[i] = (float)b[i];
}

void hora_flat_say_cut(hora_json *list, const hora_site *s, int64_t rank, double left, double all) {
    hora_json *o = hora_json_push(list, hora_json_new_object());
    hora_json_set(o, "name", hora_json_new_string(s->module));
    hora_json_set(o, "rank", hora_json_new_int(rank));
    hora_json_set(o, "norm", hora_json_new_real(all));
    hora_json_set(o, "left", hora_json_new_real(left));
    hora_json_set(o, "error", hora_json_new_real(all > 0 ? left / all : 0));
}

/* What a merge adds to weight w as a (out, in) matrix: a table lies the other way round. */
static double *change_of(const hora_base *b, const hora_site *s, const float *merged) {
    const hora_view *v = &b->weights[s->weight].view;
    double *d = hora_malloc((size_t)(s->out * s->in) * sizeof *d);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t k = 0; k < s->in; k++) {
            const int64_t at = s->kind == HORA_SITE_EMBED ? k * s->out + o : o * s->in + k;
            d[o * s->in + k] = (double)merged[at] - hora_value_at(v->data, v->dtype, at);
        }
    return d;
}

/* Norm of what f32 loses of the merged weight, generously. */
static double rounding(const float *merged, const hora_site *s) {
    double sum = 0;
    for (int64_t i = 0; i < s->out * s->in; i++)
        sum += (double)merged[i] * (double)merged[i];
    return 1e-6 * sqrt(sum);
}

static hora_status cut_change(hora_flat *f, const hora_base *base, const hora_site *s,
                              const float *merged, int64_t n, hora_json *list) {
    double *d = change_of(base, s, merged), left = 0;
    const double all = hora_frobenius(d, s->out * s->in);
    const int64_t rank = hora_min(n, hora_min(s->out, s->in));
    double *b = hora_malloc((size_t)(s->out * rank) * sizeof *b),
           *a = hora_malloc((size_t)(rank * s->in) * sizeof *a);
    bool found = all == 0;
    hora_status st = HORA_OK;
    if (!found)
        st = hora_low_rank(d, s->out, s->in, rank, rounding(merged, s), b, a, &left, &found);
    if (st == HORA_OK && !found)
        st = hora_best_rank(d, s->out, s->in, rank, b, a, &left);
    if (st == HORA_OK && all > 0) {
        hora_flat_put(f, s, rank, b, a);
        if (list)
            hora_flat_say_cut(list, s, rank, left, all);
    }
    hora_free(a);
    hora_free(b);
    hora_free(d);
    return st;
}

/* A change that no LoRA can make. */
static hora_status check_changes(const hora_export *x, float *const *merged) {
    const hora_base *b = x->base;
    for (int w = 0; w < b->nweights; w++) {
        const hora_view *v = &b->weights[w].view;
        bool same = !merged[w] || site_of(b, w) >= 0 || hora_flat_saves(x, w);
        for (int64_t k = 0; !same && k < hora_elems(v); k++)
            if ((double)merged[w][k] != hora_value_at(v->data, v->dtype, k))
                return hora_fail(HORA_EUNSUPPORTED,
                                 "the adapter changes %s, which no plain LoRA can; fold it in with "
                                 "`hora merge`",
                                 b->weights[w].name);
    }
    return HORA_OK;
}

hora_status hora_flat_of_change(hora_flat **out, const hora_export *x, int64_t n, hora_json *list) {
    const hora_base *b = x->base;
    float **merged = hora_calloc((size_t)b->nweights + 1, sizeof *merged);
    hora_flat *f = *out = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *f);
    hora_status s = hora_peft_merge(x->adapters, x->n, merged);
    if (s == HORA_OK)
        s = check_changes(x, merged);
    for (int w = 0; w < b->nweights; w++) {
        const int i = hora_flat_saves(x, w) ? -1 : site_of(b, w); /* it goes along whole */
        if (s == HORA_OK && merged[w] && i >= 0)
            s = cut_change(&f[i], b, &b->sites[i], merged[w], n, list);
        hora_free(merged[w]);
    }
    for (int i = 0; i < hora_flat_sites(b); i++)
        f[i].site = i;
    hora_free(merged);
    return s;
}
