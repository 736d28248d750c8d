/* Kernels of op_rmsnorm.c: by groups of w columns; dw by columns, each over all groups. */
#include "backend/cpu/cpu_impl.h"

static int64_t width(const hora_call *c) {
    return c->in[1].shape.d[0];
}

static void norm(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    int64_t w = width(c);
    float *r = c->grad ? hora_f32(&c->saved[0]) + from : NULL;
    hora_kern_get()->rows->rmsnorm(to - from, w, (float)c->attr.eps, hora_f32(&c->in[0]) + from * w,
                                   c->in[1].data, hora_f32(&c->out) + from * w, r);
}

static void dx(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    int64_t w = width(c);
    hora_kern_get()->rows->rmsnorm_dx(to - from, w, hora_f32(&c->in[0]) + from * w, c->in[1].data,
                                      hora_f32(&c->saved[0]) + from, hora_f32(&c->dout) + from * w,
                                      hora_f32(&c->din[0]) + from * w, hora_cpu_overwrites(c, 0));
}

static void dw(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    int64_t w = width(c);
    hora_kern_get()->rows->rmsnorm_dw(
        hora_elems(&c->dout) / w, w, to - from, hora_f32(&c->in[0]) + from, c->saved[0].data,
        hora_f32(&c->dout) + from, hora_f32(&c->din[1]) + from, hora_cpu_overwrites(c, 1));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    int64_t w = width(c);
    void *arg = (void *)(uintptr_t)c;
    if (c->phase == HORA_FORWARD)
        hora_cpu_pieces(hora_elems(&c->out) / w, hora_cpu_rows_in_piece(w), norm, arg);
    if (hora_cpu_wants(c, 0))
        hora_cpu_pieces(hora_elems(&c->dout) / w, hora_cpu_rows_in_piece(w), dx, arg);
    if (hora_cpu_wants(c, 1))
        hora_cpu_pieces(w, 64, dw, arg);
}

extern const hora_cpu_op hora_cpu_op_rmsnorm;
const hora_cpu_op hora_cpu_op_rmsnorm = {NULL, NULL, run, false};
