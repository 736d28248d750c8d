/*
 * Attention on Hopper's tensor cores (T. Dao et al., "FlashAttention", 2022, and "FlashAttention-3",
 * 2024): bf16, heads 64 or 128 wide, scores never stored. Backward is two kernels, one that owns
 * keys (dk, dv) and one that owns queries (dq), so every sum has one owner and a fixed order; each
 * computes the scores again.
 *
 * A block is two warpgroups of 64 rows. Its tiles come in by asynchronous copies, two stages deep.
 * Which keys a row sees is [lo, hi) of the batch, cut by the window; a table of tiles of 64 rows
 * says which pairs of tiles meet at all and which need no mask.
 */
#include "backend/cuda/kern_common.cuh"
#include "backend/cuda/kern_wgmma.cuh"

enum { ROWS = 128, HALF = 64, THREADS = 256, MOST = 1 << 17 };

/* --- the table of tiles ----------------------------------------------------------------------- */
/* Of 64 rows: the keys that any of them sees are in [lo, hi), all of them see [full_lo, full_hi). */
struct span {
    int lo, hi, full_lo, full_hi;
};
struct table {
    int tiles, blocks; /* of 64, of 128 rows */
    const span *of;
    const int *queries, *keys; /* blocks of 128, those with the most work first */
};

__host__ __device__ static table table_at(int32_t *at, int64_t n) {
    table t;
    t.tiles = (int)((n + HALF - 1) / HALF);
    t.blocks = (int)((n + ROWS - 1) / ROWS);
    t.of = (const span *)at;
    t.queries = at + 4 * t.tiles;
    t.keys = t.queries + t.blocks;
    return t;
}

extern "C" size_t hora_cuda_flash_tiles(int64_t n) {
    return (size_t)(4 * ((n + HALF - 1) / HALF) + 2 * ((n + ROWS - 1) / ROWS)) * sizeof(int32_t);
}

__device__ __forceinline__ int first_key(int lo, int64_t row, int64_t window) {
    return window ? max(lo, (int)(row - window + 1)) : lo;
}

__device__ __forceinline__ int end_key(int hi, int64_t row, int64_t ahead) {
    return ahead ? min(hi, (int)(row + ahead + 1)) : hi;
}

__device__ __forceinline__ bool meets(span q, int k0, int k1) {
    return q.lo < k1 && q.hi > k0;
}

__device__ void rank_blocks(const int *work, int *order, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        int rank = 0;
#pragma unroll 1 /* unrolled, it would read ahead of the end */
        for (int k = 0; k < n; k++)
            rank += work[k] > work[i] || (work[k] == work[i] && k < i);
        order[rank] = i;
    }
}

/* The span of 64 rows, by a warp. */
__device__ span span_of(const hora_batch *batch, int64_t n, int64_t window, int64_t ahead,
                        int tile) {
    span s = {INT_MAX, 0, 0, INT_MAX};
    for (int k = 0; k < 2; k++) {
        int64_t r = (int64_t)tile * HALF + k * 32 + threadIdx.x % 32;
        int lo = r < n ? first_key(batch->lo[r], r, window) : 0,
            hi = r < n ? end_key(batch->hi[r], r, ahead) : 0;
        if (lo < hi) {
            s.lo = min(s.lo, lo);
            s.hi = max(s.hi, hi);
            s.full_lo = max(s.full_lo, lo);
            s.full_hi = min(s.full_hi, hi);
        } else {
            s.full_lo = INT_MAX;
        }
    }
    s.lo = __reduce_min_sync(0xffffffffu, s.lo);
    s.hi = __reduce_max_sync(0xffffffffu, s.hi);
    s.full_lo = __reduce_max_sync(0xffffffffu, s.full_lo);
    s.full_hi = __reduce_min_sync(0xffffffffu, s.full_hi);
    return s;
}

