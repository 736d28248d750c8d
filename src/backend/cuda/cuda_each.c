/* Ops that go element by element, or move rows: kern_each.cu. */
#include "backend/cuda/cuda_impl.h"

#define CUDA_OP(name, ...)                                                                         \
    extern const hora_cuda_op hora_cuda_op_##name;                                                 \
    const hora_cuda_op hora_cuda_op_##name = {__VA_ARGS__}

static bool alike(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, c->op->nin);
}

/* --- add, mul, act, glu ----------------------------------------------------------------------- */
static void map(const hora_cuda_job *j, const hora_call *c, hora_cuda_map f, float alpha,
                const void *a, const void *b, const void *x, const hora_view *y, bool add) {
    hora_cuda_each(j->u->stream, y->dtype, f, c->attr.act, alpha, a, b, x, y->data, add,
                   hora_elems(y));
}

static void add_forward(const hora_cuda_job *j, const hora_call *c) {
    map(j, c, HORA_CUDA_AXPY, (float)c->attr.alpha, c->in[0].data, c->in[1].data, NULL, &c->out,
        false);
}

static void add_backward(const hora_cuda_job *j, const hora_call *c) {
    for (int i = 0; i < 2; i++)
        if (cu_wants(c, i))
            map(j, c, HORA_CUDA_AXPY, i ? (float)c->attr.alpha : 1, c->dout.data, NULL, NULL,
                &c->din[i], cu_adds(c, i));
}
CUDA_OP(add, alike, NULL, NULL, add_forward, add_backward);

static void mul_forward(const hora_cuda_job *j, const hora_call *c) {
    map(j, c, HORA_CUDA_MUL, 0, c->in[0].data, c->in[1].data, NULL, &c->out, false);
}

static void mul_backward(const hora_cuda_job *j, const hora_call *c) {
    for (int i = 0; i < 2; i++)
        if (cu_wants(c, i))
            map(j, c, HORA_CUDA_MUL, 0, c->dout.data, c->in[1 - i].data, NULL, &c->din[i],
                cu_adds(c, i));
}
CUDA_OP(mul, alike, NULL, NULL, mul_forward, mul_backward);

static void act_forward(const hora_cuda_job *j, const hora_call *c) {
    map(j, c, HORA_CUDA_ACT, 0, c->in[0].data, NULL, NULL, &c->out, false);
}

static void act_backward(const hora_cuda_job *j, const hora_call *c) {
    map(j, c, HORA_CUDA_DACT, 0, c->dout.data, c->in[0].data, NULL, &c->din[0], cu_adds(c, 0));
}
CUDA_OP(act, alike, NULL, NULL, act_forward, act_backward);

static void glu_forward(const hora_cuda_job *j, const hora_call *c) {
    map(j, c, HORA_CUDA_GLU, 0, c->in[0].data, c->in[1].data, NULL, &c->out, false);
}

static void glu_backward(const hora_cuda_job *j, const hora_call *c) {
    const bool g = cu_wants(c, 0), u = cu_wants(c, 1);
    if (g && u && c->din[0].data == c->din[1].data) { /* one tensor given twice */
        map(j, c, HORA_CUDA_DGATE, 0, c->dout.data, c->in[1].data, c->in[0].data, &c->din[0],
            cu_adds(c, 0));
        map(j, c, HORA_CUDA_DUP, 0, c->dout.data, c->in[0].data, NULL, &c->din[1], cu_adds(c, 1));
        return;
    }
    hora_cuda_glu_back(j->u->stream, c->dout.dtype, c->attr.act, c->dout.data, c->in[0].data,
                       c->in[1].data, g ? c->din[0].data : NULL, cu_adds(c, 0),
                       u ? c->din[1].data : NULL, cu_adds(c, 1), hora_elems(&c->dout));
}
CUDA_OP(glu, alike, NULL, NULL, glu_forward, glu_backward);

/* --- scale ------------------------------------------------------------------------------------ */
static bool scale_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 1);
}

static size_t scale_scratch(const hora_call *c) {
    return cu_wants(c, 1)
               ? (size_t)hora_cuda_column_partials(cu_rows(&c->in[0]), cu_width(&c->in[0])) *
                     sizeof(float)
               : 0;
}

static void scale_by(const hora_cuda_job *j, const hora_call *c, const void *x, const hora_view *y,
                     bool add) {
    const bool v = !hora_absent(&c->in[1]);
    hora_cuda_columns(j->u->stream, y->dtype, v ? c->in[1].dtype : HORA_F32, (float)c->attr.alpha,
                      x, v ? c->in[1].data : NULL, y->data, add,
                      hora_elems(y) / hora_max(1, cu_width(y)), cu_width(y));
}

static void scale_forward(const hora_cuda_job *j, const hora_call *c) {
    scale_by(j, c, c->in[0].data, &c->out, false);
}

static void scale_backward(const hora_cuda_job *j, const hora_call *c) {
    if (cu_wants(c, 0))
        scale_by(j, c, c->dout.data, &c->din[0], cu_adds(c, 0));
    if (cu_wants(c, 1))
        hora_cuda_column_sums(j->u->stream, c->dout.dtype, (float)c->attr.alpha, c->dout.data,
                              c->in[0].data, NULL, c->din[1].data, cu_adds(c, 1), c->scratch,
                              cu_rows(&c->dout), cu_width(&c->dout));
}
CUDA_OP(scale, scale_takes, scale_scratch, NULL, scale_forward, scale_backward);

