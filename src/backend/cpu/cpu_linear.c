/*
 * Kernels of op_linear.c and op_lowrank.c: the one is the other without an update.
 *
 * Forward and dx are tiled products, with bias and addend added in registers. The update rides
 * there too: its factors are one more term of the sum, so neither y nor dx is passed over twice. z
 * and dz are rounded to the dtype of x, sums are in f32. Neighbours over the same x (q, k, v; gate,
 * up) go through it together, and their shares of dx are summed before they are rounded.
 */
#include "backend/cpu/cpu_impl.h"

#include <stdio.h>

enum { X, W, BIAS, ADDEND, A, B, XD };

typedef struct state {
    hora_cpu_matmul main; /* x W' and dy W */
    hora_cpu_matmul down; /* xd A' and dy B: to the rank */
    hora_cpu_matmul back; /* dz A, where xd is not x */
    int threads;
    size_t z; /* bytes of z or dz at the head of scratch */
} state;

enum { MAIN = 1, DOWN = 2, BACK = 4 };

static bool low(const hora_call *c) {
    return !hora_absent(&c->in[A]);
}
static bool split(const hora_call *c) {
    return !hora_absent(&c->in[XD]);
}
static const hora_view *dropped(const hora_call *c) {
    return split(c) ? &c->in[XD] : &c->in[X];
}
static int64_t rank(const hora_call *c) {
    return low(c) ? hora_cpu_rows(&c->in[A]) : 0;
}

/* Which products a call needs. */
static unsigned needs(const hora_call *c) {
    if (c->phase == HORA_FORWARD)
        return low(c) ? MAIN | DOWN : MAIN;
    bool dx = hora_cpu_wants(c, X), dxd = hora_cpu_wants(c, XD);
    bool dz = low(c) && ((dx && !split(c)) || dxd || hora_cpu_wants(c, A));
    return (dx ? MAIN : 0u) | (dz ? DOWN : 0) | (dxd ? BACK : 0);
}

static void specs_of(const hora_call *c, hora_cpu_matmul_spec s[3]) {
    const hora_view *x = &c->in[X], *w = &c->in[W];
    bool forward = c->phase == HORA_FORWARD;
    int64_t o = hora_cpu_rows(w), k = hora_cpu_width(w), r = rank(c);
    hora_cpu_matmul_spec like = {.rows = hora_cpu_rows(x), .dtype = x->dtype, .wdtype = HORA_F32};
    s[0] = s[1] = s[2] = like;
    s[0].n = forward ? o : k;
    s[0].k = forward ? k : o;
    s[0].trans_w = s[1].trans_w = forward;
    s[0].wdtype = w->dtype;
    s[0].frozen = c->frozen & HORA_IN(W) ? w->data : NULL;
    s[0].will_freeze = c->frozen & HORA_IN(W);
    s[0].rank = forward || !split(c) ? r : 0;
    s[0].summed = !forward;
    s[1].n = r;
    s[1].k = forward ? k : o;
    s[2].n = k;
    s[2].k = r;
}

static size_t low_bytes(const hora_call *c) {
    return hora_cpu_aligned((size_t)(hora_cpu_rows(&c->in[X]) * rank(c)) *
                            hora_dtype_size(c->in[X].dtype));
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    hora_cpu_matmul_spec s[3];
    if (!hora_cpu_multiplies(&c->in[X], &c->in[W]) ||
        (low(c) && (c->in[A].dtype != HORA_F32 || c->in[B].dtype != HORA_F32)))
        return false;
    specs_of(c, s);
    for (int i = 0; i < 3; i++)
        if (needs(c) >> i & 1)
            hora_cpu_matmul_query(d, &s[i], need);
    if (hora_cpu_wants(c, W) || hora_cpu_wants(c, A) || hora_cpu_wants(c, B))
        need->scratch = (size_t)hora_max((int64_t)need->scratch,
                                         (int64_t)hora_cpu_weight_grad_scratch(d, c->in[X].dtype));
    need->scratch += low_bytes(c);
    return true;
}

static void run_joined(const hora_impl *const *impl, const hora_call *const *c, int n);

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_cpu_matmul_spec s[3];
    state *st = hora_calloc(1, sizeof *st);
    impl->state = st;
    impl->run_joined = run_joined;
    st->threads = hora_device_threads(d);
    st->z = low_bytes(c);
    specs_of(c, s);
    hora_cpu_matmul *p[3] = {&st->main, &st->down, &st->back};
    for (int i = 0; i < 3; i++)
        if (needs(c) >> i & 1)
            HORA_TRY(hora_cpu_matmul_make(p[i], d, &s[i]));
    if (needs(c) & MAIN)
        snprintf(impl->variant, sizeof impl->variant, "%s %s",
                 st->main.library ? st->main.library->name : "own",
                 hora_cpu_matmul_variant(&st->main));
    return HORA_OK;
}

/* z when B's gradient needs it later, else in scratch; dz in scratch. */
static void *z_of(const hora_call *c) {
    return c->phase == HORA_FORWARD && c->grad & HORA_IN(B) ? c->saved[0].data : c->scratch;
}

static float alpha_of(const hora_call *c) {
    return (float)c->attr.alpha; /* of x W' in linear, of the update in lowrank */
}