/* One block; shared memory for a span per tile and a number per block of 128 rows. */
__global__ void fill_table(const hora_batch *batch, int64_t n, int64_t window, int64_t ahead,
                           int32_t *at) {
    extern __shared__ span spans[];
    const table t = table_at(at, n);
    span *of = spans;
    int *work = (int *)(of + t.tiles);
    for (int i = threadIdx.x / 32; i < t.tiles; i += blockDim.x / 32) {
        span s = span_of(batch, n, window, ahead, i);
        if (threadIdx.x % 32 == 0)
            of[i] = ((span *)t.of)[i] = s;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < t.blocks; i += blockDim.x) {
        span a = of[2 * i], b = of[min(2 * i + 1, t.tiles - 1)];
        work[i] = max(a.hi, b.hi) - min(a.lo, b.lo);
    }
    __syncthreads();
    rank_blocks(work, (int *)t.queries, t.blocks);
    __syncthreads();
    for (int i = threadIdx.x; i < t.blocks; i += blockDim.x) {
        work[i] = 0;
#pragma unroll 1
        for (int k = 0; k < t.tiles; k++)
            work[i] += meets(of[k], i * ROWS, (i + 1) * ROWS);
    }
    __syncthreads();
    rank_blocks(work, (int *)t.keys, t.blocks);
}

__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* --- tiles in shared memory ------------------------------------------------------------------- */
__device__ __forceinline__ uint32_t shared_at(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}
__device__ __forceinline__ void copy16(uint32_t to, const void *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
                 "r"(there ? 16 : 0));
}
__device__ __forceinline__ void copy4(uint32_t to, const void *from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from),
                 "r"(there ? 4 : 0));
}
__device__ __forceinline__ void copies_arrived(void) {
    asm volatile("cp.async.wait_all;\nfence.proxy.async.shared::cta;\n" ::: "memory");
    __syncthreads();
}

/* Rows row0 .. row0 + R of x (n rows, `stride` elements apart), columns 0 .. D; zeros beyond n. */
template <int R, int D>
__device__ __forceinline__ void copy_tile(uint32_t to, const bf16 *x, int64_t stride, int64_t row0,
                                          int64_t n) {
#pragma unroll
    for (int k = 0; k < R * D / 8 / THREADS; k++) {
        int c = k * THREADS + (int)threadIdx.x, r = c / (D / 8), at = c % (D / 8);
        bool there = row0 + r < n;
        copy16(to + (uint32_t)(at / 8 * R * 128 + r * 128 + ((at % 8 ^ r % 8) << 4)),
               there ? x + (row0 + r) * stride + at * 8 : x, there);
    }
}

/* d (64, N) (+)= a b' over D columns: a, b row by row, panels of RA and RB rows */
template <int RA, int RB, int D, int N>
__device__ __forceinline__ void by_rows(float (&d)[N / 2], uint32_t a, uint32_t b) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t in = (uint32_t)(k % 4 * 32);
        wgmma_sa<false>(d, wgmma_operand(a + k / 4 * RA * 128 + in, 16),
                        wgmma_operand(b + k / 4 * RB * 128 + in, 16), k > 0);
    }
}
/* d (64, D) += p b: p (64, N) in registers, b (N, D) across its rows, panels of RB rows */
template <int RB, int D, int N>
__device__ __forceinline__ void across_rows(float (&d)[D / 2], const uint32_t (&p)[N / 16][4],
                                            uint32_t b) {
#pragma unroll
    for (int k = 0; k < N / 16; k++)
        wgmma_ra<true>(d, p[k], wgmma_operand(b + k * 16 * 128, RB * 128), 1);
}

__device__ __forceinline__ uint32_t two(float a, float b) {
    __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
    return *reinterpret_cast<uint32_t *>(&v);
}
/* What a product left in registers as the left operand of the next. */
template <int N>
__device__ __forceinline__ void as_left(const float (&d)[N / 2], uint32_t (&p)[N / 16][4]) {
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        p[k][0] = two(d[8 * k], d[8 * k + 1]);
        p[k][1] = two(d[8 * k + 2], d[8 * k + 3]);
        p[k][2] = two(d[8 * k + 4], d[8 * k + 5]);
        p[k][3] = two(d[8 * k + 6], d[8 * k + 7]);
    }
}

