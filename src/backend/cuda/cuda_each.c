/* Ops that go element by element, or move rows: kern_each.cu. */
#include "backend/cuda/cuda_impl.h"

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

/* The two inputs of add or mul in the dtype of the output; a mix comes of frozen weights and what
 * is made of parameters. */
typedef struct pair {
    const void *in[2];
} pair;

static pair pair_of(const hora_cuda_job *j, const hora_call *c, cu_room *r) {
    pair p;
    for (int i = 0; i < 2; i++)
        p.in[i] = hora_cuda_in_type(j, &c->in[i], c->out.dtype, r);
    return p;
}

static size_t pair_scratch(const hora_call *c) {
    cu_room r = {NULL, 0};
    pair_of(NULL, c, &r);
    return r.used;
}

static bool pair_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    for (int i = 0; i < 2; i++)
        if (cu_wants(c, i) && c->in[i].dtype != c->out.dtype)
            return false;
    return true;
}

static void add_forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const pair p = pair_of(j, c, &r);
    map(j, c, HORA_CUDA_AXPY, (float)c->attr.alpha, p.in[0], p.in[1], NULL, &c->out, false);
}

static void add_backward(const hora_cuda_job *j, const hora_call *c) {
    for (int i = 0; i < 2; i++)
        if (cu_wants(c, i))
            map(j, c, HORA_CUDA_AXPY, i ? (float)c->attr.alpha : 1, c->dout.data, NULL, NULL,
                &c->din[i], cu_adds(c, i));
}
CUDA_OP(add, pair_takes, pair_scratch, NULL, add_forward, add_backward);

static void mul_forward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const pair p = pair_of(j, c, &r);
    map(j, c, HORA_CUDA_MUL, 0, p.in[0], p.in[1], NULL, &c->out, false);
}

static void mul_backward(const hora_cuda_job *j, const hora_call *c) {
    cu_room r = {c->scratch, 0};
    const pair p = pair_of(j, c, &r);
    for (int i = 0; i < 2; i++)
        if (cu_wants(c, i))
            map(j, c, HORA_CUDA_MUL, 0, c->dout.data, p.in[1 - i], NULL, &c->din[i], cu_adds(c, i));
}
CUDA_OP(mul, pair_takes, pair_scratch, NULL, mul_forward, mul_backward);

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

static void detach_forward(const hora_cuda_job *j, const hora_call *c) {
    map(j, c, HORA_CUDA_AXPY, 1, c->in[0].data, NULL, NULL, &c->out, false);
}
CUDA_OP(detach, alike, NULL, NULL, detach_forward, NULL);

/* --- ratio: of what is made of parameters alone ----------------------------------------------- */
static bool alike_f32(const hora_cuda *u, const hora_call *c) {
    return c->out.dtype == HORA_F32 && alike(u, c);
}

static const float *optional(const hora_view *v) {
    return hora_absent(v) ? NULL : v->data;
}

static void ratio_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_ratio(j->u->stream, c->in[0].data, c->in[1].data, optional(&c->in[2]), c->out.data,
                    hora_elems(&c->out));
}

static void ratio_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_ratio_grad r = {.b = c->in[1].data,
                                    .c = optional(&c->in[2]),
                                    .y = c->out.data,
                                    .dy = c->dout.data,
                                    .da = cu_wants(c, 0) ? c->din[0].data : NULL,
                                    .db = cu_wants(c, 1) ? c->din[1].data : NULL,
                                    .dc = cu_wants(c, 2) ? c->din[2].data : NULL,
                                    .add_a = cu_adds(c, 0),
                                    .add_b = cu_adds(c, 1),
                                    .add_c = cu_adds(c, 2),
                                    .n = hora_elems(&c->dout)};
    hora_cuda_ratio_back(j->u->stream, &r);
}
CUDA_OP(ratio, alike_f32, NULL, NULL, ratio_forward, ratio_backward);

/* --- outer: likewise -------------------------------------------------------------------------- */
static void outer_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_outer(j->u->stream, c->in[0].data, c->in[1].data, c->out.data, cu_rows(&c->out),
                    cu_width(&c->in[0]), cu_width(&c->in[1]));
}

/* One tensor given twice has one gradient: a's is finished before b's is added. */
static void outer_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_outer_back(j->u->stream, c->in[0].data, c->in[1].data, c->dout.data,
                         cu_wants(c, 0) ? c->din[0].data : NULL, cu_adds(c, 0),
                         cu_wants(c, 1) ? c->din[1].data : NULL, cu_adds(c, 1), cu_rows(&c->dout),
                         cu_width(&c->in[0]), cu_width(&c->in[1]));
}
CUDA_OP(outer, alike_f32, NULL, NULL, outer_forward, outer_backward);

/* --- scale ------------------------------------------------------------------------------------ */
static bool scale_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 1);
}

