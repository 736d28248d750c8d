/* Kernels of op_gumbel.c: a few columns, so one thread does them, in double. */
#include "backend/cpu/cpu_loss.h"
#include "op/op_gumbel.h"

static void forward(const hora_call *c) {
    const hora_attr *a = &c->attr;
    const int64_t n = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const int64_t r = hora_gumbel_row(c->batch, a, i);
            const double x =
                hora_cpu_load(&c->in[0], r * d + j) + hora_gumbel_noise(c->batch, a, r, j);
            const bool leads = hora_gumbel_leads(c->batch, a, i);
            hora_cpu_put(&c->out, i * d + j, leads ? 1 : 1 / (1 + exp(-x / a->alpha)), true);
        }
}

static void backward(const hora_call *c) {
    const hora_attr *a = &c->attr;
    const int64_t n = hora_cpu_rows(&c->dout), d = hora_cpu_width(&c->dout);
    const bool fresh = hora_cpu_overwrites(c, 0);
    for (int64_t at = 0; fresh && a->w && at < n * d; at++)
        hora_cpu_put(&c->din[0], at, 0, true);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const double s = hora_cpu_load(&c->out, i * d + j);
            const double dx = hora_gumbel_leads(c->batch, a, i)
                                  ? 0
                                  : hora_cpu_load(&c->dout, i * d + j) * s * (1 - s) / a->alpha;
            hora_cpu_put(&c->din[0], hora_gumbel_row(c->batch, a, i) * d + j, dx, fresh && !a->w);
        }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    if (c->phase == HORA_FORWARD)
        forward(c);
    else if (hora_cpu_wants(c, 0))
        backward(c);
}

extern const hora_cpu_op hora_cpu_op_gumbel;
const hora_cpu_op hora_cpu_op_gumbel = {.run = run, .bf16 = true};