/* Writes rows r and r + 8 of a thread's part of (64, D), scaled. */
template <int D>
__device__ __forceinline__ void write_rows(bf16 *y, int64_t stride, int64_t row, int64_t n,
                                           const float (&d)[D / 2], float f0, float f1, bool add) {
    int column = (int)(threadIdx.x % 4) * 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t r = row + 8 * half;
        if (r >= n)
            continue;
        float f = half ? f1 : f0;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            float v[2] = {d[4 * j + 2 * half] * f, d[4 * j + 2 * half + 1] * f};
            put<2>(y + r * stride + j * 8 + column, v, add);
        }
    }
}

/* --- forward ---------------------------------------------------------------------------------- */
/* A row's largest score and sum of exponentials, kept by the four threads that share it. */
struct running {
    float most, sum;
};
__device__ __forceinline__ float over_four(float x) {
    return x + __shfl_xor_sync(0xffffffffu, x, 1);
}
__device__ __forceinline__ float sum_four(float x) {
    x = over_four(x);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
__device__ __forceinline__ float max_four(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

template <int N>
__device__ __forceinline__ void hide(float (&s)[N / 2], int key0, const int (&lo)[2],
                                     const int (&hi)[2]) {
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        int key = key0 + i / 4 * 8 + (int)(threadIdx.x % 4) * 2 + i % 2, half = i % 4 / 2;
        if (key < lo[half] || key >= hi[half])
            s[i] = -INFINITY;
    }
}

template <int D> __global__ void __launch_bounds__(THREADS, 1) forward(hora_cuda_attention a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char room[];
    const uint32_t tile = ROWS * D * 2, q_at = shared_at(room), k_at = q_at + tile,
                   v_at = k_at + 2 * tile;
    const table t = table_at(a.tiles, a.n);
    const int h = blockIdx.x, block = t.queries[blockIdx.y];
    const int g = (int)(h * a.kv_heads / a.heads);
    const int64_t row0 = (int64_t)block * ROWS, qs = a.heads * D, ks = a.kv_heads * D;
    const bf16 *q = (const bf16 *)a.q + h * D, *k = (const bf16 *)a.k + g * D,
               *v = (const bf16 *)a.v + g * D;
    const span first = t.of[2 * block], second = t.of[min(2 * block + 1, t.tiles - 1)];
    const int from = min(first.lo, second.lo) / ROWS;
    const int to = max(from, (max(first.hi, second.hi) + ROWS - 1) / ROWS);
    const int group = threadIdx.x / 128, warp = threadIdx.x / 32 % 4;
    const int64_t row = row0 + group * HALF + warp * 16 + threadIdx.x % 32 / 4;
    const span mine = group ? second : first;
    int lo[2], hi[2];
    for (int half = 0; half < 2; half++) {
        int64_t r = row + 8 * half;
        lo[half] = r < a.n ? first_key(a.batch->lo[r], r, a.window) : 0;
        hi[half] = r < a.n ? end_key(a.batch->hi[r], r, a.ahead) : 0;
    }
    const float scale = a.scale * 1.44269504088896340736f;
    float o[D / 2], s[ROWS / 2];
    running run[2] = {{-INFINITY, 0}, {-INFINITY, 0}};
#pragma unroll
    for (int i = 0; i < D / 2; i++)
        o[i] = 0;
    copy_tile<ROWS, D>(q_at, q, qs, row0, a.n);
    if (from < to) {
        copy_tile<ROWS, D>(k_at, k, ks, (int64_t)from * ROWS, a.n);
        copy_tile<ROWS, D>(v_at, v, ks, (int64_t)from * ROWS, a.n);
    }
    for (int at = from; at < to; at++) {
        const uint32_t stage = (uint32_t)((at - from) % 2) * tile;
        const int key0 = at * ROWS;
        copies_arrived();
        if (at + 1 < to) {
            copy_tile<ROWS, D>(k_at + (tile - stage), k, ks, key0 + ROWS, a.n);
            copy_tile<ROWS, D>(v_at + (tile - stage), v, ks, key0 + ROWS, a.n);
        }
        wgmma_pin(s);
        wgmma_open();
        by_rows<ROWS, ROWS, D, ROWS>(s, q_at + (uint32_t)group * HALF * 128, k_at + stage);
        wgmma_close();
        wgmma_wait<0>();
        wgmma_pin(s);
        if (key0 < mine.full_lo || key0 + ROWS > mine.full_hi)
            hide<ROWS>(s, key0, lo, hi);
        float most[2] = {run[0].most, run[1].most}, base[2], old[2];
#pragma unroll
        for (int i = 0; i < ROWS / 2; i++)
            most[i % 4 / 2] = fmaxf(most[i % 4 / 2], s[i]);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            most[half] = max_four(most[half]);
            base[half] = most[half] == -INFINITY ? 0 : most[half] * scale;
            old[half] = power_of_two(run[half].most * scale - base[half]);
            run[half].most = most[half];
            run[half].sum *= old[half];
        }
#pragma unroll
        for (int i = 0; i < ROWS / 2; i++) {
            s[i] = power_of_two(s[i] * scale - base[i % 4 / 2]);
            run[i % 4 / 2].sum += s[i];
        }
#pragma unroll
        for (int i = 0; i < D / 2; i++)
            o[i] *= old[i % 4 / 2];
        uint32_t p[ROWS / 16][4];
        as_left<ROWS>(s, p);
        wgmma_pin(o);
        wgmma_open();
        across_rows<ROWS, D, ROWS>(o, p, v_at + stage);
        wgmma_close();
        wgmma_wait<0>();
        wgmma_pin(o);
    }
    asm volatile("cp.async.wait_all;\n" ::: "memory");
    float f[2];
    for (int half = 0; half < 2; half++) {
        float sum = sum_four(run[half].sum);
        int64_t r = row + 8 * half;
        f[half] = sum > 0 ? 1 / sum : 0;
        if (a.lse && r < a.n && threadIdx.x % 4 == 0)
            a.lse[r * a.heads + h] = sum > 0 ? run[half].most * a.scale + logf(sum) : 0;
    }
    write_rows<D>((bf16 *)a.y + h * D, qs, row, a.n, o, f[0], f[1], false);
#endif
}

