/*
 * Attention for every dtype, head width and prefix: a warp owns a row of queries, or of keys, and
 * walks over what it sees, one at a time. The yardstick of kern_flash.cu, and what runs where that
 * does not.
 */
#include "backend/cuda/kern_common.cuh"

enum { WARPS = 4, LANES = 32, MOST = 8 }; /* head_dim <= LANES * MOST */

/* A lane's part of a head: every 32nd element. */
template <class T> __device__ __forceinline__ void take(const T *p, int dh, float (&x)[MOST]) {
#pragma unroll
    for (int k = 0; k < MOST; k++) {
        int j = k * LANES + (int)threadIdx.x;
        x[k] = j < dh ? to_float(p[j]) : 0.0f;
    }
}
__device__ __forceinline__ float dot(const float (&a)[MOST], const float (&b)[MOST]) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < MOST; k++)
        sum += a[k] * b[k];
    return warp_sum(sum);
}
template <class T>
__device__ __forceinline__ void give(T *p, int dh, const float (&x)[MOST], float f, bool add) {
#pragma unroll
    for (int k = 0; k < MOST; k++) {
        int j = k * LANES + (int)threadIdx.x;
        float v[1] = {x[k] * f};
        if (j < dh)
            put<1>(p + j, v, add);
    }
}
__device__ __forceinline__ void onto(float (&y)[MOST], float f, const float (&x)[MOST]) {
#pragma unroll
    for (int k = 0; k < MOST; k++)
        y[k] += f * x[k];
}

struct seen {
    int64_t lo, hi;
};
__device__ __forceinline__ seen sees(const hora_cuda_attention &a, int64_t i) {
    seen s = {a.batch->lo[i], a.batch->hi[i]};
    if (s.lo < s.hi && a.window)
        s.lo = max(s.lo, i - a.window + 1);
    if (a.ahead)
        s.hi = min(s.hi, i + a.ahead + 1);
    return s;
}
__device__ __forceinline__ bool any(const hora_cuda_attention &a, int64_t i) {
    return a.batch->lo[i] < a.batch->hi[i];
}

/* Key `j` of row i and its value: of the prefix below a.prefix, of the rows from there on. */
template <class T, class P>
__device__ __forceinline__ void pair(const hora_cuda_attention &a, int64_t j, int64_t g,
                                     float (&k)[MOST], float (&v)[MOST]) {
    int dh = (int)a.head_dim;
    if (j < a.prefix) {
        int64_t at = (j * a.kv_heads + g) * dh;
        take((const P *)a.kp + at, dh, k);
        take((const P *)a.vp + at, dh, v);
    } else {
        int64_t at = ((j - a.prefix) * a.kv_heads + g) * dh;
        take((const T *)a.k + at, dh, k);
        take((const T *)a.v + at, dh, v);
    }
}
/* The numbers of the keys that row i sees, the prefix first: -1 after the last. */
__device__ __forceinline__ int64_t after(const hora_cuda_attention &a, seen s, int64_t j) {
    j = j + 1 == a.prefix ? a.prefix + s.lo : j + 1;
    return j < a.prefix || j - a.prefix < s.hi ? j : -1;
}
__device__ __forceinline__ int64_t begin(const hora_cuda_attention &a, seen s) {
    return s.lo >= s.hi ? -1 : after(a, s, a.prefix ? -1 : a.prefix + s.lo - 1);
}

