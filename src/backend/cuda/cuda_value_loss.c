/* Losses against values: ops mse and bce, numbers of a few columns, one block adds them up; op
 * soft_xent, shares of classes, a block for each row. */
#include "backend/cuda/cuda_impl.h"

static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return c->out.dtype == HORA_F64;
}

static hora_cuda_value_loss args_of(const hora_call *c) {
    return (hora_cuda_value_loss){.t = c->in[0].dtype,
                                  .binary = c->op_id == HORA_OP_bce,
                                  .batch = c->batch,
                                  .z = c->in[0].data,
                                  .n = cu_rows(&c->in[0]),
                                  .k = cu_width(&c->in[0]),
                                  .loss = c->out.data,
                                  .dout = c->dout.data};
}

static void forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_value_loss v = args_of(c);
    hora_cuda_value_loss_run(j->u->stream, &v);
}

static void backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_value_loss v = args_of(c);
    hora_cuda_value_loss_back(j->u->stream, &v, c->din[0].data, cu_adds(c, 0));
}
CUDA_OP(mse, takes, NULL, NULL, forward, backward);
CUDA_OP(bce, takes, NULL, NULL, forward, backward);

static size_t rows_scratch(const hora_call *c) {
    return (size_t)cu_rows(&c->in[0]) * sizeof(double);
}

static void shares_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_value_loss v = args_of(c);
    hora_cuda_soft_xent_run(j->u->stream, &v, c->scratch);
}

static void shares_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_value_loss v = args_of(c);
    hora_cuda_soft_xent_back(j->u->stream, &v, c->din[0].data, cu_adds(c, 0));
}

static bool takes_shares(const hora_cuda *u, const hora_call *c) {
    return c->phase == HORA_BACKWARD || takes(u, c);
}
CUDA_OP(soft_xent, takes_shares, rows_scratch, NULL, shares_forward, shares_backward);
