/*
 * Diagnostics of one layer. Matrices Delta W_h = s B_h A are never formed: norms, cosines and CKA
 * follow from r x r Gram matrices, spectra from rotations of the factors.
 */
#include "lab/hmoe_diag.h"

#include <math.h>

#include "base/dense.h"
#include "base/text.h"

/* --- the list --------------------------------------------------------------------------------- */
/* A new array of zeros in the list, which owns it. */
static double *add(hora_hmoe_values *l, const char *name, hora_shape shape) {
    hora_hmoe_value v = {.shape = shape};
    hora_snprintf(v.name, sizeof v.name, "%s", name);
    v.v = hora_calloc((size_t)hora_shape_elems(&shape) + 1, sizeof *v.v);
    HORA_PUSH(l->at, l->n, l->cap, v);
    return v.v;
}

static double *add_of(hora_hmoe_values *l, const char *name, const char *of, hora_shape shape) {
    char full[32];
    hora_snprintf(full, sizeof full, "%s_%s", name, of);
    return add(l, full, shape);
}

const hora_hmoe_value *hora_hmoe_find(const hora_hmoe_values *l, const char *name) {
    for (int i = 0; i < l->n; i++)
        if (hora_eq(l->at[i].name, name))
            return &l->at[i];
    return NULL;
}

void hora_hmoe_values_release(hora_hmoe_values *l) {
    for (int i = 0; i < l->n; i++)
        hora_free(l->at[i].v);
    hora_free(l->at);
    *l = (hora_hmoe_values){0};
}

/* --- gates ------------------------------------------------------------------------------------ */
static double entropy(const double *p, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    return sum;
}

static int64_t length_of(const hora_hmoe_layer *l, int64_t s) {
    return l->lengths ? l->lengths[s] : l->n;
}

static int64_t rows_of(const hora_hmoe_layer *l) {
    int64_t rows = 0;
    for (int64_t s = 0; s < l->seqs; s++)
        rows += length_of(l, s);
    return rows;
}

static const double *gate_of(const hora_hmoe_layer *l, const double *gate, int64_t s, int64_t h,
                             int64_t i) {
    return gate + ((s * l->heads + h) * l->n + i) * l->n;
}

/* Ent of the mean gate less the mean of the Ents, for one query. */
static double disagreement(const hora_hmoe_layer *l, const double *gate, int64_t s, int64_t i,
                           double *mean) {
    double each = 0;
    memset(mean, 0, (size_t)l->n * sizeof *mean);
    for (int64_t h = 0; h < l->heads; h++) {
        const double *p = gate_of(l, gate, s, h, i);
        each += entropy(p, l->n) / (double)l->heads;
        for (int64_t j = 0; j < l->n; j++)
            mean[j] += p[j] / (double)l->heads;
    }
    return entropy(mean, l->n) - each;
}

static void put_gates(const hora_hmoe_layer *l, const double *gate, const char *when,
                      hora_hmoe_values *out) {
    const int64_t rows = rows_of(l);
    double *ent = add_of(out, "gate_entropy", when, HORA_SHAPE1(l->heads));
    double *ratio = add_of(out, "gate_entropy_ratio", when, HORA_SHAPE1(l->heads));
    double *js = add_of(out, "gate_js", when, HORA_SHAPE1(1));
    double *mean = hora_calloc((size_t)l->n, sizeof *mean);
    int64_t choices = 0; /* rows that see more than one key */
    for (int64_t s = 0; s < l->seqs; s++)
        for (int64_t i = 0; i < length_of(l, s); i++) {
            int64_t lo, hi;
            hora_hmoe_keys(l, s, i, &lo, &hi);
            choices += hi - lo > 1;
            for (int64_t h = 0; h < l->heads; h++) {
                const double e = entropy(gate_of(l, gate, s, h, i), l->n);
                ent[h] += e / (double)rows;
                ratio[h] += hi - lo > 1 ? e / log((double)(hi - lo)) : 0;
            }
            *js += disagreement(l, gate, s, i, mean) / (double)rows;
        }
    for (int64_t h = 0; h < l->heads; h++)
        ratio[h] = choices ? ratio[h] / (double)choices : NAN;
    hora_free(mean);
}

