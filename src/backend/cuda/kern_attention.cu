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
