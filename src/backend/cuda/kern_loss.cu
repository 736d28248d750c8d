/* Losses: cross-entropy of op head_xent over a chunk of logits, a block per row; losses against
 * values and against shares of classes. */
#include "backend/cuda/kern_common.cuh"

enum { THREADS = 512 };

/* Largest value and sum of exp(z - largest), combined in a fixed order. */
struct tops {
    float most, sum;
};
__device__ __forceinline__ tops both(tops a, tops b) {
    float most = fmaxf(a.most, b.most);
    if (most == -INFINITY)
        return a;
    return {most, a.sum * expf(a.most - most) + b.sum * expf(b.most - most)};
}

__device__ tops block_tops(tops a) {
    __shared__ tops part[THREADS / 32];
    for (int d = 16; d; d >>= 1)
        a = both(a,
                 {__shfl_xor_sync(0xffffffffu, a.most, d), __shfl_xor_sync(0xffffffffu, a.sum, d)});
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = a;
    __syncthreads();
    a = part[0];
    for (int k = 1; k < THREADS / 32; k++)
        a = both(a, part[k]);
    return a;
}

template <class T, class B, int V> __global__ void xent(hora_cuda_xent x) {
    int64_t i = blockIdx.x, classes = x.classes;
    int32_t target = x.batch->target[x.row0 + i];
    float weight = x.batch->weight[x.row0 + i];
    const float *z = x.z + i * classes;
    const B *bias = (const B *)x.bias;
    T *dz = x.dz ? (T *)x.dz + i * classes : NULL;
    float a[V], lse = 0;
    if (target < 0) {
        if (threadIdx.x == 0 && !x.back) {
            x.loss[i] = 0;
            if (x.lse)
                x.lse[i] = 0;
        }
        for (int k = 0; k < V; k++)
            a[k] = 0;
        for (int64_t v = threadIdx.x * V; dz && v < classes; v += THREADS * V)
            store<V>(dz + v, a);
        return;
    }
    if (x.back) {
        lse = x.lse[i];
    } else {
        tops t = {-INFINITY, 0};
        for (int64_t v = threadIdx.x * V; v < classes; v += THREADS * V) {
            load<V>(z + v, a);
            float most = -INFINITY, sum = 0;
#pragma unroll
            for (int k = 0; k < V; k++) {
                a[k] += bias ? to_float(bias[v + k]) : 0.0f;
                most = fmaxf(most, a[k]);
            }
            if (most <= t.most) {
#pragma unroll
                for (int k = 0; k < V; k++)
                    sum += __expf(a[k] - t.most);
                t.sum += sum;
            } else {
#pragma unroll
                for (int k = 0; k < V; k++)
                    sum += __expf(a[k] - most);
                t = {most, t.sum * __expf(t.most - most) + sum};
            }
        }
        t = block_tops(t);
        lse = t.most + logf(t.sum);
        if (threadIdx.x == 0) {
            float zt = z[target] + (bias ? to_float(bias[target]) : 0.0f);
            x.loss[i] = (double)weight * ((double)lse - (double)zt);
            if (x.lse)
                x.lse[i] = lse;
        }
    }
    if (!dz)
        return;
    float f = (float)(x.batch->scale * (double)weight * (x.dout ? *x.dout : 1.0));
    for (int64_t v = threadIdx.x * V; v < classes; v += THREADS * V) {
        load<V>(z + v, a);
#pragma unroll
        for (int k = 0; k < V; k++) {
            a[k] += bias ? to_float(bias[v + k]) : 0.0f;
            a[k] = f * (__expf(a[k] - lse) - (v + k == target ? 1.0f : 0.0f));
        }
        store<V>(dz + v, a);
    }
}

extern "C" void hora_cuda_xent_run(cudaStream_t s, const hora_cuda_xent *x) {
    if (!x->rows)
        return;
    WITH_TYPE(x->t, T, WITH_TYPE(x->tb, B, {
                  if (x->classes % 4 == 0 && aligned16(x->z) && aligned16(x->dz))
                      xent<T, B, 4><<<(unsigned)x->rows, THREADS, 0, s>>>(*x);
                  else
                      xent<T, B, 1><<<(unsigned)x->rows, THREADS, 0, s>>>(*x);
              }));
}

__global__ void sum_loss(const hora_batch *batch, const double *loss, double *out, int64_t n) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        sum += loss[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        *out = batch->scale * sum;
}

extern "C" void hora_cuda_loss(cudaStream_t s, const hora_batch *batch, const double *loss,
                               double *out, int64_t n) {
    sum_loss<<<1, THREADS, 0, s>>>(batch, loss, out, n);
}

