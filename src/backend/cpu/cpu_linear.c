/*
 * Kernels of op_linear.c. Forward and dx are tiled products, with bias, addend and alpha added in
 * registers; dW sums all rows inside each tile of W. A frozen W may be packed once for each
 * direction.
 */
#include "backend/cpu/cpu_impl.h"

#include <stdio.h>

typedef struct state {
    hora_product p;
    int threads;
    size_t outer; /* where dW's scratch begins */
} state;

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
                             .dtype = x->dtype,
                             .wdtype = w->dtype,
                             .frozen = c->frozen & HORA_IN(1) ? w->data : NULL,
                             .will_freeze = c->frozen & HORA_IN(1)};
    return true;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    hora_product_spec s;
    if (!hora_cpu_multiplies(&c->in[0], &c->in[1]))
        return false;
    if (spec_of(c, &s))
        hora_product_query(d, &s, need);
    if (hora_cpu_wants(c, 1))
        need->scratch = (size_t)hora_max((int64_t)need->scratch,
                                         (int64_t)hora_cpu_outer_scratch(d, c->in[0].dtype));
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_product_spec s;
    state *st = hora_calloc(1, sizeof *st);
    impl->state = st;
    st->threads = hora_device_threads(d);
    if (!spec_of(c, &s))
        return HORA_OK;
    HORA_TRY(hora_product_make(&st->p, d, &s));
    snprintf(impl->variant, sizeof impl->variant, "%s %s",
             st->p.library ? st->p.library->name : "own", hora_product_variant(&st->p));
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *st = impl->state;
    const hora_view *x = &c->in[0], *w = &c->in[1];
    int64_t n = hora_cpu_rows(x), k = hora_cpu_width(w), o = hora_cpu_rows(w);
    hora_product_args a = {.m = n, .alpha = (float)c->attr.alpha, .w = w->data};
    a.scratch = c->scratch;
    if (c->phase == HORA_FORWARD) {
        a.x = x->data;
        a.add = hora_absent(&c->in[3]) ? NULL : c->in[3].data;
        a.bias = &c->in[2];
        a.y = c->out.data;
        hora_product_run(&st->p, &a);
        return;
    }
    if (hora_cpu_wants(c, 0)) {
        a.x = c->dout.data;
        a.y = c->din[0].data;
        a.add = hora_cpu_overwrites(c, 0) ? NULL : a.y;
        hora_product_run(&st->p, &a);
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_outer(x->dtype, st->threads, n, o, k, a.alpha, c->dout.data, x->data,
                       c->din[1].data, hora_cpu_overwrites(c, 1), c->scratch);
    if (hora_cpu_wants(c, 2))
        hora_cpu_column_sums(n, o, 1, &c->dout, NULL, c->din[2].data, hora_cpu_overwrites(c, 2));
    if (hora_cpu_wants(c, 3))
        hora_cpu_add(n * o, 1, &c->dout, &c->din[3], hora_cpu_overwrites(c, 3));
}

extern const hora_cpu_op hora_cpu_op_linear;
const hora_cpu_op hora_cpu_op_linear = {query, prepare, run, true};
