/* Kernels of op_mul.c. */
#include "backend/cpu/cpu_impl.h"

static void mul(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    hora_cpu_loops(&c->out)->mul(to - from, hora_cpu_at(&c->in[0], from),
                                 hora_cpu_at(&c->in[1], from), hora_cpu_at(&c->out, from), true);
}

/* In a chunk the gradient of input 0 is finished before that of input 1: both may be one tensor. */
static void grad(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    for (int i = 0; i < 2; i++)
        if (hora_cpu_wants(c, i))
            hora_cpu_loops(&c->dout)->mul(to - from, hora_cpu_at(&c->dout, from),
                                          hora_cpu_at(&c->in[1 - i], from),
                                          hora_cpu_at(&c->din[i], from), hora_cpu_overwrites(c, i));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    hora_cpu_chunks(hora_elems(forward ? &c->out : &c->dout), HORA_CPU_CHUNK, forward ? mul : grad,
                    (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_mul;
const hora_cpu_op hora_cpu_op_mul = {hora_cpu_query_two, NULL, run, true, 0};
