/*
 * Students: what is fitted, one row each. Free heads (lora) have the coordinates themselves as
 * parameters; generated heads have A_Q, A_V, W_Q, W_V [dh, m] and latents, B_P,h = W_P z_h with z_h
 * = u_h (linear) or tanh(W1 b_h).
 */
#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "base/text.h"
#include "lab/rates_impl.h"

/* Where the blocks of a generated student begin. */
static int at_w(const rates_model *m, int p) {
    return 2 * m->shape.d + p * m->shape.dh * m->m;
}
static int at_latent(const rates_model *m, int h) { /* u_h, or b_h behind W1 */
    const int hidden = m->e ? m->m * m->e : 0;
    return at_w(m, 2) + hidden + h * (m->e ? m->e : m->m);
}

/* --- free heads ------------------------------------------------------------------------------- */
static int lora_blocks(const rates_model *m, int *size) {
    const rates_shape *s = &m->shape;
    size[0] = size[1] = (s->own_a ? s->heads : 1) * s->d;
    size[2] = size[3] = s->heads * s->dh;
    return 4;
}

static bool lora_truth(const rates_model *m, const rates_teacher *t, double *theta) {
    hora_rates_teacher_coords(t, &m->shape, theta);
    return true;
}

static void lora_coords(const rates_model *m, const double *theta, double *c) {
    memcpy(c, theta, (size_t)m->count * sizeof *c);
}

static void lora_jacobian(const rates_model *m, const double *theta, double *g) {
    (void)theta;
    for (int i = 0; i < m->count; i++)
        g[i * m->count + i] = 1;
}

/* What to shrink B_P,h by so that |B_P,h| |A_P| is at most the radius. */
static double excess(const rates_shape *s, const double *c, int p, int h, double radius) {
    const double *a = c + hora_rates_at_a(s, p, h), *b = c + hora_rates_at_b(s, p, h);
    const double size = sqrt(hora_dense_inner(a, a, s->d)) * sqrt(hora_dense_inner(b, b, s->dh));
    return size > radius ? radius / size : 1;
}

static void lora_bound(const rates_model *m, double radius, double *theta) {
    const rates_shape *s = &m->shape;
    for (int p = 0; p < 2; p++)
        for (int h = 0; h < s->heads; h++) {
            const double by = excess(s, theta, p, h, radius);
            for (int i = 0; i < s->dh; i++)
                theta[hora_rates_at_b(s, p, h) + i] *= by;
        }
}

/* --- generated heads -------------------------------------------------------------------------- */
static int linear_blocks(const rates_model *m, int *size) {
    size[0] = size[1] = m->shape.d;
    size[2] = size[3] = m->shape.dh * m->m;
    size[4] = m->shape.heads * m->m;
    return 5;
}

static int tanh_blocks(const rates_model *m, int *size) {
    linear_blocks(m, size);
    size[4] = m->m * m->e;
    size[5] = m->shape.heads * m->e;
    return 6;
}

static void latent(const rates_model *m, const double *theta, int h, double *z) {
    const double *in = theta + at_latent(m, h);
    for (int i = 0; i < m->m; i++)
        z[i] = m->e ? tanh(hora_dense_inner(theta + at_w(m, 2) + i * m->e, in, m->e)) : in[i];
}

static void generated_coords(const rates_model *m, const double *theta, double *c) {
    const rates_shape *s = &m->shape;
    memcpy(c, theta, (size_t)(2 * s->d) * sizeof *c);
    for (int h = 0; h < s->heads; h++) {
        double z[RATES_M];
        latent(m, theta, h, z);
        for (int p = 0; p < 2; p++)
            for (int i = 0; i < s->dh; i++)
                c[hora_rates_at_b(s, p, h) + i] =
                    hora_dense_inner(theta + at_w(m, p) + i * m->m, z, m->m);
    }
}

