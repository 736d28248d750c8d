/*
 * What needs no fitting: gaps along curves through the duplicated truth, ranks of the Fisher
 * matrix, and the Jacobians against central differences.
 */
#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "base/text.h"
#include "lab/rates_run_impl.h"

enum { BLOCK_B_Q = 2, BLOCK_B_V = 3, BLOCK_U = 4, RANK_INPUTS = 1500 };

typedef struct curve_row {
    const char *name, *student;
    rates_setting setting;
    int block;   /* the block of parameters that moves; with twice the heads, copies part ways */
    bool kernel; /* along directions that the gates' generator does not see */
    double lo, hi;
} curve_row;
static const curve_row curve_rows[CURVES] = {
    {"exact lora B_V", "lora", RATES_EXACT, BLOCK_B_V, false, 0.98, 1.02},
    {"exact lora B_Q", "lora", RATES_EXACT, BLOCK_B_Q, false, 0.98, 1.02},
    {"exact linear u", "linear", RATES_EXACT, BLOCK_U, false, 0.98, 1.02},
    {"over lora B_V", "lora", RATES_OVER, BLOCK_B_V, false, 0, 0},
    {"over lora B_Q", "lora", RATES_OVER, BLOCK_B_Q, false, 1.97, 2.03},
    {"over linear u", "linear", RATES_OVER, BLOCK_U, false, 1.97, 2.03},
    {"over wide u in the kernel of W_Q", "wide", RATES_OVER, BLOCK_U, true, 0, 0},
};

typedef struct scene { /* the layer of seed 0 */
    rates_model m;
    rates_base base;
    rates_teacher teacher;
    rates_data data; /* of the truth, without noise */
    double theta[RATES_PARAMS], c[RATES_COORDS];
} scene;

static void set_scene(scene *x, rates_setting setting, rates_kind kind, const rates_student *st,
                      int64_t n) {
    const rates_shape shape = hora_rates_shape_of(setting);
    x->m = hora_rates_model_new(st, &shape, kind, 0, 0);
    hora_rates_base_draw(&x->base, &shape, 0);
    hora_rates_teacher_draw(&x->teacher, kind, shape.d, shape.dh, hora_rates_teacher_heads(setting),
                            kind == RATES_TANH ? 3 : 2, 0);
    hora_rates_teacher_coords(&x->teacher, &x->m.shape, x->c);
    hora_rates_data_draw(&x->data, &x->m.shape, &x->base, x->c, &x->m.shape, 0, n, 0, "rates.test");
    st->truth(&x->m, &x->teacher, x->theta);
}

/* w less its part in the row space of W_Q [dh, m]. */
static void into_kernel(const rates_model *m, const double *theta, double *w) {
    double rows[RATES_M * RATES_DH], basis[RATES_M * RATES_DH];
    const double *w_q = theta + 2 * m->shape.d;
    for (int i = 0; i < m->shape.dh; i++)
        for (int k = 0; k < m->m; k++)
            rows[k * m->shape.dh + i] = w_q[i * m->m + k];
    const int64_t rank = hora_dense_basis(rows, m->m, m->shape.dh, basis);
    for (int64_t l = 0; l < rank; l++) {
        double along = 0;
        for (int k = 0; k < m->m; k++)
            along += basis[k * m->shape.dh + l] * w[k];
        for (int k = 0; k < m->m; k++)
            w[k] -= along * basis[k * m->shape.dh + l];
    }
}

/* A direction in the student's parameters: a unit vector per true head; its copies go opposite
 * ways. */
static void direction(const scene *x, const curve_row *row, double *out) {
    int size[RATES_BLOCKS], from = 0;
    const int heads = x->m.shape.heads, cells = x->teacher.heads;
    hora_rng r = hora_rng_new(0, "rates.curve");
    memset(out, 0, (size_t)x->m.count * sizeof *out);
    x->m.student->blocks(&x->m, size);
    for (int b = 0; b < row->block; b++)
        from += size[b];
    const int each = size[row->block] / heads;
    for (int j = 0; j < cells; j++) {
        double w[RATES_DH];
        for (int i = 0; i < each; i++)
            w[i] = hora_rng_normal(&r);
        if (row->kernel)
            into_kernel(&x->m, x->theta, w);
        const double norm = sqrt(hora_dense_inner(w, w, each));
        for (int h = j; h < heads; h += cells)
            for (int i = 0; i < each; i++)
                out[from + h * each + i] = (h < cells ? 1 : -1) * w[i] / norm;
    }
}

/* Least squares line of log10 y against log10 x. */
static double log_slope(const double *x, const double *y, int n) {
    double mx = 0, my = 0, xy = 0, xx = 0;
    for (int i = 0; i < n; i++) {
        mx += log10(x[i]) / n;
        my += log10(y[i]) / n;
    }
    for (int i = 0; i < n; i++) {
        xy += (log10(x[i]) - mx) * (log10(y[i]) - my);
        xx += (log10(x[i]) - mx) * (log10(x[i]) - mx);
    }
    return xy / xx;
}

