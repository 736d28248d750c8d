/* Ops of methods that turn, mix or cut rows: blocks, kron, reflect, fit, and what makes their
 * parameters, cayley and orthonormal. */
#include "backend/cuda/cuda_impl.h"
#include "backend/cuda/kern_maps.h"

/* Parameters are F32, rows what the graph has. */
static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    for (int i = 1; i < c->op->nin; i++)
        if (c->in[i].dtype != HORA_F32)
            return false;
    return cu_alike(c, 1);
}

static bool all_f32(const hora_cuda *u, const hora_call *c) {
    return c->out.dtype == HORA_F32 && takes(u, c);
}

/* --- blocks ----------------------------------------------------------------------------------- */
static hora_cuda_blocks blocks_of(const hora_call *c) {
    const int64_t b = cu_width(&c->in[1]), d = cu_width(&c->in[0]);
    return (hora_cuda_blocks){.t = c->out.dtype,
                              .r = c->in[1].data,
                              .n = cu_rows(&c->in[0]),
                              .d = d,
                              .b = b,
                              .level = c->attr.a,
                              .shared = cu_rows(&c->in[1]) == b};
}

static void blocks_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_blocks p = blocks_of(c);
    hora_cuda_blocks_run(j->u->stream, &p, c->in[0].data, c->out.data, false, false);
}

static void blocks_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_blocks p = blocks_of(c);
    if (cu_wants(c, 0))
        hora_cuda_blocks_run(j->u->stream, &p, c->dout.data, c->din[0].data, true, cu_adds(c, 0));
    if (cu_wants(c, 1))
        hora_cuda_blocks_grad(j->u->stream, &p, c->in[0].data, c->dout.data, c->din[1].data,
                              cu_adds(c, 1));
}
CUDA_OP(blocks, takes, NULL, NULL, blocks_forward, blocks_backward);

/*  kron: t (n q, s) = rows of x (t wide) times D', then C mixes the q -------------------------- */
enum { X, C, D };
typedef struct kron {
    int64_t n, p, q, s, w;
    const void *d; /* D in the dtype of x */
    float *t;      /* (n q, s) */
    void *dt;      /* likewise, in the dtype of x */
} kron;

static kron kron_of(const hora_cuda_job *j, const hora_call *c, cu_room *r) {
    kron k = {.n = cu_rows(&c->in[X]),
              .p = cu_rows(&c->in[C]),
              .q = cu_width(&c->in[C]),
              .s = cu_rows(&c->in[D]),
              .w = cu_width(&c->in[D])};
    const size_t elems = (size_t)(k.n * k.q * k.s);
    k.d = hora_cuda_in_type(j, &c->in[D], c->in[X].dtype, r);
    k.t = cu_take(r, elems * sizeof(float));
    if (c->phase == HORA_BACKWARD)
        k.dt = cu_take(r, elems * hora_dtype_size(c->in[X].dtype));
    return k;
}

static size_t kron_scratch(const hora_call *c) {
    cu_room r = {NULL, 0};
    kron_of(NULL, c, &r);
    return r.used;
}

static void kron_products(const hora_cuda_job *j, const hora_call *c, const kron *k) {
    const hora_cuda_plain s = {false, true, k->n * k->q, k->s, k->w, 1, c->in[X].dtype, HORA_F32};
    hora_cuda_product(j->u, &s, 1, c->in[X].data, k->d, 0, NULL, k->t);
}

static void kron_forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const kron k = kron_of(j, c, &r);
    kron_products(j, c, &k);
    hora_cuda_kron(j->u->stream, c->out.dtype, c->in[C].data, k.p, k.q, k.s, k.t, c->out.data, k.n);
}

static void kron_backward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const kron k = kron_of(j, c, &r);
    const hora_dtype t = c->in[X].dtype;
    const int64_t rows = k.n * k.q;
    if (cu_wants(c, X) || cu_wants(c, D))
        hora_cuda_kron_back(j->u->stream, t, c->in[C].data, k.p, k.q, k.s, c->dout.data, k.dt, k.n);
    if (cu_wants(c, X)) /* dX = dT D */
        hora_cuda_product(j->u, &(hora_cuda_plain){false, false, rows, k.w, k.s, 1, t, t}, 1, k.dt,
                          k.d, cu_adds(c, X) ? 1 : 0, c->din[X].data, c->din[X].data);
    if (cu_wants(c, C)) {
        kron_products(j, c, &k);
        hora_cuda_kron_grad(j->u->stream, t, k.p, k.q, k.s, k.t, c->dout.data, c->din[C].data, k.n,
                            cu_adds(c, C));
    }
    if (cu_wants(c, D)) /* dD = dT' X */
        hora_cuda_product(j->u, &(hora_cuda_plain){true, false, k.s, k.w, rows, 1, t, HORA_F32}, 1,
                          k.dt, c->in[X].data, cu_adds(c, D) ? 1 : 0, c->din[D].data,
                          c->din[D].data);
}
CUDA_OP(kron, takes, kron_scratch, NULL, kron_forward, kron_backward);

