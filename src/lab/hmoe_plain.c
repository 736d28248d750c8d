/*
 * The same layer by the ordinary formula in f64: every row's q, k and v, with the low-rank product
 * added beside the frozen one, both turned by their own positions, softmax, output map. What the
 * mixture is compared with, and where gates and heads' outputs for the diagnostics come from.
 */
#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "base/threads.h"
#include "lab/hmoe.h"

typedef struct projection { /* y = W x + s B (A x) + b, a tile per row */
    const hora_hmoe_layer *l;
    int map;
    bool adapted;
    const double *x;
    double *y;
} projection;

static void project_row(void *arg, int64_t row, int thread) {
    (void)thread;
    const projection *p = arg;
    const hora_hmoe_update *up = &p->l->update[p->map];
    const int64_t in = hora_hmoe_in(p->l, p->map), out = hora_hmoe_out(p->l, p->map);
    const int64_t r = p->adapted ? up->r : 0;
    const double *x = p->x + row * in, *bias = p->l->bias[p->map];
    double *y = p->y + row * out, *z = hora_calloc((size_t)r + 1, sizeof *z);
    for (int64_t k = 0; k < r; k++)
        z[k] = hora_dense_inner(up->a + k * in, x, in);
    for (int64_t o = 0; o < out; o++) {
        y[o] = hora_dense_inner(p->l->w[p->map] + o * in, x, in) + (bias ? bias[o] : 0);
        if (r)
            y[o] += up->scale * hora_dense_inner(up->b + o * r, z, r);
    }
    hora_free(z);
}

static void project(const hora_hmoe_layer *l, int map, bool adapted, const double *x, double *y) {
    projection p = {l, map, adapted, x, y};
    hora_parallel(l->seqs * l->n, project_row, &p);
}

/* Norm over each head, then the turn by the row's own position; z (seqs n, heads dh). */
static void place(const hora_hmoe_layer *l, double *z, int64_t heads, const double *norm) {
    const int64_t half = l->dh / 2;
    for (int64_t row = 0; row < l->seqs * l->n; row++)
        for (int64_t h = 0; h < heads; h++) {
            double *v = z + (row * heads + h) * l->dh;
            const double mean = hora_dense_inner(v, v, l->dh) / (double)l->dh;
            for (int64_t c = 0; norm && c < l->dh; c++)
                v[c] = v[c] / sqrt(mean + l->eps) * norm[c];
            for (int64_t c = 0; l->freq && c < half; c++) {
                const double angle = (double)(row % l->n) * l->freq[c], a = v[c], b = v[c + half];
                v[c] = a * cos(angle) - b * sin(angle);
                v[c + half] = b * cos(angle) + a * sin(angle);
            }
        }
}

typedef struct heads { /* a tile per sequence and head */
    const hora_hmoe_layer *l;
    const double *q, *k, *v; /* (seqs n, heads dh) */
    hora_hmoe_plain *out;
} heads;

static void attend(void *arg, int64_t tile, int thread) {
    (void)thread;
    const heads *a = arg;
    const hora_hmoe_layer *l = a->l;
    const int64_t n = l->n, dh = l->dh, s = tile / l->heads, h = tile % l->heads;
    const int64_t g = h * l->groups / l->heads;
    for (int64_t i = 0; i < n; i++) {
        int64_t lo, hi;
        hora_hmoe_keys(l, s, i, &lo, &hi);
        double *gate = a->out->gate + ((s * l->heads + h) * n + i) * n;
        double *o = a->out->head_out + ((s * n + i) * l->heads + h) * dh;
        const double *q = a->q + ((s * n + i) * l->heads + h) * dh;
        double most = -INFINITY, total = 0;
        for (int64_t j = lo; j < hi; j++) {
            gate[j] = l->scale * hora_dense_inner(q, a->k + ((s * n + j) * l->groups + g) * dh, dh);
            most = fmax(most, gate[j]);
        }
        for (int64_t j = lo; j < hi; j++)
            total += gate[j] = exp(gate[j] - most);
        for (int64_t j = lo; j < hi; j++) {
            gate[j] /= total;
            for (int64_t c = 0; c < dh; c++)
                o[c] += gate[j] * a->v[((s * n + j) * l->groups + g) * dh + c];
        }
    }
}

void hora_hmoe_attention(const hora_hmoe_layer *l, bool adapted, hora_hmoe_plain *out) {
    const int64_t rows = l->seqs * l->n, hw = l->heads * l->dh, gw = l->groups * l->dh;
    double *q = hora_calloc((size_t)(rows * (hw + 2 * gw)), sizeof *q);
    double *k = q + rows * hw, *v = k + rows * gw;
    out->y = hora_calloc((size_t)(rows * l->d), sizeof *out->y);
    out->gate = hora_calloc((size_t)(rows * l->heads * l->n), sizeof *out->gate);
    out->head_out = hora_calloc((size_t)(rows * hw), sizeof *out->head_out);
    project(l, HORA_HMOE_Q, adapted, l->x, q);
    project(l, HORA_HMOE_K, adapted, l->x, k);
    project(l, HORA_HMOE_V, adapted, l->x, v);
    place(l, q, l->heads, l->norm[0]);
    place(l, k, l->groups, l->norm[1]);
    heads a = {l, q, k, v, out};
    hora_parallel(l->seqs * l->heads, attend, &a);
    project(l, HORA_HMOE_O, adapted, out->head_out, out->y);
    hora_free(q);
}

void hora_hmoe_plain_release(hora_hmoe_plain *p) {
    hora_free(p->y);
    hora_free(p->gate);
    hora_free(p->head_out);
    *p = (hora_hmoe_plain){0};
}
