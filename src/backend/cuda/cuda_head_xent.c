/*
 * Op head_xent: logits of a chunk of rows at a time, F32, in scratch; their gradient beside them in
 * the dtype of x.
 */
#include "backend/cuda/cuda_impl.h"

enum { X, W, BIAS, U, F, MOST_BYTES = 640 << 20, LEAST_ROWS = 64 };

typedef struct parts {
    int64_t chunk;  /* rows */
    const void *w;  /* in the dtype of x */
    const void *f;  /* of the low-rank term, in the dtype of x; NULL: none */
    float *z;       /* (chunk, classes) */
    void *dz;       /* (chunk, classes), NULL: not wanted */
    double *loss;   /* of every row */
    float *partial; /* of the bias' sum */
} parts;

static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return c->out.dtype == HORA_F64 && (hora_absent(&c->in[U]) || c->in[U].dtype == c->in[X].dtype);
}

static parts parts_of(const hora_cuda_job *j, const hora_call *c, cu_room *r) {
    const hora_dtype t = c->in[X].dtype;
    const int64_t classes = cu_rows(&c->in[W]), n = cu_rows(&c->in[X]);
    const size_t one = (size_t)classes * sizeof(float);
    parts p = {0};
    p.chunk = hora_max((int64_t)(MOST_BYTES / one) / LEAST_ROWS * LEAST_ROWS, LEAST_ROWS);
    p.chunk = hora_min(p.chunk, hora_max(n, 1));
    p.w = hora_cuda_in_type(j, &c->in[W], t, r);
    if (!hora_absent(&c->in[F]))
        p.f = hora_cuda_in_type(j, &c->in[F], t, r);
    p.z = cu_take(r, (size_t)p.chunk * one);
    if (c->phase == HORA_BACKWARD || c->grad == HORA_IN(X))
        p.dz = cu_take(r, (size_t)(p.chunk * classes) * hora_dtype_size(t));
    if (c->phase == HORA_FORWARD)
        p.loss = cu_take(r, (size_t)n * sizeof(double));
    if (cu_wants(c, BIAS))
        p.partial = cu_take(r, (size_t)hora_cuda_column_partials(p.chunk, classes) * sizeof(float));
    return p;
}

static bool made_forward(const hora_call *c) {
    return c->phase == HORA_BACKWARD && c->grad == HORA_IN(X);
}

static size_t scratch(const hora_call *c) {
    cu_room r = {NULL, 0};
    if (!made_forward(c))
        parts_of(NULL, c, &r);
    return r.used;
}

/* d (m, n) of a row-major product, `lda` and so on as wide as they are */
static void scaled(const hora_cuda_job *j, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                   hora_dtype tin, hora_dtype tout, float alpha, const void *a, const void *b,
                   float beta, void *d) {
    hora_cuda_product(
        j->u,
        &(hora_cuda_plain){
            .ta = ta, .tb = tb, .m = m, .n = n, .k = k, .batch = 1, .tin = tin, .tout = tout},
        alpha, a, b, beta, d, d);
}

static void product(const hora_cuda_job *j, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                    hora_dtype tin, hora_dtype tout, const void *a, const void *b, float beta,
                    void *d) {
    scaled(j, ta, tb, m, n, k, tin, tout, 1, a, b, beta, d);
}

/* Gradients of the low-rank term: du = alpha dz F, dF = alpha dz' u. */
static void low_gradients(const hora_cuda_job *j, const hora_call *c, const parts *p, int64_t from,
                          int64_t rows, const void *u) {
    const hora_dtype t = c->in[X].dtype;
    const int64_t r = cu_width(&c->in[U]), classes = cu_rows(&c->in[W]);
    const float alpha = (float)c->attr.alpha;
    if (cu_wants(c, U))
        scaled(j, false, false, rows, r, classes, t, t, alpha, p->dz, p->f, cu_adds(c, U) ? 1 : 0,
               (char *)c->din[U].data + (size_t)(from * r) * hora_dtype_size(t));
    if (cu_wants(c, F))
        scaled(j, true, false, classes, r, rows, t, HORA_F32, alpha, p->dz, u,
               from || cu_adds(c, F) ? 1 : 0, c->din[F].data);
}

