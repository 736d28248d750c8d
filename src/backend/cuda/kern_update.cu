/* Sums of squares and updates over the pieces of parameters: a block per piece. */
#include "backend/cuda/kern_common.cuh"

enum { THREADS = 256 };

__global__ void square_pieces(const hora_cuda_piece *pieces, double *partial) {
    const hora_cuda_piece p = pieces[blockIdx.x];
    double sum = 0;
    for (int64_t i = threadIdx.x; p.active && i < p.n; i += THREADS)
        sum += (double)p.grad[i] * p.grad[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

__global__ void add_up(const double *partial, int n, double *out) {
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += THREADS)
        sum += partial[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        *out = sum;
}

extern "C" void hora_cuda_squares(cudaStream_t s, const hora_cuda_piece *p, int n, double *partial,
                                  double *out) {
    if (n)
        square_pieces<<<(unsigned)n, THREADS, 0, s>>>(p, partial);
    add_up<<<1, THREADS, 0, s>>>(partial, n, out);
}

/* The rules of optim/opt_*.c. */
template <int RULE> __global__ void update(const hora_cuda_piece *pieces, hora_cuda_rates u) {
    const hora_cuda_piece p = pieces[blockIdx.x];
    if (!p.active)
        return;
    const double rate = u.lr * p.lr;
    const float keep = (float)(1 - rate * p.decay), scale = (float)u.scale;
    const float lr = (float)rate, size = (float)(rate * u.first), root = (float)u.root;
    const float b1 = (float)u.beta1, c1 = (float)(1 - u.beta1), b2 = (float)u.beta2,
                c2 = (float)(1 - u.beta2), eps = (float)u.eps, momentum = (float)u.momentum;
    for (int64_t i = threadIdx.x; i < p.n; i += THREADS) {
        float d = p.grad[i] * scale, m = p.moment[0][i];
        if (RULE == HORA_CUDA_ADAMW) {
            float v = b2 * p.moment[1][i] + c2 * (d * d);
            m = b1 * m + c1 * d;
            p.moment[1][i] = v;
            p.value[i] = keep * p.value[i] - size * (m / (sqrtf(v) * root + eps));
        } else if (RULE == HORA_CUDA_SGD) {
            m = momentum * m + d;
            p.value[i] = keep * p.value[i] - lr * m;
        } else {
            float s = b1 * m + c1 * d;
            p.value[i] = keep * p.value[i] - lr * (float)((s > 0) - (s < 0));
            m = b2 * m + c2 * d;
        }
        p.moment[0][i] = m;
        if (p.least > -INFINITY)
            p.value[i] = fmaxf(p.value[i], p.least);
    }
}

extern "C" void hora_cuda_update(cudaStream_t s, hora_cuda_rule rule, const hora_cuda_piece *p,
                                 int n, hora_cuda_rates r) {
    if (!n)
        return;
    if (rule == HORA_CUDA_ADAMW)
        update<HORA_CUDA_ADAMW><<<(unsigned)n, THREADS, 0, s>>>(p, r);
    else if (rule == HORA_CUDA_SGD)
        update<HORA_CUDA_SGD><<<(unsigned)n, THREADS, 0, s>>>(p, r);
    else
        update<HORA_CUDA_LION><<<(unsigned)n, THREADS, 0, s>>>(p, r);
}
