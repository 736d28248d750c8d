/*
 * Ops made of products: linear, lowrank, grouped. The operands of a product have one dtype,
 * BF16 where the result is; any other operand is cast into scratch, which costs a pass over it.
 */
#include "backend/cuda/cuda_impl.h"

/* y (n, o) = alpha x (n, k) w' + beta c */
static void times_w(const hora_cuda_job *j, hora_dtype t, float alpha, const void *x, const void *w,
                    float beta, const void *c, const hora_view *y, int64_t k) {
    const int64_t n = cu_rows(y), o = cu_width(y);
    hora_cuda_product(
        j->u,
        &(hora_cuda_plain){
            .tb = true, .m = n, .n = o, .k = k, .batch = 1, .tin = t, .tout = y->dtype},
        alpha, x, w, beta, c, y->data);
}

/* dx (n, k) = alpha dy (n, o) w + beta dx */
static void back_to_x(const hora_cuda_job *j, hora_dtype t, float alpha, const void *dy,
                      const void *w, float beta, const hora_view *dx, int64_t o) {
    const int64_t n = cu_rows(dx), k = cu_width(dx);
    hora_cuda_product(
        j->u, &(hora_cuda_plain){.m = n, .n = k, .k = o, .batch = 1, .tin = t, .tout = dx->dtype},
        alpha, dy, w, beta, dx->data, dx->data);
}

/* dw (o, k) = alpha dy' (n, o) x (n, k) + beta dw */
static void back_to_w(const hora_cuda_job *j, hora_dtype t, float alpha, const void *dy,
                      const void *x, float beta, const hora_view *dw, int64_t n) {
    const int64_t o = cu_rows(dw), k = cu_width(dw);
    hora_cuda_product(
        j->u,
        &(hora_cuda_plain){
            .ta = true, .m = o, .n = k, .k = n, .batch = 1, .tin = t, .tout = dw->dtype},
        alpha, dy, x, beta, dw->data, dw->data);
}

static float beta_of(const hora_call *c, int i) {
    return cu_adds(c, i) ? 1 : 0;
}

/* What linear and lowrank have in common. */
enum { X, W, BIAS, ADDEND, A, B, XD };

static hora_dtype product_type(const hora_call *c) {
    return c->out.dtype == HORA_BF16 ? HORA_BF16 : HORA_F32;
}

static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    const hora_dtype t = product_type(c);
    return (hora_absent(&c->in[ADDEND]) || c->in[ADDEND].dtype == c->out.dtype) &&
           (hora_absent(&c->in[XD]) || c->in[XD].dtype == c->in[X].dtype) &&
           (!(c->rows & HORA_IN(X)) || c->in[X].dtype == t);
}

/* y = what is there besides products: bias and addend; returns the beta and c of the first one. */
static float begin_y(const hora_cuda_job *j, const hora_call *c, const void **add) {
    const bool bias = !hora_absent(&c->in[BIAS]), addend = !hora_absent(&c->in[ADDEND]);
    *add = addend ? c->in[ADDEND].data : NULL;
    if (bias) {
        hora_cuda_bias(j->u->stream, c->out.dtype, c->in[BIAS].dtype, *add, c->in[BIAS].data,
                       c->out.data, cu_rows(&c->out), cu_width(&c->out));
        *add = c->out.data;
    }
    return bias || addend ? 1 : 0;
}

/* The gradients of bias and addend. */
static void back_to_rest(const hora_cuda_job *j, const hora_call *c, float *partial) {
    if (cu_wants(c, BIAS))
        hora_cuda_column_sums(j->u->stream, c->dout.dtype, 1, c->dout.data, NULL, NULL,
                              c->din[BIAS].data, cu_adds(c, BIAS), partial, cu_rows(&c->dout),
                              cu_width(&c->dout));
    if (cu_wants(c, ADDEND))
        hora_cuda_each(j->u->stream, c->dout.dtype, HORA_CUDA_AXPY, c->attr.act, 1, c->dout.data,
                       NULL, NULL, c->din[ADDEND].data, cu_adds(c, ADDEND), hora_elems(&c->dout));
}

static float *take_partial(const hora_call *c, cu_room *r) {
    return cu_wants(c, BIAS) ? cu_take(r, (size_t)hora_cuda_column_partials(cu_rows(&c->dout),
                                                                            cu_width(&c->dout)) *
                                              sizeof(float))
                             : NULL;
}