/* Logits of rows from .. from + rows, and what follows from them. */
static void chunk(const hora_cuda_job *j, const hora_call *c, const parts *p, int64_t from,
                  int64_t rows) {
    const hora_dtype t = c->in[X].dtype;
    const int64_t d = cu_width(&c->in[X]), classes = cu_rows(&c->in[W]);
    const bool back = c->phase == HORA_BACKWARD, bias = !hora_absent(&c->in[BIAS]);
    const void *x = (const char *)c->in[X].data + (size_t)(from * d) * hora_dtype_size(t);
    float *lse = c->grad && c->grad != HORA_IN(X) ? (float *)c->saved[0].data + from : NULL;
    const int64_t r = p->f ? cu_width(&c->in[U]) : 0;
    const void *u =
        p->f ? (const char *)c->in[U].data + (size_t)(from * r) * hora_dtype_size(t) : NULL;
    product(j, false, true, rows, classes, d, t, HORA_F32, x, p->w, 0, p->z);
    if (u)
        scaled(j, false, true, rows, classes, r, t, HORA_F32, (float)c->attr.alpha, u, p->f, 1,
               p->z);
    hora_cuda_xent_run(j->u->stream, &(hora_cuda_xent){.t = t,
                                                       .tb = bias ? c->in[BIAS].dtype : HORA_F32,
                                                       .batch = c->batch,
                                                       .row0 = from,
                                                       .rows = rows,
                                                       .classes = classes,
                                                       .z = p->z,
                                                       .bias = bias ? c->in[BIAS].data : NULL,
                                                       .lse = lse,
                                                       .loss = p->loss ? p->loss + from : NULL,
                                                       .dz = p->dz,
                                                       .dout = back ? c->dout.data : NULL,
                                                       .back = back});
    if (!back && p->dz)
        product(j, false, false, rows, d, classes, t, c->saved[0].dtype, p->dz, p->w, 0,
                (char *)c->saved[0].data + (size_t)(from * d) * hora_dtype_size(t));
    if (cu_wants(c, X))
        product(j, false, false, rows, d, classes, t, t, p->dz, p->w, cu_adds(c, X) ? 1 : 0,
                (char *)c->din[X].data + (size_t)(from * d) * hora_dtype_size(t));
    if (cu_wants(c, W))
        product(j, true, false, classes, d, rows, t, HORA_F32, p->dz, x,
                from || cu_adds(c, W) ? 1 : 0, c->din[W].data);
    if (u)
        low_gradients(j, c, p, from, rows, u);
    if (cu_wants(c, BIAS))
        hora_cuda_column_sums(j->u->stream, t, 1, p->dz, NULL, NULL, c->din[BIAS].data,
                              from || cu_adds(c, BIAS), p->partial, rows, classes);
}

static void all_chunks(const hora_cuda_job *j, const hora_call *c, const parts *p) {
    const int64_t n = cu_rows(&c->in[X]);
    for (int64_t from = 0; from < n; from += p->chunk)
        chunk(j, c, p, from, hora_min(p->chunk, n - from));
}

static void forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const parts p = parts_of(j, c, &r);
    all_chunks(j, c, &p);
    hora_cuda_loss(j->u->stream, c->batch, p.loss, c->out.data, cu_rows(&c->in[X]));
}

static void backward(const hora_cuda_job *j, const hora_call *c) {
    if (made_forward(c)) {
        hora_cuda_times(j->u->stream, c->din[X].dtype, c->dout.data, c->saved[0].data,
                        c->din[X].data, cu_adds(c, X), hora_elems(&c->din[X]));
        return;
    }
    cu_room r = {c->scratch, 0};
    const parts p = parts_of(j, c, &r);
    all_chunks(j, c, &p);
}

CUDA_OP(head_xent, takes, scratch, NULL, forward, backward);
