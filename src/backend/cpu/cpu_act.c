/* Kernels of op_act.c. */
#include "backend/cpu/cpu_impl.h"

static void act(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    hora_cpu_loops(&c->out)->act(c->attr.act, to - from, hora_cpu_at(&c->in[0], from),
                                 hora_cpu_at(&c->out, from));
}

static void grad(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    hora_cpu_loops(&c->dout)->act_grad(c->attr.act, to - from, hora_cpu_at(&c->in[0], from),
                                       hora_cpu_at(&c->dout, from), hora_cpu_at(&c->din[0], from),
                                       hora_cpu_overwrites(c, 0));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_chunks(hora_elems(forward ? &c->out : &c->dout), HORA_CPU_CHUNK,
                        forward ? act : grad, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_act;
const hora_cpu_op hora_cpu_op_act = {hora_cpu_query_one, NULL, run, true, 0};
