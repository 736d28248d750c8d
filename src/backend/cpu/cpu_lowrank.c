/*
 * Kernels of op_lowrank.c. The update rides in the registers of the big product: its factors are
 * one more term of the sum, so neither y nor dx is passed over twice. z and dz are rounded to the
 * dtype of x, sums are in f32.
 */
#include "backend/cpu/cpu_impl.h"

#include <stdio.h>

enum { X, W, BIAS, ADDEND, A, B, XD };

typedef struct state {
    hora_product main; /* x W' and dy W */
    hora_product down; /* xd A' and dy B: to the rank */
    hora_product back; /* dz A, where xd is not x */
    int threads;
    size_t z; /* bytes of z or dz at the head of scratch */
} state;

/* The three products of a call; which of them it needs, as bits. */
static unsigned specs_of(const hora_call *c, hora_product_spec s[3]) {
    const hora_view *x = &c->in[X], *w = &c->in[W];
    bool forward = c->phase == HORA_FORWARD, split = !hora_absent(&c->in[XD]);
    int64_t o = hora_cpu_rows(w), k = hora_cpu_width(w), r = hora_cpu_rows(&c->in[A]);
    hora_product_spec like = {.rows = hora_cpu_rows(x), .dtype = x->dtype, .wdtype = HORA_F32};
    s[0] = s[1] = s[2] = like;
    s[0].n = forward ? o : k;
    s[0].k = forward ? k : o;
    s[0].trans_w = s[1].trans_w = forward;
    s[0].wdtype = w->dtype;
    s[0].frozen = c->frozen & HORA_IN(W) ? w->data : NULL;
    s[0].will_freeze = c->frozen & HORA_IN(W);
    s[0].rank = forward || !split ? r : 0;
    s[1].n = r;
    s[1].k = forward ? k : o;
    s[2].n = k;
    s[2].k = r;
    bool dx = hora_cpu_wants(c, X), dxd = hora_cpu_wants(c, XD);
    if (forward)
        return 3;
    return (dx ? 1u : 0) | ((dx && !split) || dxd || hora_cpu_wants(c, A) ? 2u : 0) |
           (dxd ? 4u : 0);
}

static size_t low_bytes(const hora_call *c) {
    return hora_cpu_aligned((size_t)(hora_cpu_rows(&c->in[X]) * hora_cpu_rows(&c->in[A])) *
                            hora_dtype_size(c->in[X].dtype));
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    hora_product_spec s[3];
    if (!hora_cpu_multiplies(&c->in[X], &c->in[W]) || c->in[A].dtype != HORA_F32 ||
        c->in[B].dtype != HORA_F32)
        return false;
    unsigned which = specs_of(c, s);
    for (int i = 0; i < 3; i++)
        if (which >> i & 1)
            hora_product_query(d, &s[i], need);
    if (c->phase == HORA_BACKWARD)
        need->scratch = (size_t)hora_max((int64_t)need->scratch,
                                         (int64_t)hora_cpu_outer_scratch(d, c->in[X].dtype));
    need->scratch += low_bytes(c);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_product_spec s[3];
    state *st = hora_calloc(1, sizeof *st);
    impl->state = st;
    st->threads = hora_device_threads(d);
    st->z = low_bytes(c);
    unsigned which = specs_of(c, s);
    hora_product *p[3] = {&st->main, &st->down, &st->back};
    for (int i = 0; i < 3; i++)
        if (which >> i & 1)
            HORA_TRY(hora_product_make(p[i], d, &s[i]));
    if (which & 1)
        snprintf(impl->variant, sizeof impl->variant, "%s %s",
                 st->main.library ? st->main.library->name : "own",
                 hora_product_variant(&st->main));
    return HORA_OK;
}