/* --- rmsnorm ---------------------------------------------------------------------------------- */
static bool rmsnorm_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 1) && hora_cuda_rmsnorm_takes(cu_width(&c->in[1]));
}

static size_t rmsnorm_scratch(const hora_call *c) {
    const int64_t w = cu_width(&c->in[1]);
    return cu_wants(c, 1)
               ? (size_t)hora_cuda_column_partials(hora_elems(&c->in[0]) / w, w) * sizeof(float)
               : 0;
}

static void rmsnorm_forward(const hora_cuda_job *j, const hora_call *c) {
    const int64_t w = cu_width(&c->in[1]);
    hora_cuda_rmsnorm(j->u->stream, c->out.dtype, c->in[1].dtype, (float)c->attr.eps, c->in[0].data,
                      c->in[1].data, c->out.data, c->grad ? c->saved[0].data : NULL,
                      hora_elems(&c->out) / w, w);
}

static void rmsnorm_backward(const hora_cuda_job *j, const hora_call *c) {
    const int64_t w = cu_width(&c->in[1]), groups = hora_elems(&c->dout) / w;
    if (cu_wants(c, 0))
        hora_cuda_rmsnorm_back(j->u->stream, c->dout.dtype, c->in[1].dtype, c->in[0].data,
                               c->in[1].data, c->saved[0].data, c->dout.data, c->din[0].data,
                               cu_adds(c, 0), groups, w);
    if (cu_wants(c, 1))
        hora_cuda_column_sums(j->u->stream, c->dout.dtype, 1, c->dout.data, c->in[0].data,
                              c->saved[0].data, c->din[1].data, cu_adds(c, 1), c->scratch, groups,
                              w);
}
CUDA_OP(rmsnorm, rmsnorm_takes, rmsnorm_scratch, NULL, rmsnorm_forward, rmsnorm_backward);

/* --- rope, dropout ---------------------------------------------------------------------------- */
static const void *frequencies(const hora_attr *a, size_t *bytes) {
    *bytes = (size_t)(a->head_dim / 2) * sizeof *a->freq;
    return a->freq;
}

static void turn(const hora_cuda_job *j, const hora_call *c, int sign, const void *x,
                 const hora_view *y, bool add) {
    hora_cuda_rope(j->u->stream, y->dtype, c->batch, j->table, c->attr.rope_scale, sign, x, y->data,
                   add, cu_rows(y), c->attr.heads, c->attr.head_dim);
}

static void rope_forward(const hora_cuda_job *j, const hora_call *c) {
    turn(j, c, 1, c->in[0].data, &c->out, false);
}

static void rope_backward(const hora_cuda_job *j, const hora_call *c) {
    turn(j, c, -1, c->dout.data, &c->din[0], cu_adds(c, 0));
}
CUDA_OP(rope, alike, NULL, frequencies, rope_forward, rope_backward);

static void drop(const hora_cuda_job *j, const hora_call *c, const void *x, const hora_view *y,
                 bool add) {
    hora_cuda_dropout(j->u->stream, y->dtype, c->batch, c->attr.stream, c->attr.alpha, x, y->data,
                      add, cu_rows(y), cu_width(y));
}

static void dropout_forward(const hora_cuda_job *j, const hora_call *c) {
    drop(j, c, c->in[0].data, &c->out, false);
}

static void dropout_backward(const hora_cuda_job *j, const hora_call *c) {
    drop(j, c, c->dout.data, &c->din[0], cu_adds(c, 0));
}
CUDA_OP(dropout, alike, NULL, NULL, dropout_forward, dropout_backward);

/* --- permute, gather -----------------------------------------------------------------------------
 * */
static void permute_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_attr *a = &c->attr;
    hora_cuda_permute(j->u->stream, c->out.dtype, c->in[0].data, c->out.data, false, a->groups,
                      a->a, a->b, a->w);
}

static void permute_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_attr *a = &c->attr;
    hora_cuda_permute(j->u->stream, c->dout.dtype, c->dout.data, c->din[0].data, cu_adds(c, 0),
                      a->groups, a->b, a->a, a->w);
}
CUDA_OP(permute, alike, NULL, NULL, permute_forward, permute_backward);

static const void *row_numbers(const hora_attr *a, size_t *bytes) {
    *bytes = (size_t)a->nindex * sizeof *a->index;
    return a->index;
}

/* Row numbers of the call, or the batch's tokens, all of them in the table. */
static bool gather_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return hora_absent(&c->in[1]) &&
           (c->attr.index || (c->attr.source == HORA_LEAF_ids && !c->attr.first));
}

static void gather_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_gather(j->u->stream, c->out.dtype, c->in[0].dtype, c->batch, j->table, c->in[0].data,
                     c->out.data, cu_rows(&c->out), cu_width(&c->out));
}

static void gather_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_scatter(j->u->stream, c->dout.dtype, c->batch, j->table, c->dout.data, c->din[0].data,
                      cu_adds(c, 0), cu_rows(&c->dout), cu_rows(&c->in[0]), cu_width(&c->dout));
}
CUDA_OP(gather, gather_takes, NULL, row_numbers, gather_forward, gather_backward);
