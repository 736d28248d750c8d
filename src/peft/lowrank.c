/*
 * Low-rank methods: free factors, PEFT's files, W + s B A. Everything here follows from a method's
 * `factors`, so what makes A and B does not matter.
 */
#include "peft/lowrank.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "peft/dora.h"

double hora_lowrank_alpha(int64_t rank, double alpha) {
    return alpha > 0 ? alpha : 2 * (double)rank;
}

void hora_lowrank_scale(hora_peft_config *p, int64_t rank, double *alpha, double dropout) {
    *alpha = hora_lowrank_alpha(rank, *alpha);
    p->r = rank;
    p->lora_alpha = *alpha;
    p->lora_dropout = dropout;
}

char *hora_lowrank_name(const hora_site *s, char side) {
    const bool table = s->kind == HORA_SITE_EMBED;
    return hora_peft_key(s->module, side == 'A' ? (table ? HORA_PEFT_EMB_A : HORA_PEFT_LORA_A)
                                                : (table ? HORA_PEFT_EMB_B : HORA_PEFT_LORA_B));
}

void hora_lowrank_params(hora_adapter *ad, const hora_site *s, int64_t rank, bool whole,
                         hora_param **a, hora_param **b) {
    const bool table = s->kind == HORA_SITE_EMBED;
    const hora_init zero = {.kind = HORA_INIT_ZERO},
                    normal = {.kind = HORA_INIT_NORMAL, .value = 1},
                    uniform = {.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)s->in)};
    const int64_t out = whole ? s->fused_out : s->out;
    char *na = whole ? hora_peft_key(s->fused, HORA_PEFT_LORA_A) : hora_lowrank_name(s, 'A');
    char *nb = whole ? hora_peft_key(s->fused, HORA_PEFT_LORA_B) : hora_lowrank_name(s, 'B');
    *a = hora_adapter_param(ad, na, HORA_SHAPE2(rank, s->in), table ? zero : uniform);
    *b = hora_adapter_param(ad, nb, HORA_SHAPE2(out, rank), table ? normal : zero);
    (*a)->layer = (*b)->layer = s->layer;
    (table ? *a : *b)->lora_b = true;
    hora_free(na);
    hora_free(nb);
}

/* Sites that `factors` is asked about. */
static int sites_of(const hora_adapter *a) {
    return a->base->nsites + (a->method->ends ? a->base->nends : 0);
}

/* --- the folder ------------------------------------------------------------------------------- */

bool hora_lowrank_claims(const hora_method *m, const hora_foreign *f) {
    (void)m;
    return f->peft && !f->native && hora_eq(f->peft->peft_type, "LORA");
}

hora_status hora_lowrank_save(hora_adapter *a, const char *dir) {
    HORA_TRY(hora_adapter_materialise(a));
    return hora_lowrank_write(a, dir);
}

hora_status hora_lowrank_write(hora_adapter *a, const char *dir) {
    const hora_base *b = a->base;
    int n;
    hora_factor_tensor *all = hora_factor_tensors(a, &n);
    hora_st_entry *e = hora_calloc((size_t)(n + b->nweights) + 1, sizeof *e);
    int count = n;
    for (int i = 0; i < n; i++)
        e[i] = (hora_st_entry){all[i].name, all[i].view, HORA_F32};
    for (int w = 0; a->replaces && w < b->nweights; w++)
        if (a->replaces[w])
            e[count++] = (hora_st_entry){a->replaces[w]->name,
                                         {a->replaces[w]->value, a->dtype, a->replaces[w]->shape},
                                         HORA_F32};
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, count, NULL, 0);
    hora_free(path);
    hora_factor_tensors_free(all, n);
    hora_free(e);
    HORA_TRY(s);
    hora_peft_config c = {0};
    hora_peft_config_copy(&c, a->method->peft_config(a));
    hora_factor_config(a, &c);
    s = hora_peft_config_write(a, &c, dir);
    hora_peft_config_release(&c);
    return s;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* W + s B A, row by row in f64, rounded once; with a magnitude times c = m / n. n is the norm of
 * that row with the W that recordings see, also where another adapter was folded in before. */
