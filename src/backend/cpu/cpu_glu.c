/* Kernels of op_glu.c. */
#include "backend/cpu/cpu_impl.h"

static void glu(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    hora_kern_get()->rows->glu(c->attr.act, to - from, hora_f32(&c->in[0]) + from,
                               hora_f32(&c->in[1]) + from, hora_f32(&c->out) + from);
}

/* The gradient of g is finished before that of u: both may be one tensor. */
static void grad(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const hora_kern_rows *k = hora_kern_get()->rows;
    const float *g = hora_f32(&c->in[0]) + from, *dy = hora_f32(&c->dout) + from;
    if (hora_cpu_wants(c, 0))
        k->glu_dg(c->attr.act, to - from, g, hora_f32(&c->in[1]) + from, dy,
                  hora_f32(&c->din[0]) + from, hora_cpu_overwrites(c, 0));
    if (hora_cpu_wants(c, 1))
        k->glu_du(c->attr.act, to - from, g, dy, hora_f32(&c->din[1]) + from,
                  hora_cpu_overwrites(c, 1));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    hora_cpu_pieces(hora_elems(forward ? &c->out : &c->dout), HORA_CPU_PIECE, forward ? glu : grad,
                    (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_glu;
const hora_cpu_op hora_cpu_op_glu = {NULL, NULL, run, false};
