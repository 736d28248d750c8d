/* Kernels of op_share.c: a few columns, so one thread does them, in double. */
#include "backend/cpu/cpu_loss.h"

static bool counts(const hora_call *c, int64_t i) {
    const hora_batch *b = c->batch;
    return b->hi[i] > b->lo[i] && i - b->lo[i] >= c->attr.a;
}

static double sum(const hora_call *c, double *many) {
    const int64_t n = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    double all = 0;
    *many = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t at = i * d; counts(c, i) && at < (i + 1) * d; at++) {
            all += hora_cpu_load(&c->in[0], at);
            *many += 1;
        }
    *many = *many > 0 ? *many : 1;
    return c->attr.alpha * all / *many + (hora_absent(&c->in[1]) ? 0 : hora_cpu_load(&c->in[1], 0));
}

static double targets(const hora_call *c) {
    double all = 0;
    for (int64_t i = 0; i < hora_cpu_rows(&c->in[0]); i++)
        all += (double)c->batch->weight[i];
    return c->batch->scale * all;
}

static void backward(const hora_call *c, double a, double many) {
    const int64_t n = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    const double dy = c->attr.w ? *(const double *)c->dout.data * targets(c) * 2 * (a - c->attr.eps)
                                : hora_cpu_load(&c->dout, 0);
    for (int64_t i = 0; hora_cpu_wants(c, 0) && i < n; i++)
        for (int64_t at = i * d; at < (i + 1) * d; at++)
            hora_cpu_put(&c->din[0], at, counts(c, i) ? dy * c->attr.alpha / many : 0,
                         hora_cpu_overwrites(c, 0));
    if (hora_cpu_wants(c, 1))
        hora_cpu_put(&c->din[1], 0, dy, hora_cpu_overwrites(c, 1));
}

static void run(const hora_impl *impl, const hora_call *c) {
    double many;
    const double a = sum(c, &many);
    (void)impl;
    if (c->phase == HORA_BACKWARD)
        backward(c, a, many);
    else if (c->attr.w)
        *(double *)c->out.data = targets(c) * (a - c->attr.eps) * (a - c->attr.eps);
    else
        *hora_f32(&c->out) = (float)a;
}

extern const hora_cpu_op hora_cpu_op_share;
const hora_cpu_op hora_cpu_op_share = {.run = run, .bf16 = true};
