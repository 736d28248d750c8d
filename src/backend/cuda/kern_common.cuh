/* What the .cu files share: elements as floats, packs of elements, reductions in a fixed order. */
#ifndef HORA_BACKEND_CUDA_KERN_COMMON_CUH
#define HORA_BACKEND_CUDA_KERN_COMMON_CUH
extern "C" {
#include "backend/cuda/kern.h"
}
#include <cuda_bf16.h>

typedef __nv_bfloat16 bf16;

/* Runs the statement with T as the C++ type of a dtype. */
#define WITH_TYPE(dtype, T, ...)                                                                   \
    do {                                                                                           \
        if ((dtype) == HORA_BF16) {                                                                \
            using T = bf16;                                                                        \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            using T = float;                                                                       \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

__device__ __forceinline__ float to_float(float x) {
    return x;
}
__device__ __forceinline__ float to_float(bf16 x) {
    return __bfloat162float(x);
}
template <class T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
    return __float2bfloat16_rn(x);
}

/* V elements that lie together, loaded and stored as wide as the type allows. */
template <class T, int V> struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) pack { T at[V]; };
template <int V, class T> __device__ __forceinline__ void load(const T *p, float (&x)[V]) {
    pack<T, V> v = *reinterpret_cast<const pack<T, V> *>(p);
#pragma unroll
    for (int k = 0; k < V; k++)
        x[k] = to_float(v.at[k]);
}
template <int V, class T> __device__ __forceinline__ void store(T *p, const float (&x)[V]) {
    pack<T, V> v;
#pragma unroll
    for (int k = 0; k < V; k++)
        v.at[k] = from_float<T>(x[k]);
    *reinterpret_cast<pack<T, V> *>(p) = v;
}
/* y = x, or y += x */
template <int V, class T> __device__ __forceinline__ void put(T *p, float (&x)[V], bool add) {
    if (add) {
        float old[V];
        load<V>(p, old);
#pragma unroll
        for (int k = 0; k < V; k++)
            x[k] += old[k];
    }
    store<V>(p, x);
}

template <class T> __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int d = 16; d; d >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, d);
    return x;
}
/* The sum over a block of G threads (a multiple of 32, at most 1024), given to all of them. */
template <int G, class T> __device__ __forceinline__ T block_sum(T x) {
    __shared__ T part[G / 32];
    x = warp_sum(x);
    if (G == 32)
        return x;
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = 0;
#pragma unroll
    for (int k = 0; k < G / 32; k++)
        sum += part[k];
    __syncthreads();
    return sum;
}

static inline bool aligned16(const void *p) {
    return ((uintptr_t)p & 15) == 0;
}
static inline unsigned blocks_for(int64_t n, int64_t each) {
    return (unsigned)((n + each - 1) / each);
}
#endif
