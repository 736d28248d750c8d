/*
 * Levenberg-Marquardt, full batch. Gradient and Gauss-Newton matrix are formed in LoRA coordinates
 * and pulled back by the student's Jacobian: (G'MG + lambda I) step = -G'g.
 */
#include <math.h>

#include "base/dense.h"
#include "base/mem.h"
#include "lab/rates_impl.h"

enum { TRIES = 12, QUIET = 3 }; /* factors of lambda in one step; small decreases until the end */
#define FLOOR 1e-10

typedef struct fit {
    const rates_model *model;
    const rates_data *data;
    const rates_fit_options *o;
    int coords, params;
    double c[RATES_COORDS], g_c[RATES_COORDS], g[RATES_PARAMS];
    double *m_c, *jac, *half, *m, *damped; /* [P, P], [P, p], [P, p], [p, p], [p, p] */
} fit;

/* Sum of |B|^2 over heads and both matrices. */
static double sum_b(const fit *f) {
    const int from = hora_rates_at_b(&f->model->shape, RATES_Q, 0);
    return hora_dense_inner(f->c + from, f->c + from, f->coords - from);
}

/* mean |f - y|^2 / 2 and the ridge */
static double loss_at(fit *f, const double *theta) {
    f->model->student->coords(f->model, theta, f->c);
    return hora_rates_error(&f->model->shape, f->c, f->data) / 2 + f->o->ridge / 2 * sum_b(f);
}

/* Loss, gradient and Gauss-Newton matrix in the student's parameters. */
static double linearise(fit *f, const double *theta) {
    const int p = f->coords, q = f->params;
    f->model->student->coords(f->model, theta, f->c);
    double loss = hora_rates_normal(&f->model->shape, f->c, f->data, f->m_c, f->g_c) / 2;
    loss += f->o->ridge / 2 * sum_b(f);
    for (int i = hora_rates_at_b(&f->model->shape, RATES_Q, 0); i < p; i++) {
        f->g_c[i] += f->o->ridge * f->c[i];
        f->m_c[i * p + i] += f->o->ridge;
    }
    memset(f->jac, 0, (size_t)(p * q) * sizeof *f->jac);
    f->model->student->jacobian(f->model, theta, f->jac);
    memset(f->half, 0, (size_t)(p * q) * sizeof *f->half);
    memset(f->m, 0, (size_t)(q * q) * sizeof *f->m);
    memset(f->g, 0, sizeof f->g);
    for (int k = 0; k < p; k++) /* half = M G, where G has few entries in a row */
        for (int j = 0; j < q; j++) {
            const double x = f->jac[k * q + j];
            for (int i = 0; x != 0 && i < p; i++)
                f->half[i * q + j] += f->m_c[i * p + k] * x;
        }
    for (int k = 0; k < p; k++)
        for (int i = 0; i < q; i++) {
            const double x = f->jac[k * q + i];
            if (x == 0)
                continue;
            f->g[i] += x * f->g_c[k];
            for (int j = 0; j < q; j++)
                f->m[i * q + j] += x * f->half[k * q + j];
        }
    return loss;
}

/* A step from theta into next; false: the matrix is not positive. */
static bool step(fit *f, const double *theta, double lambda, double *next) {
    const int q = f->params;
    double x[RATES_PARAMS];
    memcpy(f->damped, f->m, (size_t)(q * q) * sizeof *f->m);
    for (int i = 0; i < q; i++) {
        f->damped[i * q + i] += lambda;
        x[i] = -f->g[i];
    }
    if (!hora_dense_solve(f->damped, q, x))
        return false;
    for (int i = 0; i < q; i++)
        next[i] = theta[i] + x[i];
    f->model->student->bound(f->model, RATES_RADIUS, next);
    return true;
}

static int descend(fit *f, double *theta) {
    const size_t bytes = (size_t)f->params * sizeof *theta;
    double lambda = f->o->damping, next[RATES_PARAMS];
    int quiet = 0, steps = 0;
    while (steps < f->o->iterations && quiet < QUIET) {
        const double loss = linearise(f, theta);
        bool better = false;
        for (int k = 0; k < TRIES && !better; k++) {
            double found = INFINITY;
            if (step(f, theta, lambda, next))
                found = loss_at(f, next);
            better = found < loss;
            lambda = better ? fmax(lambda / 3, FLOOR) : lambda * 4;
            if (better)
                quiet = loss - found < f->o->tolerance * loss ? quiet + 1 : 0;
        }
        if (!better)
            break;
        memcpy(theta, next, bytes);
        steps++;
    }
    return steps;
}

double hora_rates_fit(const rates_model *m, const rates_data *t, const rates_fit_options *o,
                      double *theta, int *iterations) {
    const int p = hora_rates_coords(&m->shape), q = m->count;
    double *work = hora_malloc((size_t)(p * p + 2 * p * q + 2 * q * q) * sizeof *work);
    fit *f = hora_calloc(1, sizeof *f);
    *f = (fit){.model = m, .data = t, .o = o, .coords = p, .params = q};
    f->m_c = work;
    f->jac = f->m_c + p * p;
    f->half = f->jac + p * q;
    f->m = f->half + p * q;
    f->damped = f->m + q * q;
    m->student->bound(m, RATES_RADIUS, theta);
    *iterations = descend(f, theta);
    m->student->coords(m, theta, f->c);
    const double error = hora_rates_error(&m->shape, f->c, t);
    hora_free(work);
    hora_free(f);
    return error;
}
