/* Kernels of op_scale.c. Work goes by rows when there is a v or a bias, by elements when not. */
#include "backend/cpu/cpu_lines.h"

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

/* Gradients of v and b are sums over rows, taken in f32. Those of bf16 are narrowed: a sum and the
 * gradient that stands there lie behind the floats of v. */
static bool sums_narrowed(const hora_call *c) {
    return (hora_cpu_wants(c, 1) && c->din[1].dtype == HORA_BF16) ||
           (hora_cpu_wants(c, 2) && c->din[2].dtype == HORA_BF16);
}

static size_t sum_bytes(const hora_call *c) {
    return hora_cpu_aligned((size_t)hora_cpu_width(&c->dout) * sizeof(float));
}

static void sum_rows(const hora_call *c, int input, double alpha, const hora_view *by) {
    const hora_view *to = &c->din[input];
    const int64_t d = hora_cpu_width(&c->dout), n = d ? hora_elems(&c->dout) / d : 0;
    const bool overwrite = hora_cpu_overwrites(c, input);
    if (to->dtype == HORA_F32) {
        hora_cpu_column_sums(n, d, (float)alpha, &c->dout, by, to->data, overwrite);
        return;
    }
    float *sum = (float *)((char *)c->scratch + hora_cpu_floats_bytes(&c->in[1]));
    hora_cpu_column_sums(n, d, (float)alpha, &c->dout, by, sum, true);
    hora_cpu_put_line(to, 0, d, sum, overwrite, sum + sum_bytes(c) / sizeof *sum);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    need->scratch = hora_cpu_floats_bytes(&c->in[1]);
    if (c->phase == HORA_BACKWARD) {
        need->scratch += sums_narrowed(c) ? 2 * sum_bytes(c) : 0;
        return hora_cpu_alike(c, 1);
    }
    const hora_view *b = &c->in[2];
    if (!hora_absent(b) && ((hora_absent(&c->in[1]) && c->attr.alpha != 1) ||
                            (b->dtype != c->out.dtype && b->dtype != HORA_F32)))
        return false; /* nobody needs that fast */
    need->scratch += bias_bytes(c);
    return hora_cpu_alike(c, 1);
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
        sum_rows(c, 1, c->attr.alpha, &c->in[0]);
    if (hora_cpu_wants(c, 2))
        sum_rows(c, 2, 1, NULL);
}

extern const hora_cpu_op hora_cpu_op_scale;
const hora_cpu_op hora_cpu_op_scale = {query, NULL, run, true, 0};
