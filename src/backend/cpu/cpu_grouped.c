/* Kernels of op_grouped.c: linear's, group after group. Weights are used as they are. */
#include "backend/cpu/cpu_impl.h"

static hora_cpu_matmul_spec spec_of(const hora_call *c) {
    int64_t o = hora_cpu_rows(&c->in[1]) / c->attr.groups, k = hora_cpu_width(&c->in[1]);
    bool forward = c->phase == HORA_FORWARD;
    return (hora_cpu_matmul_spec){.rows = hora_cpu_rows(&c->in[0]) / c->attr.groups,
                                  .n = forward ? o : k,
                                  .k = forward ? k : o,
                                  .trans_w = forward,
                                  .dtype = c->in[0].dtype,
                                  .wdtype = c->in[1].dtype};
}

typedef struct state {
    hora_cpu_matmul p;
    int threads;
} state;

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    hora_cpu_matmul_spec s = spec_of(c);
    if (!hora_cpu_multiplies(&c->in[0], &c->in[1]))
        return false;
    hora_cpu_matmul_query(d, &s, need);
    need->scratch = (size_t)hora_max((int64_t)need->scratch,
                                     (int64_t)hora_cpu_weight_grad_scratch(d, c->in[0].dtype));
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_cpu_matmul_spec s = spec_of(c);
    state *st = hora_calloc(1, sizeof *st);
    impl->state = st;
    st->threads = hora_device_threads(d);
    return hora_cpu_matmul_make(&st->p, d, &s);
}

/* Where rows of group g of a view begin; NULL where the view has no data. */
static char *group(const hora_view *v, int64_t g, int64_t groups) {
    if (!v->data)
        return NULL;
    return (char *)v->data + (size_t)g * (hora_view_bytes(v) / (size_t)groups);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *st = impl->state;
    int64_t groups = c->attr.groups, n = hora_cpu_rows(&c->in[0]) / groups;
    int64_t o = hora_cpu_rows(&c->in[1]) / groups, k = hora_cpu_width(&c->in[1]);
    for (int64_t g = 0; g < groups; g++) {
        hora_cpu_matmul_args a = {.m = n, .alpha = 1, .w = group(&c->in[1], g, groups)};
        a.scratch = c->scratch;
        if (c->phase == HORA_FORWARD) {
            a.x = group(&c->in[0], g, groups);
            a.y = group(&c->out, g, groups);
            hora_cpu_matmul_run(&st->p, &a);
        }
        if (hora_cpu_wants(c, 0)) {
            a.x = group(&c->dout, g, groups);
            a.y = group(&c->din[0], g, groups);
            a.add = hora_cpu_overwrites(c, 0) ? NULL : a.y;
            hora_cpu_matmul_run(&st->p, &a);
        }
        if (hora_cpu_wants(c, 1))
            hora_cpu_weight_grad(c->in[0].dtype, st->threads, n, o, k, 1,
                                 group(&c->dout, g, groups), group(&c->in[0], g, groups),
                                 (float *)group(&c->din[1], g, groups), hora_cpu_overwrites(c, 1),
                                 c->scratch);
    }
}

extern const hora_cpu_op hora_cpu_op_grouped;
const hora_cpu_op hora_cpu_op_grouped = {query, prepare, run, true, 0};
