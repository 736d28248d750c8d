/* Kernels of op_rmsnorm.c: by groups of w columns; dw by columns, each over all groups. */
#include "backend/cpu/cpu_impl.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    need->scratch = hora_cpu_floats_bytes(&c->in[1]);
    return hora_cpu_alike(c, 1) && hora_cpu_sums_f32(c, 1);
}

typedef struct norming {
    const hora_call *c;
    int64_t w;
    const float *weight;
} norming;

static void norm(void *arg, int64_t from, int64_t to) {
    const norming *n = arg;
    const hora_call *c = n->c;
    float *r = c->grad ? hora_f32(&c->saved[0]) + from : NULL;
    hora_cpu_loops(&c->out)->rmsnorm(to - from, n->w, (float)c->attr.eps,
                                     hora_cpu_at(&c->in[0], from * n->w), n->weight,
                                     hora_cpu_at(&c->out, from * n->w), r);
}

static void dx(void *arg, int64_t from, int64_t to) {
    const norming *n = arg;
    const hora_call *c = n->c;
    hora_cpu_loops(&c->dout)->rmsnorm_dx(
        to - from, n->w, hora_cpu_at(&c->in[0], from * n->w), n->weight,
        hora_f32(&c->saved[0]) + from, hora_cpu_at(&c->dout, from * n->w),
        hora_cpu_at(&c->din[0], from * n->w), hora_cpu_overwrites(c, 0));
}

static void dw(void *arg, int64_t from, int64_t to) {
    const norming *n = arg;
    const hora_call *c = n->c;
    hora_cpu_loops(&c->dout)->rmsnorm_dw(hora_elems(&c->dout) / n->w, n->w, to - from,
                                         hora_cpu_at(&c->in[0], from), c->saved[0].data,
                                         hora_cpu_at(&c->dout, from), hora_f32(&c->din[1]) + from,
                                         hora_cpu_overwrites(c, 1));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    norming n = {c, c->in[1].shape.d[0], NULL};
    if (forward || hora_cpu_wants(c, 0)) {
        n.weight = hora_cpu_floats(&c->in[1], c->scratch);
        hora_cpu_chunks(hora_elems(forward ? &c->out : &c->dout) / n.w, hora_cpu_rows_in_chunk(n.w),
                        forward ? norm : dx, &n);
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_chunks(n.w, 64, dw, &n);
}

extern const hora_cpu_op hora_cpu_op_rmsnorm;
const hora_cpu_op hora_cpu_op_rmsnorm = {query, NULL, run, true, 0};