/* --- losses against values: op_mse.c, op_bce.c ------------------------------------------------ */
template <class T> __global__ void value_loss(hora_cuda_value_loss v) {
    const T *z = (const T *)v.z;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < v.n * v.k; i += THREADS) {
        const double x = (double)to_float(z[i]), y = (double)v.batch->value[i];
        const double l = v.binary ? fmax(x, 0.0) - x * y + log1p(exp(-fabs(x))) : (x - y) * (x - y);
        sum += (double)v.batch->weight[i / v.k] * l;
    }
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        *v.loss = v.batch->scale / (double)v.k * sum;
}

template <class T> __global__ void value_loss_back(hora_cuda_value_loss v, T *dz, bool add) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= v.n * v.k)
        return;
    const double x = (double)to_float(((const T *)v.z)[i]), y = (double)v.batch->value[i];
    const double s = *v.dout * v.batch->scale / (double)v.k * (double)v.batch->weight[i / v.k];
    float d[1] = {(float)(s * (v.binary ? 1 / (1 + exp(-x)) - y : 2 * (x - y)))};
    put<1>(dz + i, d, add);
}

extern "C" void hora_cuda_value_loss_run(cudaStream_t s, const hora_cuda_value_loss *v) {
    WITH_TYPE(v->t, T, { value_loss<T><<<1, THREADS, 0, s>>>(*v); });
}

extern "C" void hora_cuda_value_loss_back(cudaStream_t s, const hora_cuda_value_loss *v, void *dz,
                                          bool add) {
    if (v->n * v->k)
        WITH_TYPE(v->t, T, {
            value_loss_back<T>
                <<<blocks_for(v->n * v->k, THREADS), THREADS, 0, s>>>(*v, (T *)dz, add);
        });
}

/* --- shares of classes: op_soft_xent.c, a block per row ----------------------------------------- */
struct shares {
    double lse, all; /* log of the sum of exp z; the sum of the shares */
};
template <class T> __device__ shares shares_of(const T *z, const float *y, int64_t k) {
    __shared__ float most;
    if (threadIdx.x == 0) {
        most = to_float(z[0]);
        for (int64_t j = 1; j < k; j++)
            most = fmaxf(most, to_float(z[j]));
    }
    __syncthreads();
    double sum = 0, all = 0;
    for (int64_t j = threadIdx.x; j < k; j += THREADS) {
        sum += exp((double)to_float(z[j]) - (double)most);
        all += (double)y[j];
    }
    sum = block_sum<THREADS>(sum);
    all = block_sum<THREADS>(all);
    return {(double)most + log(sum), all};
}

template <class T> __global__ void soft_xent(hora_cuda_value_loss v, double *rows) {
    const T *z = (const T *)v.z + blockIdx.x * v.k;
    const float *y = v.batch->value + blockIdx.x * v.k;
    const float w = v.batch->weight[blockIdx.x];
    double sum = 0;
    if (w != 0) {
        const shares s = shares_of(z, y, v.k);
        for (int64_t j = threadIdx.x; j < v.k; j += THREADS)
            sum += (double)w * (double)y[j] * (s.lse - (double)to_float(z[j]));
        sum = block_sum<THREADS>(sum);
    }
    if (threadIdx.x == 0)
        rows[blockIdx.x] = sum;
}

template <class T> __global__ void soft_xent_back(hora_cuda_value_loss v, T *dz, bool add) {
    const T *z = (const T *)v.z + blockIdx.x * v.k;
    const float *y = v.batch->value + blockIdx.x * v.k;
    const float w = v.batch->weight[blockIdx.x];
    const double f = *v.dout * v.batch->scale * (double)w;
    shares s = {0, 0};
    if (w != 0)
        s = shares_of(z, y, v.k);
    for (int64_t j = threadIdx.x; j < v.k; j += THREADS) {
        float d[1] = {0};
        if (w != 0)
            d[0] = (float)(f * (s.all * exp((double)to_float(z[j]) - s.lse) - (double)y[j]));
        put<1>(dz + blockIdx.x * v.k + j, d, add);
    }
}

extern "C" void hora_cuda_soft_xent_run(cudaStream_t s, const hora_cuda_value_loss *v,
                                        double *rows) {
    if (v->n)
        WITH_TYPE(v->t, T, { soft_xent<T><<<(unsigned)v->n, THREADS, 0, s>>>(*v, rows); });
    hora_cuda_loss(s, v->batch, rows, v->loss, v->n);
}

extern "C" void hora_cuda_soft_xent_back(cudaStream_t s, const hora_cuda_value_loss *v, void *dz,
                                         bool add) {
    if (v->n)
        WITH_TYPE(v->t, T,
                  { soft_xent_back<T><<<(unsigned)v->n, THREADS, 0, s>>>(*v, (T *)dz, add); });
}
