/*
 * What each head learned. Everything follows from the factors Delta W = s B A:
 *
 *   singular values   of B A, which is never formed
 *   effective rank    exp(entropy of sigma / sum sigma)  [Roy and Vetterli 2007]
 *   head h            rows of B (q, k, v) or columns of A (o); |Delta W_h|_F^2 = s^2 <B_h'B_h, AA'>
 *   cosine            <B_h, B_g> / |B_h| |B_g| over pairs of heads
 *   principal angles  acos of the singular values of Q_h'Q_g, Q an orthonormal basis of the columns
 *   dead units        rows of W1 X that are nowhere above zero (relu)
 */
#include <math.h>

#include "base/dense.h"
#include "base/text.h"
#include "peft/peft.h"
#include "run/inspect.h"

/* --- one site --------------------------------------------------------------------------------- */
typedef struct blocks { /* of a site, every block n x r */
    int64_t heads, n, r;
    double *x;     /* heads blocks */
    double *other; /* Gram of the common factor, r x r */
} blocks;

static hora_json *reals(const double *v, int64_t n) {
    hora_json *a = hora_json_new_array();
    for (int64_t i = 0; i < n; i++)
        hora_json_push(a, hora_json_new_real(v[i]));
    return a;
}

static void put_rank(hora_json *o, const double *w, int64_t r) {
    double sum = 0, entropy = 0;
    for (int64_t i = 0; i < r; i++)
        sum += w[i];
    for (int64_t i = 0; i < r && sum > 0; i++)
        entropy -= w[i] > 0 ? w[i] / sum * log(w[i] / sum) : 0;
    hora_json_set(o, "singular_values", reals(w, r));
    hora_json_set(o, "effective_rank", hora_json_new_real(sum > 0 ? exp(entropy) : 0));
}

static void put_norms(hora_json *o, const blocks *b, double scale) {
    double *g = hora_calloc((size_t)(b->r * b->r), sizeof *g);
    hora_json *norms = hora_json_new_array();
    for (int64_t h = 0; h < b->heads; h++) {
        const double *x = b->x + h * b->n * b->r;
        hora_dense_gram(x, b->r, x, b->r, b->n, g);
        double sq = hora_dense_inner(g, b->other, b->r * b->r);
        hora_json_push(norms, hora_json_new_real(scale * sqrt(fmax(sq, 0))));
    }
    hora_json_set(o, "head_norms", norms);
    hora_free(g);
}

/* Means over all pairs of heads; heads that are zero have no direction and are left out. */
static void put_pairs(hora_json *o, const blocks *b) {
    const int64_t size = b->n * b->r;
    const double degree = 180 / acos(-1.0);
    double *q = hora_calloc((size_t)(b->heads * size + 2 * b->r * b->r + b->r), sizeof *q);
    double *g = q + b->heads * size, *m = g + b->r * b->r, *w = m + b->r * b->r;
    int64_t *k = hora_calloc((size_t)b->heads, sizeof *k), pairs = 0;
    double cosine = 0, highest = -1, first = 0, last = 0;
    for (int64_t h = 0; h < b->heads; h++)
        k[h] = hora_dense_basis(b->x + h * size, b->n, b->r, q + h * size);
    for (int64_t h = 0; h < b->heads; h++)
        for (int64_t e = h + 1; e < b->heads; e++) {
            const double *x = b->x + h * size, *y = b->x + e * size;
            if (!k[h] || !k[e])
                continue;
            double c = hora_dense_inner(x, y, size) /
                       sqrt(hora_dense_inner(x, x, size) * hora_dense_inner(y, y, size));
            cosine += c;
            highest = fmax(highest, c);
            const int64_t common = hora_min(k[h], k[e]);
            /* columns beyond the bases: cut */
            hora_dense_gram(q + h * size, b->r, q + e * size, b->r, b->n, g);
            memset(m, 0, (size_t)(b->r * b->r) * sizeof *m);
            for (int64_t i = 0; i < k[h]; i++)
                for (int64_t s = 0; s < k[e]; s++)
                    for (int64_t t = 0; t < k[e]; t++)
                        m[s * k[e] + t] += g[i * b->r + s] * g[i * b->r + t];
            hora_dense_eigen(m, k[e], w, NULL);
            first += acos(fmin(1, sqrt(fmax(w[0], 0)))) * degree;
            last += acos(fmin(1, sqrt(fmax(w[common - 1], 0)))) * degree;
            pairs++;
        }
    if (pairs) {
        hora_json_set(o, "head_cosine_mean", hora_json_new_real(cosine / (double)pairs));
        hora_json_set(o, "head_cosine_max", hora_json_new_real(highest));
        hora_json_set(o, "head_angle_smallest", hora_json_new_real(first / (double)pairs));
        hora_json_set(o, "head_angle_largest", hora_json_new_real(last / (double)pairs));
    }
    hora_free(k);
    hora_free(q);
}

