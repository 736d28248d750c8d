/* Kernels of op_orthonormal.c, one row after another on one thread. Backward takes the steps of a
 * row back: v before its part along w_j was removed is what is left and that part. */
#include "backend/cpu/cpu_impl.h"

#include <math.h>

/* v and g (d), parts of v (r), and backward the gradients of W (r, d). */
static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const int64_t r = hora_cpu_rows(&c->in[0]), w = hora_cpu_width(&c->in[0]);
    (void)d;
    need->scratch = sizeof(float) * (size_t)(2 * w + r + (c->phase == HORA_BACKWARD ? r * w : 0));
    return c->in[0].dtype == HORA_F32 && c->out.dtype == HORA_F32 && hora_cpu_sums_f32(c, 0);
}

/* v = row i of U without its parts along w_0 .. w_(i-1), which go to `part`; its length. */
static float rest(const float *u, const float *w, int64_t i, int64_t d, float *v, float *part) {
    memcpy(v, u + i * d, (size_t)d * sizeof *v);
    for (int64_t j = 0; j < i; j++) {
        part[j] = hora_cpu_dot(d, w + j * d, v);
        hora_cpu_axpy(d, -part[j], w + j * d, v);
    }
    return sqrtf(hora_cpu_dot(d, v, v));
}

static void forward(const hora_call *c) {
    const int64_t r = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    float *v = c->scratch, *w = hora_f32(&c->out);
    for (int64_t i = 0; i < r; i++) {
        const float norm = rest(hora_f32(&c->in[0]), w, i, d, v, v + d);
        for (int64_t k = 0; k < d; k++)
            w[i * d + k] = v[k] / norm;
    }
}

static void backward(const hora_call *c) {
    const int64_t r = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    const float *w = hora_f32(&c->out);
    float *v = c->scratch, *g = v + d, *part = g + d, *gw = part + r;
    memcpy(gw, c->dout.data, (size_t)(r * d) * sizeof *gw);
    for (int64_t i = r - 1; i >= 0; i--) {
        const float norm = rest(hora_f32(&c->in[0]), w, i, d, v, part);
        const float along = hora_cpu_dot(d, w + i * d, gw + i * d);
        for (int64_t k = 0; k < d; k++)
            g[k] = (gw[i * d + k] - along * w[i * d + k]) / norm;
        for (int64_t j = i - 1; j >= 0; j--) {
            const float wg = hora_cpu_dot(d, w + j * d, g);
            hora_cpu_axpy(d, part[j], w + j * d, v);
            hora_cpu_axpy(d, -wg, v, gw + j * d);
            hora_cpu_axpy(d, -part[j], g, gw + j * d);
            hora_cpu_axpy(d, -wg, w + j * d, g);
        }
        float *du = hora_f32(&c->din[0]) + i * d;
        hora_kern_get()->rows->add(d, 1, hora_cpu_overwrites(c, 0) ? NULL : du, g, du);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    c->phase == HORA_FORWARD ? forward(c) : backward(c);
}

extern const hora_cpu_op hora_cpu_op_orthonormal;
const hora_cpu_op hora_cpu_op_orthonormal = {query, NULL, run, true, 0};
