/* Kernels of op_scale.c. Work goes by rows when there is a v or a bias, by elements when not. */
#include "backend/cpu/cpu_impl.h"

/* A bias of f32 behind rows of bf16 is rounded first. */
static size_t bias_bytes(const hora_call *c) {
    const hora_view *b = &c->in[2];
    return hora_absent(b) || b->dtype == c->out.dtype
               ? 0
               : hora_cpu_aligned((size_t)hora_elems(b) * sizeof(uint16_t));
}

static const void *bias_of(const hora_call *c) {
    const hora_view *b = &c->in[2];
    if (hora_absent(b))
        return NULL;
    if (b->dtype == c->out.dtype)
        return b->data;
    void *to = (char *)c->scratch + hora_cpu_floats_bytes(&c->in[1]);
    hora_kern_get()->rows->narrow(hora_elems(b), b->data, to);
    return to;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    need->scratch = hora_cpu_floats_bytes(&c->in[1]);
    const hora_view *b = &c->in[2];
    if (!hora_absent(b) && ((hora_absent(&c->in[1]) && c->attr.alpha != 1) ||
                            (b->dtype != c->out.dtype && b->dtype != HORA_F32)))
        return false; /* nobody needs that fast */
    need->scratch += bias_bytes(c);
    return hora_cpu_alike(c, 1) && hora_cpu_sums_f32(c, 1) && hora_cpu_sums_f32(c, 2);
}

typedef struct scaling {
    const hora_call *c;
    const float *v;
    const hora_view *x, *y;
    const void *bias; /* of the dtype of y; NULL: none */
    bool overwrite;
} scaling;

static void scale_rows(void *arg, int64_t from, int64_t to) {
    const scaling *s = arg;
    int64_t d = hora_cpu_width(s->x);
    for (int64_t i = from; i < to; i++) {
        void *y = hora_cpu_at(s->y, i * d);
        if (!s->v) { /* a bias alone */
            hora_cpu_loops(s->x)->add(d, 1, hora_cpu_at(s->x, i * d), s->bias, y);
            continue;
        }
        hora_cpu_loops(s->x)->scale(d, (float)s->c->attr.alpha, hora_cpu_at(s->x, i * d), s->v, y,
                                    s->overwrite);
        if (s->bias)
            hora_cpu_loops(s->x)->add(d, 1, y, s->bias, y);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    scaling s = {.c = c,
                 .x = forward ? &c->in[0] : &c->dout,
                 .y = forward ? &c->out : &c->din[0],
                 .bias = forward ? bias_of(c) : NULL,
                 .overwrite = forward || hora_cpu_overwrites(c, 0)};
    int64_t d = hora_cpu_width(s.x), n = d ? hora_elems(s.x) / d : 0;
    if (forward || hora_cpu_wants(c, 0)) {
        if (hora_absent(&c->in[1]) && !s.bias) {
            hora_cpu_add(n * d, (float)c->attr.alpha, s.x, s.y, s.overwrite);
        } else {
            s.v = hora_absent(&c->in[1]) ? NULL : hora_cpu_floats(&c->in[1], c->scratch);
            hora_cpu_chunks(n, hora_cpu_rows_in_chunk(d), scale_rows, &s);
        }
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_column_sums(n, d, (float)c->attr.alpha, &c->dout, &c->in[0], c->din[1].data,
                             hora_cpu_overwrites(c, 1));
    if (hora_cpu_wants(c, 2))
        hora_cpu_column_sums(n, d, 1, &c->dout, NULL, c->din[2].data, hora_cpu_overwrites(c, 2));
}

extern const hora_cpu_op hora_cpu_op_scale;
const hora_cpu_op hora_cpu_op_scale = {query, NULL, run, true, 0};