/* --- backward: dots, then the two owners ------------------------------------------------------ */
/* dots (n, heads) = dy . y and lse in powers of two behind them; a warp each */
__global__ void dots(const bf16 *dy, const bf16 *y, const float *lse, float *d, int64_t n,
                     int width) {
    int64_t at = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    if (at >= n)
        return;
    float sum = 0, a[2], b[2];
    for (int j = (int)(threadIdx.x % 32) * 2; j < width; j += 64) {
        load<2>(dy + at * width + j, a);
        load<2>(y + at * width + j, b);
        sum += a[0] * b[0] + a[1] * b[1];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
        d[at] = sum;
        d[n + at] = lse[at] * 1.44269504088896340736f;
    }
}

/* What a stage of the owner of keys holds besides q and dy: 64 of each. */
struct columns_of {
    float lse[HALF], dot[HALF];
    int lo[HALF], hi[HALF];
};

template <int D> __global__ void __launch_bounds__(THREADS, 1) keys_back(hora_cuda_attention a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char room[];
    const uint32_t tile = ROWS * D * 2, part = HALF * D * 2, k_at = shared_at(room),
                   v_at = k_at + tile, q_at = v_at + tile, y_at = q_at + 2 * part;
    columns_of *columns = (columns_of *)(room + 2 * tile + 4 * part);
    const table t = table_at(a.tiles, a.n);
    const int g = blockIdx.x, block = t.keys[blockIdx.y], per = (int)(a.heads / a.kv_heads);
    const int key0 = block * ROWS, group = threadIdx.x / 128, warp = threadIdx.x / 32 % 4;
    const int64_t qs = a.heads * D, ks = a.kv_heads * D;
    const int key = key0 + group * HALF + warp * 16 + (int)(threadIdx.x % 32) / 4;
    const float scale = a.scale * 1.44269504088896340736f;
    float dk[D / 2], dv[D / 2];
#pragma unroll
    for (int i = 0; i < D / 2; i++)
        dk[i] = dv[i] = 0;

    auto next = [&](int i) { /* the pair (head, tile) from i on that meets our keys */
                             while (i < per * t.tiles &&
                                    !meets(t.of[i % t.tiles], key0, key0 + ROWS))
                                 i++;
                             return i;
    };
    auto fetch = [&](int i, int stage) {
        const int h = g * per + i / t.tiles;
        const int64_t row0 = (int64_t)(i % t.tiles) * HALF;
        copy_tile<HALF, D>(q_at + stage * part, (const bf16 *)a.q + h * D, qs, row0, a.n);
        copy_tile<HALF, D>(y_at + stage * part, (const bf16 *)a.dy + h * D, qs, row0, a.n);
        const int r = threadIdx.x % HALF, what = threadIdx.x / HALF;
        const bool there = row0 + r < a.n;
        const int64_t at = there ? row0 + r : 0;
        const float *lse = a.dots + a.n * a.heads;
        const void *from[4] = {lse + at * a.heads + h, a.dots + at * a.heads + h, a.batch->lo + at,
                               a.batch->hi + at};
        copy4(shared_at((char *)&columns[stage] + threadIdx.x * 4), from[what], there);
    };

    copy_tile<ROWS, D>(k_at, (const bf16 *)a.k + g * D, ks, key0, a.n);
    copy_tile<ROWS, D>(v_at, (const bf16 *)a.v + g * D, ks, key0, a.n);
    int i = next(0), stage = 0;
    if (i < per * t.tiles)
        fetch(i, 0);
    while (i < per * t.tiles) {
        const int then = next(i + 1);
        const int64_t row0 = (int64_t)(i % t.tiles) * HALF;
        const span seen = t.of[i % t.tiles];
        copies_arrived();
        if (then < per * t.tiles)
            fetch(then, 1 - stage);
        const columns_of *c = &columns[stage];
        float s[HALF / 2], dp[HALF / 2];
        const uint32_t own = (uint32_t)group * HALF * 128;
        wgmma_pin(s);
        wgmma_pin(dp);
        wgmma_open();
        by_rows<ROWS, HALF, D, HALF>(s, k_at + own, q_at + stage * part);
        wgmma_close();
        by_rows<ROWS, HALF, D, HALF>(dp, v_at + own, y_at + stage * part);
        wgmma_close();
        wgmma_wait<1>();
        wgmma_pin(s);
        const bool masked = key0 < seen.full_lo || key0 + ROWS > seen.full_hi;
#pragma unroll
        for (int e = 0; e < HALF / 2; e++) {
            const int j = e / 4 * 8 + (int)(threadIdx.x % 4) * 2 + e % 2, k = key + e % 4 / 2 * 8;
            s[e] = power_of_two(s[e] * scale - c->lse[j]);
            if (masked && (k < first_key(c->lo[j], row0 + j, a.window) ||
                           k >= end_key(c->hi[j], row0 + j, a.ahead)))
                s[e] = 0;
        }
        wgmma_wait<0>();
        wgmma_pin(dp);
#pragma unroll
        for (int e = 0; e < HALF / 2; e++) {
            const int j = e / 4 * 8 + (int)(threadIdx.x % 4) * 2 + e % 2;
            dp[e] = s[e] * (dp[e] - c->dot[j]);
        }
        uint32_t p[HALF / 16][4], dz[HALF / 16][4];
        as_left<HALF>(s, p);
        as_left<HALF>(dp, dz);
        wgmma_pin(dv);
        wgmma_pin(dk);
        wgmma_open();
        across_rows<HALF, D, HALF>(dv, p, y_at + stage * part);
        across_rows<HALF, D, HALF>(dk, dz, q_at + stage * part);
        wgmma_close();
        wgmma_wait<0>();
        wgmma_pin(dv);
        wgmma_pin(dk);
        i = then;
        stage = 1 - stage;
    }
    asm volatile("cp.async.wait_all;\n" ::: "memory");
    if (a.dk)
        write_rows<D>((bf16 *)a.dk + g * D, ks, key, a.n, dk, a.scale, a.scale, a.add_k);
    if (a.dv)
        write_rows<D>((bf16 *)a.dv + g * D, ks, key, a.n, dv, 1, 1, a.add_v);
#endif
}