/* --- linear ----------------------------------------------------------------------------------- */
typedef struct operands { /* in the product's dtype; only what the phase reads */
    const void *x, *w, *a, *b, *xd;
    void *z;        /* xd A', or alpha dy B */
    float *partial; /* of the bias' sum */
} operands;

static operands linear_operands(const hora_cuda_job *j, const hora_call *c, cu_room *r) {
    const hora_dtype t = product_type(c);
    const bool forward = c->phase == HORA_FORWARD;
    operands o = {0};
    if (forward || cu_wants(c, W))
        o.x = hora_cuda_in_type(j, &c->in[X], t, r);
    if (forward || cu_wants(c, X))
        o.w = hora_cuda_in_type(j, &c->in[W], t, r);
    o.partial = take_partial(c, r);
    return o;
}

static size_t linear_scratch(const hora_call *c) {
    cu_room r = {NULL, 0};
    linear_operands(NULL, c, &r);
    return r.used;
}

static void linear_forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const operands o = linear_operands(j, c, &r);
    const void *add;
    const float beta = begin_y(j, c, &add);
    times_w(j, product_type(c), (float)c->attr.alpha, o.x, o.w, beta, add, &c->out,
            cu_width(&c->in[X]));
}

static void linear_backward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const operands o = linear_operands(j, c, &r);
    const hora_dtype t = product_type(c);
    const float alpha = (float)c->attr.alpha;
    if (cu_wants(c, X))
        back_to_x(j, t, alpha, c->dout.data, o.w, beta_of(c, X), &c->din[X], cu_width(&c->dout));
    if (cu_wants(c, W))
        back_to_w(j, t, alpha, c->dout.data, o.x, beta_of(c, W), &c->din[W], cu_rows(&c->dout));
    back_to_rest(j, c, o.partial);
}
/* linear has no inputs beyond the addend: they are absent in every call */
CUDA_OP(linear, takes, linear_scratch, NULL, linear_forward, linear_backward);

/* --- lowrank: the small term first, so that the large product adds to it in its registers -------
 * */
/* A and B in dtype t, by one launch where both are cast. */
static void factors(const hora_cuda_job *j, const hora_call *c, hora_dtype t, cu_room *r,
                    operands *o) {
    const hora_view *a = &c->in[A], *b = &c->in[B];
    if (a->dtype == t || a->dtype != b->dtype) {
        o->a = hora_cuda_in_type(j, a, t, r);
        o->b = hora_cuda_in_type(j, b, t, r);
        return;
    }
    void *to[2] = {cu_take(r, (size_t)hora_elems(a) * hora_dtype_size(t)),
                   cu_take(r, (size_t)hora_elems(b) * hora_dtype_size(t))};
    if (j)
        hora_cuda_cast_two(j->u->stream, t, to[0], a->data, hora_elems(a), to[1], a->dtype, b->data,
                           hora_elems(b));
    o->a = to[0];
    o->b = to[1];
}

static operands lowrank_operands(const hora_cuda_job *j, const hora_call *c, cu_room *r) {
    const hora_dtype t = product_type(c);
    const bool forward = c->phase == HORA_FORWARD, dropped = !hora_absent(&c->in[XD]);
    const bool through = cu_wants(c, dropped ? XD : X);
    operands o = {0};
    if (forward || cu_wants(c, W) || (cu_wants(c, A) && !dropped))
        o.x = hora_cuda_in_type(j, &c->in[X], t, r);
    if (dropped && (forward || cu_wants(c, A)))
        o.xd = hora_cuda_in_type(j, &c->in[XD], t, r);
    else
        o.xd = o.x;
    if (forward || cu_wants(c, X))
        o.w = hora_cuda_in_type(j, &c->in[W], t, r);
    if (forward || through)
        factors(j, c, t, r, &o);
    else if (cu_wants(c, A))
        o.b = hora_cuda_in_type(j, &c->in[B], t, r);
    o.z = forward && c->saved[0].data
              ? c->saved[0].data
              : cu_take(r, (size_t)(cu_rows(&c->out) * cu_rows(&c->in[A])) * hora_dtype_size(t));
    o.partial = take_partial(c, r);
    return o;
}

static size_t lowrank_scratch(const hora_call *c) {
    cu_room r = {NULL, 0};
    lowrank_operands(NULL, c, &r);
    return r.used;
}

