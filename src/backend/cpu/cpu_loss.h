#ifndef HORA_BACKEND_CPU_CPU_LOSS_H
#define HORA_BACKEND_CPU_CPU_LOSS_H
/*
 * Losses that are a sum over the elements of narrow logits z (rows, k): c / k sum w_i l(z, y). Rows
 * without weight are passed over; there are few others, so one thread does them in double.
 */
#include "backend/cpu/cpu_impl.h"

typedef double (*hora_cpu_term)(double z, double y);

static inline double hora_cpu_load(const hora_view *v, int64_t i) {
    return v->dtype == HORA_BF16 ? (double)hora_bf16_to_f32(((const uint16_t *)v->data)[i])
                                 : (double)((const float *)v->data)[i];
}
static inline void hora_cpu_put(const hora_view *v, int64_t i, double x, bool overwrite) {
    x += overwrite ? 0 : hora_cpu_load(v, i);
    if (v->dtype == HORA_BF16)
        ((uint16_t *)v->data)[i] = hora_f32_to_bf16((float)x);
    else
        ((float *)v->data)[i] = (float)x;
}

static inline void hora_cpu_loss(const hora_call *c, hora_cpu_term loss, hora_cpu_term slope) {
    const hora_batch *b = c->batch;
    const int64_t n = hora_cpu_rows(&c->in[0]), k = hora_cpu_width(&c->in[0]);
    const bool forward = c->phase == HORA_FORWARD, overwrite = hora_cpu_overwrites(c, 0);
    const double s = b->scale / (double)k * (forward ? 1 : *(const double *)c->dout.data);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t at = i * k; at < i * k + k; at++) {
            const double w = (double)b->weight[i];
            const double z = w != 0 ? hora_cpu_load(&c->in[0], at) : 0, y = (double)b->value[at];
            if (forward)
                sum += w != 0 ? w * loss(z, y) : 0;
            else
                hora_cpu_put(&c->din[0], at, w != 0 ? s * w * slope(z, y) : 0, overwrite);
        }
    if (forward)
        *(double *)c->out.data = s * sum;
}
#endif