template <class T, class P> __global__ void attend(hora_cuda_attention a) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.y;
    if (at >= a.n * a.heads)
        return;
    int64_t i = at / a.heads, h = at % a.heads, g = h * a.kv_heads / a.heads;
    int dh = (int)a.head_dim;
    float q[MOST], k[MOST], v[MOST], y[MOST] = {}, most = -INFINITY, sum = 0;
    take((const T *)a.q + at * dh, dh, q);
    seen s = sees(a, i);
    for (int64_t j = begin(a, s); j >= 0; j = after(a, s, j)) {
        pair<T, P>(a, j, g, k, v);
        float z = a.scale * dot(q, k), top = fmaxf(most, z);
        float old = expf(most - top), now = expf(z - top);
        sum = sum * old + now;
        for (int e = 0; e < MOST; e++)
            y[e] *= old;
        onto(y, now, v);
        most = top;
    }
    give((T *)a.y + at * dh, dh, y, sum > 0 ? 1 / sum : 0, false);
    if (a.lse && threadIdx.x == 0)
        a.lse[at] = sum > 0 ? most + logf(sum) : 0;
}

template <class T> __global__ void dots(hora_cuda_attention a) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.y;
    if (at >= a.n * a.heads)
        return;
    float dy[MOST], y[MOST];
    take((const T *)a.dy + at * a.head_dim, (int)a.head_dim, dy);
    take((const T *)a.y + at * a.head_dim, (int)a.head_dim, y);
    float d = dot(dy, y);
    if (threadIdx.x == 0)
        a.dots[at] = d;
}

template <class T, class P> __global__ void queries_back(hora_cuda_attention a) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.y;
    if (at >= a.n * a.heads)
        return;
    int64_t i = at / a.heads, g = at % a.heads * a.kv_heads / a.heads;
    int dh = (int)a.head_dim;
    float q[MOST], k[MOST], v[MOST], dy[MOST], dq[MOST] = {};
    take((const T *)a.q + at * dh, dh, q);
    take((const T *)a.dy + at * dh, dh, dy);
    seen s = sees(a, i);
    for (int64_t j = begin(a, s); j >= 0; j = after(a, s, j)) {
        pair<T, P>(a, j, g, k, v);
        float p = expf(a.scale * dot(q, k) - a.lse[at]);
        onto(dq, p * (dot(dy, v) - a.dots[at]), k);
    }
    give((T *)a.dq + at * dh, dh, dq, a.scale, a.add_q);
}

/* A warp per key (the prefix first) and key-value head: all rows that see it, ascending. */
template <class T, class P> __global__ void keys_back(hora_cuda_attention a) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.y;
    if (at >= (a.prefix + a.n) * a.kv_heads)
        return;
    int64_t j = at / a.kv_heads, g = at % a.kv_heads, row = j - a.prefix;
    int dh = (int)a.head_dim;
    float q[MOST], k[MOST], v[MOST], dy[MOST], dk[MOST] = {}, dv[MOST] = {};
    pair<T, P>(a, j, g, k, v);
    for (int64_t i = 0; i < a.n; i++) {
        seen s = sees(a, i);
        if (row < 0 ? !any(a, i) : row < s.lo || row >= s.hi)
            continue;
        for (int64_t h = 0; h < a.heads; h++) {
            if (h * a.kv_heads / a.heads != g)
                continue;
            int64_t qi = i * a.heads + h;
            take((const T *)a.q + qi * dh, dh, q);
            take((const T *)a.dy + qi * dh, dh, dy);
            float p = expf(a.scale * dot(q, k) - a.lse[qi]);
            onto(dv, p, dy);
            onto(dk, p * (dot(dy, v) - a.dots[qi]), q);
        }
    }
    if (row < 0) {
        if (a.dkp)
            give((float *)a.dkp + at * dh, dh, dk, a.scale, a.add_kp);
        if (a.dvp)
            give((float *)a.dvp + at * dh, dh, dv, 1, a.add_vp);
        return;
    }
    int64_t own = (row * a.kv_heads + g) * dh;
    if (a.dk)
        give((T *)a.dk + own, dh, dk, a.scale, a.add_k);
    if (a.dv)
        give((T *)a.dv + own, dh, dv, 1, a.add_v);
}

/* --- over caches: a block per row and head, whose warps share the keys out ------------------- */
enum { SPLIT = 16 };