template <int D> __global__ void __launch_bounds__(THREADS, 1) queries_back(hora_cuda_attention a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char room[];
    const uint32_t tile = ROWS * D * 2, part = HALF * D * 2, q_at = shared_at(room),
                   y_at = q_at + tile, k_at = y_at + tile, v_at = k_at + 2 * part;
    const table t = table_at(a.tiles, a.n);
    const int h = blockIdx.x, block = t.queries[blockIdx.y];
    const int g = (int)(h * a.kv_heads / a.heads);
    const int64_t row0 = (int64_t)block * ROWS, qs = a.heads * D, ks = a.kv_heads * D;
    const bf16 *k = (const bf16 *)a.k + g * D, *v = (const bf16 *)a.v + g * D;
    const span first = t.of[2 * block], second = t.of[min(2 * block + 1, t.tiles - 1)];
    const int from = min(first.lo, second.lo) / HALF;
    const int to = max(from, (max(first.hi, second.hi) + HALF - 1) / HALF);
    const int group = threadIdx.x / 128, warp = threadIdx.x / 32 % 4;
    const int64_t row = row0 + group * HALF + warp * 16 + threadIdx.x % 32 / 4;
    const span mine = group ? second : first;
    const float scale = a.scale * 1.44269504088896340736f;
    int lo[2], hi[2];
    float lse[2], dot[2], dq[D / 2];
    for (int half = 0; half < 2; half++) {
        int64_t r = row + 8 * half;
        bool there = r < a.n;
        lo[half] = there ? first_key(a.batch->lo[r], r, a.window) : 0;
        hi[half] = there ? end_key(a.batch->hi[r], r, a.ahead) : 0;
        lse[half] = there ? a.dots[(a.n + r) * a.heads + h] : 0;
        dot[half] = there ? a.dots[r * a.heads + h] : 0;
    }
#pragma unroll
    for (int i = 0; i < D / 2; i++)
        dq[i] = 0;
    copy_tile<ROWS, D>(q_at, (const bf16 *)a.q + h * D, qs, row0, a.n);
    copy_tile<ROWS, D>(y_at, (const bf16 *)a.dy + h * D, qs, row0, a.n);
    if (from < to) {
        copy_tile<HALF, D>(k_at, k, ks, (int64_t)from * HALF, a.n);
        copy_tile<HALF, D>(v_at, v, ks, (int64_t)from * HALF, a.n);
    }
    for (int at = from; at < to; at++) {
        const uint32_t stage = (uint32_t)((at - from) % 2) * part;
        const int key0 = at * HALF;
        copies_arrived();
        if (at + 1 < to) {
            copy_tile<HALF, D>(k_at + (part - stage), k, ks, key0 + HALF, a.n);
            copy_tile<HALF, D>(v_at + (part - stage), v, ks, key0 + HALF, a.n);
        }
        float s[HALF / 2], dp[HALF / 2];
        const uint32_t own = (uint32_t)group * HALF * 128;
        wgmma_pin(s);
        wgmma_pin(dp);
        wgmma_open();
        by_rows<ROWS, HALF, D, HALF>(s, q_at + own, k_at + stage);
        wgmma_close();
        by_rows<ROWS, HALF, D, HALF>(dp, y_at + own, v_at + stage);
        wgmma_close();
        wgmma_wait<1>();
        wgmma_pin(s);
        if (key0 < mine.full_lo || key0 + HALF > mine.full_hi)
            hide<HALF>(s, key0, lo, hi);
#pragma unroll
        for (int e = 0; e < HALF / 2; e++)
            s[e] = power_of_two(s[e] * scale - lse[e % 4 / 2]);
        wgmma_wait<0>();
        wgmma_pin(dp);
#pragma unroll
        for (int e = 0; e < HALF / 2; e++)
            dp[e] = s[e] * (dp[e] - dot[e % 4 / 2]);
        uint32_t dz[HALF / 16][4];
        as_left<HALF>(dp, dz);
        wgmma_pin(dq);
        wgmma_open();
        across_rows<HALF, D, HALF>(dq, dz, k_at + stage);
        wgmma_close();
        wgmma_wait<0>();
        wgmma_pin(dq);
    }
    asm volatile("cp.async.wait_all;\n" ::: "memory");
    write_rows<D>((bf16 *)a.dq + h * D, qs, row, a.n, dq, a.scale, a.scale, a.add_q);
#endif
}