static void put_kl(const hora_hmoe_layer *l, const double *before, const double *after,
                   hora_hmoe_values *out) {
    double *kl = add(out, "gate_kl", HORA_SHAPE1(l->heads));
    const double rows = (double)rows_of(l);
    for (int64_t s = 0; s < l->seqs; s++)
        for (int64_t h = 0; h < l->heads; h++)
            for (int64_t i = 0; i < length_of(l, s); i++) {
                const double *p = gate_of(l, after, s, h, i), *q = gate_of(l, before, s, h, i);
                for (int64_t j = 0; j < l->n; j++)
                    kl[h] += p[j] > 0 ? p[j] * log(p[j] / q[j]) / rows : 0;
            }
}

/* --- what heads put out ----------------------------------------------------------------------- */
/* o (d, H dh): the output map with its update, when adapted. */
static double *output_map(const hora_hmoe_layer *l, bool adapted) {
    const hora_hmoe_update *up = &l->update[HORA_HMOE_O];
    const int64_t in = l->heads * l->dh;
    double *o = hora_malloc((size_t)(l->d * in) * sizeof *o);
    memcpy(o, l->w[HORA_HMOE_O], (size_t)(l->d * in) * sizeof *o);
    for (int64_t i = 0; i < l->d && adapted; i++)
        for (int64_t k = 0; k < up->r; k++)
            for (int64_t j = 0; j < in; j++)
                o[i * in + j] += up->scale * up->b[i * up->r + k] * up->a[k * in + j];
    return o;
}

static void put_shares(const hora_hmoe_layer *l, const double *head_out, bool adapted,
                       const char *share_name, const char *effective_name, hora_hmoe_values *out) {
    const int64_t heads = l->heads, in = heads * l->dh;
    double *share = add(out, share_name, HORA_SHAPE1(heads));
    double *effective = add(out, effective_name, HORA_SHAPE1(1));
    double *o = output_map(l, adapted), *e = hora_calloc((size_t)heads, sizeof *e);
    const double rows = (double)rows_of(l);
    for (int64_t s = 0; s < l->seqs; s++)
        for (int64_t i = 0; i < length_of(l, s); i++) {
            double total = 0;
            for (int64_t h = 0; h < heads; h++) {
                const double *z = head_out + ((s * l->n + i) * heads + h) * l->dh;
                e[h] = 0;
                for (int64_t c = 0; c < l->d; c++) {
                    const double y = hora_dense_inner(o + c * in + h * l->dh, z, l->dh);
                    e[h] += y * y;
                }
                total += e[h];
            }
            for (int64_t h = 0; h < heads; h++)
                share[h] += (e[h] /= total) / rows;
            *effective += exp(entropy(e, heads)) / rows;
        }
    hora_free(e);
    hora_free(o);
}

static void put_change(const hora_hmoe_layer *l, const double *before, const double *after,
                       hora_hmoe_values *out) {
    double *change = add(out, "head_change", HORA_SHAPE1(l->heads));
    for (int64_t h = 0; h < l->heads; h++) {
        double moved = 0, size = 0;
        for (int64_t s = 0; s < l->seqs; s++)
            for (int64_t i = 0; i < length_of(l, s); i++)
                for (int64_t c = 0; c < l->dh; c++) {
                    const int64_t at = ((s * l->n + i) * l->heads + h) * l->dh + c;
                    moved += (after[at] - before[at]) * (after[at] - before[at]);
                    size += before[at] * before[at];
                }
        change[h] = sqrt(moved) / sqrt(size);
    }
}

/* --- the updates of q and v ------------------------------------------------------------------- */
static double ratio_or_nan(double x, double y) {
    return y > 0 ? x / y : NAN;
}

/* Gram matrices of an update: B_h'B_h per head (heads, r, r), A A' (r, r), and C = P'P (r, r) of
 * the centred P = X A' over all rows. */
typedef struct grams {
    int64_t heads, r;
    double *b, *a, *c;
} grams;

