/* Kernels of op_scale.c. Work goes by rows when there is a v, by elements when not. */
#include "backend/cpu/cpu_impl.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    need->scratch = hora_cpu_floats_bytes(&c->in[1]);
    return hora_cpu_alike(c, 1) && hora_cpu_sums_f32(c, 1);
}

typedef struct scaling {
    const hora_call *c;
    const float *v;
    const hora_view *x, *y;
    bool overwrite;
} scaling;

static void scale_rows(void *arg, int64_t from, int64_t to) {
    const scaling *s = arg;
    int64_t d = hora_cpu_width(s->x);
    for (int64_t i = from; i < to; i++)
        hora_cpu_loops(s->x)->scale(d, (float)s->c->attr.alpha, hora_cpu_at(s->x, i * d), s->v,
                                    hora_cpu_at(s->y, i * d), s->overwrite);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    scaling s = {c, NULL, forward ? &c->in[0] : &c->dout, forward ? &c->out : &c->din[0],
                 forward || hora_cpu_overwrites(c, 0)};
    int64_t d = hora_cpu_width(s.x), n = d ? hora_elems(s.x) / d : 0;
    if (forward || hora_cpu_wants(c, 0)) {
        if (hora_absent(&c->in[1])) {
            hora_cpu_add(n * d, (float)c->attr.alpha, s.x, s.y, s.overwrite);
        } else {
            s.v = hora_cpu_floats(&c->in[1], c->scratch);
            hora_cpu_chunks(n, hora_cpu_rows_in_chunk(d), scale_rows, &s);
        }
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_column_sums(n, d, (float)c->attr.alpha, &c->dout, &c->in[0], c->din[1].data,
                             hora_cpu_overwrites(c, 1));
}

extern const hora_cpu_op hora_cpu_op_scale;
const hora_cpu_op hora_cpu_op_scale = {query, NULL, run, true};