static void merge_site(const hora_adapter *a, const hora_site *s, const hora_factors *f,
                       const hora_view *leaf, float *w, double *c) {
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++) {
        c[o] = f->magnitude ? hora_value_at(f->magnitude, a->dtype, o) /
                                  hora_dora_norm(a->dtype, leaf, s, f, o, row)
                            : 1;
        for (int64_t k = 0; k < s->in; k++)
            row[k] = (double)w[o * s->in + k];
        for (int64_t j = 0; j < f->rank; j++) {
            double b = f->scale * hora_value_at(f->b, a->dtype, o * f->rank + j);
            for (int64_t k = 0; k < s->in; k++)
                row[k] += b * hora_value_at(f->a, a->dtype, j * s->in + k);
        }
        for (int64_t k = 0; k < s->in; k++)
            w[o * s->in + k] = (float)(f->magnitude ? c[o] * row[k] : row[k]);
    }
    hora_free(row);
}

/* A table has a row per input: E + s A' B'. */
static void merge_table(const hora_adapter *a, const hora_site *s, const hora_factors *f,
                        float *w) {
    for (int64_t k = 0; k < s->in; k++)
        for (int64_t o = 0; o < s->out; o++) {
            double sum = 0;
            for (int64_t j = 0; j < f->rank; j++)
                sum += hora_value_at(f->a, a->dtype, j * s->in + k) *
                       hora_value_at(f->b, a->dtype, o * f->rank + j);
            w[k * s->out + o] = (float)((double)w[k * s->out + o] + f->scale * sum);
        }
}

/* The bias is outside of the magnitude; what an inner adapter made of it is inside. lora_bias rides
 * with B, and is inside of no magnitude: PEFT refuses the pair. */
static hora_status merge_bias(const hora_adapter *a, const hora_site *s, const hora_factors *f,
                              const double *c, const hora_merging *m) {
    if (f->bias && s->bias < 0)
        return hora_fail(HORA_EUNSUPPORTED,
                         "lora_bias of %s cannot be merged: the layer has no bias to take it (PEFT "
                         "refuses this too); use the adapter beside its base",
                         s->module);
    if (f->magnitude && !f->bias)
        hora_merging_outside(m, s, c);
    if (!f->bias)
        return HORA_OK;
    float *bias;
    HORA_TRY(hora_merging_weight(m, s->bias, &bias));
    for (int64_t o = 0; o < s->out; o++)
        bias[o] = (float)((double)bias[o] + f->scale * hora_value_at(f->bias, a->dtype, o));
    return HORA_OK;
}

static hora_status merge_factors(const hora_adapter *a, const hora_site *s, const hora_factors *f,
                                 const hora_merging *m) {
    float *w;
    if (s->kind >= HORA_SITES) /* of a tied pair one end changes alone */
        HORA_TRY(hora_merging_apart(m));
    const hora_view leaf = hora_merging_leaf(m, s->weight);
    HORA_TRY(hora_merging_weight(m, s->weight, &w));
    if (s->kind == HORA_SITE_EMBED) {
        merge_table(a, s, f, w);
        return HORA_OK;
    }
    double *c = hora_malloc((size_t)s->out * sizeof *c);
    merge_site(a, s, f, &leaf, w, c);
    const hora_status st = merge_bias(a, s, f, c, m);
    hora_free(c);
    return st;
}

hora_status hora_lowrank_merge(hora_adapter *a, const hora_merging *m) {
    HORA_TRY(hora_adapter_materialise(a));
    for (int i = 0; i < sites_of(a); i++) {
        hora_factors f;
        a->method->factors(a, i, &f);
        if (f.rank)
            HORA_TRY(merge_factors(a, &a->base->sites[i], &f, m));
    }
    return HORA_OK;
}
