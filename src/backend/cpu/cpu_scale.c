/* Kernels of op_scale.c. Work goes by rows when there is a v, by elements when not. */
#include "backend/cpu/cpu_impl.h"

/* y (+)= alpha x * v for rows [from, to) */
static void scale_rows(const hora_call *c, const float *x, float *y, bool overwrite, int64_t from,
                       int64_t to) {
    int64_t d = hora_cpu_width(&c->in[0]);
    for (int64_t i = from; i < to; i++)
        hora_kern_get()->rows->mul(d, (float)c->attr.alpha, x + i * d, c->in[1].data, y + i * d,
                                   overwrite);
}

static void forward_rows(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    scale_rows(c, c->in[0].data, c->out.data, true, from, to);
}

static void dx_rows(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    scale_rows(c, c->dout.data, c->din[0].data, hora_cpu_overwrites(c, 0), from, to);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    const hora_view *y = forward ? &c->out : &c->dout;
    int64_t d = hora_cpu_width(y), n = d ? hora_elems(y) / d : 0;
    void *arg = (void *)(uintptr_t)c;
    bool by_column = !hora_absent(&c->in[1]);
    if (forward || hora_cpu_wants(c, 0)) {
        if (by_column)
            hora_cpu_pieces(n, hora_cpu_rows_in_piece(d), forward ? forward_rows : dx_rows, arg);
        else if (forward)
            hora_cpu_add(n * d, (float)c->attr.alpha, &c->in[0], &c->out, true);
        else
            hora_cpu_add(n * d, (float)c->attr.alpha, &c->dout, &c->din[0],
                         hora_cpu_overwrites(c, 0));
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_column_sums(n, d, (float)c->attr.alpha, &c->dout, &c->in[0], c->din[1].data,
                             hora_cpu_overwrites(c, 1));
}

extern const hora_cpu_op hora_cpu_op_scale;
const hora_cpu_op hora_cpu_op_scale = {NULL, NULL, run, false};
