/* DoRA and DoRAN's form of it: what lora and hora share. */
#include "peft/dora.h"

#include <math.h>

#include "base/threads.h"

#define TAU_START 0.1  /* [ours] */
#define TAU_LEAST 1e-6 /* [ours] below it a row of zeros would divide by zero */

/* --- parameters ------------------------------------------------------------------------------- */

typedef struct norms {
    const hora_view *w;
    double *out, more;
} norms;

static void norm_of_row(void *arg, int64_t o, int thread) {
    const norms *n = arg;
    const int64_t k = n->w->shape.d[1];
    double sum = 0, *row = hora_malloc((size_t)k * sizeof *row);
    (void)thread;
    hora_row_values(n->w, o, row);
    for (int64_t j = 0; j < k; j++)
        sum += row[j] * row[j];
    n->out[o] = sqrt(sum) + n->more;
    hora_free(row);
}

/* A row of zeros has no direction: the first pass would divide 0 by 0. */
static hora_status check_rows(const hora_adapter *a, const hora_param *p, const double *out) {
    const char *name = p->name;
    for (int i = 0; i < a->base->nweights; i++)
        if (&a->base->weights[i].view == p->init.from)
            name = a->base->weights[i].name;
    for (int64_t o = 0; o < p->elems; o++)
        if (out[o] == 0)
            return hora_fail(
                HORA_ENUMERIC,
                "row %lld of %s is all zeros, and DoRA divides by its norm; leave that "
                "projection out of targets, or train without a magnitude",
                (long long)o, name);
    return HORA_OK;
}

/* Row norms of the weight behind, plus what tau starts at. */
static hora_status row_norms(const hora_adapter *a, const hora_param *p, double *out) {
    norms n = {p->init.from, out, p->init.value};
    hora_parallel(p->elems, norm_of_row, &n);
    return check_rows(a, p, out);
}

void hora_dora_declare(hora_dora *d, hora_adapter *a, const hora_site *s, hora_dora_kind kind,
                       const char *name, const char *tau) {
    if (kind == HORA_DORA_OFF)
        return;
    d->m = hora_adapter_param(a, name, HORA_SHAPE1(s->out),
                              (hora_init){.kind = HORA_INIT_COMPUTED,
                                          .value = kind == HORA_DORA_TAU ? TAU_START : 0,
                                          .from = &a->base->weights[s->weight].view,
                                          .compute = row_norms});
    d->m->layer = s->layer;
    d->m->decay = false; /* towards 0 it would take the base away */
    if (kind != HORA_DORA_TAU)
        return;
    d->tau = hora_adapter_param(a, tau, HORA_SHAPE1(1),
                                (hora_init){.kind = HORA_INIT_CONST, .value = TAU_START});
    d->tau->layer = s->layer;
    d->tau->decay = false;
    d->tau->least = TAU_LEAST;
}

/* --- recording -------------------------------------------------------------------------------- */

void hora_dora_prelude(hora_dora *d, hora_net *n, const hora_site *s, hora_t a, hora_t b,
                       double scale) {
    if (!d->m)
        return;
    hora_graph *g = n->g;
    hora_t norm = hora_detach(g, hora_lownorm(g, hora_net_weight(n, s->weight), a, b, scale));
    d->c = hora_ratio(g, hora_net_param(n, d->m), norm,
                      d->tau ? hora_net_param(n, d->tau) : HORA_NONE); /* (out) */
    d->rest = HORA_NONE;
    if (s->bias >= 0) { /* the bias is outside of the magnitude: c (y + b) + (1 - c) b */
        hora_t bias = hora_net_weight(n, s->bias);
        d->rest = hora_scale(g, hora_add(g, hora_mul(g, d->c, bias), bias, -1), HORA_NONE, -1);
    }
}

hora_t hora_dora_lowrank(const hora_dora *d, hora_net *n, const hora_adapter *ad,
                         const hora_site *s, hora_t x, hora_t w, hora_t b, hora_t xd, hora_t a,
                         hora_t f, double scale) {
    if (!d->m)
        return hora_net_update(n, ad, s, x, w, b, xd, a, f, scale);
    hora_t y = hora_net_lowrank(n, s, x, w, b, xd, a, f, scale); /* (rows, out) */
    return hora_affine(n->g, y, d->c, d->rest);
}

/* --- on disk ---------------------------------------------------------------------------------- */

double hora_dora_norm(hora_dtype dtype, const hora_view *w, const hora_site *s,
                      const hora_factors *f, int64_t o, double *row) {
    double sum = 0;
    hora_row_values(w, o, row);
    for (int64_t j = 0; j < f->rank; j++) {
        const double b = f->scale * hora_value_at(f->b, dtype, o * f->rank + j);
        for (int64_t k = 0; k < s->in; k++)
            row[k] += b * hora_value_at(f->a, dtype, j * s->in + k);
    }
    for (int64_t k = 0; k < s->in; k++)
        sum += row[k] * row[k];
    return sqrt(sum);
}

void hora_dora_magnitude(const hora_dora *d, const hora_adapter *a, const hora_site *s,
                         const hora_factors *f, void *out) {
    const hora_view *w = &a->base->weights[s->weight].view;
    const double tau = d->tau ? hora_value_at(d->tau->value, a->dtype, 0) : 0;
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++) {
        double m = hora_value_at(d->m->value, a->dtype, o);
        if (tau != 0 && w->data) { /* of headers alone the norm is not known */
            const double n = hora_dora_norm(a->dtype, w, s, f, o, row);
            m *= n / (n + tau);
        }
        hora_value_put(out, a->dtype, o, m);
    }
    hora_free(row);
}
