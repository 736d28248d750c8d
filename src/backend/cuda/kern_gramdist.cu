/* op_gramdist.c: an entry of the Gram matrix has one block, its squares are added by one. */
#include "backend/cuda/kern_common.cuh"

enum { THREADS = 256 };

__device__ __forceinline__ int64_t at(const hora_cuda_gram &g, int64_t i, int64_t l) {
    return g.columns ? l * g.r + i : i * g.k + l;
}
__device__ __forceinline__ float *gram(const hora_cuda_gram &g) {
    return (float *)(g.distance + 2);
}

__global__ void gram_entry(hora_cuda_gram g) {
    const int64_t i = blockIdx.x / g.r, j = blockIdx.x % g.r;
    double sum = 0;
    for (int64_t l = threadIdx.x; l < g.k; l += THREADS)
        sum += (double)g.p[at(g, i, l)] * (double)g.p[at(g, j, l)];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        gram(g)[blockIdx.x] = (float)(sum - (i == j ? 1.0 : 0.0));
}

__global__ void gram_distance(hora_cuda_gram g, double *out) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < g.r * g.r; i += THREADS)
        sum += (double)gram(g)[i] * (double)gram(g)[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        *out = sqrt(sum);
}

__global__ void gram_slope(hora_cuda_gram g, const double *dout, float *dp, bool add) {
    const int64_t to = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (to >= g.r * g.k)
        return;
    const int64_t i = g.columns ? to % g.r : to / g.k, l = g.columns ? to / g.r : to % g.k;
    const float f = *g.distance > 0 ? (float)(2 * *dout / *g.distance) : 0.0f;
    float sum = 0;
    for (int64_t j = 0; j < g.r; j++)
        sum += gram(g)[i * g.r + j] * g.p[at(g, j, l)];
    dp[to] = f * sum + (add ? dp[to] : 0.0f);
}

extern "C" void hora_cuda_gram_run(cudaStream_t s, const hora_cuda_gram *g, double *out) {
    gram_entry<<<(unsigned)(g->r * g->r), THREADS, 0, s>>>(*g);
    gram_distance<<<1, THREADS, 0, s>>>(*g, out);
}

extern "C" void hora_cuda_gram_back(cudaStream_t s, const hora_cuda_gram *g, const double *dout,
                                    float *dp, bool add) {
    hora_cuda_gram_run(s, g, g->distance);
    gram_slope<<<blocks_for(g->r * g->k, THREADS), THREADS, 0, s>>>(*g, dout, dp, add);
}