static hora_status put_site(const hora_adapter *a, const hora_site *site, const hora_factors *f,
                            hora_json *o) {
    const int64_t r = f->rank, left = site->out * r, right = site->in * r;
    double *b = hora_calloc((size_t)(left + 2 * right + 2 * r * r + r), sizeof *b);
    double *a0 = b + left, *at = a0 + right, *gb = at + right, *ga = gb + r * r, *w = ga + r * r;
    hora_status s = hora_convert(b, HORA_F64, f->b, a->dtype, left);
    if (s == HORA_OK)
        s = hora_convert(a0, HORA_F64, f->a, a->dtype, right);
    if (s == HORA_OK) {
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < site->in; j++)
                at[j * r + i] = a0[i * site->in + j];
        hora_dense_gram(b, r, b, r, site->out, gb);
        hora_dense_gram(at, r, at, r, site->in, ga);
        hora_dense_singular_product(b, a0, site->out, r, site->in, w);
        for (int64_t i = 0; i < r; i++)
            w[i] *= fabs(f->scale);
        put_rank(o, w, r);
        const bool columns = site->kind == HORA_SITE_O;
        const blocks x = {site->heads, site->head_dim, r, columns ? at : b, columns ? gb : ga};
        if (site->heads > 0) {
            put_norms(o, &x, fabs(f->scale));
            put_pairs(o, &x);
        }
    }
    hora_free(b);
    return s;
}

/* --- units of the generator ------------------------------------------------------------------- */
/* Rows i of W1 (groups of m x e; one group serves all inputs, or one each) with W1 X <= 0 for every
 * column of every input (count blocks of e x r). */
static int64_t dead_rows(const hora_param *w1, const hora_param *x) {
    const float *w = w1->value, *in = x->value;
    const int64_t e = w1->shape.d[w1->shape.n - 1], m = w1->shape.d[w1->shape.n - 2];
    const int64_t r = x->shape.d[x->shape.n - 1], count = x->elems / (e * r);
    const bool own = w1->shape.n == 3;
    int64_t dead = 0;
    for (int64_t g = 0; g < (own ? count : 1); g++)
        for (int64_t i = 0; i < m; i++) {
            bool fires = false;
            for (int64_t h = own ? g : 0; h < (own ? g + 1 : count) && !fires; h++)
                for (int64_t c = 0; c < r && !fires; c++) {
                    double u = 0;
                    for (int64_t k = 0; k < e; k++)
                        u += (double)w[(g * m + i) * e + k] * in[(h * e + k) * r + c];
                    fires = u > 0;
                }
            dead += !fires;
        }
    return dead;
}

/* Every first layer `layers.N.w1_..` with its input `layers.N.input_..`. */
static hora_json *dead_units(const hora_adapter *a) {
    const hora_option *act =
        a->method->options ? hora_options_find(a->method->options, "act") : NULL;
    hora_str name = {0};
    if (act)
        hora_option_format(act, a->config, &name);
    const bool relu = hora_eq(name.s, "relu") && a->dtype == HORA_F32;
    hora_str_release(&name);
    if (!relu)
        return NULL;
    hora_json *out = hora_json_new_object();
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        const char *at = strstr(p->name, ".w1_");
        if (!at || p->shape.n < 2)
            continue;
        char *input = hora_format("%.*s.input_%s", (int)(at - p->name), p->name, at + 4);
        const hora_param *x = hora_adapter_find(a, input);
        if (x && x->shape.n >= 2)
            hora_json_set(out, p->name, hora_json_new_int(dead_rows(p, x)));
        hora_free(input);
    }
    return out;
}

hora_status hora_inspect_heads(hora_adapter *a, hora_json **out) {
    if (!a->method->factors)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s has no heads to look at; --heads is for low-rank adapters",
                         a->method->name);
    HORA_TRY(hora_adapter_materialise(a));
    hora_json *sites = hora_json_new_array();
    hora_status s = HORA_OK;
    for (int i = 0; i < a->base->nsites && s == HORA_OK; i++) {
        hora_factors f = {0};
        a->method->factors(a, i, &f);
        if (f.rank <= 0)
            continue;
        hora_json *o = hora_json_push(sites, hora_json_new_object());
        hora_json_set(o, "module", hora_json_new_string(a->base->sites[i].module));
        s = put_site(a, &a->base->sites[i], &f, o);
    }
    *out = hora_json_new_object();
    hora_json_set(*out, "sites", sites);
    hora_json *dead = dead_units(a);
    if (dead)
        hora_json_set(*out, "units_that_never_fire", dead);
    if (s != HORA_OK) {
        hora_json_free(*out);
        *out = NULL;
    }
    return s;
}
