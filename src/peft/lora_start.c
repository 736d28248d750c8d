/* Where LoRA's factors start: draws, and decompositions of W. */
#include "peft/lora_start.h"

#include <math.h>

#include "base/dense.h"
#include "base/lapack.h"
#include "base/rng.h"
#include "base/text.h"

/* --- orthogonal ------------------------------------------------------------------------------- */

/* Half of the rows of an orthonormal (r, r), the same for A and B of a site: (r / 2, r). */
static double *half_of_q(const hora_adapter *ad, const hora_lora_start *t, int64_t r, int odd) {
    hora_rng rng = hora_rng_new(ad->seed, t->a->name);
    double *x = hora_malloc((size_t)(r * r) * sizeof *x);
    double *q = hora_malloc((size_t)(r * r) * sizeof *q);
    double *half = hora_malloc((size_t)(r * r / 2) * sizeof *half);
    for (int64_t i = 0; i < r * r; i++)
        x[i] = hora_rng_normal(&rng);
    hora_dense_basis(x, r, r, q);
    for (int64_t i = 0; i < r / 2; i++)
        memcpy(half + i * r, q + (2 * i + odd) * r, (size_t)r * sizeof *half);
    hora_free(x);
    hora_free(q);
    return half;
}

/* A (r, in): (X Q_odd)' / 10, X (in, r / 2); B (out, r): Y Q_even / 10. */
static hora_status orthogonal(const hora_adapter *ad, const hora_param *p, double *out) {
    const hora_lora_start *t = p->init.arg;
    const bool is_a = p == t->a;
    const int64_t r = p->shape.d[is_a ? 0 : 1], n = p->shape.d[is_a ? 1 : 0];
    double *q = half_of_q(ad, t, r, !is_a);
    char *name = hora_format("%s.orthogonal", p->name);
    hora_rng rng = hora_rng_new(ad->seed, name);
    for (int64_t i = 0; i < p->elems; i++)
        out[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < r / 2; h++) {
            const double x = hora_rng_normal(&rng) / 10;
            for (int64_t j = 0; j < r; j++)
                out[is_a ? j * n + i : i * r + j] += x * q[h * r + j];
        }
    hora_free(name);
    hora_free(q);
    return HORA_OK;
}

/* --- of W ------------------------------------------------------------------------------------- */

/* The first r columns of left (m, k) and rows of right (k, n), both times sqrt(w) where given. */
static void cut(const double *left, const double *right, const double *w, int64_t m, int64_t n,
                int64_t r, double *b, double *a) {
    const int64_t k = hora_min(m, n);
    for (int64_t j = 0; j < r; j++) {
        const double f = w ? sqrt(w[j]) : 1;
        for (int64_t i = 0; i < m; i++)
            b[i * r + j] = f * left[i * k + j];
        for (int64_t i = 0; i < n; i++)
            a[j * n + i] = f * right[j * n + i];
    }
}

/* A of W's decomposition into out; B waits in t->keep. */
static hora_status decompose(hora_lora_start *t, const hora_param *p, double *out) {
    const hora_view *w = p->init.from;
    const int64_t m = w->shape.d[0], n = w->shape.d[1], k = hora_min(m, n), r = p->shape.d[0];
    double *x = hora_malloc((size_t)(m * n) * sizeof *x), *values = hora_calloc((size_t)k, 8);
    double *left = hora_malloc((size_t)(m * k) * sizeof *left);
    double *right = hora_malloc((size_t)(k * n) * sizeof *right);
    hora_status s = hora_convert(x, HORA_F64, w->data, w->dtype, m * n);
    const bool pissa = t->kind == HORA_START_PISSA;
    if (!s)
        s = pissa ? hora_svd(x, m, n, left, values, right) : hora_qr(x, m, n, left, right);
    for (int64_t j = 0; j < k; j++)
        values[j] /= t->scale;
    if (!s) {
        hora_free(t->keep);
        t->keep = hora_malloc((size_t)(m * r) * sizeof *t->keep);
        cut(left, right, pissa ? values : NULL, m, n, r, t->keep, out);
    }
    hora_free(x);
    hora_free(values);
    hora_free(left);
    hora_free(right);
    return s;
}

static hora_status of_weight(const hora_adapter *ad, const hora_param *p, double *out) {
    hora_lora_start *t = p->init.arg;
    (void)ad;
    if (p == t->a)
        return decompose(t, p, out);
    memcpy(out, t->keep, (size_t)p->elems * sizeof *out); /* declared, so computed, behind A */
    hora_free(t->keep);
    t->keep = NULL;
    return HORA_OK;
}

