/* Products by plain tiles, for shapes and alignments that cuBLASLt has no kernel for: correct
 * anywhere, fast nowhere. */
#include "backend/cuda/kern_common.cuh"

enum { TILE = 16 };

template <class A, class D>
__global__ void plain(hora_cuda_plain p, float alpha, const A *a, const A *b, float beta,
                      const D *c, D *d) {
    __shared__ float ta[TILE][TILE + 1], tb[TILE][TILE + 1];
    int64_t i = (int64_t)blockIdx.y * TILE + threadIdx.y;
    int64_t j = (int64_t)blockIdx.x * TILE + threadIdx.x;
    const int64_t lda = p.ta ? p.m : p.k, ldb = p.tb ? p.k : p.n;
    a += blockIdx.z * p.m * p.k;
    b += blockIdx.z * p.k * p.n;
    float sum = 0;
    for (int64_t l = 0; l < p.k; l += TILE) {
        int64_t ka = l + threadIdx.x, kb = l + threadIdx.y;
        ta[threadIdx.y][threadIdx.x] =
            i < p.m && ka < p.k ? to_float(p.ta ? a[ka * lda + i] : a[i * lda + ka]) : 0;
        tb[threadIdx.y][threadIdx.x] =
            j < p.n && kb < p.k ? to_float(p.tb ? b[j * ldb + kb] : b[kb * ldb + j]) : 0;
        __syncthreads();
        for (int k = 0; k < TILE; k++)
            sum += ta[threadIdx.y][k] * tb[k][threadIdx.x];
        __syncthreads();
    }
    if (i >= p.m || j >= p.n)
        return;
    int64_t at = (blockIdx.z * p.m + i) * p.n + j;
    d[at] = from_float<D>(alpha * sum + (beta != 0 ? beta * to_float(c[at]) : 0.0f));
}

extern "C" void hora_cuda_plain_run(cudaStream_t s, const hora_cuda_plain *p, float alpha,
                                    const void *a, const void *b, float beta, const void *c,
                                    void *d) {
    dim3 grid(blocks_for(p->n, TILE), blocks_for(p->m, TILE), (unsigned)p->batch);
    WITH_TYPE(p->tin, A, WITH_TYPE(p->tout, D, {
                  plain<A, D><<<grid, dim3(TILE, TILE), 0, s>>>(
                      *p, alpha, (const A *)a, (const A *)b, beta, (const D *)c, (D *)d);
              }));
}
