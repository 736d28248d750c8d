/* How far rows or columns are from orthonormal, op gramdist. The Gram matrix less I lies in
 * scratch, behind the distance. */
#include "backend/cuda/cuda_impl.h"

static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return c->in[0].dtype == HORA_F32;
}

static hora_cuda_gram gram_of(const hora_call *c) {
    const int64_t n = cu_rows(&c->in[0]), w = cu_width(&c->in[0]);
    const bool columns = c->attr.w != 0;
    return (hora_cuda_gram){.p = c->in[0].data,
                            .r = columns ? w : n,
                            .k = columns ? n : w,
                            .columns = columns,
                            .distance = c->scratch};
}

static size_t scratch(const hora_call *c) {
    const hora_cuda_gram g = gram_of(c);
    return 16 + (size_t)(g.r * g.r) * sizeof(float); /* the distance, then the matrix */
}

static void forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_gram g = gram_of(c);
    hora_cuda_gram_run(j->u->stream, &g, c->out.data);
}

static void backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_gram g = gram_of(c);
    hora_cuda_gram_back(j->u->stream, &g, c->dout.data, c->din[0].data, cu_adds(c, 0));
}
CUDA_OP(gramdist, takes, scratch, NULL, forward, backward);
