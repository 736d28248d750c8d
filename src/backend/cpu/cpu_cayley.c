/* Kernels of op_cayley.c: a block per tile. */
#include "backend/cpu/cpu_lines.h"

#define CAYLEY float
#include "backend/cayley_text.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, cayley_room(c->attr.b, c->attr.a));
    return hora_cpu_weights_f32(c, 0, 0) && c->out.dtype == HORA_F32;
}

static void forward(void *arg, int64_t blk, int thread) {
    const hora_call *c = arg;
    const int64_t b = c->attr.b, w = hora_cpu_width(&c->in[0]);
    float *q = hora_cpu_own(c, thread, cayley_room(b, c->attr.a));
    cayley_skew(q, hora_f32(&c->in[0]) + blk * w, b, c->attr.w != 0);
    cayley_forward(hora_f32(&c->out) + blk * b * b, q, b, c->attr.a, q + b * b);
}

static void backward(void *arg, int64_t blk, int thread) {
    const hora_call *c = arg;
    const int64_t b = c->attr.b, w = hora_cpu_width(&c->in[0]);
    float *q = hora_cpu_own(c, thread, cayley_room(b, c->attr.a)), *r = q + b * b, *p = r + b * b,
          *g = p + b * b, *to = hora_f32(&c->din[0]) + blk * w;
    cayley_skew(q, hora_f32(&c->in[0]) + blk * w, b, c->attr.w != 0);
    for (int64_t k = 0; k < b * b; k++) {
        r[k] = hora_f32(&c->out)[blk * b * b + k];
        g[k] = hora_f32(&c->dout)[blk * b * b + k];
    }
    cayley_backward(p, r, q, g, b, c->attr.a, c->attr.w != 0, g + b * b);
    for (int64_t k = 0; k < w; k++)
        to[k] = (hora_cpu_overwrites(c, 0) ? 0 : to[k]) + p[k];
}

static void run(const hora_impl *impl, const hora_call *c) {
    hora_cpu_parallel(*(const int *)impl->state, hora_cpu_rows(&c->in[0]),
                      c->phase == HORA_FORWARD ? forward : backward, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_cayley;
const hora_cpu_op hora_cpu_op_cayley = {query, hora_cpu_count_threads, run, false, 0};
