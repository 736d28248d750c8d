/* Kernels of op_layernorm.c: by groups of w columns; dw and db by columns, each over all groups. */
#include "backend/cpu/cpu_impl.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    need->scratch = hora_cpu_floats_bytes(&c->in[1]) + hora_cpu_floats_bytes(&c->in[2]);
    return hora_cpu_alike(c, 1) && hora_cpu_sums_f32(c, 1) && hora_cpu_sums_f32(c, 2);
}

typedef struct norming {
    const hora_call *c;
    int64_t w;
    const float *weight, *bias;
} norming;

/* Saved numbers of group `at`; NULL: nobody will read them. */
static float *kept(const hora_call *c, int i, int64_t at) {
    return c->grad & (HORA_IN(0) | HORA_IN(1)) ? hora_f32(&c->saved[i]) + at : NULL;
}

static void norm(void *arg, int64_t from, int64_t to) {
    const norming *n = arg;
    const hora_call *c = n->c;
    hora_cpu_loops(&c->out)->layernorm(
        to - from, n->w, (float)c->attr.eps, hora_cpu_at(&c->in[0], from * n->w), n->weight,
        n->bias, hora_cpu_at(&c->out, from * n->w), kept(c, 0, from), kept(c, 1, from));
}

static void dx(void *arg, int64_t from, int64_t to) {
    const norming *n = arg;
    const hora_call *c = n->c;
    hora_cpu_loops(&c->dout)->layernorm_dx(
        to - from, n->w, hora_cpu_at(&c->in[0], from * n->w), n->weight, kept(c, 0, from),
        kept(c, 1, from), hora_cpu_at(&c->dout, from * n->w), hora_cpu_at(&c->din[0], from * n->w),
        hora_cpu_overwrites(c, 0));
}

static void dw(void *arg, int64_t from, int64_t to) {
    const norming *n = arg;
    const hora_call *c = n->c;
    hora_cpu_loops(&c->dout)->layernorm_dw(hora_elems(&c->dout) / n->w, n->w, to - from,
                                           hora_cpu_at(&c->in[0], from), kept(c, 0, 0),
                                           kept(c, 1, 0), hora_cpu_at(&c->dout, from),
                                           hora_f32(&c->din[1]) + from, hora_cpu_overwrites(c, 1));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const bool forward = c->phase == HORA_FORWARD;
    norming n = {c, c->in[1].shape.d[0], NULL, NULL};
    const int64_t groups = hora_elems(forward ? &c->out : &c->dout) / n.w;
    if (forward || hora_cpu_wants(c, 0)) {
        n.weight = hora_cpu_floats(&c->in[1], c->scratch);
        if (forward && !hora_absent(&c->in[2]))
            n.bias =
                hora_cpu_floats(&c->in[2], (char *)c->scratch + hora_cpu_floats_bytes(&c->in[1]));
        hora_cpu_chunks(groups, hora_cpu_rows_in_chunk(n.w), forward ? norm : dx, &n);
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_chunks(n.w, 64, dw, &n);
    if (hora_cpu_wants(c, 2))
        hora_cpu_column_sums(groups, n.w, 1, &c->dout, NULL, c->din[2].data,
                             hora_cpu_overwrites(c, 2));
}

extern const hora_cpu_op hora_cpu_op_layernorm;
const hora_cpu_op hora_cpu_op_layernorm = {query, NULL, run, true, 0};