static size_t scale_scratch(const hora_call *c) {
    return cu_wants(c, 1) || cu_wants(c, 2)
               ? (size_t)hora_cuda_column_partials(cu_lines(&c->in[0]), cu_width(&c->in[0])) *
                     sizeof(float)
               : 0;
}

static void scale_by(const hora_cuda_job *j, const hora_call *c, const void *x, const hora_view *y,
                     bool add) {
    const bool v = !hora_absent(&c->in[1]);
    hora_cuda_columns(j->u->stream, y->dtype, v ? c->in[1].dtype : HORA_F32, (float)c->attr.alpha,
                      x, v ? c->in[1].data : NULL, y->data, add, cu_lines(y), cu_width(y));
}

static void scale_forward(const hora_cuda_job *j, const hora_call *c) {
    scale_by(j, c, c->in[0].data, &c->out, false);
    if (!hora_absent(&c->in[2]))
        hora_cuda_bias(j->u->stream, c->out.dtype, c->in[2].dtype, c->out.data, c->in[2].data,
                       c->out.data, cu_lines(&c->out), cu_width(&c->out));
}

static void scale_backward(const hora_cuda_job *j, const hora_call *c) {
    const int64_t lines = cu_lines(&c->dout), width = cu_width(&c->dout);
    if (cu_wants(c, 0))
        scale_by(j, c, c->dout.data, &c->din[0], cu_adds(c, 0));
    if (cu_wants(c, 1))
        hora_cuda_column_sums(j->u->stream, c->dout.dtype, (float)c->attr.alpha, c->dout.data,
                              c->in[0].data, NULL, c->din[1].data, cu_adds(c, 1), c->scratch, lines,
                              width);
    if (cu_wants(c, 2))
        hora_cuda_column_sums(j->u->stream, c->dout.dtype, 1, c->dout.data, NULL, NULL,
                              c->din[2].data, cu_adds(c, 2), c->scratch, lines, width);
}
CUDA_OP(scale, scale_takes, scale_scratch, NULL, scale_forward, scale_backward);

/* --- rmsnorm ---------------------------------------------------------------------------------- */
static bool rmsnorm_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 1) && hora_cuda_norm_takes(cu_width(&c->in[1]));
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

/* --- layernorm -------------------------------------------------------------------------------- */
static bool layernorm_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 1) && hora_cuda_norm_takes(cu_width(&c->in[1]));
}

static size_t layernorm_scratch(const hora_call *c) {
    const int64_t w = cu_width(&c->in[1]);
    return cu_wants(c, 1) || cu_wants(c, 2)
               ? (size_t)hora_cuda_column_partials(hora_elems(&c->in[0]) / w, w) * sizeof(float)
               : 0;
}

static hora_cuda_layernorm layernorm_of(const hora_call *c) {
    const bool bias = !hora_absent(&c->in[2]);
    const int64_t w = cu_width(&c->in[1]);
    return (hora_cuda_layernorm){.t = c->out.dtype,
                                 .tw = c->in[1].dtype,
                                 .tb = bias ? c->in[2].dtype : HORA_F32,
                                 .eps = (float)c->attr.eps,
                                 .x = c->in[0].data,
                                 .w = c->in[1].data,
                                 .b = bias ? c->in[2].data : NULL,
                                 .m = c->saved[0].data,
                                 .r = c->saved[1].data,
                                 .groups = hora_elems(&c->in[0]) / w,
                                 .width = w};
}

static void layernorm_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_layernorm p = layernorm_of(c);
    p.y = c->out.data;
    hora_cuda_layernorm_run(j->u->stream, &p);
}

static void layernorm_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_layernorm p = layernorm_of(c);
    p.dy = c->dout.data;
    p.dx = cu_wants(c, 0) ? c->din[0].data : NULL;
    p.add = cu_adds(c, 0);
    if (p.dx)
        hora_cuda_layernorm_back(j->u->stream, &p);
    if (cu_wants(c, 1))
        hora_cuda_column_sums_about(j->u->stream, p.t, 1, p.dy, p.x, p.m, p.r, c->din[1].data,
                                    cu_adds(c, 1), c->scratch, p.groups, p.width);
    if (cu_wants(c, 2))
        hora_cuda_column_sums(j->u->stream, p.t, 1, p.dy, NULL, NULL, c->din[2].data, cu_adds(c, 2),
                              c->scratch, p.groups, p.width);
}
CUDA_OP(layernorm, layernorm_takes, layernorm_scratch, NULL, layernorm_forward, layernorm_backward);

/* --- rope, dropout ---------------------------------------------------------------------------- */
/* One row of frequencies for all heads. */
static bool rope_takes(const hora_cuda *u, const hora_call *c) {
    return alike(u, c) && c->attr.groups <= 1;
}

