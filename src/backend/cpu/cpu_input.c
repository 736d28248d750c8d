/* Kernel of op_input.c. */
#include "backend/cpu/cpu_impl.h"

static void copy(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const float *x = hora_batch_leaf(c->batch, c->attr.source);
    void *y = hora_cpu_at(&c->out, from);
    if (c->out.dtype == HORA_BF16)
        hora_kern_get()->rows->narrow(to - from, x + from, y);
    else
        memcpy(y, x + from, (size_t)(to - from) * sizeof *x);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    hora_cpu_chunks(hora_elems(&c->out), HORA_CPU_CHUNK, copy, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_input;
const hora_cpu_op hora_cpu_op_input = {NULL, NULL, run, true, 0};
