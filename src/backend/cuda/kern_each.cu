/* Element by element: ops whose time is that of their bytes. */
#include "backend/cuda/kern_common.cuh"

#include "op/op_dropout.h"

enum { THREADS = 256 };

/* --- activations, op_act.c -------------------------------------------------------------------- */
__device__ __forceinline__ float logistic(float x) {
    return 1.0f / (1.0f + expf(-x));
}

__device__ float act_of(hora_act s, float x) {
    switch (s) {
    case HORA_ACT_RELU:
        return x > 0 ? x : 0;
    case HORA_ACT_TANH:
        return tanhf(x);
    case HORA_ACT_SIGMOID:
        return logistic(x);
    case HORA_ACT_GELU:
        return 0.5f * x * erfcf(-x * 0.70710678118654752f);
    case HORA_ACT_GELU_TANH:
        return 0.5f * x * (1 + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case HORA_ACT_SILU:
        return x * logistic(x);
    case HORA_ACT_QUICK_GELU:
        return x * logistic(1.702f * x);
    default:
        return x;
    }
}

__device__ float dact_of(hora_act s, float x) {
    float t;
    switch (s) {
    case HORA_ACT_RELU:
        return x > 0;
    case HORA_ACT_TANH:
        t = tanhf(x);
        return 1 - t * t;
    case HORA_ACT_SIGMOID:
        t = logistic(x);
        return t * (1 - t);
    case HORA_ACT_GELU:
        return 0.5f * erfcf(-x * 0.70710678118654752f) +
               0.39894228040143268f * x * expf(-0.5f * x * x);
    case HORA_ACT_GELU_TANH:
        t = tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x));
        return 0.5f * (1 + t) +
               0.5f * x * (1 - t * t) * 0.79788456080286536f * (1 + 0.134145f * x * x);
    case HORA_ACT_SILU:
        t = logistic(x);
        return t * (1 + x * (1 - t));
    case HORA_ACT_QUICK_GELU:
        t = logistic(1.702f * x);
        return t * (1 + 1.702f * x * (1 - t));
    default:
        return 1;
    }
}

/* --- maps ------------------------------------------------------------------------------------- */
template <int F>
__device__ __forceinline__ float value(hora_act s, float alpha, float a, float b, float c) {
    switch (F) {
    case HORA_CUDA_AXPY:
        return a + alpha * b;
    case HORA_CUDA_MUL:
        return a * b;
    case HORA_CUDA_ACT:
        return act_of(s, a);
    case HORA_CUDA_DACT:
        return a * dact_of(s, b);
    case HORA_CUDA_GLU:
        return act_of(s, a) * b;
    case HORA_CUDA_DGATE:
        return a * b * dact_of(s, c);
    default:
        return a * act_of(s, b);
    }
}

template <class T, int V, int F>
__global__ void each(hora_act s, float alpha, const T *a, const T *b, const T *c, T *y, bool add,
                     int64_t n) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
    if (i >= n)
        return;
    float x[V], u[V] = {}, w[V] = {};
    load<V>(a + i, x);
    if (b)
        load<V>(b + i, u);
    if (c)
        load<V>(c + i, w);
#pragma unroll
    for (int k = 0; k < V; k++)
        x[k] = F == HORA_CUDA_AXPY && !b ? alpha * x[k] : value<F>(s, alpha, x[k], u[k], w[k]);
    put<V>(y + i, x, add);
}

template <class T, int V>
static void each_of(cudaStream_t s, hora_cuda_map f, hora_act act, float alpha, const T *a,
                    const T *b, const T *c, T *y, bool add, int64_t n) {
    unsigned grid = blocks_for(n, THREADS * V);
#define RUN(F)                                                                                     \
    case F:                                                                                        \
        each<T, V, F><<<grid, THREADS, 0, s>>>(act, alpha, a, b, c, y, add, n);                    \
        break;
    switch (f) {
        RUN(HORA_CUDA_AXPY)
        RUN(HORA_CUDA_MUL)
        RUN(HORA_CUDA_ACT)
        RUN(HORA_CUDA_DACT)
        RUN(HORA_CUDA_GLU)
        RUN(HORA_CUDA_DGATE)
        RUN(HORA_CUDA_DUP)
    }
#undef RUN
}

static bool wide(int64_t n, const void *a, const void *b, const void *c, const void *y) {
    return n % 8 == 0 && aligned16(a) && aligned16(b) && aligned16(c) && aligned16(y);
}

