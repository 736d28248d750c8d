/*
 * Adapted attention, written as a hierarchical mixture of experts and evaluated as written. Gates
 * and experts are formed from the materialised matrices: one bilinear form per head and offset,
 * one affine map per head. That takes d^2 numbers each; above d = WIDE they are applied from right
 * to left instead, which still is another order of operations than attention's.
 * [arXiv 2510.04295, 2602.01468 for the claim; formulas: docs/theory.md]
 */
#include "lab/hmoe.h"

#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "base/threads.h"

enum { WIDE = 256 };

int64_t hora_hmoe_out(const hora_hmoe_layer *l, int map) {
    return map == HORA_HMOE_O ? l->d : (map == HORA_HMOE_Q ? l->heads : l->groups) * l->dh;
}

int64_t hora_hmoe_in(const hora_hmoe_layer *l, int map) {
    return map == HORA_HMOE_O ? l->heads * l->dh : l->d;
}

void hora_hmoe_keys(const hora_hmoe_layer *l, int64_t s, int64_t i, int64_t *lo, int64_t *hi) {
    const int64_t length = l->lengths ? l->lengths[s] : l->n;
    *lo = l->window > 0 && l->causal ? hora_max(0, i + 1 - l->window) : 0;
    *hi = l->causal ? hora_min(i + 1, length) : length;
    *lo = hora_min(*lo, *hi);
}

/* --- what a head is made of ------------------------------------------------------------------- */
typedef struct expert { /* outer expert h, matrices materialised */
    const hora_hmoe_layer *l;
    double *q, *k, *v; /* Q'_h, K'_g, V'_g (dh, d) */
    double *o;         /* W'_O,h (d, dh) */
    const double *bq, *bk, *bv;
    double *m;                    /* gate of one offset: (d, d) */
    double *u, *w, c;             /* its linear parts (d), (d) and constant */
    double *ov, *ob;              /* W'_O,h V'_g (d, d), W'_O,h b_V,g (d) */
    double *rk, *rotated, *spare; /* R_D K'_g (dh, d); R_D times something (dh); (dh) */
} expert;

/* out (rows, cols) = the block of W' that starts at (row, col). */
static void materialise(const hora_hmoe_layer *l, int map, bool adapted, int64_t row, int64_t rows,
                        int64_t col, int64_t cols, double *out) {
    const hora_hmoe_update *up = &l->update[map];
    const int64_t in = hora_hmoe_in(l, map);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double delta = 0;
            for (int64_t k = 0; adapted && k < up->r; k++)
                delta += up->b[(row + i) * up->r + k] * up->a[k * in + col + j];
            out[i * cols + j] = l->w[map][(row + i) * in + col + j] + up->scale * delta;
        }
}

static const double *at_or_null(const double *v, int64_t offset) {
    return v ? v + offset : NULL;
}

static void expert_init(expert *e, const hora_hmoe_layer *l, int64_t h, bool adapted) {
    const int64_t d = l->d, dh = l->dh, g = h * l->groups / l->heads, square = d <= WIDE ? d : 0;
    *e = (expert){.l = l};
    e->q = hora_calloc((size_t)(5 * dh * d + 2 * square * d + 3 * d + 2 * dh), sizeof *e->q);
    e->k = e->q + dh * d;
    e->v = e->k + dh * d;
    e->o = e->v + dh * d;
    e->rk = e->o + dh * d;
    e->m = e->rk + dh * d;
    e->ov = e->m + square * d;
    e->u = e->ov + square * d;
    e->w = e->u + d;
    e->ob = e->w + d;
    e->rotated = e->ob + d;
    e->spare = e->rotated + dh;
    materialise(l, HORA_HMOE_Q, adapted, h * dh, dh, 0, d, e->q);
    materialise(l, HORA_HMOE_K, adapted, g * dh, dh, 0, d, e->k);
    materialise(l, HORA_HMOE_V, adapted, g * dh, dh, 0, d, e->v);
    materialise(l, HORA_HMOE_O, adapted, 0, d, h * dh, dh, e->o);
    e->bq = at_or_null(l->bias[HORA_HMOE_Q], h * dh);
    e->bk = at_or_null(l->bias[HORA_HMOE_K], g * dh);
    e->bv = at_or_null(l->bias[HORA_HMOE_V], g * dh);
}