static const void *frequencies(const hora_attr *a, size_t *bytes) {
    *bytes = (size_t)(a->head_dim / 2) * sizeof *a->freq;
    return a->freq;
}

static void turn(const hora_cuda_job *j, const hora_call *c, int sign, const void *x,
                 const hora_view *y, bool add) {
    hora_cuda_rope(j->u->stream, y->dtype, c->batch, j->table, c->attr.shift, c->attr.rope_scale,
                   sign, x, y->data, add, cu_rows(y), c->attr.heads, c->attr.head_dim);
}

static void rope_forward(const hora_cuda_job *j, const hora_call *c) {
    turn(j, c, 1, c->in[0].data, &c->out, false);
}

static void rope_backward(const hora_cuda_job *j, const hora_call *c) {
    turn(j, c, -1, c->dout.data, &c->din[0], cu_adds(c, 0));
}
CUDA_OP(rope, rope_takes, NULL, frequencies, rope_forward, rope_backward);

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

static hora_cuda_numbers numbers_of(const hora_cuda_job *j, const hora_call *c) {
    const bool index = c->attr.index != NULL;
    return (hora_cuda_numbers){.batch = c->batch,
                               .index = j->table,
                               .leaf = index ? 0 : hora_leaf_at(c->attr.source)->offset,
                               .first = index ? 0 : c->attr.first,
                               .table = cu_rows(&c->in[0])};
}

static bool gather_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return hora_absent(&c->in[1]) || c->in[1].dtype == c->out.dtype;
}

static void gather_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_numbers k = numbers_of(j, c);
    hora_cuda_gather(j->u->stream, c->out.dtype, c->in[0].dtype, &k, c->in[0].data,
                     hora_absent(&c->in[1]) ? NULL : c->in[1].data, c->out.data, cu_rows(&c->out),
                     cu_width(&c->out));
}

static void gather_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_numbers k = numbers_of(j, c);
    if (cu_wants(c, 0))
        hora_cuda_scatter(j->u->stream, c->dout.dtype, &k, c->dout.data, c->din[0].data,
                          cu_adds(c, 0), cu_rows(&c->dout), cu_width(&c->dout));
    if (cu_wants(c, 1))
        map(j, c, HORA_CUDA_AXPY, 1, c->dout.data, NULL, NULL, &c->din[1], cu_adds(c, 1));
}
CUDA_OP(gather, gather_takes, NULL, row_numbers, gather_forward, gather_backward);

static void input_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_input(j->u->stream, c->out.dtype, c->batch, hora_leaf_at(c->attr.source)->offset,
                    c->out.data, hora_elems(&c->out));
}
CUDA_OP(input, NULL, NULL, NULL, input_forward, NULL);

/* --- pool, frames, resample ------------------------------------------------------------------- */
static void pool_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_pool(j->u->stream, c->out.dtype, c->batch, c->attr.a, c->attr.b != 0, c->in[0].data,
                   c->out.data, cu_rows(&c->in[0]), cu_width(&c->in[0]));
}

static void pool_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_pool_back(j->u->stream, c->dout.dtype, c->batch, c->attr.a, c->attr.b != 0,
                        c->dout.data, c->din[0].data, cu_adds(c, 0), cu_rows(&c->din[0]),
                        cu_width(&c->din[0]));
}
CUDA_OP(pool, alike, NULL, NULL, pool_forward, pool_backward);

static void frames_forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_frames(j->u->stream, c->out.dtype, c->attr.a, c->attr.b, c->in[0].data, c->out.data,
                     cu_rows(&c->in[0]), cu_width(&c->in[0]));
}

static void frames_backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_frames_back(j->u->stream, c->dout.dtype, c->attr.a, c->attr.b, c->dout.data,
                          c->din[0].data, cu_adds(c, 0), cu_rows(&c->din[0]), cu_width(&c->din[0]));
}
CUDA_OP(frames, alike, NULL, NULL, frames_forward, frames_backward);

static hora_cuda_resample resample_of(const hora_call *c) {
    const hora_attr *a = &c->attr;
    return (hora_cuda_resample){.t = c->out.dtype,
                                .first = a->first,
                                .h = a->a,
                                .w = a->b,
                                .to_h = a->groups,
                                .to_w = a->w,
                                .d = cu_width(&c->in[0]),
                                .antialias = a->antialias};
}

static void resample_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_resample p = resample_of(c);
    hora_cuda_resample_run(j->u->stream, &p, c->in[0].data, c->out.data);
}

static void resample_backward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_resample p = resample_of(c);
    hora_cuda_resample_back(j->u->stream, &p, c->dout.data, c->din[0].data, cu_adds(c, 0));
}
CUDA_OP(resample, alike, NULL, NULL, resample_forward, resample_backward);