extern "C" void hora_cuda_each(cudaStream_t s, hora_dtype t, hora_cuda_map f, hora_act act,
                               float alpha, const void *a, const void *b, const void *c, void *y,
                               bool add, int64_t n) {
    if (!n)
        return;
    WITH_TYPE(t, T, {
        if (wide(n, a, b, c, y))
            each_of<T, 8>(s, f, act, alpha, (const T *)a, (const T *)b, (const T *)c, (T *)y, add,
                          n);
        else
            each_of<T, 1>(s, f, act, alpha, (const T *)a, (const T *)b, (const T *)c, (T *)y, add,
                          n);
    });
}

template <class T, int V>
__global__ void glu_back(hora_act s, const T *dy, const T *g, const T *u, T *dg, bool add_g, T *du,
                         bool add_u, int64_t n) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
    if (i >= n)
        return;
    float y[V], x[V], z[V];
    load<V>(dy + i, y);
    load<V>(g + i, x);
    if (dg) {
        load<V>(u + i, z);
#pragma unroll
        for (int k = 0; k < V; k++)
            z[k] *= y[k] * dact_of(s, x[k]);
        put<V>(dg + i, z, add_g);
    }
    if (du) {
#pragma unroll
        for (int k = 0; k < V; k++)
            y[k] *= act_of(s, x[k]);
        put<V>(du + i, y, add_u);
    }
}

extern "C" void hora_cuda_glu_back(cudaStream_t s, hora_dtype t, hora_act act, const void *dy,
                                   const void *g, const void *u, void *dg, bool add_g, void *du,
                                   bool add_u, int64_t n) {
    if (!n)
        return;
    WITH_TYPE(t, T, {
        if (wide(n, dy, g, u, dg) && aligned16(du))
            glu_back<T, 8><<<blocks_for(n, THREADS * 8), THREADS, 0, s>>>(
                act, (const T *)dy, (const T *)g, (const T *)u, (T *)dg, add_g, (T *)du, add_u, n);
        else
            glu_back<T, 1><<<blocks_for(n, THREADS), THREADS, 0, s>>>(
                act, (const T *)dy, (const T *)g, (const T *)u, (T *)dg, add_g, (T *)du, add_u, n);
    });
}

/* --- by column -------------------------------------------------------------------------------- */
template <class T, class TV>
__global__ void columns(float alpha, const T *x, const TV *v, T *y, bool add, int64_t n,
                        int64_t width) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    float a[1] = {alpha * to_float(x[i]) * (v ? to_float(v[i % width]) : 1.0f)};
    put<1>(y + i, a, add);
}

extern "C" void hora_cuda_columns(cudaStream_t s, hora_dtype t, hora_dtype tv, float alpha,
                                  const void *x, const void *v, void *y, bool add, int64_t rows,
                                  int64_t width) {
    int64_t n = rows * width;
    if (!n)
        return;
    WITH_TYPE(t, T, WITH_TYPE(tv, TV, {
                  columns<T, TV><<<blocks_for(n, THREADS), THREADS, 0, s>>>(
                      alpha, (const T *)x, (const TV *)v, (T *)y, add, n, width);
              }));
}

template <class T, class TB>
__global__ void bias(const T *add, const TB *b, T *y, int64_t n, int64_t width) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        y[i] = from_float<T>((add ? to_float(add[i]) : 0.0f) + to_float(b[i % width]));
}

extern "C" void hora_cuda_bias(cudaStream_t s, hora_dtype t, hora_dtype tb, const void *add,
                               const void *b, void *y, int64_t rows, int64_t width) {
    int64_t n = rows * width;
    if (!n)
        return;
    WITH_TYPE(t, T, WITH_TYPE(tb, TB, {
                  bias<T, TB><<<blocks_for(n, THREADS), THREADS, 0, s>>>(
                      (const T *)add, (const TB *)b, (T *)y, n, width);
              }));
}

template <class A, class B> __global__ void cast(A *to, const B *from, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        to[i] = from_float<A>(to_float(from[i]));
}

extern "C" void hora_cuda_cast(cudaStream_t s, hora_dtype to, void *dst, hora_dtype from,
                               const void *src, int64_t n) {
    if (!n)
        return;
    WITH_TYPE(to, A, WITH_TYPE(from, B, {
                  cast<A, B>
                      <<<blocks_for(n, THREADS), THREADS, 0, s>>>((A *)dst, (const B *)src, n);
              }));
}

template <class A, class B>
__global__ void cast_two(A *to0, const B *from0, int64_t n0, A *to1, const B *from1, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n0)
        to0[i] = from_float<A>(to_float(from0[i]));
    else if (i < n)
        to1[i - n0] = from_float<A>(to_float(from1[i - n0]));
}