/* out = R_t z for columns: z, out (dh, cols). */
static void rotate(const hora_hmoe_layer *l, int64_t t, const double *z, int64_t cols,
                   double *out) {
    const int64_t half = l->dh / 2;
    memcpy(out, z, (size_t)(l->dh * cols) * sizeof *out);
    for (int64_t c = 0; l->freq && c < half; c++) {
        const double cosine = cos((double)t * l->freq[c]), sine = sin((double)t * l->freq[c]);
        for (int64_t j = 0; j < cols; j++) {
            const double a = z[c * cols + j], b = z[(c + half) * cols + j];
            out[c * cols + j] = cosine * a - sine * b;
            out[(c + half) * cols + j] = sine * a + cosine * b;
        }
    }
}

/* out (n) = W x + b; b may be NULL. */
static void affine(const double *w, const double *b, const double *x, int64_t n, int64_t d,
                   double *out) {
    for (int64_t i = 0; i < n; i++) {
        double sum = b ? b[i] : 0;
        for (int64_t j = 0; j < d; j++)
            sum += w[i * d + j] * x[j];
        out[i] = sum;
    }
}

/* --- inner gates ------------------------------------------------------------------------------ */
/* M = Q'' R_D K' scale, u = Q'' R_D b_K scale, w = K'' R_D' b_Q scale, c = b_Q' R_D b_K scale. */
static void form_gate(expert *e, int64_t offset) {
    const hora_hmoe_layer *l = e->l;
    const int64_t d = l->d, dh = l->dh;
    rotate(l, offset, e->k, d, e->rk);
    memset(e->m, 0, (size_t)(d * d) * sizeof *e->m);
    memset(e->u, 0, (size_t)(2 * d) * sizeof *e->u); /* u and w */
    for (int64_t a = 0; a < dh; a++)
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++)
                e->m[i * d + j] += l->scale * e->q[a * d + i] * e->rk[a * d + j];
    if (e->bk)
        rotate(l, offset, e->bk, 1, e->rotated);
    for (int64_t a = 0; a < dh; a++)
        for (int64_t i = 0; i < d; i++) {
            e->u[i] += e->bk ? l->scale * e->q[a * d + i] * e->rotated[a] : 0;
            e->w[i] += e->bq ? l->scale * e->rk[a * d + i] * e->bq[a] : 0;
        }
    e->c = e->bq && e->bk ? l->scale * hora_dense_inner(e->bq, e->rotated, dh) : 0;
}

/* x_i' M x_j + u' x_i + w' x_j + c */
static double form_score(const expert *e, const double *xi, const double *xj) {
    const int64_t d = e->l->d;
    double sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += xi[i] * hora_dense_inner(e->m + i * d, xj, d);
    return sum + hora_dense_inner(e->u, xi, d) + hora_dense_inner(e->w, xj, d) + e->c;
}

/* The same from right to left: x_i' (Q'' (R_D (K' x_j + b_K))) + b_Q' (R_D (K' x_j + b_K)). */
static double wide_score(expert *e, int64_t offset, const double *xi, const double *xj) {
    const hora_hmoe_layer *l = e->l;
    const int64_t d = l->d, dh = l->dh;
    affine(e->k, e->bk, xj, dh, d, e->spare);
    rotate(l, offset, e->spare, 1, e->rotated);
    memset(e->u, 0, (size_t)d * sizeof *e->u);
    for (int64_t a = 0; a < dh; a++)
        for (int64_t i = 0; i < d; i++)
            e->u[i] += e->q[a * d + i] * e->rotated[a];
    return l->scale *
           (hora_dense_inner(e->u, xi, d) + (e->bq ? hora_dense_inner(e->bq, e->rotated, dh) : 0));
}

static void unit_norm(const hora_hmoe_layer *l, int which, double *z) {
    const double mean = hora_dense_inner(z, z, l->dh) / (double)l->dh;
    for (int64_t a = 0; l->norm[which] && a < l->dh; a++)
        z[a] *= l->norm[which][a] / sqrt(mean + l->eps);
}

/* With norms on q and k the form is bilinear in the normalised vectors, no longer in x. */
static double normed_score(expert *e, int64_t offset, const double *xi, const double *xj) {
    const hora_hmoe_layer *l = e->l;
    affine(e->k, e->bk, xj, l->dh, l->d, e->spare);
    unit_norm(l, 1, e->spare);
    rotate(l, offset, e->spare, 1, e->rotated);
    affine(e->q, e->bq, xi, l->dh, l->d, e->spare);
    unit_norm(l, 0, e->spare);
    return l->scale * hora_dense_inner(e->spare, e->rotated, l->dh);
}

/* Scores (seqs, nq, n) of head h. A bilinear form per offset: every pair with that offset is done
 * before the next form is made; without a rotation one form serves all. */
