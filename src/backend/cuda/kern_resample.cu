/* Op resample: once a step over a small table; weights in double, as op_resample.h has them. */
#include "backend/cuda/kern_common.cuh"

#include "op/op_resample.h"

enum { THREADS = 128 };

struct side { /* a side of n places that becomes one of m */
    int64_t n, m;
    bool antialias;
};

__device__ double weights_of(side s, int64_t at, int64_t *from, int64_t *to) {
    double sum = 0;
    hora_resample_range(s.n, s.m, at, s.antialias, from, to);
    for (int64_t i = *from; i < *to; i++)
        sum += hora_resample_weight(s.n, s.m, at, s.antialias, i);
    return s.antialias ? sum : 1;
}

/* What place i of the old side is worth to place `at` of the new one, the edge's shares included. */
__device__ double share(side s, int64_t at, int64_t i) {
    int64_t from, to;
    const double sum = weights_of(s, at, &from, &to);
    double mine = 0;
    for (int64_t k = from; k < to; k++)
        if (min(max(k, (int64_t)0), s.n - 1) == i)
            mine += hora_resample_weight(s.n, s.m, at, s.antialias, k) / sum;
    return mine;
}

template <class T> __global__ void resample(hora_cuda_resample p, const T *x, T *y) {
    const int64_t at = (int64_t)blockIdx.x - p.first;
    if (at < 0) {
        for (int64_t l = threadIdx.x; l < p.d; l += THREADS)
            y[blockIdx.x * p.d + l] = x[blockIdx.x * p.d + l];
        return;
    }
    const side rows = {p.h, p.to_h, p.antialias}, columns = {p.w, p.to_w, p.antialias};
    const int64_t I = at / p.to_w, J = at % p.to_w;
    int64_t i0, i1, j0, j1;
    const double all = weights_of(rows, I, &i0, &i1) * weights_of(columns, J, &j0, &j1);
    for (int64_t l = threadIdx.x; l < p.d; l += THREADS) {
        double sum = 0;
        for (int64_t i = i0; i < i1; i++)
            for (int64_t j = j0; j < j1; j++) {
                const int64_t from =
                    min(max(i, (int64_t)0), p.h - 1) * p.w + min(max(j, (int64_t)0), p.w - 1);
                sum += hora_resample_weight(p.h, p.to_h, I, p.antialias, i) *
                       hora_resample_weight(p.w, p.to_w, J, p.antialias, j) *
                       (double)to_float(x[(p.first + from) * p.d + l]);
            }
        y[blockIdx.x * p.d + l] = from_float<T>((float)(sum / all));
    }
}

/* A block per place of the old grid asks every place of the new one for its share. */
template <class T>
__global__ void resample_back(hora_cuda_resample p, const T *dy, float *dx, bool add) {
    const int64_t at = (int64_t)blockIdx.x - p.first;
    const side rows = {p.h, p.to_h, p.antialias}, columns = {p.w, p.to_w, p.antialias};
    for (int64_t l = threadIdx.x; l < p.d; l += THREADS) {
        double sum = at < 0 ? (double)to_float(dy[blockIdx.x * p.d + l]) : 0;
        for (int64_t I = 0; at >= 0 && I < p.to_h; I++) {
            const double row = share(rows, I, at / p.w);
            for (int64_t J = 0; row != 0 && J < p.to_w; J++) {
                const double column = share(columns, J, at % p.w);
                if (column != 0)
                    sum +=
                        row * column * (double)to_float(dy[(p.first + I * p.to_w + J) * p.d + l]);
            }
        }
        float d[1] = {(float)sum};
        put<1>(dx + blockIdx.x * p.d + l, d, add);
    }
}

extern "C" void hora_cuda_resample_run(cudaStream_t s, const hora_cuda_resample *p, const void *x,
                                       void *y) {
    const unsigned grid = (unsigned)(p->first + p->to_h * p->to_w);
    WITH_TYPE(p->t, T, { resample<T><<<grid, THREADS, 0, s>>>(*p, (const T *)x, (T *)y); });
}

extern "C" void hora_cuda_resample_back(cudaStream_t s, const hora_cuda_resample *p, const void *dy,
                                        float *dx, bool add) {
    const unsigned grid = (unsigned)(p->first + p->h * p->w);
    WITH_TYPE(p->t, T, { resample_back<T><<<grid, THREADS, 0, s>>>(*p, (const T *)dy, dx, add); });
}