template <class T> __global__ void append(hora_cuda_attention a, int64_t width) {
    const int64_t i = blockIdx.x, to = (a.batch->cache_row + i) * width, from = i * width;
    if (!any(a, i))
        return;
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x) {
        ((T *)a.kp)[to + j] = ((const T *)a.k)[from + j];
        ((T *)a.vp)[to + j] = ((const T *)a.v)[from + j];
    }
}

template <class T> __global__ void attend_cached(hora_cuda_attention a) {
    __shared__ float most_of[SPLIT], sum_of[SPLIT], y_of[SPLIT][LANES * MOST];
    const int64_t at = blockIdx.x, i = at / a.heads, g = at % a.heads * a.kv_heads / a.heads;
    const int dh = (int)a.head_dim, part = (int)threadIdx.y;
    float q[MOST], k[MOST], v[MOST], y[MOST] = {}, most = -INFINITY, sum = 0;
    int64_t lo = a.batch->lo[i];
    if (a.window)
        lo = max(lo, a.batch->cache_row + i - a.window + 1);
    take((const T *)a.q + at * dh, dh, q);
    for (int64_t j = lo + part; j < a.batch->hi[i]; j += SPLIT) {
        take((const T *)a.kp + (j * a.kv_heads + g) * dh, dh, k);
        take((const T *)a.vp + (j * a.kv_heads + g) * dh, dh, v);
        const float z = a.scale * dot(q, k), top = fmaxf(most, z);
        const float old = expf(most - top), now = expf(z - top);
        sum = sum * old + now;
        for (int e = 0; e < MOST; e++)
            y[e] *= old;
        onto(y, now, v);
        most = top;
    }
    give(y_of[part], LANES * MOST, y, 1, false);
    if (threadIdx.x == 0) {
        most_of[part] = most;
        sum_of[part] = sum;
    }
    __syncthreads();
    for (int p = 0; p < SPLIT; p++)
        most = fmaxf(most, most_of[p]);
    for (int e = part * LANES + (int)threadIdx.x; e < dh; e += SPLIT * LANES) {
        float all = 0, value = 0;
        for (int p = 0; p < SPLIT; p++) {
            const float f = sum_of[p] > 0 ? expf(most_of[p] - most) : 0;
            all += f * sum_of[p];
            value += f * y_of[p][e];
        }
        ((T *)a.y)[at * dh + e] = from_float<T>(all > 0 ? value / all : 0);
    }
}

extern "C" void hora_cuda_attend_cached(cudaStream_t s, const hora_cuda_attention *a) {
    const int64_t width = a->kv_heads * a->head_dim;
    WITH_TYPE(a->t, T, {
        append<T><<<(unsigned)a->n, 256, 0, s>>>(*a, width);
        attend_cached<T><<<(unsigned)(a->n * a->heads), dim3(LANES, SPLIT), 0, s>>>(*a);
    });
}

extern "C" void hora_cuda_attend(cudaStream_t s, const hora_cuda_attention *a) {
    dim3 block(LANES, WARPS);
    WITH_TYPE(a->t, T, WITH_TYPE(a->tp, P, {
                  attend<T, P><<<blocks_for(a->n * a->heads, WARPS), block, 0, s>>>(*a);
              }));
}

extern "C" void hora_cuda_attend_back(cudaStream_t s, const hora_cuda_attention *a) {
    dim3 block(LANES, WARPS);
    unsigned queries = blocks_for(a->n * a->heads, WARPS);
    unsigned keys = blocks_for((a->prefix + a->n) * a->kv_heads, WARPS);
    WITH_TYPE(a->t, T, {
        dots<T><<<queries, block, 0, s>>>(*a);
        WITH_TYPE(a->tp, P, {
            if (a->dq)
                queries_back<T, P><<<queries, block, 0, s>>>(*a);
            if (a->dk || a->dv || a->dkp || a->dvp)
                keys_back<T, P><<<keys, block, 0, s>>>(*a);
        });
    });
}
