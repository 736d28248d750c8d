/*
 * The cuda backend: a table from op to launches. Scratch and attributes' tables are taken when a
 * call is prepared; running only launches. What has no row here is refused when a plan is made.
 */
#include "backend/cuda/cuda_impl.h"

#include <stdio.h>

/* clang-format off */
#define OPS(X)                                                                                     \
    X(gather) X(input) X(linear) X(lowrank) X(grouped) X(add) X(mul) X(scale) X(act) X(glu)        \
    X(rmsnorm) X(layernorm) X(rope) X(attention) X(cached_attention) X(dropout) X(permute)         \
    X(pool) X(frames) X(resample) X(outer) X(lownorm) X(ratio) X(detach) X(head_xent) X(mse)       \
    X(bce) X(soft_xent) X(gramdist) X(reflect) X(orthonormal) X(cayley) X(blocks) X(kron) X(fit)
/* clang-format on */
#define EXTERN(x) extern const hora_cuda_op hora_cuda_op_##x;
OPS(EXTERN)

static const hora_cuda_op *const ops[HORA_OPS] = {
#define ROW(x) [HORA_OP_##x] = &hora_cuda_op_##x,
    OPS(ROW)};

static bool known(const hora_view *v) {
    return hora_absent(v) || v->dtype == HORA_F32 || v->dtype == HORA_BF16;
}

/* Ops that make the gradient of an input like the output element by element, in its dtype. */
static const bool by_element[HORA_OPS] = {
    [HORA_OP_add] = true, [HORA_OP_mul] = true, [HORA_OP_scale] = true, [HORA_OP_act] = true};

/* Sums over rows are F32: the other gradients of what is no row tensor, where they are wanted. */
static bool sums_known(const hora_call *c) {
    for (int i = 0; i < c->op->nin; i++) {
        const bool like_out = by_element[c->op_id] && c->din[i].dtype == c->dout.dtype &&
                              hora_elems(&c->in[i]) == hora_elems(&c->out);
        if (cu_wants(c, i) && !(c->rows & HORA_IN(i)) && !like_out && c->din[i].dtype != HORA_F32)
            return false;
    }
    return true;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const hora_cuda_op *op = ops[c->op_id];
    *need = (hora_need){0};
    if (!op || (c->phase == HORA_BACKWARD && !op->backward) || !sums_known(c))
        return false;
    for (int i = 0; i < c->op->nin; i++)
        if (!known(&c->in[i]))
            return false;
    if (op->takes && !op->takes(hora_cuda_of(d), c))
        return false;
    need->scratch = op->scratch ? op->scratch(c) : 0;
    return true;
}

const void *hora_cuda_in_type(const hora_cuda_job *j, const hora_view *v, hora_dtype t,
                              cu_room *r) {
    if (v->dtype == t)
        return v->data;
    void *to = cu_take(r, (size_t)hora_elems(v) * hora_dtype_size(t));
    if (j && to && v->data)
        hora_cuda_cast(j->u->stream, t, to, v->dtype, v->data, hora_elems(v));
    return to;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const hora_cuda_job *j = impl->state;
    (c->phase == HORA_FORWARD ? j->op->forward : j->op->backward)(j, c);
    hora_cuda_note(j->u, cudaPeekAtLastError(), c->op->name);
}

static void release(hora_impl *impl) {
    hora_free(impl->state);
    *impl = (hora_impl){0};
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    hora_cuda *u = hora_cuda_of(d);
    hora_cuda_job *j = hora_calloc(1, sizeof *j);
    *impl = (hora_impl){.run = run, .state = j};
    *j = (hora_cuda_job){.u = u, .op = ops[c->op_id]};
    snprintf(impl->variant, sizeof impl->variant, "%s", u->variant);
    size_t bytes = 0;
    const void *host = j->op->table ? j->op->table(&c->attr, &bytes) : NULL;
    void *copy = NULL;
    if (host)
        HORA_TRY(hora_device_mirror(d, &copy, host, bytes, c->op->name));
    hora_device_push(d, host, bytes); /* an older copy may be there */
    j->table = copy;
    return HORA_OK;
}

extern const hora_backend hora_backend_cuda;
const hora_backend hora_backend_cuda = {"cuda", "cuda", query, prepare, release};
