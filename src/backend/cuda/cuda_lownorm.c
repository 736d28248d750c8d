/*
 * Op lownorm. Forward never forms the adapted weight; backward, which only a method that does not
 * detach the norm asks for, forms R U in scratch and multiplies.
 */
#include "backend/cuda/cuda_impl.h"

enum { W, A, B, MOST_RANK = 1024 };

static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return c->in[A].dtype == HORA_F32 && c->in[B].dtype == HORA_F32 && c->out.dtype == HORA_F32 &&
           cu_rows(&c->in[A]) <= MOST_RANK;
}

static hora_cuda_lownorm args_of(const hora_call *c) {
    return (hora_cuda_lownorm){.tw = c->in[W].dtype,
                               .alpha = (float)c->attr.alpha,
                               .w = c->in[W].data,
                               .a = c->in[A].data,
                               .b = c->in[B].data,
                               .n = c->out.data,
                               .o = cu_rows(&c->in[W]),
                               .k = cu_width(&c->in[W]),
                               .r = cu_rows(&c->in[A])};
}

static size_t scratch(const hora_call *c) {
    const bool factors = cu_wants(c, A) || cu_wants(c, B) || (cu_wants(c, W) && cu_adds(c, W));
    return factors ? (size_t)hora_elems(&c->in[W]) * sizeof(float) : 0;
}

static void forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_lownorm p = args_of(c);
    hora_cuda_lownorm_run(j->u->stream, &p);
}

static void product(const hora_cuda_job *j, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                    const hora_call *c, const void *a, const void *b, int to) {
    const hora_cuda_plain s = {ta, tb, m, n, k, 1, HORA_F32, HORA_F32};
    hora_cuda_product(j->u, &s, (float)c->attr.alpha, a, b, cu_adds(c, to) ? 1 : 0, c->din[to].data,
                      c->din[to].data);
}

static void backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_lownorm p = args_of(c);
    p.dn = c->dout.data;
    p.u = scratch(c) ? c->scratch : c->din[W].data;
    hora_cuda_lownorm_run(j->u->stream, &p);
    if (cu_wants(c, W) && p.u != c->din[W].data)
        hora_cuda_each(j->u->stream, HORA_F32, HORA_CUDA_AXPY, c->attr.act, 1, p.u, NULL, NULL,
                       c->din[W].data, cu_adds(c, W), p.o * p.k);
    if (cu_wants(c, A)) /* alpha B' R U */
        product(j, true, false, p.r, p.k, p.o, c, p.b, p.u, A);
    if (cu_wants(c, B)) /* alpha R U A' */
        product(j, false, true, p.o, p.r, p.k, c, p.u, p.a, B);
}
CUDA_OP(lownorm, takes, scratch, NULL, forward, backward);