static void walk(rates_curve *out, const curve_row *row) {
    scene *x = hora_calloc(1, sizeof *x);
    double along[RATES_PARAMS], theta[RATES_PARAMS], c[RATES_COORDS];
    set_scene(x, row->setting, RATES_LINEAR, hora_rates_student_find(row->student), RATES_TEST);
    direction(x, row, along);
    *out = (rates_curve){.name = row->name, .lo = row->lo, .hi = row->hi};
    for (int i = 0; i < CURVE_POINTS; i++) {
        out->t[i] = pow(10, -3 + 2.0 * i / (CURVE_POINTS - 1));
        for (int k = 0; k < x->m.count; k++)
            theta[k] = x->theta[k] + out->t[i] * along[k];
        x->m.student->coords(&x->m, theta, c);
        out->gap[i] = sqrt(hora_rates_error(&x->m.shape, c, &x->data));
        out->d[i] = hora_rates_measure(&x->m.shape, c, &x->teacher).d;
        out->most = fmax(out->most, out->gap[i]);
    }
    out->slope = log_slope(out->t, out->gap, CURVE_POINTS);
    hora_rates_data_release(&x->data);
    hora_free(x);
}

/* --- ranks ------------------------------------------------------------------------------------ */
/* Eigenvalues of G'MG above 1e-9 of the largest. */
static int rank_of(const scene *x) {
    const int p = hora_rates_coords(&x->m.shape), q = x->m.count;
    double *work = hora_calloc((size_t)(p * p + p + 2 * p * q + q * q + q), sizeof *work);
    double *m = work, *g = m + p * p, *jac = g + p, *half = jac + p * q, *f = half + p * q;
    double *value = f + q * q;
    int rank = 0;
    hora_rates_normal(&x->m.shape, x->c, &x->data, m, g);
    x->m.student->jacobian(&x->m, x->theta, jac);
    hora_dense_gram(m, p, jac, q, p, half); /* m is symmetric: m'jac = m jac */
    hora_dense_gram(jac, q, half, q, p, f);
    hora_dense_eigen(f, q, value, NULL);
    while (rank < q && value[rank] > 1e-9 * value[0])
        rank++;
    hora_free(work);
    return rank;
}

static int fisher_rank(rates_setting s, const rates_student *st) {
    scene *x = hora_calloc(1, sizeof *x);
    set_scene(x, s, RATES_LINEAR, st, RANK_INPUTS);
    const int rank = rank_of(x);
    hora_rates_data_release(&x->data);
    hora_free(x);
    return rank;
}

/* Fact 4: 2d + 2 dh H - 2 for free heads, 2d - 2 + m (2 dh + H - m) for a linear generator. */
static int rank_expected(rates_setting s, bool generated) {
    const int d = 5, dh = 4, m = 2, heads = hora_rates_teacher_heads(s);
    return generated ? 2 * d - 2 + m * (2 * dh + heads - m) : 2 * d + 2 * dh * heads - 2;
}

/* --- the Jacobian ----------------------------------------------------------------------------- */
/* Largest difference of df/dtheta on one input, relative to the largest entry. */
static double jacobian_error(const rates_student *st, rates_setting setting) {
    scene *x = hora_calloc(1, sizeof *x);
    const double h = 1e-5;
    double worst = 0, scale = 0, theta[RATES_PARAMS], c[RATES_COORDS], f[2][RATES_DH];
    set_scene(x, setting, RATES_TANH, st, 3);
    const int p = hora_rates_coords(&x->m.shape), q = x->m.count, dh = x->m.shape.dh;
    double *g = hora_calloc((size_t)(p * q + dh * p), sizeof *g), *rows = g + p * q;
    hora_rates_start_random(&x->m, false, 1, 0, theta);
    x->m.student->jacobian(&x->m, theta, g);
    x->m.student->coords(&x->m, theta, c);
    hora_rates_sample(&x->m.shape, c, &x->data, 2, f[0], rows);
    for (int k = 0; k < q; k++) {
        const double kept = theta[k];
        for (int side = 0; side < 2; side++) {
            theta[k] = kept + (side ? -h : h);
            x->m.student->coords(&x->m, theta, c);
            hora_rates_sample(&x->m.shape, c, &x->data, 2, f[side], NULL);
        }
        theta[k] = kept;
        for (int r = 0; r < dh; r++) {
            double got = 0;
            for (int i = 0; i < p; i++)
                got += rows[r * p + i] * g[i * q + k];
            worst = fmax(worst, fabs(got - (f[0][r] - f[1][r]) / (2 * h)));
            scale = fmax(scale, fabs(got));
        }
    }
    hora_free(g);
    hora_rates_data_release(&x->data);
    hora_free(x);
    return worst / scale;
}

void hora_rates_algebra_run(rates_algebra *a) {
    static const char *const students[] = {"lora", "linear"};
    memset(a, 0, sizeof *a);
    for (int i = 0; i < CURVES; i++)
        walk(&a->curve[i], &curve_rows[i]);
    for (int i = 0; i < RANKS; i++) {
        const char *name = students[i % 2];
        const rates_setting s = (rates_setting)(i / 2);
        a->rank[i] = (rates_rank){s, name, fisher_rank(s, hora_rates_student_find(name)),
                                  rank_expected(s, i % 2)};
    }
    for (int i = 0; i < hora_rates_student_count; i++)
        for (int s = 0; s < RATES_SETTINGS; s++)
            a->jacobian =
                fmax(a->jacobian, jacobian_error(&hora_rates_students[i], (rates_setting)s));
}
