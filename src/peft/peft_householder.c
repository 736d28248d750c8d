/*
 * Householder transformation adapter: the update imitates a singular value decomposition whose
 * orthogonal factors are one reflection each. [arXiv 2410.22952; the rectangular form is ours]
 *
 *   y = W x + b + H(u) diag(s) H(v) dropout(x)     H(a) = I - 2 a a' / a'a
 *
 *   u (out), v (in), s (min(in, out)); diag(s) is (out, in)
 *
 * s = 0 [ours]: training starts at the base, and only s has a gradient there. O(in + out) a token.
 * Merges: dW has the entries of the diagonal and of rank-one terms.
 */
#include <math.h>

#include "base/text.h"
#include "peft/replaced.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    double dropout;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_REAL(dropout, "dropout", NULL, "0", 0, 0.99, "probability of dropping an input"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method householder", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *u, *s, *v;
} site;

static hora_param *declare(hora_adapter *a, const hora_site *s, char what, int64_t n, double std) {
    char *name =
        hora_format("layers.%d.householder_%c_%s", s->layer, what, hora_site_short(s->kind));
    hora_param *p = hora_adapter_param(a, name, HORA_SHAPE1(n),
                                       std > 0 ? (hora_init){.kind = HORA_INIT_NORMAL, .value = std}
                                               : (hora_init){.kind = HORA_INIT_ZERO});
    p->layer = s->layer;
    p->decay = std == 0; /* of u and v only the direction counts */
    hora_free(name);
    return p;
}

static hora_status add(hora_adapter *a, int i) {
    const hora_site *s = &a->base->sites[i];
    ((site *)a->state)[i] = (site){.u = declare(a, s, 'u', s->out, 1),
                                   .s = declare(a, s, 's', hora_min(s->in, s->out), 0),
                                   .v = declare(a, s, 'v', s->in, 1)};
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    a->state = hora_calloc((size_t)a->base->nsites + 1, sizeof(site));
    return hora_typed_setup(a, add);
}

/* (1, n) of a vector. */
static hora_t row(hora_net *n, const hora_param *p) {
    return hora_permute(n->g, hora_net_param(n, p), 1, 1, 1, p->elems);
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const config *c = a->config;
    const site *t = &((const site *)a->state)[s - a->base->sites];
    hora_t y = hora_net_next(n, s, x, w, b);
    if (!t->u)
        return y;
    hora_t z = hora_dropout(n->g, x, hora_net_dropout(n, c->dropout),
                            hora_net_stream(n, a, "householder", s->kind));
    z = hora_reflect(n->g, z, row(n, t->v)); /* (rows, in) */
    if (s->in > s->out)
        z = hora_fit_width(n->g, z, s->out);
    z = hora_scale(n->g, z, hora_net_param(n, t->s), 1);
    if (s->in < s->out)
        z = hora_fit_width(n->g, z, s->out);
    return hora_add(n->g, y, hora_reflect(n->g, z, row(n, t->u)), 1);
}

/* --- merging ---------------------------------------------------------------------------------- */

/* a / |a| in f64; new. */
static double *direction(const hora_adapter *a, const hora_param *p) {
    double *v = hora_malloc((size_t)p->elems * sizeof *v), sum = 0;
    for (int64_t k = 0; k < p->elems; k++) {
        v[k] = hora_value_at(p->value, a->dtype, k);
        sum += v[k] * v[k];
    }
    for (int64_t k = 0; k < p->elems && sum > 0; k++)
        v[k] /= sqrt(sum);
    return v;
}

/* dW = (I - 2 u u') D (I - 2 v v') = D - 2 u (u'D) - 2 (D v) v' + 4 (u'D v) u v' */
static void add_update(float *w, const hora_site *s, const double *u, const double *v,
                       const double *d) {
    const int64_t k = hora_min(s->in, s->out);
    double udv = 0;
    for (int64_t j = 0; j < k; j++)
        udv += u[j] * d[j] * v[j];
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++) {
            const double dii = o == i && i < k ? d[i] : 0;
            const double ud = i < k ? u[i] * d[i] : 0, dv = o < k ? d[o] * v[o] : 0;
            w[o * s->in + i] +=
                (float)(dii - 2 * u[o] * ud - 2 * dv * v[i] + 4 * udv * u[o] * v[i]);
        }
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    for (int i = 0; i < a->base->nsites; i++) {
        const site *t = &((const site *)a->state)[i];
        const hora_site *s = &a->base->sites[i];
        float *w;
        if (!t->u)
            continue;
        HORA_TRY(hora_merging_weight(m, s->weight, &w));
        double *u = direction(a, t->u), *v = direction(a, t->v);
        double *d = hora_malloc((size_t)t->s->elems * sizeof *d);
        for (int64_t k = 0; k < t->s->elems; k++)
            d[k] = hora_value_at(t->s->value, a->dtype, k);
        add_update(w, s, u, v, d);
        hora_free(u);
        hora_free(v);
        hora_free(d);
    }
    return HORA_OK;
}

const hora_method hora_method_householder = {
    .name = "householder",
    .summary = "an update of two reflections and a diagonal: in + out + min(in, out) numbers",
    .paper = "arXiv 2410.22952",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .linear = linear},
    .setup = setup,
    .release = hora_typed_release,
    HORA_DELTA_CALLBACKS,
    .merge = merge,
};
