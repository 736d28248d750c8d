/* Kernels of op_detach.c: a copy; nothing flows back. */
#include "backend/cpu/cpu_impl.h"

static void some(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const size_t size = (size_t)hora_dtype_size(c->out.dtype), at = (size_t)from * size;
    memcpy((char *)c->out.data + at, (const char *)c->in[0].data + at, (size_t)(to - from) * size);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    (void)need;
    return c->in[0].dtype == c->out.dtype;
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    if (c->phase == HORA_FORWARD)
        hora_cpu_chunks(hora_elems(&c->out), HORA_CPU_CHUNK, some, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_detach;
const hora_cpu_op hora_cpu_op_detach = {query, NULL, run, true, 0};
