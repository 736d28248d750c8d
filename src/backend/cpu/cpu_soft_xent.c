/* Kernels of op_soft_xent.c. Rows without weight are passed over; there are few others, so one
 * thread does them in double. */
#include <math.h>

#include "backend/cpu/cpu_loss.h"

/* log of the sum of exp z; *all: of the shares. */
static double row_sums(const hora_call *c, int64_t i, int64_t k, double *all) {
    double most = -INFINITY, sum = 0;
    *all = 0;
    for (int64_t at = i * k; at < i * k + k; at++) {
        most = fmax(most, hora_cpu_load(&c->in[0], at));
        *all += (double)c->batch->value[at];
    }
    for (int64_t at = i * k; at < i * k + k; at++)
        sum += exp(hora_cpu_load(&c->in[0], at) - most);
    return most + log(sum);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const hora_batch *b = c->batch;
    const int64_t n = hora_cpu_rows(&c->in[0]), k = hora_cpu_width(&c->in[0]);
    const bool forward = c->phase == HORA_FORWARD, overwrite = hora_cpu_overwrites(c, 0);
    const double s = b->scale * (forward ? 1 : *(const double *)c->dout.data);
    double sum = 0;
    (void)impl;
    for (int64_t i = 0; i < n; i++) {
        const double w = (double)b->weight[i];
        double all = 0;
        const double lse = w != 0 ? row_sums(c, i, k, &all) : 0;
        for (int64_t at = i * k; at < i * k + k; at++) {
            const double z = w != 0 ? hora_cpu_load(&c->in[0], at) : 0, y = (double)b->value[at];
            if (!forward)
                hora_cpu_put(&c->din[0], at, w != 0 ? s * w * (all * exp(z - lse) - y) : 0,
                             overwrite);
            else if (w != 0)
                sum += w * y * (lse - z);
        }
    }
    if (forward)
        *(double *)c->out.data = s * sum;
}

extern const hora_cpu_op hora_cpu_op_soft_xent;
const hora_cpu_op hora_cpu_op_soft_xent = {.run = run, .bf16 = true};