/* xd A' or alpha dy B */
static hora_cpu_matmul_args down_args(const state *st, const hora_call *c) {
    bool forward = c->phase == HORA_FORWARD;
    hora_cpu_matmul_args a = {.m = hora_cpu_rows(&c->in[X]),
                              .alpha = forward ? 1 : alpha_of(c),
                              .scratch = (char *)c->scratch + st->z};
    a.x = forward ? dropped(c)->data : c->dout.data;
    a.w = c->in[forward ? A : B].data;
    a.y = z_of(c);
    return a;
}

/* y or dx */
static hora_cpu_matmul_args main_args(const state *st, const hora_call *c) {
    bool forward = c->phase == HORA_FORWARD;
    hora_cpu_matmul_args a = {.m = hora_cpu_rows(&c->in[X]),
                              .alpha = low(c) ? 1 : alpha_of(c),
                              .w = c->in[W].data,
                              .scratch = (char *)c->scratch + st->z};
    if (forward) {
        a.x = c->in[X].data;
        a.bias = &c->in[BIAS];
        a.add = hora_absent(&c->in[ADDEND]) ? NULL : c->in[ADDEND].data;
        a.y = c->out.data;
    } else {
        a.x = c->dout.data;
        a.y = c->din[X].data;
        a.add = hora_cpu_overwrites(c, X) ? NULL : a.y;
    }
    if (low(c) && (forward || !split(c))) {
        a.low.rank = rank(c);
        a.low.z = z_of(c);
        a.low.f = c->in[forward ? B : A].data;
        a.low.trans = forward;
        a.low.scale = forward ? alpha_of(c) : 1;
    }
    return a;
}

static void dropped_gradient(const state *st, const hora_call *c) {
    hora_cpu_matmul_args a = {.m = hora_cpu_rows(&c->in[X]),
                              .alpha = 1,
                              .x = c->scratch,
                              .w = c->in[A].data,
                              .y = c->din[XD].data,
                              .scratch = (char *)c->scratch + st->z};
    a.add = hora_cpu_overwrites(c, XD) ? NULL : a.y;
    hora_cpu_matmul_run(&st->back, &a);
}

/* Sums over rows, and the addend's gradient. */
static void parameters(const state *st, const hora_call *c) {
    const hora_view *x = &c->in[X];
    int64_t n = hora_cpu_rows(x), k = hora_cpu_width(x), o = hora_cpu_width(&c->out);
    int64_t r = rank(c);
    hora_dtype t = x->dtype;
    char *scratch = (char *)c->scratch + st->z;
    if (hora_cpu_wants(c, W))
        hora_cpu_weight_grad(t, st->threads, n, o, k, low(c) ? 1 : alpha_of(c), c->dout.data,
                             x->data, c->din[W].data, hora_cpu_overwrites(c, W), scratch);
    if (hora_cpu_wants(c, BIAS))
        hora_cpu_column_sums(n, o, 1, &c->dout, NULL, c->din[BIAS].data,
                             hora_cpu_overwrites(c, BIAS));
    if (hora_cpu_wants(c, ADDEND))
        hora_cpu_add(n * o, 1, &c->dout, &c->din[ADDEND], hora_cpu_overwrites(c, ADDEND));
    if (hora_cpu_wants(c, A))
        hora_cpu_weight_grad(t, st->threads, n, r, k, 1, c->scratch, dropped(c)->data,
                             c->din[A].data, hora_cpu_overwrites(c, A), scratch);
    if (hora_cpu_wants(c, B))
        hora_cpu_weight_grad(t, st->threads, n, o, r, alpha_of(c), c->dout.data, c->saved[0].data,
                             c->din[B].data, hora_cpu_overwrites(c, B), scratch);
}

static void run_joined(const hora_impl *const *impl, const hora_call *const *c, int n) {
    const hora_cpu_matmul *p[HORA_MAX_JOINED] = {NULL};
    hora_cpu_matmul_args a[HORA_MAX_JOINED] = {{0}};
    int k = 0;
    for (int i = 0; i < n; i++)
        if (needs(c[i]) & DOWN) {
            p[k] = &((const state *)impl[i]->state)->down;
            a[k++] = down_args(impl[i]->state, c[i]);
        }
    hora_cpu_matmul_run_all(p, a, k);
    k = 0;
    for (int i = 0; i < n; i++)
        if (needs(c[i]) & MAIN) {
            p[k] = &((const state *)impl[i]->state)->main;
            a[k++] = main_args(impl[i]->state, c[i]);
        }
    if (c[0]->phase == HORA_FORWARD) {
        hora_cpu_matmul_run_all(p, a, k);
        return;
    }
    hora_cpu_matmul_sum(p, a, k);
    for (int i = 0; i < n; i++) {
        if (needs(c[i]) & BACK)
            dropped_gradient(impl[i]->state, c[i]);
        parameters(impl[i]->state, c[i]);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    run_joined(&impl, &c, 1);
}

extern const hora_cpu_op hora_cpu_op_linear, hora_cpu_op_lowrank;
const hora_cpu_op hora_cpu_op_linear = {query, prepare, run, true, HORA_IN(W)};
const hora_cpu_op hora_cpu_op_lowrank = {query, prepare, run, true, HORA_IN(W)};