static void forward(const state *st, const hora_call *c) {
    const hora_view *x = &c->in[X], *xd = hora_absent(&c->in[XD]) ? x : &c->in[XD];
    char *products = (char *)c->scratch + st->z;
    void *z = c->grad & HORA_IN(B) ? c->saved[0].data : c->scratch;
    hora_product_args a = {.m = hora_cpu_rows(x), .alpha = 1, .scratch = products};
    a.x = xd->data;
    a.w = c->in[A].data;
    a.y = z;
    hora_product_run(&st->down, &a);
    a.x = x->data;
    a.w = c->in[W].data;
    a.bias = &c->in[BIAS];
    a.add = hora_absent(&c->in[ADDEND]) ? NULL : c->in[ADDEND].data;
    a.y = c->out.data;
    a.low.rank = hora_cpu_rows(&c->in[A]);
    a.low.z = z;
    a.low.f = c->in[B].data;
    a.low.trans = true;
    a.low.scale = (float)c->attr.alpha;
    hora_product_run(&st->main, &a);
}

/* dz, dx and dxd */
static void inputs(const state *st, const hora_call *c) {
    const void *dy = c->dout.data;
    bool split = !hora_absent(&c->in[XD]);
    void *dz = c->scratch;
    hora_product_args a = {.m = hora_cpu_rows(&c->in[X]), .scratch = (char *)c->scratch + st->z};
    if (hora_cpu_wants(c, A) || hora_cpu_wants(c, XD) || (hora_cpu_wants(c, X) && !split)) {
        a.alpha = (float)c->attr.alpha;
        a.x = dy;
        a.w = c->in[B].data;
        a.y = dz;
        hora_product_run(&st->down, &a);
    }
    a.alpha = 1;
    if (hora_cpu_wants(c, X)) {
        a.x = dy;
        a.w = c->in[W].data;
        a.y = c->din[X].data;
        a.add = hora_cpu_overwrites(c, X) ? NULL : a.y;
        a.low.rank = split ? 0 : hora_cpu_rows(&c->in[A]);
        a.low.z = dz;
        a.low.f = c->in[A].data;
        a.low.scale = 1;
        hora_product_run(&st->main, &a);
        a.low.rank = 0;
    }
    if (hora_cpu_wants(c, XD)) {
        a.x = dz;
        a.w = c->in[A].data;
        a.y = c->din[XD].data;
        a.add = hora_cpu_overwrites(c, XD) ? NULL : a.y;
        hora_product_run(&st->back, &a);
    }
}

/* Sums over rows. */
static void parameters(const state *st, const hora_call *c) {
    const hora_view *x = &c->in[X], *xd = hora_absent(&c->in[XD]) ? x : &c->in[XD];
    int64_t n = hora_cpu_rows(x), k = hora_cpu_width(x), o = hora_cpu_width(&c->out);
    int64_t r = hora_cpu_rows(&c->in[A]);
    hora_dtype t = x->dtype;
    char *scratch = (char *)c->scratch + st->z;
    if (hora_cpu_wants(c, W))
        hora_cpu_outer(t, st->threads, n, o, k, 1, c->dout.data, x->data, c->din[W].data,
                       hora_cpu_overwrites(c, W), scratch);
    if (hora_cpu_wants(c, BIAS))
        hora_cpu_column_sums(n, o, 1, &c->dout, NULL, c->din[BIAS].data,
                             hora_cpu_overwrites(c, BIAS));
    if (hora_cpu_wants(c, ADDEND))
        hora_cpu_add(n * o, 1, &c->dout, &c->din[ADDEND], hora_cpu_overwrites(c, ADDEND));
    if (hora_cpu_wants(c, A))
        hora_cpu_outer(t, st->threads, n, r, k, 1, c->scratch, xd->data, c->din[A].data,
                       hora_cpu_overwrites(c, A), scratch);
    if (hora_cpu_wants(c, B))
        hora_cpu_outer(t, st->threads, n, o, r, (float)c->attr.alpha, c->dout.data,
                       c->saved[0].data, c->din[B].data, hora_cpu_overwrites(c, B), scratch);
}

static void run(const hora_impl *impl, const hora_call *c) {
    if (c->phase == HORA_FORWARD) {
        forward(impl->state, c);
        return;
    }
    inputs(impl->state, c);
    parameters(impl->state, c);
}

extern const hora_cpu_op hora_cpu_op_lowrank;
const hora_cpu_op hora_cpu_op_lowrank = {query, prepare, run, true};
