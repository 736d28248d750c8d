/* Reference kernel of op_segment.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_segment.h"

#ifndef REAL

#include <math.h>

enum { SUMS = 3 }; /* per class: I, sums of m and of y; behind them N */
static const double smooth = 1e-5;

/* m, z of a pixel, their gradient; the sums of a picture. */
static size_t scratch(const hora_call *c) {
    const hora_mesh m = hora_mesh_of(&c->attr, ref_width(&c->in[0]));
    return (size_t)(3 * m.k + SUMS * m.k + 1) * sizeof(double);
}

/* softmax of z; returns lse */
static double softmax(const double *z, int64_t k, double *m) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < k; j++)
        most = fmax(most, z[j]);
    for (int64_t j = 0; j < k; j++)
        sum += m[j] = exp(z[j] - most);
    for (int64_t j = 0; j < k; j++)
        m[j] /= sum;
    return most + log(sum);
}

static double overlap(const double *sums, int64_t k, int64_t j) {
    return (2 * sums[j] + smooth) / (sums[k + j] + sums[2 * k + j] + smooth);
}

/* dz of a pixel of class t, without factors of the picture. */
static void slope(const double *m, const double *sums, int64_t k, int32_t t, double alpha,
                  double *dz) {
    double mean = 0;
    for (int64_t j = 0; j < k; j++) {
        dz[j] = -alpha / (double)k * (2 * (j == t) - overlap(sums, k, j)) /
                (sums[k + j] + sums[2 * k + j] + smooth);
        mean += m[j] * dz[j];
    }
    for (int64_t j = 0; j < k; j++)
        dz[j] = (m[j] - (j == t)) / sums[SUMS * k] + m[j] * (dz[j] - mean);
}

#define REF_TEXT "backend/ref/ref_segment.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(segment, scratch);

#else

/* The logits of pixel (y, x) of the picture that begins at row i. */
static void T(logits)(const hora_call *c, const hora_mesh *m, int64_t i, int64_t y, int64_t x,
                      double *z) {
    const REAL *from = IN(0) + i * ref_width(&c->in[0]);
    const hora_between v = hora_mesh_between(y, m->high * m->side, hora_mesh_cells_high(m));
    const hora_between u = hora_mesh_between(x, m->wide * m->side, hora_mesh_cells_wide(m));
    for (int64_t j = 0; j < m->k; j++)
        z[j] = 0;
    for (int e = 0; e < 4; e++) {
        const double share = (e / 2 ? v.share : 1 - v.share) * (e % 2 ? u.share : 1 - u.share);
        const REAL *cell = from + hora_mesh_at(m, v.at[e / 2], u.at[e % 2]);
        for (int64_t j = 0; j < m->k; j++)
            z[j] += share * LD(cell[j]);
    }
}

static int32_t T(class)(const hora_call *c, const hora_mesh *m, int64_t i, int64_t y, int64_t x) {
    return c->batch->pixels[i * m->side * m->side + hora_mesh_pixel(m, y, x)];
}

/* Sums over the picture; returns the summed cross-entropy. */
static double T(count)(const hora_call *c, const hora_mesh *m, int64_t i, double *own,
                       double *sums) {
    double xent = 0;
    for (int64_t j = 0; j <= SUMS * m->k; j++)
        sums[j] = 0;
    for (int64_t y = 0; y < m->high * m->side; y++)
        for (int64_t x = 0; x < m->wide * m->side; x++) {
            const int32_t t = T(class)(c, m, i, y, x);
            if (t < 0)
                continue;
            T(logits)(c, m, i, y, x, own);
            xent += softmax(own, m->k, own + m->k) - own[t];
            for (int64_t j = 0; j < m->k; j++)
                sums[m->k + j] += own[m->k + j];
            sums[t] += own[m->k + t];
            sums[2 * m->k + t]++;
            sums[SUMS * m->k]++;
        }
    return xent;
}

static bool T(begins)(const hora_call *c, int64_t i) {
    const hora_batch *b = c->batch;
    return b->lo[i] == i && b->hi[i] > i && b->weight[i] != 0;
}

static void T(forward)(const hora_call *c) {
    const hora_mesh m = hora_mesh_of(&c->attr, ref_width(&c->in[0]));
    double *own = c->scratch, *sums = own + 3 * m.k, all = 0;
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        if (!T(begins)(c, i))
            continue;
        const double xent = T(count)(c, &m, i, own, sums), n = sums[SUMS * m.k];
        double dice = 0;
        for (int64_t j = 0; j < m.k; j++)
            dice += overlap(sums, m.k, j) / (double)m.k;
        if (n > 0)
            all += (double)c->batch->weight[i] * (xent / n + c->attr.alpha * (1 - dice));
    }
    *(double *)c->out.data = c->batch->scale * all;
}

/* Adds one pixel's gradient to the cells beside it. */
static void T(spread)(const hora_call *c, const hora_mesh *m, int64_t i, int64_t y, int64_t x,
                      double factor, const double *dz) {
    REAL *to = DIN(0) + i * ref_width(&c->in[0]);
    const hora_between v = hora_mesh_between(y, m->high * m->side, hora_mesh_cells_high(m));
    const hora_between u = hora_mesh_between(x, m->wide * m->side, hora_mesh_cells_wide(m));
    for (int e = 0; e < 4; e++) {
        const double share = (e / 2 ? v.share : 1 - v.share) * (e % 2 ? u.share : 1 - u.share);
        REAL *cell = to + hora_mesh_at(m, v.at[e / 2], u.at[e % 2]);
        for (int64_t j = 0; j < m->k; j++)
            cell[j] = ST(LD(cell[j]) + factor * share * dz[j]);
    }
}

static void T(backward)(const hora_call *c) {
    const hora_mesh m = hora_mesh_of(&c->attr, ref_width(&c->in[0]));
    const int64_t n = ref_rows(&c->in[0]);
    double *own = c->scratch, *sums = own + 3 * m.k;
    for (int64_t at = 0; at < n * ref_width(&c->in[0]); at++)
        PUT(0, &DIN(0)[at], 0);
    for (int64_t i = 0; i < n; i++) {
        if (!T(begins)(c, i))
            continue;
        const double s =
            *(const double *)c->dout.data * c->batch->scale * (double)c->batch->weight[i];
        T(count)(c, &m, i, own, sums);
        for (int64_t y = 0; y < m.high * m.side; y++)
            for (int64_t x = 0; x < m.wide * m.side; x++) {
                const int32_t t = T(class)(c, &m, i, y, x);
                if (t < 0)
                    continue;
                T(logits)(c, &m, i, y, x, own);
                softmax(own, m.k, own + m.k);
                slope(own + m.k, sums, m.k, t, c->attr.alpha, own + 2 * m.k);
                T(spread)(c, &m, i, y, x, s, own + 2 * m.k);
            }
    }
}

#endif