extern "C" void hora_cuda_cast_two(cudaStream_t s, hora_dtype to, void *dst0, const void *src0,
                                   int64_t n0, void *dst1, hora_dtype from, const void *src1,
                                   int64_t n1) {
    if (n0 + n1 == 0)
        return;
    WITH_TYPE(to, A, WITH_TYPE(from, B, {
                  cast_two<A, B><<<blocks_for(n0 + n1, THREADS), THREADS, 0, s>>>(
                      (A *)dst0, (const B *)src0, n0, (A *)dst1, (const B *)src1, n0 + n1);
              }));
}

template <class T, int V>
__global__ void times(const double *factor, const T *x, T *y, bool add, int64_t n) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;
    if (i >= n)
        return;
    float a[V], f = (float)*factor;
    load<V>(x + i, a);
#pragma unroll
    for (int k = 0; k < V; k++)
        a[k] *= f;
    put<V>(y + i, a, add);
}

extern "C" void hora_cuda_times(cudaStream_t s, hora_dtype t, const double *factor, const void *x,
                                void *y, bool add, int64_t n) {
    if (!n)
        return;
    WITH_TYPE(t, T, {
        if (wide(n, x, y, NULL, NULL))
            times<T, 8><<<blocks_for(n, THREADS * 8), THREADS, 0, s>>>(factor, (const T *)x, (T *)y,
                                                                       add, n);
        else
            times<T, 1>
                <<<blocks_for(n, THREADS), THREADS, 0, s>>>(factor, (const T *)x, (T *)y, add, n);
    });
}

/* --- dropout, op_dropout.h; base/rng.c's Philox ----------------------------------------------- */
__device__ void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

template <class T> __global__ void noise(uint64_t seed, T *y, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    uint32_t words[4];
    if (i >= n)
        return;
    philox(seed, 0, (uint64_t)i, words);
    y[i] = from_float<T>((float)words[0] * 0x1p-31f - 1);
}

extern "C" void hora_cuda_noise(cudaStream_t s, hora_dtype t, uint64_t seed, void *y, int64_t n) {
    WITH_TYPE(t, T, { noise<T><<<blocks_for(n, THREADS), THREADS, 0, s>>>(seed, (T *)y, n); });
}

template <class T>
__global__ void dropout(const hora_batch *batch, uint64_t stream, uint32_t threshold, float grow,
                        const T *x, T *y, bool add, int64_t rows, int64_t width) {
    int64_t quads = (width + 3) / 4, at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= rows * quads)
        return;
    int64_t row = at / quads, quad = at % quads;
    uint32_t words[4];
    philox(batch->seed + batch->step * 0x9E3779B97F4A7C15ull, stream,
           ((uint64_t)(batch->row0 + row) << 24) + (uint64_t)quad, words);
    for (int k = 0; k < 4 && quad * 4 + k < width; k++) {
        int64_t i = row * width + quad * 4 + k;
        float a[1] = {words[k] >= threshold ? to_float(x[i]) * grow : 0.0f};
        put<1>(y + i, a, add);
    }
}

extern "C" void hora_cuda_dropout(cudaStream_t s, hora_dtype t, const hora_batch *batch,
                                  uint64_t stream, double p, const void *x, void *y, bool add,
                                  int64_t rows, int64_t width) {
    int64_t n = rows * ((width + 3) / 4);
    if (!n)
        return;
    WITH_TYPE(t, T, {
        dropout<T><<<blocks_for(n, THREADS), THREADS, 0, s>>>(
            batch, stream, hora_dropout_threshold(p), (float)(1 / (1 - p)), (const T *)x, (T *)y,
            add, rows, width);
    });
}

/* --- rope ------------------------------------------------------------------------------------- */
/* A thread turns column j of HEADS heads: the angle is computed in double, once for them. */
enum { HEADS = 8 };

template <class T>
__global__ void rope(const hora_batch *batch, const double *freq, double scale, float sign,
                     const T *x, T *y, bool add, int64_t rows, int64_t heads, int64_t half) {
    int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= rows * half)
        return;
    int64_t row = at / half, j = at % half;
    double sine, cosine;
    sincos((double)batch->pos[row] * freq[j], &sine, &cosine);
    float c = (float)(scale * cosine), s = sign * (float)(scale * sine);
    int64_t from = (int64_t)blockIdx.y * HEADS, to = min(from + HEADS, heads);
    for (int64_t h = from; h < to; h++) {
        int64_t i = (row * heads + h) * 2 * half + j;
        float a = to_float(x[i]), b = to_float(x[i + half]);
        float first[1] = {a * c - b * s}, second[1] = {b * c + a * s};
        put<1>(y + i, first, add);
        put<1>(y + i + half, second, add);
    }
}

