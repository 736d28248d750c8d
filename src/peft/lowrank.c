/*
 * Low-rank methods: free factors, PEFT's files, W + s B A. Everything here follows from a method's
 * `factors`, so what makes A and B does not matter.
 */
#include "peft/lowrank.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "peft/dora.h"

char *hora_lowrank_name(const hora_site *s, char side) {
    return hora_peft_key(s->module, side == 'A' ? HORA_PEFT_LORA_A : HORA_PEFT_LORA_B);
}

void hora_lowrank_params(hora_adapter *ad, const hora_site *s, int64_t rank, hora_param **a,
                         hora_param **b) {
    char *na = hora_lowrank_name(s, 'A'), *nb = hora_lowrank_name(s, 'B');
    *a = hora_adapter_param(
        ad, na, HORA_SHAPE2(rank, s->in),
        (hora_init){.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)s->in)});
    *b = hora_adapter_param(ad, nb, HORA_SHAPE2(s->out, rank), (hora_init){.kind = HORA_INIT_ZERO});
    (*a)->layer = (*b)->layer = s->layer;
    (*b)->lora_b = true;
    hora_free(na);
    hora_free(nb);
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
    hora_st_entry *e = hora_calloc((size_t)(3 * b->nsites + b->nweights) + 1, sizeof *e);
    int n = 0, names;
    for (int i = 0; i < b->nsites; i++) {
        hora_factors f;
        const hora_site *s = &b->sites[i];
        a->method->factors(a, i, &f);
        if (!f.rank)
            continue;
        e[n++] = (hora_st_entry){hora_lowrank_name(s, 'A'),
                                 {(void *)f.a, a->dtype, HORA_SHAPE2(f.rank, s->in)},
                                 HORA_F32};
        e[n++] = (hora_st_entry){hora_lowrank_name(s, 'B'),
                                 {(void *)f.b, a->dtype, HORA_SHAPE2(s->out, f.rank)},
                                 HORA_F32};
        if (f.magnitude)
            e[n++] = (hora_st_entry){hora_peft_key(s->module, HORA_PEFT_MAGNITUDE),
                                     {(void *)f.magnitude, a->dtype, HORA_SHAPE1(s->out)},
                                     HORA_F32};
    }
    names = n;
    for (int w = 0; a->replaces && w < b->nweights; w++)
        if (a->replaces[w])
            e[n++] = (hora_st_entry){a->replaces[w]->name,
                                     {a->replaces[w]->value, a->dtype, a->replaces[w]->shape},
                                     HORA_F32};
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    for (int i = 0; i < names; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
    return s ? s : hora_peft_config_write(a, a->method->peft_config(a), dir);
}

/* --- merging ---------------------------------------------------------------------------------- */

/* W + s B A, row by row in f64, rounded once; with a magnitude times c = m / n. n is the norm of
 * that row with the W that recordings see, also where another adapter was folded in before. */
static void merge_site(const hora_adapter *a, const hora_site *s, const hora_factors *f,
                       const hora_merging *m, double *c) {
    const hora_view leaf = hora_merging_leaf(m, s->weight);
    float **out = &m->w[s->weight];
    const void *from = *out ? (const void *)*out : leaf.data;
    const hora_dtype dtype = *out ? HORA_F32 : leaf.dtype;
    if (!*out)
        *out = hora_malloc((size_t)hora_elems(&leaf) * sizeof **out);
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++) {
        c[o] = f->magnitude ? hora_value_at(f->magnitude, a->dtype, o) /
                                  hora_dora_norm(a, &leaf, s, f, o, row)
                            : 1;
        for (int64_t k = 0; k < s->in; k++)
            row[k] = hora_value_at(from, dtype, o * s->in + k);
        for (int64_t j = 0; j < f->rank; j++) {
            double b = f->scale * hora_value_at(f->b, a->dtype, o * f->rank + j);
            for (int64_t k = 0; k < s->in; k++)
                row[k] += b * hora_value_at(f->a, a->dtype, j * s->in + k);
        }
        for (int64_t k = 0; k < s->in; k++)
            (*out)[o * s->in + k] = (float)(f->magnitude ? c[o] * row[k] : row[k]);
    }
    hora_free(row);
}

hora_status hora_lowrank_merge(hora_adapter *a, const hora_merging *m) {
    HORA_TRY(hora_adapter_materialise(a));
    for (int i = 0; i < a->base->nsites; i++) {
        hora_factors f;
        const hora_site *s = &a->base->sites[i];
        a->method->factors(a, i, &f);
        if (!f.rank)
            continue;
        double *c = hora_malloc((size_t)s->out * sizeof *c);
        merge_site(a, s, &f, m, c);
        if (f.magnitude)
            hora_merging_outside(m, s, c);
        hora_free(c);
    }
    return HORA_OK;
}