static void centred_products(const hora_hmoe_layer *l, const hora_hmoe_update *up, double *c) {
    const int64_t rows = rows_of(l), r = up->r;
    double *p = hora_calloc((size_t)(rows * r), sizeof *p);
    int64_t at = 0;
    for (int64_t s = 0; s < l->seqs; s++)
        for (int64_t i = 0; i < length_of(l, s); i++, at++)
            for (int64_t k = 0; k < r; k++)
                p[at * r + k] =
                    hora_dense_inner(up->a + k * l->d, l->x + (s * l->n + i) * l->d, l->d);
    for (int64_t k = 0; k < r; k++) {
        double mean = 0;
        for (int64_t i = 0; i < rows; i++)
            mean += p[i * r + k] / (double)rows;
        for (int64_t i = 0; i < rows; i++)
            p[i * r + k] -= mean;
    }
    hora_dense_gram(p, r, p, r, rows, c);
    hora_free(p);
}

static void grams_init(grams *g, const hora_hmoe_layer *l, int map) {
    const hora_hmoe_update *up = &l->update[map];
    const int64_t r = up->r;
    *g = (grams){.heads = map == HORA_HMOE_Q ? l->heads : l->groups, .r = r};
    g->b = hora_calloc((size_t)((g->heads + 2) * r * r), sizeof *g->b);
    g->a = g->b + g->heads * r * r;
    g->c = g->a + r * r;
    for (int64_t h = 0; h < g->heads; h++) {
        const double *b = up->b + h * l->dh * r;
        hora_dense_gram(b, r, b, r, l->dh, g->b + h * r * r);
    }
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++)
            g->a[i * r + j] = hora_dense_inner(up->a + i * l->d, up->a + j * l->d, l->d);
    centred_products(l, up, g->c);
}

static void put_norms(const hora_hmoe_layer *l, int map, const grams *g, const char *of,
                      hora_hmoe_values *out) {
    const hora_hmoe_update *up = &l->update[map];
    double *norm = add_of(out, "norm", of, HORA_SHAPE1(g->heads));
    double *rel = add_of(out, "rel", of, HORA_SHAPE1(g->heads));
    const int64_t size = l->dh * l->d;
    for (int64_t h = 0; h < g->heads; h++) {
        const double *w = l->w[map] + h * size;
        const double sq = hora_dense_inner(g->b + h * g->r * g->r, g->a, g->r * g->r);
        norm[h] = fabs(up->scale) * sqrt(fmax(sq, 0));
        rel[h] = ratio_or_nan(norm[h], sqrt(hora_dense_inner(w, w, size)));
    }
}

/* <B_h A, B_k A> = <B_h'B_k, A A'>; cosine of the two. */
static void put_cosines(const hora_hmoe_layer *l, int map, const grams *g, const char *of,
                        hora_hmoe_values *out) {
    const int64_t r = g->r, n = g->heads, block = l->dh * r;
    const double *b = l->update[map].b;
    double *cosine = add_of(out, "cos", of, HORA_SHAPE2(n, n));
    double *cross = hora_calloc((size_t)(r * r), sizeof *cross);
    for (int64_t h = 0; h < n; h++)
        for (int64_t k = 0; k < n; k++) {
            const double hh = hora_dense_inner(g->b + h * r * r, g->a, r * r);
            const double kk = hora_dense_inner(g->b + k * r * r, g->a, r * r);
            hora_dense_gram(b + h * block, r, b + k * block, r, l->dh, cross);
            cosine[h * n + k] = hh > 0 && kk > 0
                                    ? hora_dense_inner(cross, g->a, r * r) / (sqrt(hh) * sqrt(kk))
                                    : NAN;
        }
    hora_free(cross);
}

/* |Q_h'Q_k|_F^2 / r, Q orthonormal bases of the columns of B. */
static void put_overlaps(const hora_hmoe_layer *l, int map, const grams *g, const char *of,
                         hora_hmoe_values *out) {
    const int64_t r = g->r, n = g->heads, block = l->dh * r;
    double *overlap = add_of(out, "overlap", of, HORA_SHAPE2(n, n));
    double *q = hora_calloc((size_t)(n * block + r * r), sizeof *q), *cross = q + n * block;
    int64_t *rank = hora_calloc((size_t)n, sizeof *rank);
    for (int64_t h = 0; h < n; h++)
        rank[h] = hora_dense_basis(l->update[map].b + h * block, l->dh, r, q + h * block);
    for (int64_t h = 0; h < n; h++)
        for (int64_t k = 0; k < n; k++) {
            double sum = 0;
            hora_dense_gram(q + h * block, r, q + k * block, r, l->dh, cross);
            for (int64_t i = 0; i < rank[h]; i++)
                for (int64_t j = 0; j < rank[k]; j++)
                    sum += cross[i * r + j] * cross[i * r + j];
            overlap[h * n + k] = rank[h] && rank[k] ? sum / (double)r : NAN;
        }
    hora_free(rank);
    hora_free(q);
}