/* --- reflect ---------------------------------------------------------------------------------- */
enum { WIDEST = 6144 }; /* two rows of F32 in shared memory */

static bool reflect_takes(const hora_cuda *u, const hora_call *c) {
    return takes(u, c) && cu_width(&c->in[0]) <= WIDEST;
}

static hora_cuda_reflect reflect_of(const hora_call *c) {
    return (hora_cuda_reflect){.t = c->out.dtype,
                               .u = c->in[1].data,
                               .n = cu_rows(&c->out),
                               .d = cu_width(&c->out),
                               .r = cu_rows(&c->in[1])};
}

static size_t reflect_scratch(const hora_call *c) {
    const hora_cuda_reflect p = reflect_of(c);
    return cu_wants(c, 1) ? hora_cuda_reflect_partials(&p) : 0;
}

static void reflect_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_reflect p = reflect_of(c);
    hora_cuda_reflect_run(j->u->stream, &p, c->in[0].data, c->out.data);
}

static void reflect_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_reflect p = reflect_of(c);
    hora_cuda_reflect_back(j->u->stream, &p, c->out.data, c->dout.data,
                           cu_wants(c, 0) ? c->din[0].data : NULL, cu_adds(c, 0),
                           cu_wants(c, 1) ? c->din[1].data : NULL, cu_adds(c, 1), c->scratch);
}
CUDA_OP(reflect, reflect_takes, reflect_scratch, NULL, reflect_forward, reflect_backward);

/* --- cayley, orthonormal ---------------------------------------------------------------------- */
static bool cayley_takes(const hora_cuda *u, const hora_call *c) {
    return all_f32(u, c) && hora_cuda_cayley_takes(c->attr.b);
}

static hora_cuda_cayley cayley_of(const hora_call *c) {
    return (hora_cuda_cayley){.blocks = cu_rows(&c->in[0]),
                              .width = cu_width(&c->in[0]),
                              .b = c->attr.b,
                              .terms = c->attr.a,
                              .whole = c->attr.w != 0};
}

static void cayley_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_cayley p = cayley_of(c);
    hora_cuda_cayley_run(j->u->stream, &p, c->in[0].data, c->out.data);
}

static void cayley_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_cayley p = cayley_of(c);
    hora_cuda_cayley_back(j->u->stream, &p, c->in[0].data, c->out.data, c->dout.data,
                          c->din[0].data, cu_adds(c, 0));
}
CUDA_OP(cayley, cayley_takes, NULL, NULL, cayley_forward, cayley_backward);

static size_t orthonormal_scratch(const hora_call *c) {
    return hora_cuda_orthonormal_room(cu_rows(&c->in[0]), cu_width(&c->in[0]));
}

static void orthonormal_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_orthonormal(j->u->stream, c->in[0].data, c->out.data, c->scratch, cu_rows(&c->in[0]),
                          cu_width(&c->in[0]));
}

static void orthonormal_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_orthonormal_back(j->u->stream, c->in[0].data, c->out.data, c->dout.data,
                               c->din[0].data, cu_adds(c, 0), c->scratch, cu_rows(&c->in[0]),
                               cu_width(&c->in[0]));
}
CUDA_OP(orthonormal, all_f32, orthonormal_scratch, NULL, orthonormal_forward, orthonormal_backward);

/* --- fit -------------------------------------------------------------------------------------- */
static bool fit_takes(const hora_cuda *u, const hora_call *c) {
    return takes(u, c) && c->attr.a == 0;
}

static void fit_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_fit(j->u->stream, c->out.dtype, c->in[0].data, c->out.data, false, cu_rows(&c->out),
                  cu_width(&c->in[0]), cu_width(&c->out));
}

static void fit_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_fit(j->u->stream, c->dout.dtype, c->dout.data, c->din[0].data, cu_adds(c, 0),
                  cu_rows(&c->dout), cu_width(&c->dout), cu_width(&c->din[0]));
}
CUDA_OP(fit, fit_takes, NULL, NULL, fit_forward, fit_backward);
