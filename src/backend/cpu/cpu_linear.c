/*
 * Kernels of op_linear.c. Forward and dx are tiled products, with bias, addend and alpha merged in;
 * dW sums all rows inside each tile of W. A frozen W is packed once for each direction.
 */
#include "backend/cpu/cpu_impl.h"

#include <stdio.h>

static bool spec_of(const hora_call *c, hora_product_spec *s) {
    const hora_view *x = &c->in[0], *w = &c->in[1];
    bool forward = c->phase == HORA_FORWARD;
    if (!forward && !hora_cpu_wants(c, 0))
        return false;
    int64_t o = hora_cpu_rows(w), k = hora_cpu_width(w);
    *s = (hora_product_spec){.rows = hora_cpu_rows(x),
                             .n = forward ? o : k,
                             .k = forward ? k : o,
                             .trans_w = forward,
                             .frozen = c->frozen & HORA_IN(1) ? w->data : NULL,
                             .will_freeze = c->frozen & HORA_IN(1)};
    return true;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    hora_product_spec s;
    if (spec_of(c, &s))
        hora_product_query(d, &s, need);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_product_spec s;
    if (!spec_of(c, &s))
        return HORA_OK;
    hora_product *p = hora_calloc(1, sizeof *p);
    impl->state = p;
    HORA_TRY(hora_product_make(p, d, &s));
    snprintf(impl->variant, sizeof impl->variant, "%s %s", p->mm[0][0] ? p->provider->name : "own",
             hora_product_variant(p));
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const hora_product *p = impl->state;
    const hora_view *x = &c->in[0], *w = &c->in[1];
    int64_t n = hora_cpu_rows(x), k = hora_cpu_width(w), o = hora_cpu_rows(w);
    float alpha = (float)c->attr.alpha;
    if (c->phase == HORA_FORWARD) {
        hora_product_run(p, n, alpha, x->data, w->data,
                         hora_absent(&c->in[3]) ? NULL : c->in[3].data,
                         hora_absent(&c->in[2]) ? NULL : c->in[2].data, c->out.data, c->scratch);
        return;
    }
    const float *dy = c->dout.data;
    if (hora_cpu_wants(c, 0)) {
        float *dx = c->din[0].data;
        hora_product_run(p, n, alpha, dy, w->data, hora_cpu_overwrites(c, 0) ? NULL : dx, NULL, dx,
                         c->scratch);
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_outer(n, o, k, alpha, dy, x->data, c->din[1].data, hora_cpu_overwrites(c, 1));
    if (hora_cpu_wants(c, 2))
        hora_cpu_column_sums(n, o, 1, dy, NULL, c->din[2].data, hora_cpu_overwrites(c, 2));
    if (hora_cpu_wants(c, 3))
        hora_cpu_add(n * o, 1, dy, c->din[3].data, hora_cpu_overwrites(c, 3));
}

extern const hora_cpu_op hora_cpu_op_linear;
const hora_cpu_op hora_cpu_op_linear = {query, prepare, run, false};