/* Z_h = s P B_h', so |Z_h'Z_k|_F^2 = s^4 <C G_k C, G_h> with G = B'B. */
static void put_cka(const grams *g, const char *of, hora_hmoe_values *out) {
    const int64_t r = g->r, n = g->heads;
    double *cka = add_of(out, "cka", of, HORA_SHAPE2(n, n));
    double *cg = hora_calloc((size_t)(2 * r * r), sizeof *cg), *cgc = cg + r * r;
    for (int64_t k = 0; k < n; k++) {
        hora_dense_gram(g->c, r, g->b + k * r * r, r, r, cg); /* C and G are symmetric */
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < r; j++) {
                cgc[i * r + j] = 0;
                for (int64_t m = 0; m < r; m++)
                    cgc[i * r + j] += cg[i * r + m] * g->c[m * r + j];
            }
        for (int64_t h = 0; h < n; h++)
            cka[h * n + k] = hora_dense_inner(cgc, g->b + h * r * r, r * r);
    }
    double *self = hora_calloc((size_t)n, sizeof *self);
    for (int64_t h = 0; h < n; h++)
        self[h] = sqrt(fmax(cka[h * n + h], 0));
    for (int64_t h = 0; h < n; h++)
        for (int64_t k = 0; k < n; k++)
            cka[h * n + k] = ratio_or_nan(cka[h * n + k], self[h] * self[k]);
    hora_free(self);
    hora_free(cg);
}

static void put_spectrum(const hora_hmoe_layer *l, int map, const char *of, hora_hmoe_values *out) {
    const hora_hmoe_update *up = &l->update[map];
    double *sv = add_of(out, "spectrum", of, HORA_SHAPE1(up->r)), sum = 0, squares = 0, ent = 0;
    hora_dense_singular_product(up->b, up->a, hora_hmoe_out(l, map), up->r, l->d, sv);
    for (int64_t i = 0; i < up->r; i++) {
        sv[i] *= fabs(up->scale);
        sum += sv[i];
        squares += sv[i] * sv[i];
    }
    for (int64_t i = 0; i < up->r; i++)
        ent -= sv[i] > 0 ? sv[i] / sum * log(sv[i] / sum) : 0;
    *add_of(out, "effective_rank", of, HORA_SHAPE1(1)) = sum > 0 ? exp(ent) : 0;
    *add_of(out, "stable_rank", of, HORA_SHAPE1(1)) = sum > 0 ? squares / (sv[0] * sv[0]) : 0;
}

/* [B_Q,1 .. ; B_V,1 ..] (2 dh, G r), with grouping the first query head of each group. */
static void put_coupling(const hora_hmoe_layer *l, hora_hmoe_values *out) {
    const hora_hmoe_update *q = &l->update[HORA_HMOE_Q], *v = &l->update[HORA_HMOE_V];
    const int64_t r = hora_max(q->r, v->r), rows = 2 * l->dh, cols = l->groups * r;
    double *m = hora_calloc((size_t)(rows * cols), sizeof *m);
    for (int64_t g = 0; g < l->groups; g++)
        for (int64_t i = 0; i < l->dh; i++) {
            const int64_t h = g * (l->heads / l->groups);
            for (int64_t k = 0; k < q->r; k++)
                m[i * cols + g * r + k] = q->b[(h * l->dh + i) * q->r + k];
            for (int64_t k = 0; k < v->r; k++)
                m[(l->dh + i) * cols + g * r + k] = v->b[(g * l->dh + i) * v->r + k];
        }
    const int64_t n = hora_min(rows, cols);
    double *sv = add(out, "coupling_spectrum", HORA_SHAPE1(n));
    double *rank = add(out, "coupling_rank", HORA_SHAPE1(1));
    hora_dense_singular(m, rows, cols, sv);
    for (int64_t i = 0; i < n; i++)
        *rank += sv[i] > fmax(1e-8, 16 * l->rounding) * sv[0];
    hora_free(m);
}

