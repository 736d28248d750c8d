/*
 * HoRA's generator in f64, for layers that come from a file or a model: what the engine computes in
 * its own precision is generated again, so that ranks are those of the generator, not of rounding.
 * [docs/methods/hora.md]
 */
#include <math.h>

#include "base/mem.h"
#include "lab/hmoe_diag.h"

const char *const hora_hmoe_act_names[HORA_HMOE_ACTS] = {"relu", "identity", "tanh", "sigmoid",
                                                         "gelu"};

static double activate(hora_hmoe_act act, double u) {
    switch (act) {
    case HORA_HMOE_RELU:
        return u > 0 ? u : 0;
    case HORA_HMOE_TANH:
        return tanh(u);
    case HORA_HMOE_SIGMOID:
        return 1 / (1 + exp(-u));
    case HORA_HMOE_GELU:
        return 0.5 * u * (1 + erf(u / sqrt(2.0)));
    default:
        return u;
    }
}

void hora_hmoe_hidden(const hora_hmoe_generator *g, int64_t head, double *z) {
    const double *x = head < 0 ? g->input_a : g->input_b + head * g->e * g->r;
    const double *w1 = head < 0 ? g->w1_a : g->w1_b + (g->own_w1 ? head * g->m * g->e : 0);
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t c = 0; c < g->r; c++) {
            double u = 0;
            for (int64_t k = 0; k < g->e; k++)
                u += w1[i * g->e + k] * x[k * g->r + c];
            z[i * g->r + c] = activate(g->act, u);
        }
}

/* out = W2 (rows, m) Z (m, r): element (i, c) at out[i row + c column]. */
static void second(const hora_hmoe_generator *g, const double *w2, const double *z, int64_t rows,
                   double *out, int64_t row, int64_t column) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < g->r; c++) {
            double sum = 0;
            for (int64_t k = 0; k < g->m; k++)
                sum += w2[i * g->m + k] * z[k * g->r + c];
            out[i * row + c * column] = sum;
        }
}

void hora_hmoe_generate(const hora_hmoe_generator *g, const hora_hmoe_layer *l, int map,
                        const double *w2_a, const double *w2_b, double *a, double *b) {
    const bool output = map == HORA_HMOE_O; /* its input is cut into heads, not its output */
    const int64_t heads = output || map == HORA_HMOE_Q ? l->heads : l->groups;
    const int64_t in = hora_hmoe_in(l, map);
    double *z = hora_calloc((size_t)(g->m * g->r), sizeof *z);
    hora_hmoe_hidden(g, -1, z);
    if (output)
        second(g, w2_b, z, l->d, b, g->r, 1);
    else
        second(g, w2_a, z, l->d, a, 1, in);
    for (int64_t h = 0; h < heads; h++) {
        hora_hmoe_hidden(g, h * (l->heads / heads), z);
        if (output)
            second(g, w2_a, z, l->dh, a + h * l->dh, 1, in);
        else
            second(g, w2_b, z, l->dh, b + h * l->dh * g->r, g->r, 1);
    }
    hora_free(z);
}
