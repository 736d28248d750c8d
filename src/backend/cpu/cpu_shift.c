/* Kernels of op_shift.c: rows copied, or added to a gradient. */
#include "backend/cpu/cpu_impl.h"

/* The row of x (of dy, backward) that goes into row k of y (of dx); -1: none. */
static int64_t source(const hora_call *c, int64_t k) {
    const hora_batch *b = c->batch;
    const int64_t i = c->phase == HORA_FORWARD ? k : k - c->attr.a, at = i + c->attr.a;
    if (i < 0 || b->lo[i] >= b->hi[i] || at >= b->hi[i])
        return -1;
    return c->phase == HORA_FORWARD ? at : i;
}

static void move(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const bool forward = c->phase == HORA_FORWARD, fresh = forward || hora_cpu_overwrites(c, 0);
    const hora_view x = forward ? c->in[0] : c->dout, y = forward ? c->out : c->din[0];
    const int64_t d = hora_cpu_width(&x);
    const size_t row = (size_t)((char *)hora_cpu_at(&x, d) - (char *)x.data);
    for (int64_t k = from; k < to; k++) {
        const int64_t i = source(c, k);
        hora_view a = x, b = y;
        b.data = hora_cpu_at(&y, k * d);
        if (i < 0 && fresh)
            memset(b.data, 0, row);
        if (i < 0)
            continue;
        a.data = hora_cpu_at(&x, i * d);
        hora_cpu_add(d, 1, &a, &b, fresh);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const bool forward = c->phase == HORA_FORWARD;
    const int64_t n = hora_cpu_rows(forward ? &c->out : &c->dout), d = hora_cpu_width(&c->in[0]);
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_chunks(n, hora_cpu_rows_in_chunk(d), move, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_shift;
const hora_cpu_op hora_cpu_op_shift = {hora_cpu_query_one, NULL, run, true, 0};