static void scores(expert *e, const int64_t *at, int64_t nq, double *score) {
    const hora_hmoe_layer *l = e->l;
    const int64_t n = l->n, d = l->d;
    const bool normed = l->norm[0] || l->norm[1], formed = !normed && d <= WIDE;
    bool made = false;
    for (int64_t offset = 1 - n; offset < n; offset++) {
        made = made && !l->freq;
        for (int64_t s = 0; s < l->seqs; s++)
            for (int64_t a = 0; a < nq; a++) {
                int64_t lo, hi;
                const int64_t i = at[a], j = i + offset;
                hora_hmoe_keys(l, s, i, &lo, &hi);
                if (j < lo || j >= hi)
                    continue;
                const double *xi = l->x + (s * n + i) * d, *xj = l->x + (s * n + j) * d;
                if (formed && !made)
                    form_gate(e, offset);
                made = true;
                score[(s * nq + a) * n + j] = normed   ? normed_score(e, offset, xi, xj)
                                              : formed ? form_score(e, xi, xj)
                                                       : wide_score(e, offset, xi, xj);
            }
    }
}

/* --- experts ---------------------------------------------------------------------------------- */
/* E_h is one matrix and one vector where that is affordable. */
static void form_expert(expert *e) {
    const int64_t d = e->l->d, dh = e->l->dh;
    for (int64_t i = 0; i < d; i++) {
        for (int64_t a = 0; a < dh && d <= WIDE; a++)
            for (int64_t j = 0; j < d; j++)
                e->ov[i * d + j] += e->o[i * dh + a] * e->v[a * d + j];
        e->ob[i] = e->bv ? hora_dense_inner(e->o + i * dh, e->bv, dh) : 0;
    }
}

/* E_h(x), (d) */
static void inner_expert(expert *e, const double *x, double *out) {
    const int64_t d = e->l->d, dh = e->l->dh;
    if (d <= WIDE) {
        affine(e->ov, e->ob, x, d, d, out);
        return;
    }
    affine(e->v, e->bv, x, dh, d, e->spare);
    affine(e->o, NULL, e->spare, d, dh, out);
}

typedef struct mixture {
    const hora_hmoe_layer *l;
    bool adapted;
    const int64_t *at;
    int64_t nq;
    double *f; /* (H, seqs, nq, d): the outer experts' answers */
} mixture;

/* F_h(i) = H sum_j pi_h(j|i) E_h(x_j) for all sequences and queries. */
static void outer_expert(void *arg, int64_t h, int thread) {
    (void)thread;
    const mixture *m = arg;
    const hora_hmoe_layer *l = m->l;
    const int64_t n = l->n, d = l->d;
    expert e;
    expert_init(&e, l, h, m->adapted);
    double *score = hora_calloc((size_t)(l->seqs * m->nq * n + n * d), sizeof *score);
    double *answer = score + l->seqs * m->nq * n; /* E_h(x_j) of one sequence (n, d) */
    scores(&e, m->at, m->nq, score);
    form_expert(&e);
    for (int64_t s = 0; s < l->seqs; s++) {
        for (int64_t j = 0; j < n; j++)
            inner_expert(&e, l->x + (s * n + j) * d, answer + j * d);
        for (int64_t a = 0; a < m->nq; a++) {
            int64_t lo, hi;
            hora_hmoe_keys(l, s, m->at[a], &lo, &hi);
            const double *sc = score + (s * m->nq + a) * n;
            double most = -INFINITY, total = 0;
            for (int64_t j = lo; j < hi; j++)
                most = fmax(most, sc[j]);
            for (int64_t j = lo; j < hi; j++)
                total += exp(sc[j] - most);
            double *f = m->f + ((h * l->seqs + s) * m->nq + a) * d;
            for (int64_t j = lo; j < hi; j++) {
                const double gate = exp(sc[j] - most) / total;
                for (int64_t c = 0; c < d; c++)
                    f[c] += (double)l->heads * gate * answer[j * d + c];
            }
        }
    }
    hora_free(score);
    hora_free(e.q);
}

void hora_hmoe_mixture(const hora_hmoe_layer *l, bool adapted, const int64_t *at, int64_t nq,
                       double *y) {
    const int64_t size = l->seqs * nq * l->d;
    mixture m = {l, adapted, at, nq, hora_calloc((size_t)(l->heads * size), sizeof(double))};
    hora_parallel(l->heads, outer_expert, &m);
    for (int64_t i = 0; i < size; i++) {
        y[i] = l->bias[HORA_HMOE_O] ? l->bias[HORA_HMOE_O][i % l->d] : 0;
        for (int64_t h = 0; h < l->heads; h++)
            y[i] += m.f[h * size + i] / (double)l->heads;
    }
    hora_free(m.f);
}