int64_t hora_hmoe_coupling_bound(const hora_hmoe_layer *l, const hora_hmoe_generator *gen) {
    const int64_t r = hora_max(l->update[HORA_HMOE_Q].r, l->update[HORA_HMOE_V].r);
    int64_t bound = hora_min(2 * l->dh, l->groups * r);
    if (gen)
        bound = hora_min(bound, gen->m);
    return gen && gen->act == HORA_HMOE_IDENTITY ? hora_min(bound, gen->e) : bound;
}

/* --- the generator ---------------------------------------------------------------------------- */
/* Unit i of Z_h is zero for every head and column. */
static int64_t dead_units(const hora_hmoe_generator *g) {
    int64_t dead = 0;
    double *z = hora_calloc((size_t)(g->heads * g->m * g->r), sizeof *z);
    for (int64_t h = 0; h < g->heads; h++)
        hora_hmoe_hidden(g, h, z + h * g->m * g->r);
    for (int64_t i = 0; i < g->m; i++) {
        bool active = false;
        for (int64_t h = 0; h < g->heads; h++)
            for (int64_t c = 0; c < g->r; c++)
                active |= z[(h * g->m + i) * g->r + c] != 0;
        dead += !active;
    }
    hora_free(z);
    return dead;
}

static void put_tied(const hora_hmoe_layer *l, const hora_hmoe_generator *g,
                     hora_hmoe_values *out) {
    double *t = add(out, "tied", HORA_SHAPE1(HORA_TIED_N));
    const int64_t n = hora_min(l->dh, g->m);
    double *sv = hora_calloc((size_t)n, sizeof *sv);
    hora_dense_singular(g->w2_b_q, l->dh, g->m, sv);
    for (int64_t i = 0; i < n; i++)
        t[HORA_TIED_RANK] += sv[i] > 1e-8 * sv[0];
    t[HORA_TIED_DEAD] = (double)dead_units(g) / (double)g->m;
    const double width = (double)(g->act == HORA_HMOE_IDENTITY ? hora_min(g->m, g->e) : g->e);
    t[HORA_TIED_SIGMA] = ratio_or_nan(sv[n - 1], sv[0]);
    t[HORA_TIED_WIDTH] = width;
    t[HORA_TIED_V] = width <= (double)l->dh && t[HORA_TIED_RANK] >= width;
    t[HORA_TIED_FREE] = g->m >= hora_min(2 * l->dh, l->heads * g->r);
    t[HORA_TIED_A] = g->m >= g->r;
    hora_free(sv);
}

/* --- all of it -------------------------------------------------------------------------------- */
void hora_hmoe_diagnose(const hora_hmoe_layer *l, const hora_hmoe_plain *before,
                        const hora_hmoe_plain *after, const hora_hmoe_generator *gen,
                        hora_hmoe_values *out) {
    static const int maps[] = {HORA_HMOE_Q, HORA_HMOE_V};
    static const char *const names[] = {"q", "v"};
    put_gates(l, before->gate, "before", out);
    put_gates(l, after->gate, "after", out);
    put_kl(l, before->gate, after->gate, out);
    put_shares(l, before->head_out, false, "head_share_before", "effective_heads_before", out);
    put_shares(l, after->head_out, true, "head_share", "effective_heads", out);
    put_change(l, before->head_out, after->head_out, out);
    for (int i = 0; i < 2; i++) {
        grams g;
        if (!l->update[maps[i]].r)
            continue;
        grams_init(&g, l, maps[i]);
        put_norms(l, maps[i], &g, names[i], out);
        put_cosines(l, maps[i], &g, names[i], out);
        put_overlaps(l, maps[i], &g, names[i], out);
        put_cka(&g, names[i], out);
        put_spectrum(l, maps[i], names[i], out);
        hora_free(g.b);
    }
    if (l->update[HORA_HMOE_Q].r || l->update[HORA_HMOE_V].r)
        put_coupling(l, out);
    if (gen && gen->w2_b_q)
        put_tied(l, gen, out);
}