static void lowrank_forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const operands o = lowrank_operands(j, c, &r);
    const hora_dtype t = product_type(c);
    const int64_t rank = cu_rows(&c->in[A]), k = cu_width(&c->in[X]);
    const hora_view z = {o.z, t, HORA_SHAPE2(cu_rows(&c->out), rank)};
    const void *add;
    const float beta = begin_y(j, c, &add);
    times_w(j, t, 1, o.xd, o.a, 0, NULL, &z, k);
    times_w(j, t, (float)c->attr.alpha, o.z, o.b, beta, add, &c->out, rank);
    times_w(j, t, 1, o.x, o.w, 1, c->out.data, &c->out, k);
}

static void lowrank_backward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const operands o = lowrank_operands(j, c, &r);
    const hora_dtype t = product_type(c);
    const int64_t n = cu_rows(&c->dout), width = cu_width(&c->dout), rank = cu_rows(&c->in[A]);
    const int through = hora_absent(&c->in[XD]) ? X : XD;
    const hora_view z = {o.z, t, HORA_SHAPE2(n, rank)};
    float beta = beta_of(c, X);
    if (cu_wants(c, through) || cu_wants(c, A))
        back_to_x(j, t, (float)c->attr.alpha, c->dout.data, o.b, 0, &z, width);
    if (cu_wants(c, through))
        back_to_x(j, t, 1, o.z, o.a, beta_of(c, through), &c->din[through], rank);
    if (through == X)
        beta = 1;
    if (cu_wants(c, X))
        back_to_x(j, t, 1, c->dout.data, o.w, beta, &c->din[X], width);
    if (cu_wants(c, W))
        back_to_w(j, t, 1, c->dout.data, o.x, beta_of(c, W), &c->din[W], n);
    if (cu_wants(c, A))
        back_to_w(j, t, 1, o.z, o.xd, beta_of(c, A), &c->din[A], n);
    if (cu_wants(c, B))
        back_to_w(j, t, (float)c->attr.alpha, c->dout.data, c->saved[0].data, beta_of(c, B),
                  &c->din[B], n);
    back_to_rest(j, c, o.partial);
}
CUDA_OP(lowrank, takes, lowrank_scratch, NULL, lowrank_forward, lowrank_backward);

/* --- grouped ---------------------------------------------------------------------------------- */
static operands grouped_operands(const hora_cuda_job *j, const hora_call *c, cu_room *r) {
    const hora_dtype t = product_type(c);
    const bool forward = c->phase == HORA_FORWARD;
    operands o = {0};
    if (forward || cu_wants(c, 1))
        o.x = hora_cuda_in_type(j, &c->in[0], t, r);
    if (forward || cu_wants(c, 0))
        o.w = hora_cuda_in_type(j, &c->in[1], t, r);
    return o;
}

static size_t grouped_scratch(const hora_call *c) {
    cu_room r = {NULL, 0};
    grouped_operands(NULL, c, &r);
    return r.used;
}

static void grouped_forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const operands p = grouped_operands(j, c, &r);
    const int64_t g = c->attr.groups, n = cu_rows(&c->out) / g, o = cu_width(&c->out),
                  k = cu_width(&c->in[0]);
    hora_cuda_product(j->u,
                      &(hora_cuda_plain){.tb = true,
                                         .m = n,
                                         .n = o,
                                         .k = k,
                                         .batch = g,
                                         .tin = product_type(c),
                                         .tout = c->out.dtype},
                      1, p.x, p.w, 0, NULL, c->out.data);
}

static void grouped_backward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const operands p = grouped_operands(j, c, &r);
    const int64_t g = c->attr.groups, n = cu_rows(&c->dout) / g, o = cu_width(&c->dout),
                  k = cu_width(&c->in[0]);
    hora_cuda_plain s = {.m = n, .n = k, .k = o, .batch = g, .tin = product_type(c)};
    if (cu_wants(c, 0)) {
        s.tout = c->din[0].dtype;
        hora_cuda_product(j->u, &s, 1, c->dout.data, p.w, beta_of(c, 0), c->din[0].data,
                          c->din[0].data);
    }
    if (!cu_wants(c, 1))
        return;
    s = (hora_cuda_plain){.ta = true,
                          .m = o,
                          .n = k,
                          .k = n,
                          .batch = g,
                          .tin = product_type(c),
                          .tout = c->din[1].dtype};
    hora_cuda_product(j->u, &s, 1, c->dout.data, p.x, beta_of(c, 1), c->din[1].data,
                      c->din[1].data);
}
CUDA_OP(grouped, NULL, grouped_scratch, NULL, grouped_forward, grouped_backward);
