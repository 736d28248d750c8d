/* Kernels of op_route.c: rows copied, or added to a gradient. */
#include "backend/cpu/cpu_impl.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    (void)need;
    return hora_cpu_alike(c, hora_absent(&c->in[1]) ? 1 : 2);
}

/* Row i of `to` becomes that of `from`, or gets it added. */
static void put(const hora_view *from, const hora_view *to, int64_t i, int64_t d, bool fresh) {
    hora_view a = *from, b = *to;
    a.data = hora_cpu_at(from, i * d);
    b.data = hora_cpu_at(to, i * d);
    hora_cpu_add(d, 1, &a, &b, fresh);
}

static void clear(const hora_view *to, int64_t i, int64_t d) {
    memset(hora_cpu_at(to, i * d), 0, (size_t)d * hora_dtype_size(to->dtype));
}

static void forward(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->out);
    for (int64_t i = from; i < to; i++) {
        const int k = c->batch->route[i] == c->attr.a ? 0 : 1;
        if (hora_absent(&c->in[k]))
            clear(&c->out, i, d);
        else
            put(&c->in[k], &c->out, i, d, true);
    }
}

static void backward(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->dout);
    for (int64_t i = from; i < to; i++)
        for (int k = 0; k < 2; k++) {
            if (!hora_cpu_wants(c, k))
                continue;
            if ((c->batch->route[i] == c->attr.a) == (k == 0))
                put(&c->dout, &c->din[k], i, d, hora_cpu_overwrites(c, k));
            else if (hora_cpu_overwrites(c, k))
                clear(&c->din[k], i, d);
        }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const bool first = c->phase == HORA_FORWARD;
    const int64_t n = hora_cpu_rows(first ? &c->out : &c->dout), d = hora_cpu_width(&c->in[0]);
    if (first || hora_cpu_wants(c, 0) || hora_cpu_wants(c, 1))
        hora_cpu_chunks(n, hora_cpu_rows_in_chunk(d), first ? forward : backward,
                        (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_route;
const hora_cpu_op hora_cpu_op_route = {query, NULL, run, true, 0};
