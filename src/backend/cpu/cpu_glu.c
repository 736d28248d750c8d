/* Kernels of op_glu.c. */
#include "backend/cpu/cpu_impl.h"

static void glu(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    hora_cpu_loops(&c->out)->glu(c->attr.act, to - from, hora_cpu_at(&c->in[0], from),
                                 hora_cpu_at(&c->in[1], from), hora_cpu_at(&c->out, from));
}

/* u is there for the gradient of g only. */
static void grad(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    bool g = hora_cpu_wants(c, 0), u = hora_cpu_wants(c, 1);
    hora_cpu_loops(&c->dout)->glu_grad(
        c->attr.act, to - from, hora_cpu_at(&c->in[0], from),
        g ? hora_cpu_at(&c->in[1], from) : NULL, hora_cpu_at(&c->dout, from),
        g ? hora_cpu_at(&c->din[0], from) : NULL, u ? hora_cpu_at(&c->din[1], from) : NULL,
        hora_cpu_overwrites(c, 0), hora_cpu_overwrites(c, 1));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    hora_cpu_chunks(hora_elems(forward ? &c->out : &c->dout), HORA_CPU_CHUNK, forward ? glu : grad,
                    (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_glu;
const hora_cpu_op hora_cpu_op_glu = {hora_cpu_query_two, NULL, run, true, 0};