/* --- launches --------------------------------------------------------------------------------- */
enum { KEYS = 1024 }; /* bytes behind the tiles for columns_of, twice */

static size_t room_forward(int d) {
    return (size_t)ROWS * d * 2 * 5;
}
static size_t room_keys(int d) {
    return (size_t)ROWS * d * 2 * 2 + (size_t)HALF * d * 2 * 4 + 2 * KEYS;
}
static size_t room_queries(int d) {
    return (size_t)ROWS * d * 2 * 2 + (size_t)HALF * d * 2 * 4;
}

template <class K> static cudaError_t allow(K *kernel, size_t bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
}

extern "C" cudaError_t hora_cuda_flash_prepare(void) {
    static_assert(sizeof(columns_of) == KEYS, "four arrays of 64");
    cudaError_t e[] = {
        allow(forward<64>, room_forward(64)),      allow(forward<128>, room_forward(128)),
        allow(keys_back<64>, room_keys(64)),       allow(keys_back<128>, room_keys(128)),
        allow(queries_back<64>, room_queries(64)), allow(queries_back<128>, room_queries(128))};
    for (cudaError_t x : e)
        if (x != cudaSuccess)
            return x;
    return cudaSuccess;
}

extern "C" bool hora_cuda_flash_takes(int capability, const hora_cuda_attention *a) {
    return capability == 90 && a->t == HORA_BF16 && (a->head_dim == 64 || a->head_dim == 128) &&
           !a->prefix && a->heads % a->kv_heads == 0 && a->n <= MOST;
}

