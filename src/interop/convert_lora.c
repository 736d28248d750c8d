/*
 * Any adapter that merges as a plain LoRA. What is of low rank already is taken as it is where the
 * rank allows, else cut by singular values; of all others what a merge would add to each weight is
 * cut. Eckart and Young: no LoRA of that rank is nearer in the Frobenius norm.
 */
#include <math.h>

#include "base/text.h"
#include "interop/convert.h"
#include "interop/svd.h"

/* The adapters are plain low-rank updates, so nothing has to be merged to see them. */
static bool plain(const hora_export *x) {
    bool yes = true;
    for (int k = 0; k < x->n; k++) {
        const hora_adapter *a = x->adapters[k];
        yes &= a->method->factors && !a->method->peft_config(a)->n_tokens;
        for (int i = 0; yes && i < hora_flat_sites(x->base); i++) {
            hora_factors f = {0};
            if (i < x->base->nsites || a->method->ends)
                a->method->factors(x->adapters[k], i, &f);
            yes &= !f.magnitude && !f.bias;
        }
    }
    return yes;
}

/* Trained whole: no LoRA can say that. */
static hora_status check(const hora_export *x, const hora_convert_config *c) {
    (void)c;
    for (int k = 0; k < x->n; k++) {
        const hora_adapter *a = x->adapters[k];
        if (!a->method->merge)
            return hora_fail(HORA_EUNSUPPORTED,
                             "method %s changes no weight, so there is no LoRA that does the same; "
                             "use the adapter beside its base",
                             a->method->name);
        const int w = hora_flat_beyond(x, k);
        if (w >= 0)
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter %s has trained %s, which is no projection, and a LoRA "
                             "changes projections alone; fold it in with `hora merge`",
                             a->name, x->base->weights[w].name);
    }
    return HORA_OK;
}

/* --- one site --------------------------------------------------------------------------------- */
static double *doubles(const float *x, int64_t n) {
    double *d = hora_malloc((size_t)n * sizeof *d);
    for (int64_t i = 0; i < n; i++)
        d[i] = (double)x[i];
    return d;
}

/* An update that is of low rank: as it is, or cut to n. */
static hora_status cut(hora_flat *f, const hora_site *s, int64_t n, hora_json *list) {
    double *fb = doubles(f->b, s->out * f->rank), *fa = doubles(f->a, f->rank * s->in);
    double *b = hora_malloc((size_t)(s->out * f->rank) * sizeof *b),
           *a = hora_malloc((size_t)(f->rank * s->in) * sizeof *a), left = 0, kept = 0;
    const int64_t r = hora_min(f->rank, hora_min(s->out, s->in)), rank = n ? hora_min(n, r) : r;
    hora_status st = HORA_OK;
    if (rank < f->rank) {
        st = hora_best_rank_product(fb, fa, s->out, s->in, f->rank, rank, b, a, &left);
        if (st == HORA_OK) {
            kept = hora_frobenius(b, s->out * rank); /* a has orthonormal rows */
            hora_flat_put(f, s, rank, b, a);
        }
    }
    if (st == HORA_OK)
        hora_flat_say_cut(list, s, f->rank, left, hypot(left, kept));
    hora_free(fa);
    hora_free(fb);
    hora_free(a);
    hora_free(b);
    return st;
}

/* --- all -------------------------------------------------------------------------------------- */
static hora_status from_factors(hora_flat **out, const hora_export *x, int64_t n, hora_json *list) {
    const hora_base *b = x->base;
    HORA_TRY(hora_flat_of_saved(out, x));
    hora_status s = HORA_OK;
    for (int i = 0; i < hora_flat_sites(b) && s == HORA_OK; i++)
        if ((*out)[i].rank)
            s = cut(&(*out)[i], &b->sites[i], n, list);
    return s;
}

static hora_status from_change(hora_flat **out, const hora_export *x, int64_t n, hora_json *list) {
    const int64_t rank = n ? n : hora_flat_change_rank(x);
    const int k = hora_flat_unranked(x);
    if (!rank)
        return hora_fail(HORA_EUSAGE,
                         "the update has no rank of its own (%s); say one: --to lora:16",
                         k >= 0 || x->n == 1 ? x->adapters[k >= 0 ? k : 0]->method->name
                                             : "all of them together");
    return hora_flat_of_change(out, x, rank, list);
}

static double worst(const hora_json *list) {
    double most = 0, v;
    for (size_t i = 0; i < hora_json_len(list); i++)
        if (hora_json_real(hora_json_get(hora_json_at(list, i), "error"), &v))
            most = fmax(most, v);
    return most;
}

static hora_status write(const hora_export *x, const hora_convert_config *c, const char *dir,
                         hora_json *report) {
    const int64_t n = c->n;
    hora_flat *f = NULL;
    hora_json *list = hora_json_set(report, "tensors", hora_json_new_array());
    hora_status s = HORA_OK;
    for (int k = 0; k < x->n && s == HORA_OK; k++)
        s = hora_adapter_materialise(x->adapters[k]);
    if (s == HORA_OK)
        s = plain(x) && hora_flat_only(x, true) == HORA_OK ? from_factors(&f, x, n, list)
                                                           : from_change(&f, x, n, list);
    if (s == HORA_OK && !hora_json_len(list))
        s = hora_fail(HORA_EUSAGE, "the adapter changes nothing, so there is nothing to convert");
    hora_json_set(report, "error", hora_json_new_real(worst(list)));
    if (s == HORA_OK)
        s = hora_flat_write_peft(f, x, dir);
    hora_flat_free(f, x->base);
    return s;
}

const hora_converter hora_converter_lora = {
    .name = "lora",
    .number = "rank",
    .summary = "PEFT's plain LoRA of that rank, the nearest there is; without a rank: exact, of "
               "methods that are low-rank updates",
    .adapters = true,
    .check = check,
    .write = write};
