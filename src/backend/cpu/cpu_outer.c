/* Kernels of op_outer.c: runs of b, one for each element of a; rows go to the threads. */
#include "backend/cpu/cpu_impl.h"

static void forward(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const int64_t p = hora_cpu_width(&c->in[0]), q = hora_cpu_width(&c->in[1]);
    for (int64_t i = from; i < to; i++)
        for (int64_t j = 0; j < p; j++) {
            const float a = hora_f32(&c->in[0])[i * p + j];
            const float *b = hora_f32(&c->in[1]) + i * q;
            float *y = hora_f32(&c->out) + (i * p + j) * q;
            for (int64_t l = 0; l < q; l++)
                y[l] = a * b[l];
        }
}

static void grad_a(const hora_call *c, int64_t i, int64_t p, int64_t q) {
    float *da = hora_f32(&c->din[0]) + i * p;
    const float *b = hora_f32(&c->in[1]) + i * q, *dy = hora_f32(&c->dout) + i * p * q;
    for (int64_t j = 0; j < p; j++) {
        float sum = 0;
        for (int64_t l = 0; l < q; l++)
            sum += dy[j * q + l] * b[l];
        da[j] = (hora_cpu_overwrites(c, 0) ? 0 : da[j]) + sum;
    }
}

static void grad_b(const hora_call *c, int64_t i, int64_t p, int64_t q) {
    float *db = hora_f32(&c->din[1]) + i * q;
    const float *a = hora_f32(&c->in[0]) + i * p, *dy = hora_f32(&c->dout) + i * p * q;
    for (int64_t l = 0; hora_cpu_overwrites(c, 1) && l < q; l++)
        db[l] = 0;
    for (int64_t j = 0; j < p; j++)
        for (int64_t l = 0; l < q; l++)
            db[l] += a[j] * dy[j * q + l];
}

static void backward(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const int64_t p = hora_cpu_width(&c->in[0]), q = hora_cpu_width(&c->in[1]);
    for (int64_t i = from; i < to; i++) {
        if (hora_cpu_wants(c, 0))
            grad_a(c, i, p, q);
        if (hora_cpu_wants(c, 1))
            grad_b(c, i, p, q);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const int64_t n = hora_cpu_rows(&c->in[0]);
    const int64_t width = hora_cpu_width(&c->in[0]) * hora_cpu_width(&c->in[1]);
    hora_cpu_chunks(n, hora_cpu_rows_in_chunk(width), c->phase == HORA_FORWARD ? forward : backward,
                    (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_outer;
const hora_cpu_op hora_cpu_op_outer = {NULL, NULL, run, false, 0};
