/*
 * The simulated layer and its derivatives. Sums over data run in the order of the data; the
 * products of rows are added up in tiles that do not depend on anything but shapes.
 *
 * With p = softmax_j(q_h'k_j / sqrt dh), t = sum_j p_j x_j, V = P_V + B_V,h A_V' and
 * C = sum_j p_j (x_j - t) k_j':
 *
 *     df/dB_Q,h = (A_Q'x_1) V C / (H sqrt dh)      df/dA_Q = sum_h (V C B_Q,h) x_1' / (H sqrt dh)
 *     df/dB_V,h = (A_V't) I / H                    df/dA_V = sum_h B_V,h t' / H
 */
#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "lab/rates_impl.h"

int hora_rates_coords(const rates_shape *s) {
    return 2 * (s->own_a ? s->heads : 1) * s->d + 2 * s->heads * s->dh;
}

int hora_rates_at_a(const rates_shape *s, int p, int h) {
    return (s->own_a ? p * s->heads + h : p) * s->d;
}

int hora_rates_at_b(const rates_shape *s, int p, int h) {
    return 2 * (s->own_a ? s->heads : 1) * s->d + (p * s->heads + h) * s->dh;
}

/* --- draws ------------------------------------------------------------------------------------ */
void hora_rates_base_draw(rates_base *b, const rates_shape *s, uint64_t seed) {
    double(*const parts[])[RATES_DH * RATES_D] = {b->q, b->k, b->v};
    hora_rng r = hora_rng_new(seed, "rates.base");
    b->bases = s->labelled ? s->heads : 1;
    for (int p = 0; p < 3; p++)
        for (int h = 0; h < b->bases; h++)
            for (int i = 0; i < s->dh * s->d; i++)
                parts[p][h][i] = hora_rng_normal(&r) / sqrt(s->d);
}

/* out (dh) = w (dh, d) x */
static void apply(const double *w, const double *x, int dh, int d, double *out) {
    for (int i = 0; i < dh; i++)
        out[i] = hora_dense_inner(w + i * d, x, d);
}

void hora_rates_data_draw(rates_data *t, const rates_shape *s, const rates_base *b,
                          const double *truth, const rates_shape *truth_shape, double sigma,
                          int64_t n, uint64_t seed, const char *purpose) {
    const int64_t wide = (int64_t)s->tokens * s->d, out = (int64_t)b->bases * s->dh;
    char *noise_name = hora_format("%s.noise", purpose);
    hora_rng in = hora_rng_new(seed, purpose), noise = hora_rng_new(seed, noise_name);
    hora_free(noise_name);
    t->n = n;
    t->x = hora_malloc((size_t)(n * wide) * sizeof *t->x);
    t->q = hora_malloc((size_t)(n * out) * sizeof *t->q);
    t->k = hora_malloc((size_t)(n * out * s->tokens) * sizeof *t->k);
    t->v = hora_malloc((size_t)(n * out * s->tokens) * sizeof *t->v);
    t->y = hora_malloc((size_t)(n * s->dh) * sizeof *t->y);
    for (int64_t i = 0; i < n * wide; i++)
        t->x[i] = (2 * hora_rng_uniform(&in) - 1) * sqrt(3.0);
    for (int64_t i = 0; i < n; i++)
        for (int h = 0; h < b->bases; h++) {
            const int64_t at = i * b->bases + h;
            const double *x = t->x + i * wide;
            apply(b->q[h], x, s->dh, s->d, t->q + at * s->dh);
            for (int j = 0; j < s->tokens; j++) {
                const int64_t row = (at * s->tokens + j) * s->dh;
                apply(b->k[h], x + j * s->d, s->dh, s->d, t->k + row);
                apply(b->v[h], x + j * s->d, s->dh, s->d, t->v + row);
            }
        }
    for (int64_t i = 0; i < n; i++) {
        hora_rates_sample(truth_shape, truth, t, i, t->y + i * s->dh, NULL);
        for (int r = 0; r < s->dh; r++)
            t->y[i * s->dh + r] += sigma * hora_rng_normal(&noise);
    }
}

void hora_rates_data_release(rates_data *t) {
    hora_free(t->x);
    hora_free(t->q);
    hora_free(t->k);
    hora_free(t->v);
    hora_free(t->y);
    *t = (rates_data){0};
}

