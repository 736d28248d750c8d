/*
 * Teachers: layers whose heads share a generator, or do not. Drawn again until the heads are far
 * enough from each other for cells to mean something.
 */
#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "lab/rates_impl.h"

#define NORM 1.5 /* root mean square of |B_P,h| over the heads */
enum { DRAWS = 10000000 };

static void normals(hora_rng *r, double *x, int n, double scale) {
    for (int i = 0; i < n; i++)
        x[i] = scale * hora_rng_normal(r);
}

/* Scales B_P, and W_P with it, to the norm all teachers have. */
static void rescale(rates_teacher *t) {
    for (int p = 0; p < 2; p++) {
        double sum = 0;
        for (int h = 0; h < t->heads; h++)
            sum += hora_dense_inner(t->b[p][h], t->b[p][h], t->dh);
        const double by = NORM / sqrt(sum / t->heads);
        for (int h = 0; h < t->heads; h++)
            for (int i = 0; i < t->dh; i++)
                t->b[p][h][i] *= by;
        for (int i = 0; i < t->dh * t->m; i++)
            t->w[p][i] *= by;
    }
}

/* z of every head from fresh latents. */
static void draw_latents(rates_teacher *t, hora_rng *r) {
    for (int i = 0; t->kind == RATES_TANH && i < t->m; i++) {
        double *row = t->w1 + i * t->e;
        normals(r, row, t->e, 1);
        const double norm = sqrt(hora_dense_inner(row, row, t->e));
        for (int j = 0; j < t->e; j++)
            row[j] *= 1.2 / norm;
    }
    for (int h = 0; h < t->heads; h++) {
        double *z = t->z[h];
        normals(r, t->kind == RATES_TANH ? t->in[h] : z, t->e, 1.3);
        for (int i = 0; t->kind == RATES_TANH && i < t->m; i++)
            z[i] = tanh(hora_dense_inner(t->w1 + i * t->e, t->in[h], t->e));
    }
}

static bool far_apart(const rates_teacher *t, double apart) {
    for (int h = 0; h < t->heads; h++) {
        if (hora_dense_inner(t->z[h], t->z[h], t->m) < 0.5 * 0.5)
            return false;
        for (int k = 0; k < h; k++) {
            double sum = 0;
            for (int i = 0; i < t->m; i++)
                sum += (t->z[h][i] - t->z[k][i]) * (t->z[h][i] - t->z[k][i]);
            if (sum < apart * apart)
                return false;
        }
    }
    return true;
}

static void draw_shared(rates_teacher *t, hora_rng *r) {
    int draws = 0;
    do {
        HORA_ASSERT(draws++ < DRAWS);
        draw_latents(t, r);
    } while (!far_apart(t, t->kind == RATES_TANH ? 0.7 : 0.9));
    for (int p = 0; p < 2; p++) {
        double raw[RATES_DH * RATES_M];
        normals(r, raw, t->dh * t->m, 1);
        HORA_ASSERT(hora_dense_basis(raw, t->dh, t->m, t->w[p]) == t->m);
        for (int h = 0; h < t->heads; h++)
            for (int i = 0; i < t->dh; i++)
                t->b[p][h][i] = hora_dense_inner(t->w[p] + i * t->m, t->z[h], t->m);
    }
}

static void draw_free(rates_teacher *t, hora_rng *r) {
    for (int p = 0; p < 2; p++)
        for (int h = 0; h < t->heads; h++)
            normals(r, t->b[p][h], t->dh, 1);
}

void hora_rates_teacher_draw(rates_teacher *t, rates_kind kind, int d, int dh, int heads, int m,
                             uint64_t seed) {
    hora_rng r = hora_rng_new(seed, kind == RATES_FREE ? "rates.free" : "rates.teacher");
    memset(t, 0, sizeof *t);
    t->kind = kind;
    t->d = d;
    t->dh = dh;
    t->heads = heads;
    t->m = kind == RATES_FREE ? 0 : m;
    t->e = kind == RATES_TANH ? 2 : t->m;
    for (int p = 0; p < 2; p++) {
        normals(&r, t->a[p], d, 1);
        const double norm = sqrt(hora_dense_inner(t->a[p], t->a[p], d));
        for (int i = 0; i < d; i++)
            t->a[p][i] /= norm;
    }
    if (kind == RATES_FREE)
        draw_free(t, &r);
    else
        draw_shared(t, &r);
    rescale(t);
}

void hora_rates_teacher_mix(rates_teacher *t, double g, uint64_t seed) {
    rates_teacher other;
    hora_rates_teacher_draw(&other, RATES_FREE, t->d, t->dh, t->heads, 0, seed);
    for (int p = 0; p < 2; p++)
        for (int h = 0; h < t->heads; h++)
            for (int i = 0; i < t->dh; i++)
                t->b[p][h][i] = sqrt(1 - g * g) * t->b[p][h][i] + g * other.b[p][h][i];
    t->kind = g > 0 ? RATES_FREE : t->kind;
    rescale(t);
}

void hora_rates_teacher_coords(const rates_teacher *t, const rates_shape *s, double *c) {
    for (int p = 0; p < 2; p++)
        for (int h = 0; h < s->heads; h++) {
            memcpy(c + hora_rates_at_a(s, p, h), t->a[p], (size_t)t->d * sizeof *c);
            memcpy(c + hora_rates_at_b(s, p, h), t->b[p][h % t->heads], (size_t)t->dh * sizeof *c);
        }
}