static void generated_jacobian(const rates_model *m, const double *theta, double *g) {
    const rates_shape *s = &m->shape;
    for (int i = 0; i < 2 * s->d; i++)
        g[i * m->count + i] = 1;
    for (int h = 0; h < s->heads; h++) {
        double z[RATES_M];
        latent(m, theta, h, z);
        for (int p = 0; p < 2; p++)
            for (int i = 0; i < s->dh; i++) {
                const double *w = theta + at_w(m, p) + i * m->m;
                double *row = g + (hora_rates_at_b(s, p, h) + i) * m->count;
                for (int k = 0; k < m->m; k++) {
                    row[at_w(m, p) + i * m->m + k] = z[k];
                    if (!m->e)
                        row[at_latent(m, h) + k] = w[k];
                    for (int l = 0; l < m->e; l++) { /* through tanh' = 1 - z^2 */
                        const double slope = w[k] * (1 - z[k] * z[k]);
                        row[at_w(m, 2) + k * m->e + l] = slope * theta[at_latent(m, h) + l];
                        row[at_latent(m, h) + l] += slope * theta[at_w(m, 2) + k * m->e + l];
                    }
                }
            }
    }
}

static void linear_bound(const rates_model *m, double radius, double *theta) {
    double c[RATES_COORDS];
    generated_coords(m, theta, c);
    for (int h = 0; h < m->shape.heads; h++) {
        const double by = fmin(excess(&m->shape, c, RATES_Q, h, radius),
                               excess(&m->shape, c, RATES_V, h, radius));
        for (int i = 0; i < m->m; i++)
            theta[at_latent(m, h) + i] *= by;
    }
}

static void tanh_bound(const rates_model *m, double radius, double *theta) {
    double c[RATES_COORDS];
    generated_coords(m, theta, c);
    for (int p = 0; p < 2; p++) {
        double by = 1;
        for (int h = 0; h < m->shape.heads; h++)
            by = fmin(by, excess(&m->shape, c, p, h, radius));
        for (int i = 0; i < m->shape.dh * m->m; i++)
            theta[at_w(m, p) + i] *= by;
    }
}

/* The best b_P,h = w_P z_h of width m for heads that share nothing: eigenvectors of B'B. */
static void best_generator(const rates_teacher *t, int m, double *const w[2],
                           double z[RATES_H][RATES_M]) {
    double gram[RATES_H * RATES_H], value[RATES_H], vector[RATES_H * RATES_H];
    const int heads = t->heads;
    for (int h = 0; h < heads; h++)
        for (int k = 0; k < heads; k++)
            gram[h * heads + k] = hora_dense_inner(t->b[0][h], t->b[0][k], t->dh) +
                                  hora_dense_inner(t->b[1][h], t->b[1][k], t->dh);
    hora_dense_eigen(gram, heads, value, vector);
    for (int k = 0; k < m; k++)
        for (int h = 0; h < heads; h++)
            z[h][k] = k < heads ? vector[h * heads + k] : 0;
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < t->dh; i++)
            for (int k = 0; k < m; k++) {
                w[p][i * m + k] = 0;
                for (int h = 0; h < heads; h++)
                    w[p][i * m + k] += t->b[p][h][i] * z[h][k];
            }
}

/* Columns that the teacher's generator does not have: any will do, their latents are 0. */
static void widen(const rates_teacher *t, int m, double *const w[2], double z[RATES_H][RATES_M]) {
    hora_rng r = hora_rng_new(0, "rates.widen");
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < t->dh; i++)
            for (int k = 0; k < m; k++)
                w[p][i * m + k] =
                    k < t->m ? t->w[p][i * t->m + k] : hora_rng_normal(&r) / sqrt(t->dh);
    for (int h = 0; h < t->heads; h++)
        for (int k = 0; k < m; k++)
            z[h][k] = k < t->m ? t->z[h][k] : 0;
}

static bool linear_truth(const rates_model *m, const rates_teacher *t, double *theta) {
    double z[RATES_H][RATES_M], *const w[2] = {theta + at_w(m, 0), theta + at_w(m, 1)};
    for (int p = 0; p < 2; p++)
        memcpy(theta + p * t->d, t->a[p], (size_t)t->d * sizeof *theta);
    if (t->kind == RATES_FREE || t->m > m->m)
        best_generator(t, m->m, w, z);
    else
        widen(t, m->m, w, z);
    for (int h = 0; h < m->shape.heads; h++)
        memcpy(theta + at_latent(m, h), z[h % t->heads], (size_t)m->m * sizeof *theta);
    return true;
}