/* --- the layer -------------------------------------------------------------------------------- */
typedef struct head {                              /* one head on one input */
    double p[RATES_N], inner[RATES_N];             /* gate; A_V'x_j */
    double x_q, x_v;                               /* A_Q'x_1, A_V't */
    const double *x, *q, *k, *v, *a_v, *b_q, *b_v; /* what it reads */
} head;

static inline double dot(const double *x, const double *y, int n) {
    double s = 0;
    for (int i = 0; i < n; i++)
        s += x[i] * y[i];
    return s;
}

/* The gate, then what the head adds to f. `first`: nothing can be taken over from the last head. */
static inline void head_forward(head *a, int d, int dh, int tokens, const double *a_q, bool first,
                                double weight, double *f) {
    double q[RATES_DH], most = -INFINITY, sum = 0;
    if (first) {
        a->x_q = dot(a_q, a->x, d);
        for (int j = 0; j < tokens; j++)
            a->inner[j] = dot(a->a_v, a->x + j * d, d);
    }
    for (int r = 0; r < dh; r++)
        q[r] = (a->q[r] + a->b_q[r] * a->x_q) / sqrt(dh);
    for (int j = 0; j < tokens; j++) {
        a->p[j] = dot(q, a->k + j * dh, dh);
        most = a->p[j] > most ? a->p[j] : most;
    }
    for (int j = 0; j < tokens; j++)
        sum += a->p[j] = exp(a->p[j] - most);
    a->x_v = 0;
    for (int j = 0; j < tokens; j++)
        a->x_v += (a->p[j] /= sum) * a->inner[j];
    for (int r = 0; r < dh; r++) {
        double y = a->b_v[r] * a->x_v;
        for (int j = 0; j < tokens; j++)
            y += a->p[j] * a->v[j * dh + r];
        f[r] += weight * y;
    }
}

/* The head's columns of the Jacobian (row length ld). */
static inline void head_jacobian(const head *a, int d, int dh, int tokens, double weight,
                                 double *a_q, double *a_v, double *b_q, double *b_v, int ld) {
    const double scale = weight / sqrt(dh);
    double t[RATES_D] = {0}, vc[RATES_DH];
    for (int j = 0; j < tokens; j++)
        for (int l = 0; l < d; l++)
            t[l] += a->p[j] * a->x[j * d + l];
    for (int r = 0; r < dh; r++) {
        double centred[RATES_N], mean = 0; /* p_j (V (x_j - t)) */
        for (int j = 0; j < tokens; j++) {
            centred[j] = a->v[j * dh + r] + a->b_v[r] * a->inner[j];
            mean += a->p[j] * centred[j];
        }
        for (int l = 0; l < dh; l++)
            vc[l] = 0;
        for (int j = 0; j < tokens; j++)
            for (int l = 0; l < dh; l++)
                vc[l] += a->p[j] * (centred[j] - mean) * a->k[j * dh + l];
        for (int l = 0; l < dh; l++)
            b_q[r * ld + l] = scale * a->x_q * vc[l];
        const double along = scale * dot(vc, a->b_q, dh);
        for (int l = 0; l < d; l++) {
            a_q[r * ld + l] += along * a->x[l];
            a_v[r * ld + l] += weight * a->b_v[r] * t[l];
        }
        b_v[r * ld + r] = weight * a->x_v;
    }
}

/* Input i; jac (dh, ld; NULL: not wanted) needs zeros in the columns of A and off the diagonals of
 * B_V. Written once, compiled for the sizes in use. */
static inline void sample_of(const rates_shape *s, int d, int dh, int tokens, const double *c,
                             const rates_data *t, int64_t i, double *f, double *jac, int ld) {
    const int bases = s->labelled ? s->heads : 1;
    const double weight = 1.0 / s->heads;
    head a = {.x = t->x + i * tokens * d};
    for (int r = 0; r < dh; r++)
        f[r] = 0;
    for (int h = 0; h < s->heads; h++) {
        const int64_t at = i * bases + (s->labelled ? h : 0);
        const int a_q = hora_rates_at_a(s, RATES_Q, h), a_v = hora_rates_at_a(s, RATES_V, h);
        const int b_q = hora_rates_at_b(s, RATES_Q, h), b_v = hora_rates_at_b(s, RATES_V, h);
        a.q = t->q + at * dh;
        a.k = t->k + at * tokens * dh;
        a.v = t->v + at * tokens * dh;
        a.a_v = c + a_v;
        a.b_q = c + b_q;
        a.b_v = c + b_v;
        head_forward(&a, d, dh, tokens, c + a_q, h == 0 || s->own_a, weight, f);
        if (jac)
            head_jacobian(&a, d, dh, tokens, weight, jac + a_q, jac + a_v, jac + b_q, jac + b_v,
                          ld);
    }
}