extern "C" void hora_cuda_rope(cudaStream_t s, hora_dtype t, const hora_batch *batch,
                               const double *freq, double scale, int sign, const void *x, void *y,
                               bool add, int64_t rows, int64_t heads, int64_t head_dim) {
    int64_t n = rows * head_dim / 2;
    if (!n)
        return;
    dim3 grid(blocks_for(n, THREADS), blocks_for(heads, HEADS));
    WITH_TYPE(t, T, {
        rope<T><<<grid, THREADS, 0, s>>>(batch, freq, scale, (float)sign, (const T *)x, (T *)y, add,
                                         rows, heads, head_dim / 2);
    });
}

/* --- ratio ------------------------------------------------------------------------------------ */
__global__ void ratio(const float *a, const float *b, const float *c, float *y, int64_t n) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        y[i] = a[i] / (b[i] + (c ? *c : 0));
}

extern "C" void hora_cuda_ratio(cudaStream_t s, const float *a, const float *b, const float *c,
                                float *y, int64_t n) {
    if (n)
        ratio<<<blocks_for(n, THREADS), THREADS, 0, s>>>(a, b, c, y, n);
}

/* One block: the sum for dc has a fixed order. */
__global__ void ratio_back(hora_cuda_ratio_grad r) {
    float sum = 0;
    for (int64_t i = threadIdx.x; i < r.n; i += THREADS) {
        float d[1] = {r.dy[i] / (r.b[i] + (r.c ? *r.c : 0))};
        if (r.da)
            put<1>(r.da + i, d, r.add_a);
        d[0] = r.db || r.dc ? -r.dy[i] * r.y[i] / (r.b[i] + (r.c ? *r.c : 0)) : 0;
        sum += d[0];
        if (r.db)
            put<1>(r.db + i, d, r.add_b);
    }
    sum = block_sum<THREADS>(sum);
    if (r.dc && threadIdx.x == 0)
        *r.dc = sum + (r.add_c ? *r.dc : 0);
}

extern "C" void hora_cuda_ratio_back(cudaStream_t s, const hora_cuda_ratio_grad *r) {
    ratio_back<<<1, THREADS, 0, s>>>(*r);
}

/* --- outer ------------------------------------------------------------------------------------ */
__global__ void outer(const float *a, const float *b, float *y, int64_t n, int64_t p, int64_t q) {
    const int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (at < n * p * q)
        y[at] = a[at / q] * b[at / (p * q) * q + at % q];
}

extern "C" void hora_cuda_outer(cudaStream_t s, const float *a, const float *b, float *y, int64_t n,
                                int64_t p, int64_t q) {
    if (n * p * q)
        outer<<<blocks_for(n * p * q, THREADS), THREADS, 0, s>>>(a, b, y, n, p, q);
}

/* A warp for each sum over the columns of b. */
__global__ void outer_back_a(const float *b, const float *dy, float *da, bool add, int64_t n,
                             int64_t p, int64_t q) {
    const int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / 32;
    if (at >= n * p)
        return;
    float sum = 0;
    for (int64_t l = threadIdx.x % 32; l < q; l += 32)
        sum += dy[at * q + l] * b[at / p * q + l];
    float d[1] = {warp_sum(sum)};
    if (threadIdx.x % 32 == 0)
        put<1>(da + at, d, add);
}

__global__ void outer_back_b(const float *a, const float *dy, float *db, bool add, int64_t n,
                             int64_t p, int64_t q) {
    const int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = at / q;
    if (at >= n * q)
        return;
    float sum[1] = {0};
    for (int64_t j = 0; j < p; j++)
        sum[0] += dy[(i * p + j) * q + at % q] * a[i * p + j];
    put<1>(db + at, sum, add);
}

extern "C" void hora_cuda_outer_back(cudaStream_t s, const float *a, const float *b,
                                     const float *dy, float *da, bool add_a, float *db, bool add_b,
                                     int64_t n, int64_t p, int64_t q) {
    if (da && n * p)
        outer_back_a<<<blocks_for(n * p * 32, THREADS), THREADS, 0, s>>>(b, dy, da, add_a, n, p, q);
    if (db && n * q)
        outer_back_b<<<blocks_for(n * q, THREADS), THREADS, 0, s>>>(a, dy, db, add_b, n, p, q);
}