static hora_status same(const hora_adapter *ad, const hora_param *p, double *out) {
    const hora_lora_start *t = p->init.arg;
    const hora_param *of = p == t->a0 ? t->a : t->b;
    return hora_convert(out, HORA_F64, of->value, ad->dtype, p->elems);
}

/* --- declared --------------------------------------------------------------------------------- */

static hora_param *fixed(hora_lora_start *t, hora_adapter *ad, const hora_param *of,
                         const hora_site *s) {
    char *name = hora_format("%s.start", of->name);
    hora_param *p = hora_adapter_param(ad, name, of->shape,
                                       (hora_init){.kind = HORA_INIT_COMPUTED,
                                                   .from = &ad->base->weights[s->weight].view,
                                                   .compute = same,
                                                   .arg = t});
    p->layer = s->layer;
    p->fixed = p->aside = true;
    hora_free(name);
    return p;
}

static hora_status check(const hora_adapter *ad, const hora_site *s, hora_lora_kind kind,
                         int64_t rank) {
    const hora_dtype t = ad->base->weights[s->weight].view.dtype;
    if (kind == HORA_START_ORTHOGONAL && rank % 2)
        return hora_fail(HORA_EUSAGE, "init=orthogonal: %s has rank %lld; take an even one",
                         s->module, (long long)rank);
    if (kind < HORA_START_PISSA)
        return HORA_OK;
    if (hora_dtype_block(t) > 1)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s lies in blocks of %s: init=pissa and init=olora take their start out "
                         "of the weight before it is quantized; train with them on the unquantized "
                         "model, or leave init as it is",
                         s->module, hora_dtype_name(t));
    if (!hora_lapack())
        return hora_fail(HORA_EUNSUPPORTED, "init=pissa and init=olora need LAPACK, which this "
                                            "build lacks; install liblapacke-dev and build again");
    if (rank > hora_min(s->in, s->out))
        return hora_fail(HORA_EUSAGE,
                         "%s has no more than rank %lld to start from; take a lower one", s->module,
                         (long long)hora_min(s->in, s->out));
    return HORA_OK;
}

hora_status hora_lora_start_declare(hora_lora_start *t, hora_adapter *ad, const hora_site *s,
                                    hora_lora_kind kind, double scale, hora_param *a,
                                    hora_param *b) {
    *t = (hora_lora_start){.kind = kind, .scale = scale, .a = a, .b = b};
    HORA_TRY(check(ad, s, kind, a->shape.d[0]));
    if (kind == HORA_START_GAUSSIAN)
        a->init = (hora_init){.kind = HORA_INIT_NORMAL, .value = 1 / (double)a->shape.d[0]};
    if (kind < HORA_START_ORTHOGONAL)
        return HORA_OK;
    a->init = b->init =
        (hora_init){.kind = HORA_INIT_COMPUTED,
                    .from = &ad->base->weights[s->weight].view,
                    .compute = kind == HORA_START_ORTHOGONAL ? orthogonal : of_weight,
                    .arg = t};
    if (kind < HORA_START_PISSA)
        return HORA_OK;
    t->a0 = fixed(t, ad, a, s);
    t->b0 = fixed(t, ad, b, s);
    return HORA_OK;
}

void hora_lora_start_release(hora_lora_start *t) {
    hora_free(t->keep);
}

hora_t hora_lora_start_minus(const hora_lora_start *t, hora_net *n, const hora_adapter *a, hora_t x,
                             hora_t y) {
    if (!t->a0)
        return y;
    hora_t z = hora_linear(n->g, x, hora_net_param(n, t->a0), HORA_NONE, HORA_NONE, 1);
    return hora_linear(n->g, z, hora_net_param(n, t->b0), HORA_NONE, y, -t->scale * a->weight);
}

void hora_lora_start_double(const hora_lora_start *t, const hora_adapter *ad, void **a, void **b) {
    const int64_t r = t->a->shape.d[0], out = t->b->shape.d[0];
    const size_t size = hora_dtype_size(ad->dtype), half = (size_t)t->a->elems * size;
    *a = hora_realloc(*a, 2 * half);
    *b = hora_realloc(*b, 2 * (size_t)t->b->elems * size);
    memcpy(*a, t->a->value, half);
    memcpy((char *)*a + half, t->a0->value, half);
    for (int64_t o = 0; o < out; o++)
        for (int64_t j = 0; j < 2 * r; j++) {
            const double v = j < r ? hora_value_at(t->b->value, ad->dtype, o * r + j)
                                   : -hora_value_at(t->b0->value, ad->dtype, o * r + j - r);
            if (ad->dtype == HORA_F64)
                ((double *)*b)[o * 2 * r + j] = v;
            else
                ((float *)*b)[o * 2 * r + j] = (float)v;
        }
}