static void sample(const rates_shape *s, const double *c, const rates_data *t, int64_t i, double *f,
                   double *jac, int ld) {
    if (s->d == 5 && s->dh == 4 && s->tokens == 4)
        sample_of(s, 5, 4, 4, c, t, i, f, jac, ld);
    else if (s->d == 8 && s->dh == 8 && s->tokens == 6)
        sample_of(s, 8, 8, 6, c, t, i, f, jac, ld);
    else
        sample_of(s, s->d, s->dh, s->tokens, c, t, i, f, jac, ld);
}

void hora_rates_sample(const rates_shape *s, const double *c, const rates_data *t, int64_t i,
                       double *f, double *jac) {
    const int ld = hora_rates_coords(s);
    if (jac)
        memset(jac, 0, (size_t)(s->dh * ld) * sizeof *jac);
    sample(s, c, t, i, f, jac, ld);
}

double hora_rates_error(const rates_shape *s, const double *c, const rates_data *t) {
    double sum = 0, f[RATES_DH];
    for (int64_t i = 0; i < t->n; i++) {
        sample(s, c, t, i, f, NULL, 0);
        for (int r = 0; r < s->dh; r++)
            sum += (f[r] - t->y[i * s->dh + r]) * (f[r] - t->y[i * s->dh + r]);
    }
    return sum / (double)t->n;
}

/* --- normal equations ------------------------------------------------------------------------- */
enum { ROWS = 64, TILE = 4, LD = (RATES_COORDS + 1 + TILE - 1) / TILE * TILE };

/* m (ld, ld) += x'x of x (rows, ld), in tiles on and below the diagonal. */
static void add_products(const double *x, int rows, int ld, double *m) {
    for (int i = 0; i < ld; i += TILE)
        for (int j = 0; j <= i; j += TILE) {
            double sum[TILE][TILE] = {{0}};
            for (int k = 0; k < rows; k++) {
                const double *a = x + k * ld + i, *b = x + k * ld + j;
                for (int u = 0; u < TILE; u++)
                    for (int w = 0; w < TILE; w++)
                        sum[u][w] += a[u] * b[w];
            }
            for (int u = 0; u < TILE; u++)
                for (int w = 0; w < TILE; w++)
                    m[(i + u) * ld + j + w] += sum[u][w];
        }
}

/* Rows are those of J with the residual behind them: one product gives J'J, J'r and r'r. */
double hora_rates_normal(const rates_shape *s, const double *c, const rates_data *t, double *m,
                         double *g) {
    const int p = hora_rates_coords(s), ld = (p + 1 + TILE - 1) / TILE * TILE;
    const int heads_a = 2 * (s->own_a ? s->heads : 1) * s->d;
    double rows[ROWS * LD] = {0}, f[RATES_DH];
    double *all = hora_calloc((size_t)(ld * ld), sizeof *all);
    int used = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double *jac = rows + used * ld;
        for (int r = 0; r < s->dh; r++)
            memset(jac + r * ld, 0, (size_t)heads_a * sizeof *jac);
        sample(s, c, t, i, f, jac, ld);
        for (int r = 0; r < s->dh; r++)
            jac[r * ld + p] = f[r] - t->y[i * s->dh + r];
        used += s->dh;
        if (used + s->dh > ROWS || i == t->n - 1) {
            add_products(rows, used, ld, all);
            used = 0;
        }
    }
    const double n = (double)t->n, error = all[p * ld + p] / n;
    for (int i = 0; i < p; i++) {
        g[i] = all[p * ld + i] / n;
        for (int j = 0; j <= i; j++)
            m[i * p + j] = m[j * p + i] = all[i * ld + j] / n;
    }
    hora_free(all);
    return error;
}