static bool tanh_truth(const rates_model *m, const rates_teacher *t, double *theta) {
    if (t->kind != RATES_TANH || t->m != m->m || t->e != m->e)
        return false;
    for (int p = 0; p < 2; p++) {
        memcpy(theta + p * t->d, t->a[p], (size_t)t->d * sizeof *theta);
        memcpy(theta + at_w(m, p), t->w[p], (size_t)(t->dh * t->m) * sizeof *theta);
    }
    memcpy(theta + at_w(m, 2), t->w1, (size_t)(t->m * t->e) * sizeof *theta);
    for (int h = 0; h < m->shape.heads; h++)
        memcpy(theta + at_latent(m, h), t->in[h % t->heads], (size_t)t->e * sizeof *theta);
    return true;
}

/* --- the table -------------------------------------------------------------------------------- */
#define FREE_HEADS                                                                                 \
    .blocks = lora_blocks, .truth = lora_truth, .coords = lora_coords, .jacobian = lora_jacobian,  \
    .bound = lora_bound
#define GENERATED .coords = generated_coords, .jacobian = generated_jacobian
#define LINEAR    GENERATED, .blocks = linear_blocks, .truth = linear_truth, .bound = linear_bound

const rates_student hora_rates_students[] = {
    {.name = "lora", FREE_HEADS},
    {.name = "linear", LINEAR},
    {.name = "tanh",
     GENERATED,
     .m = 3,
     .e = 2,
     .blocks = tanh_blocks,
     .truth = tanh_truth,
     .bound = tanh_bound},
    {.name = "wide", .m = 6, LINEAR},
    {.name = "lora-wd", .ridge = true, FREE_HEADS},
    {.name = "lora-perhead", .own_a = true, FREE_HEADS},
};
const int hora_rates_student_count = HORA_COUNT(hora_rates_students);

const rates_student *hora_rates_student_find(const char *name) {
    for (int i = 0; i < hora_rates_student_count; i++)
        if (hora_eq(hora_rates_students[i].name, name))
            return &hora_rates_students[i];
    return NULL;
}

rates_model hora_rates_model_new(const rates_student *st, const rates_shape *s, rates_kind kind,
                                 int m, int e) {
    rates_model out = {.student = st, .shape = *s};
    int size[RATES_BLOCKS];
    const int teachers = kind == RATES_TANH ? 3 : 2;
    out.shape.own_a = st->own_a;
    out.m = m ? m : st->m ? st->m : teachers;
    out.e = st->e ? (e ? e : st->e) : 0;
    for (int n = st->blocks(&out, size), i = 0; i < n; i++)
        out.count += size[i];
    HORA_ASSERT(out.count <= RATES_PARAMS && hora_rates_coords(&out.shape) <= RATES_COORDS);
    return out;
}

/* --- starts ----------------------------------------------------------------------------------- */
bool hora_rates_start_near(const rates_model *m, const rates_teacher *t, uint64_t seed,
                           double *theta) {
    int size[RATES_BLOCKS];
    hora_rng r = hora_rng_new(seed, "rates.near");
    const int n = m->student->blocks(m, size);
    if (!m->student->truth(m, t, theta))
        return false;
    for (int b = 0; b < n; b++) {
        const double rms = sqrt(hora_dense_inner(theta, theta, size[b]) / size[b]);
        for (int i = 0; i < size[b]; i++)
            theta[i] += 0.3 * rms * hora_rng_normal(&r);
        theta += size[b];
    }
    return true;
}

void hora_rates_start_random(const rates_model *m, bool zero, uint64_t seed, int64_t index,
                             double *theta) {
    int size[RATES_BLOCKS];
    char *stream = hora_format("rates.start.%lld", (long long)index);
    hora_rng r = hora_rng_new(seed, stream);
    const int n = m->student->blocks(m, size);
    for (int b = 0; b < n; b++) {
        /* A, A, B or W, B or W, the rest */
        const double scale = b < 2   ? 1 / sqrt(m->shape.d)
                             : b < 4 ? (zero ? 0 : 1 / sqrt(m->shape.dh))
                                     : 1;
        for (int i = 0; i < size[b]; i++)
            theta[i] = scale * hora_rng_normal(&r);
        theta += size[b];
    }
    hora_free(stream);
}
