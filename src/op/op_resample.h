#ifndef HORA_OP_OP_RESAMPLE_H
#define HORA_OP_OP_RESAMPLE_H
/* Weights of op_resample.c along one side of the grid. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__ /* kernels of a GPU ask for them too */
#define HORA_RESAMPLE static inline __host__ __device__
#else
#define HORA_RESAMPLE static inline
#endif

HORA_RESAMPLE double hora_cubic(double x, double a) {
    x = fabs(x);
    return x < 1   ? ((a + 2) * x - (a + 3)) * x * x + 1
           : x < 2 ? (((x - 5) * x + 8) * x - 4) * a
                   : 0;
}

/* Place [*from, *to) of a side of n that place `at` of a side of m is made of; outside of it, where
 * there is no antialiasing, the edge is meant. */
HORA_RESAMPLE void hora_resample_range(int64_t n, int64_t m, int64_t at, bool antialias,
                                       int64_t *from, int64_t *to) {
    const double scale = (double)n / (double)m;
    if (antialias) {
        const double center = scale * ((double)at + 0.5), support = scale > 1 ? 2 * scale : 2;
        const int64_t lo = (int64_t)(center - support + 0.5),
                      hi = (int64_t)(center + support + 0.5);
        *from = center - support + 0.5 < 0 ? 0 : lo;
        *to = hi < n ? hi : n;
        return;
    }
    *from = (int64_t)floor(scale * ((double)at + 0.5) - 0.5) - 1;
    *to = *from + 4;
}

/* Weight of place i; those of a range add up to 1 but for antialiasing, which divides by sum. */
HORA_RESAMPLE double hora_resample_weight(int64_t n, int64_t m, int64_t at, bool antialias,
                                          int64_t i) {
    const double scale = (double)n / (double)m, center = scale * ((double)at + 0.5);
    const double stretch = antialias && scale > 1 ? scale : 1;
    return hora_cubic(((double)i + 0.5 - center) / stretch, antialias ? -0.5 : -0.75);
}
#endif
