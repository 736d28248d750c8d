#ifndef HORA_BACKEND_CPU_LINES_H
#define HORA_BACKEND_CPU_LINES_H
/* Rows of F32 or BF16 as floats, for kernels that take a row at a time. */
#include "backend/cpu/cpu_impl.h"

/* n floats of v from element `at`: where they are, or widened into `room`. */
static inline const float *hora_cpu_line(const hora_view *v, int64_t at, int64_t n, float *room) {
    if (v->dtype == HORA_F32)
        return hora_f32(v) + at;
    hora_cpu_widen(v, at, n, room);
    return room;
}

/* v (+)= from; from is used up where v is BF16 and something stands there. `room`: n floats. */
static inline void hora_cpu_put_line(const hora_view *v, int64_t at, int64_t n, float *from,
                                     bool overwrite, float *room) {
    if (v->dtype == HORA_F32) {
        float *y = hora_f32(v) + at;
        for (int64_t k = 0; k < n; k++)
            y[k] = overwrite ? from[k] : y[k] + from[k];
        return;
    }
    if (!overwrite) {
        hora_cpu_widen(v, at, n, room);
        for (int64_t k = 0; k < n; k++)
            from[k] += room[k];
    }
    hora_kern_get()->rows->narrow(n, from, hora_cpu_at(v, at));
}

/* The gradients of those inputs are f32, as are the inputs themselves. */
static inline bool hora_cpu_weights_f32(const hora_call *c, int from, int to) {
    for (int i = from; i <= to; i++)
        if (c->in[i].dtype != HORA_F32 || !hora_cpu_sums_f32(c, i))
            return false;
    return true;
}

/* Scratch of a thread; of the one behind the last: what they share. */
static inline float *hora_cpu_own(const hora_call *c, int thread, int64_t floats) {
    return (float *)((char *)c->scratch +
                     (size_t)thread * hora_cpu_aligned((size_t)floats * sizeof(float)));
}
static inline size_t hora_cpu_own_bytes(hora_device *d, int64_t floats) {
    return hora_cpu_aligned((size_t)floats * sizeof(float)) * (size_t)hora_device_threads(d);
}

/* impl->state: how many threads the scratch was sized for. */
static inline hora_status hora_cpu_count_threads(hora_device *d, const hora_call *c,
                                                 hora_impl *impl) {
    int *n = hora_calloc(1, sizeof *n);
    (void)c;
    *n = hora_device_threads(d);
    impl->state = n;
    return HORA_OK;
}
#endif
