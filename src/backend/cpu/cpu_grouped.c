/* Kernels of op_grouped.c: linear's, group after group. Weights are used as they are. */
#include "backend/cpu/cpu_impl.h"

static hora_product_spec spec_of(const hora_call *c) {
    int64_t o = hora_cpu_rows(&c->in[1]) / c->attr.groups, k = hora_cpu_width(&c->in[1]);
    bool forward = c->phase == HORA_FORWARD;
    return (hora_product_spec){.rows = hora_cpu_rows(&c->in[0]) / c->attr.groups,
                               .n = forward ? o : k,
                               .k = forward ? k : o,
                               .trans_w = forward};
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    hora_product_spec s = spec_of(c);
    hora_product_query(d, &s, need);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_product_spec s = spec_of(c);
    hora_product *p = hora_calloc(1, sizeof *p);
    impl->state = p;
    return hora_product_make(p, d, &s);
}

static void run(const hora_impl *impl, const hora_call *c) {
    int64_t groups = c->attr.groups, n = hora_cpu_rows(&c->in[0]) / groups;
    int64_t o = hora_cpu_rows(&c->in[1]) / groups, k = hora_cpu_width(&c->in[1]);
    for (int64_t g = 0; g < groups; g++) {
        const float *w = hora_f32(&c->in[1]), *x = hora_f32(&c->in[0]);
        const float *dy = hora_f32(&c->dout);
        if (c->phase == HORA_FORWARD)
            hora_product_run(impl->state, n, 1, x + g * n * k, w + g * o * k, NULL, NULL,
                             hora_f32(&c->out) + g * n * o, c->scratch);
        if (hora_cpu_wants(c, 0)) {
            float *dx = hora_f32(&c->din[0]) + g * n * k;
            hora_product_run(impl->state, n, 1, dy + g * n * o, w + g * o * k,
                             hora_cpu_overwrites(c, 0) ? NULL : dx, NULL, dx, c->scratch);
        }
        if (hora_cpu_wants(c, 1))
            hora_cpu_outer(n, o, k, 1, dy + g * n * o, x + g * n * k,
                           hora_f32(&c->din[1]) + g * o * k, hora_cpu_overwrites(c, 1));
    }
}

extern const hora_cpu_op hora_cpu_op_grouped;
const hora_cpu_op hora_cpu_op_grouped = {query, prepare, run, false};