static table make_table(cudaStream_t s, const hora_cuda_attention *a) {
    table t = table_at(a->tiles, a->n);
    size_t room = (size_t)t.tiles * sizeof(span) + ((size_t)t.blocks + 4) * sizeof(int);
    fill_table<<<1, 1024, room, s>>>(a->batch, a->n, a->window, a->ahead, a->tiles);
    return t;
}

extern "C" void hora_cuda_flash(cudaStream_t s, const hora_cuda_attention *a) {
    table t = make_table(s, a);
    dim3 grid((unsigned)a->heads, (unsigned)t.blocks);
    if (a->head_dim == 64)
        forward<64><<<grid, THREADS, room_forward(64), s>>>(*a);
    else
        forward<128><<<grid, THREADS, room_forward(128), s>>>(*a);
}

extern "C" void hora_cuda_flash_back(cudaStream_t s, const hora_cuda_attention *a) {
    table t = make_table(s, a);
    int64_t rows = a->n * a->heads;
    dim3 keys((unsigned)a->kv_heads, (unsigned)t.blocks),
        queries((unsigned)a->heads, (unsigned)t.blocks);
    dots<<<blocks_for(rows, THREADS / 32), THREADS, 0, s>>>(
        (const bf16 *)a->dy, (const bf16 *)a->y, a->lse, a->dots, rows, (int)a->head_dim);
    if (a->head_dim == 64) {
        if (a->dk || a->dv)
            keys_back<64><<<keys, THREADS, room_keys(64), s>>>(*a);
        if (a->dq)
            queries_back<64><<<queries, THREADS, room_queries(64), s>>>(*a);
    } else {
        if (a->dk || a->dv)
            keys_back<128><<<keys, THREADS, room_keys(128), s>>>(*a);
        if (a->dq)
            queries_back<128><<<queries, THREADS, room_queries(128), s>>>(*a);
    }
}
