/* Row norms of W + alpha B A, op_lownorm.c: a block forms ROWS rows in registers, a column a thread,
 * so that A is read once for all of them. */
#include "backend/cuda/kern_common.cuh"

enum { THREADS = 256, ROWS = 8 };

/* dn NULL: n = the norms. Else u (o, k) = dn / n times the rows. */
template <class W> __global__ void lownorm(hora_cuda_lownorm p) {
    extern __shared__ float b[]; /* (ROWS, r), alpha included */
    const int64_t row0 = (int64_t)blockIdx.x * ROWS;
    const int rows = (int)min((int64_t)ROWS, p.o - row0);
    float sum[ROWS] = {}, f[ROWS];
    for (int64_t i = threadIdx.x; i < ROWS * p.r; i += THREADS)
        b[i] = i < rows * p.r ? p.alpha * p.b[row0 * p.r + i] : 0;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const float n = p.dn && i < rows ? p.n[row0 + i] : 0;
        f[i] = n > 0 ? p.dn[row0 + i] / n : 0;
    }
    __syncthreads();
    for (int64_t j = threadIdx.x; j < p.k; j += THREADS) {
        float u[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            u[i] = i < rows ? to_float(((const W *)p.w)[(row0 + i) * p.k + j]) : 0;
        for (int64_t l = 0; l < p.r; l++) {
            const float a = p.a[l * p.k + j];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                u[i] += b[i * p.r + l] * a;
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            sum[i] += u[i] * u[i];
            if (p.dn && i < rows)
                p.u[(row0 + i) * p.k + j] = f[i] * u[i];
        }
    }
    if (p.dn)
        return;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const float all = block_sum<THREADS>(sum[i]);
        if (threadIdx.x == 0 && i < rows)
            p.n[row0 + i] = sqrtf(all);
    }
}

extern "C" void hora_cuda_lownorm_run(cudaStream_t s, const hora_cuda_lownorm *p) {
    if (p->o)
        WITH_TYPE(p->tw, W, {
            lownorm<W>
                <<<blocks_for(p->o, ROWS), THREADS, (size_t)(ROWS * p->r) * sizeof(float), s>>>(*p);
        });
}
