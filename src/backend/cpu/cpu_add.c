/* Kernels of op_add.c. */
#include "backend/cpu/cpu_impl.h"

static void add(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    hora_kern_get()->rows->merge(1, to - from, (float)c->attr.alpha, hora_f32(&c->in[1]) + from, 0,
                                 hora_f32(&c->in[0]) + from, 0, NULL, hora_f32(&c->out) + from, 0);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    if (c->phase == HORA_FORWARD) {
        hora_cpu_pieces(hora_elems(&c->out), HORA_CPU_PIECE, add, (void *)(uintptr_t)c);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (hora_cpu_wants(c, i))
            hora_cpu_add(hora_elems(&c->dout), i ? (float)c->attr.alpha : 1, &c->dout, &c->din[i],
                         hora_cpu_overwrites(c, i));
}

extern const hora_cpu_op hora_cpu_op_add;
const hora_cpu_op hora_cpu_op_add = {NULL, NULL, run, false};
