/* Ops attention and cached_attention: tensor cores where they can, a warp per row elsewhere. */
#include "backend/cuda/cuda_impl.h"

enum { Q, K, V, KP, VP, WIDEST = 256 };

static hora_cuda_attention args_of(const hora_call *c) {
    const bool prefix = !hora_absent(&c->in[KP]);
    hora_cuda_attention a = {.t = c->in[Q].dtype,
                             .tp = prefix ? c->in[KP].dtype : HORA_F32,
                             .batch = c->batch,
                             .n = cu_rows(&c->in[Q]),
                             .heads = c->attr.heads,
                             .kv_heads = c->attr.kv_heads,
                             .head_dim = c->attr.head_dim,
                             .window = c->attr.window,
                             .ahead = c->attr.ahead,
                             .prefix = prefix ? cu_rows(&c->in[KP]) : 0,
                             .scale = (float)c->attr.scale,
                             .q = c->in[Q].data,
                             .k = c->in[K].data,
                             .v = c->in[V].data,
                             .kp = prefix ? c->in[KP].data : NULL,
                             .vp = prefix ? c->in[VP].data : NULL,
                             .y = c->out.data,
                             .lse = c->grad ? c->saved[0].data : NULL};
    return a;
}

static bool takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 3) && c->attr.head_dim <= WIDEST &&
           (hora_absent(&c->in[KP]) || c->in[KP].dtype == c->in[VP].dtype);
}

static void rooms(const hora_call *c, cu_room *r, hora_cuda_attention *a) {
    a->tiles = cu_take(r, hora_cuda_flash_tiles(a->n));
    if (c->phase == HORA_BACKWARD)
        a->dots = cu_take(r, (size_t)(2 * a->n * a->heads) * sizeof(float));
}

static size_t scratch(const hora_call *c) {
    hora_cuda_attention a = args_of(c);
    cu_room r = {NULL, 0};
    rooms(c, &r, &a);
    return r.used;
}

static void forward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_attention a = args_of(c);
    cu_room r = {c->scratch, 0};
    rooms(c, &r, &a);
    if (!a.n)
        return;
    (hora_cuda_flash_takes(j->u->capability, &a) ? hora_cuda_flash : hora_cuda_attend)(j->u->stream,
                                                                                       &a);
}

static void backward(const hora_cuda_job *j, const hora_call *c) {
    hora_cuda_attention a = args_of(c);
    cu_room r = {c->scratch, 0};
    rooms(c, &r, &a);
    void **to[] = {&a.dq, &a.dk, &a.dv, &a.dkp, &a.dvp};
    bool *add[] = {&a.add_q, &a.add_k, &a.add_v, &a.add_kp, &a.add_vp};
    for (int i = 0; i < 5; i++) {
        *to[i] = cu_wants(c, i) ? c->din[i].data : NULL;
        *add[i] = cu_adds(c, i);
    }
    a.dy = c->dout.data;
    a.lse = c->saved[0].data;
    if (!a.n)
        return;
    (hora_cuda_flash_takes(j->u->capability, &a) ? hora_cuda_flash_back
                                                 : hora_cuda_attend_back)(j->u->stream, &a);
}

/* --- over caches: in[3] and in[4], which stand in the prefix's place -------------------------- */
static bool cached_takes(const hora_cuda *u, const hora_call *c) {
    (void)u;
    return cu_alike(c, 5) && c->attr.head_dim <= WIDEST;
}

static void cached_forward(const hora_cuda_job *j, const hora_call *c) {
    const hora_cuda_attention a = args_of(c);
    if (a.n)
        hora_cuda_attend_cached(j->u->stream, &a);
}
CUDA_OP(cached_attention, cached_takes, NULL, NULL, cached_forward, NULL);
CUDA_OP(attention, takes, scratch, NULL, forward, backward);
