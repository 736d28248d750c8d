/* Kernels of op_gate.c; rows go to the threads. */
#include "backend/cpu/cpu_lines.h"

/* Two rows and a sum. */
static int64_t room(const hora_call *c) {
    return 4 * hora_cpu_width(&c->in[0]);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, room(c));
    return hora_cpu_alike(c, 2);
}

enum { ROWS = 16 };

static void forward(const hora_call *c, int64_t i, float *own) {
    const int64_t d = hora_cpu_width(&c->in[0]), k = hora_cpu_width(&c->in[1]), w = d / k;
    float *mroom = own, *xroom = own + d, *y = own + 2 * d;
    const float *m = hora_cpu_line(&c->in[1], i * k, k, mroom);
    const float *x = hora_cpu_line(&c->in[0], i * d, d, xroom);
    for (int64_t j = 0; j < k; j++)
        for (int64_t l = j * w; l < (j + 1) * w; l++)
            y[l] = m[j] * x[l];
    hora_cpu_put_line(&c->out, i * d, d, y, true, own + 3 * d);
}

static void grad_x(const hora_call *c, int64_t i, float *own) {
    const int64_t d = hora_cpu_width(&c->in[0]), k = hora_cpu_width(&c->in[1]), w = d / k;
    const float *m = hora_cpu_line(&c->in[1], i * k, k, own);
    const float *dy = hora_cpu_line(&c->dout, i * d, d, own + d);
    float *dx = own + 2 * d;
    for (int64_t j = 0; j < k; j++)
        for (int64_t l = j * w; l < (j + 1) * w; l++)
            dx[l] = m[j] * dy[l];
    hora_cpu_put_line(&c->din[0], i * d, d, dx, hora_cpu_overwrites(c, 0), own + 3 * d);
}

static void grad_m(const hora_call *c, int64_t i, float *own) {
    const int64_t d = hora_cpu_width(&c->in[0]), k = hora_cpu_width(&c->in[1]), w = d / k;
    const float *x = hora_cpu_line(&c->in[0], i * d, d, own);
    const float *dy = hora_cpu_line(&c->dout, i * d, d, own + d);
    float *dm = own + 2 * d;
    for (int64_t j = 0; j < k; j++) {
        dm[j] = 0;
        for (int64_t l = j * w; l < (j + 1) * w; l++)
            dm[j] += dy[l] * x[l];
    }
    hora_cpu_put_line(&c->din[1], i * k, k, dm, hora_cpu_overwrites(c, 1), own + 3 * d);
}

static void some_rows(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const bool first = c->phase == HORA_FORWARD;
    const int64_t n = hora_cpu_rows(first ? &c->out : &c->dout);
    float *own = hora_cpu_own(c, thread, room(c));
    for (int64_t i = tile * ROWS; i < hora_min(n, (tile + 1) * ROWS); i++) {
        if (first)
            forward(c, i, own);
        if (hora_cpu_wants(c, 0))
            grad_x(c, i, own);
        if (hora_cpu_wants(c, 1))
            grad_m(c, i, own);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int64_t n = hora_cpu_rows(c->phase == HORA_FORWARD ? &c->out : &c->dout);
    hora_cpu_parallel(*(const int *)impl->state, hora_ceil_div(n, ROWS), some_rows,
                      (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_gate;
const hora_cpu_op hora_cpu_op_gate = {query, hora_cpu_count_threads, run, true, 0};