/* --- moving rows ------------------------------------------------------------------------------ */
template <class T>
__global__ void permute(const T *x, T *y, bool add, int64_t n, int64_t a, int64_t b, int64_t w) {
    int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; /* of y: g, j, i, k */
    if (at >= n)
        return;
    int64_t k = at % w, i = at / w % a, j = at / (w * a) % b, g = at / (w * a * b);
    float v[1] = {to_float(x[((g * a + i) * b + j) * w + k])};
    put<1>(y + at, v, add);
}

extern "C" void hora_cuda_permute(cudaStream_t s, hora_dtype t, const void *x, void *y, bool add,
                                  int64_t groups, int64_t a, int64_t b, int64_t w) {
    int64_t n = groups * a * b * w;
    if (!n)
        return;
    WITH_TYPE(t, T, {
        permute<T>
            <<<blocks_for(n, THREADS), THREADS, 0, s>>>((const T *)x, (T *)y, add, n, a, b, w);
    });
}

/* Row of the table that row i takes; -1: none. */
__device__ __forceinline__ int64_t row_of(const hora_cuda_numbers &k, int64_t i) {
    const int32_t *numbers =
        k.index ? k.index : *(const int32_t *const *)((const char *)k.batch + k.leaf);
    const int64_t v = numbers[i] - k.first;
    return v >= 0 && v < k.table ? v : -1;
}

template <class T, class E>
__global__ void gather(hora_cuda_numbers k, const E *e, const T *onto, T *y, int64_t width) {
    const int64_t i = blockIdx.x, v = row_of(k, i);
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x)
        y[i * width + j] = from_float<T>((onto ? to_float(onto[i * width + j]) : 0.0f) +
                                         (v < 0 ? 0.0f : to_float(e[v * width + j])));
}

extern "C" void hora_cuda_gather(cudaStream_t s, hora_dtype t, hora_dtype te,
                                 const hora_cuda_numbers *k, const void *e, const void *onto,
                                 void *y, int64_t n, int64_t width) {
    if (!n)
        return;
    WITH_TYPE(t, T, WITH_TYPE(te, E, {
                  gather<T, E><<<(unsigned)n, THREADS, 0, s>>>(*k, (const E *)e, (const T *)onto,
                                                               (T *)y, width);
              }));
}

/* The block of the first row with a number sums all rows with it, ascending; the others do nothing.
 */
template <class T>
__global__ void scatter(hora_cuda_numbers k, const T *dy, float *de, int64_t n, int64_t width) {
    __shared__ int earlier, list[THREADS], count;
    const int64_t i = blockIdx.x, v = row_of(k, i);
    if (v < 0)
        return;
    if (threadIdx.x == 0)
        earlier = 0;
    __syncthreads();
    for (int64_t j = threadIdx.x; j < i; j += THREADS)
        if (row_of(k, j) == v)
            earlier = 1;
    __syncthreads();
    if (earlier)
        return;
    for (int64_t base = i; base < n; base += THREADS) {
        if (threadIdx.x == 0) {
            count = 0;
            for (int j = 0; j < THREADS && base + j < n; j++)
                if (row_of(k, base + j) == v)
                    list[count++] = j;
        }
        __syncthreads();
        for (int64_t j = threadIdx.x; count && j < width; j += THREADS) {
            float sum = de[v * width + j];
            for (int l = 0; l < count; l++)
                sum += to_float(dy[(base + list[l]) * width + j]);
            de[v * width + j] = sum;
        }
        __syncthreads();
    }
}

extern "C" void hora_cuda_scatter(cudaStream_t s, hora_dtype t, const hora_cuda_numbers *k,
                                  const void *dy, float *de, bool add, int64_t n, int64_t width) {
    if (!add)
        cudaMemsetAsync(de, 0, (size_t)(k->table * width) * sizeof *de, s);
    if (n)
        WITH_TYPE(t, T,
                  { scatter<T><<<(unsigned)n, THREADS, 0, s>>>(*k, (const T *)dy, de, n, width); });
}

template <class T> __global__ void input(const hora_batch *batch, size_t leaf, T *y, int64_t n) {
    const float *x = *(const float *const *)((const char *)batch + leaf);
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        y[i] = from_float<T>(x[i]);
}

extern "C" void hora_cuda_input(cudaStream_t s, hora_dtype t, const hora_batch *batch, size_t leaf,
                                void *y, int64_t n) {
    if (n)
        WITH_TYPE(t, T,
                  { input<T><<<blocks_for(n, THREADS), THREADS, 0, s>>>(batch, leaf, (T *)y, n); });
}
