/* Sums over rows and over columns, in pieces that follow from shapes alone. */
#include "backend/cuda/kern_common.cuh"

/* --- columns ---------------------------------------------------------------------------------- */
enum { COLUMNS = 64, LANES = 4, MOST_PIECES = 128, LEAST_ROWS = 32 };

static int64_t pieces_of(int64_t rows) {
    int64_t p = (rows + LEAST_ROWS - 1) / LEAST_ROWS;
    return p < 1 ? 1 : p > MOST_PIECES ? MOST_PIECES : p;
}

extern "C" int64_t hora_cuda_column_partials(int64_t rows, int64_t width) {
    return pieces_of(rows) * width;
}

/* Piece blockIdx.y of the rows; four lanes of rows, added in order. */
template <class T>
__global__ void column_pieces(const T *x, const T *b, const float *m, const float *r,
                              float *partial, int64_t rows, int64_t width) {
    __shared__ float lane[LANES][COLUMNS];
    int64_t j = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
    int64_t step = (rows + gridDim.y - 1) / gridDim.y;
    int64_t from = blockIdx.y * step, to = min(from + step, rows);
    float sum = 0;
    if (j < width)
        for (int64_t i = from + threadIdx.y; i < to; i += LANES) {
            float v = to_float(x[i * width + j]);
            if (b)
                v *= to_float(b[i * width + j]) - (m ? m[i] : 0.0f);
            if (r)
                v *= r[i];
            sum += v;
        }
    lane[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && j < width)
        partial[blockIdx.y * width + j] = (lane[0][threadIdx.x] + lane[1][threadIdx.x]) +
                                          (lane[2][threadIdx.x] + lane[3][threadIdx.x]);
}

__global__ void add_pieces(float alpha, const float *partial, int64_t pieces, float *y, bool add,
                           int64_t width) {
    int64_t j = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= width)
        return;
    float sum = 0;
    for (int64_t p = 0; p < pieces; p++)
        sum += partial[p * width + j];
    y[j] = (add ? y[j] : 0) + alpha * sum;
}

extern "C" void hora_cuda_column_sums_about(cudaStream_t s, hora_dtype t, float alpha,
                                            const void *x, const void *b, const float *m,
                                            const float *r, float *y, bool add, float *partial,
                                            int64_t rows, int64_t width) {
    if (!width)
        return;
    int64_t pieces = pieces_of(rows);
    dim3 grid(blocks_for(width, COLUMNS), (unsigned)pieces), block(COLUMNS, LANES);
    WITH_TYPE(t, T, {
        column_pieces<T>
            <<<grid, block, 0, s>>>((const T *)x, (const T *)b, m, r, partial, rows, width);
    });
    add_pieces<<<blocks_for(width, 128), 128, 0, s>>>(alpha, partial, pieces, y, add, width);
}

extern "C" void hora_cuda_column_sums(cudaStream_t s, hora_dtype t, float alpha, const void *x,
                                      const void *b, const float *r, float *y, bool add,
                                      float *partial, int64_t rows, int64_t width) {
    hora_cuda_column_sums_about(s, t, alpha, x, b, NULL, r, y, add, partial, rows, width);
}

/* --- rmsnorm: G threads to a group of `width` elements, 8 at a time, P times, kept in registers -- */
/* The sum over G neighbouring threads, or over a block of them. */
template <int G> __device__ __forceinline__ float group_sum(float x) {
    if constexpr (G > 32) {
        return block_sum<G>(x);
    } else {
#pragma unroll
        for (int d = G / 2; d; d >>= 1)
            x += __shfl_xor_sync(0xffffffffu, x, d);
        return x;
    }
}

template <class T, class W, int G, int P, int V>
__global__ void rmsnorm(float eps, const T *x, const W *w, T *y, float *keep, int64_t groups,
                        int64_t width) {
    const int64_t own = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    const int64_t at = min(own, groups - 1); /* all threads take part in sums */
    float a[P][V], b[V], sum = 0;
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j < width)
            load<V>(x + at * width + j, a[p]);
#pragma unroll
        for (int k = 0; k < V && j < width; k++)
            sum += a[p][k] * a[p][k];
    }
    float r = rsqrtf(group_sum<G>(sum) / (float)width + eps);
    if (own >= groups)
        return;
    if (keep && threadIdx.x == 0)
        keep[at] = r;
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j >= width)
            continue;
        load<V>(w + j, b);
#pragma unroll
        for (int k = 0; k < V; k++)
            a[p][k] *= r * b[k];
        store<V>(y + at * width + j, a[p]);
    }
}

/* dx_j = r (w_j dy_j - x_j r m),  m = mean of w_j dy_j x_j r */
template <class T, class W, int G, int P, int V>
__global__ void rmsnorm_back(const T *x, const W *w, const float *keep, const T *dy, T *dx,
                             bool add, int64_t groups, int64_t width) {
    const int64_t own = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    const int64_t at = min(own, groups - 1);
    const float r = keep[at];
    float a[P][V], c[P][V], b[V], sum = 0;
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j >= width)
            continue;
        load<V>(x + at * width + j, a[p]);
        load<V>(dy + at * width + j, c[p]);
        load<V>(w + j, b);
#pragma unroll
        for (int k = 0; k < V; k++) {
            c[p][k] *= b[k];
            sum += a[p][k] * c[p][k];
        }
    }
    const float m = group_sum<G>(sum) * r / (float)width;
    if (own >= groups)
        return;
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j >= width)
            continue;
#pragma unroll
        for (int k = 0; k < V; k++)
            c[p][k] = r * (c[p][k] - a[p][k] * r * m);
        put<V>(dx + at * width + j, c[p], add);
    }
}

static bool in_packs(int64_t width, const void *a, const void *b, const void *c) {
    return width % 8 == 0 && aligned16(a) && aligned16(b) && aligned16(c);
}

enum { WIDEST = 65536 }; /* of a group: 512 threads, 16 packs of 8, or 128 elements each */

extern "C" bool hora_cuda_norm_takes(int64_t width) {
    return width <= WIDEST;
}

#define NORM(KERNEL, G, P, V, each, ...)                                                           \
    KERNEL<T, W, G, P, V><<<blocks_for(groups, each), dim3(G, each), 0, s>>>(__VA_ARGS__)
#define BY_WIDTH(KERNEL, packs, ...)                                                               \
    do {                                                                                           \
        if ((packs) && width <= 128)                                                               \
            NORM(KERNEL, 16, 1, 8, 16, __VA_ARGS__);                                               \
        else if ((packs) && width <= 1024)                                                         \
            NORM(KERNEL, 128, 1, 8, 1, __VA_ARGS__);                                               \
        else if ((packs) && width <= 2048)                                                         \
            NORM(KERNEL, 256, 1, 8, 1, __VA_ARGS__);                                               \
        else if ((packs) && width <= 4096)                                                         \
            NORM(KERNEL, 256, 2, 8, 1, __VA_ARGS__);                                               \
        else if (packs)                                                                            \
            NORM(KERNEL, 512, 16, 8, 1, __VA_ARGS__);                                              \
        else if (width <= 1024)                                                                    \
            NORM(KERNEL, 128, 8, 1, 1, __VA_ARGS__);                                               \
        else                                                                                       \
            NORM(KERNEL, 512, 128, 1, 1, __VA_ARGS__);                                             \
    } while (0)

extern "C" void hora_cuda_rmsnorm(cudaStream_t s, hora_dtype t, hora_dtype tw, float eps,
                                  const void *x, const void *w, void *y, float *r, int64_t groups,
                                  int64_t width) {
    if (!groups)
        return;
    WITH_TYPE(t, T, WITH_TYPE(tw, W, {
                  BY_WIDTH(rmsnorm, in_packs(width, x, w, y), eps, (const T *)x, (const W *)w,
                           (T *)y, r, groups, width);
              }));
}

extern "C" void hora_cuda_rmsnorm_back(cudaStream_t s, hora_dtype t, hora_dtype tw, const void *x,
                                       const void *w, const float *r, const void *dy, void *dx,
                                       bool add, int64_t groups, int64_t width) {
    if (!groups)
        return;
    WITH_TYPE(t, T, WITH_TYPE(tw, W, {
                  BY_WIDTH(rmsnorm_back, in_packs(width, x, w, dx) && aligned16(dy), (const T *)x,
                           (const W *)w, r, (const T *)dy, (T *)dx, add, groups, width);
              }));
}

/* --- layernorm: likewise; w and b are read as what they are ----------------------------------- */
template <int V>
__device__ __forceinline__ void load_any(const void *p, bool small, int64_t j, float (&x)[V]) {
    if (small)
        load<V>((const bf16 *)p + j, x);
    else
        load<V>((const float *)p + j, x);
}

template <class T, int G, int P, int V> __global__ void layernorm(hora_cuda_layernorm n) {
    const int64_t own = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    const int64_t at = min(own, n.groups - 1); /* all threads take part in sums */
    const T *x = (const T *)n.x + at * n.width;
    float a[P][V], w[V], b[V], sum = 0;
#pragma unroll
    for (int p = 0; p < P; p++) {
        const int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j < n.width)
            load<V>(x + j, a[p]);
#pragma unroll
        for (int k = 0; k < V && j < n.width; k++)
            sum += a[p][k];
    }
    const float m = group_sum<G>(sum) / (float)n.width;
    sum = 0;
#pragma unroll
    for (int p = 0; p < P; p++) {
        const int64_t j = (p * G + (int64_t)threadIdx.x) * V;
#pragma unroll
        for (int k = 0; k < V && j < n.width; k++) {
            a[p][k] -= m;
            sum += a[p][k] * a[p][k];
        }
    }
    const float r = rsqrtf(group_sum<G>(sum) / (float)n.width + n.eps);
    if (own >= n.groups)
        return;
    if (n.m && threadIdx.x == 0) {
        n.m[at] = m;
        n.r[at] = r;
    }
#pragma unroll
    for (int p = 0; p < P; p++) {
        const int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j >= n.width)
            continue;
        load_any<V>(n.w, n.tw == HORA_BF16, j, w);
#pragma unroll
        for (int k = 0; k < V; k++)
            b[k] = 0;
        if (n.b)
            load_any<V>(n.b, n.tb == HORA_BF16, j, b);
#pragma unroll
        for (int k = 0; k < V; k++)
            a[p][k] = a[p][k] * r * w[k] + b[k];
        store<V>((T *)n.y + at * n.width + j, a[p]);
    }
}

/* dx_j = r (g_j - mean of g - u_j mean of g u),  g_j = w_j dy_j */
template <class T, int G, int P, int V> __global__ void layernorm_back(hora_cuda_layernorm n) {
    const int64_t own = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    const int64_t at = min(own, n.groups - 1);
    const float m = n.m[at], r = n.r[at];
    float u[P][V], g[P][V], w[V], sum = 0, both = 0;
#pragma unroll
    for (int p = 0; p < P; p++) {
        const int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j >= n.width)
            continue;
        load<V>((const T *)n.x + at * n.width + j, u[p]);
        load<V>((const T *)n.dy + at * n.width + j, g[p]);
        load_any<V>(n.w, n.tw == HORA_BF16, j, w);
#pragma unroll
        for (int k = 0; k < V; k++) {
            u[p][k] = (u[p][k] - m) * r;
            g[p][k] *= w[k];
            sum += g[p][k];
            both += g[p][k] * u[p][k];
        }
    }
    sum = group_sum<G>(sum) / (float)n.width;
    both = group_sum<G>(both) / (float)n.width;
    if (own >= n.groups)
        return;
#pragma unroll
    for (int p = 0; p < P; p++) {
        const int64_t j = (p * G + (int64_t)threadIdx.x) * V;
        if (j >= n.width)
            continue;
#pragma unroll
        for (int k = 0; k < V; k++)
            g[p][k] = r * (g[p][k] - sum - u[p][k] * both);
        put<V>((T *)n.dx + at * n.width + j, g[p], n.add);
    }
}

#undef NORM
#define NORM(KERNEL, G, P, V, each, ...)                                                           \
    KERNEL<T, G, P, V><<<blocks_for(groups, each), dim3(G, each), 0, s>>>(__VA_ARGS__)

extern "C" void hora_cuda_layernorm_run(cudaStream_t s, const hora_cuda_layernorm *p) {
    const int64_t groups = p->groups, width = p->width;
    if (groups)
        WITH_TYPE(p->t, T, {
            BY_WIDTH(layernorm, in_packs(width, p->x, p->w, p->y) && aligned16(p->b), *p);
        });
}

extern "C" void hora_cuda_layernorm_back(cudaStream_t s, const hora_cuda_layernorm *p) {
    const int64_t groups = p->groups, width = p->width;
    if (groups)
        WITH_TYPE(p->t, T, {
            BY_WIDTH(layernorm_back, in_packs(width, p->x, p->w, p->dx) && aligned16(p->dy), *p);
        });
}

/* --- pool: a block per row; those that begin no segment are zeros ----------------------------- */
/* hora_batch_segment_end */
static __device__ int64_t segment_end(const hora_batch *b, int64_t i) {
    int64_t end = b->lo[i] == i ? max(i, (int64_t)b->hi[i]) : i;
    for (int64_t j = i + 1; end > i && j < b->rows && b->lo[j] == i; j++)
        end = max(end, (int64_t)b->hi[j]);
    return end;
}

template <class T>
__global__ void pool(const hora_batch *batch, int64_t skip, bool joined, const T *x, T *y,
                     int64_t d) {
    const int64_t i = blockIdx.x, from = i + skip, to = segment_end(batch, i);
    const bool there = i < to;
    T *row = y + i * d * (joined ? 2 : 1);
    for (int64_t j = threadIdx.x; j < d; j += blockDim.x) {
        float sum = 0;
        for (int64_t k = from; there && k < to; k++)
            sum += to_float(x[k * d + j]);
        if (joined)
            row[j] = there ? x[i * d + j] : from_float<T>(0);
        row[(joined ? d : 0) + j] =
            from_float<T>(there && from < to ? sum / (float)(to - from) : 0);
    }
}

template <class T>
__global__ void pool_back(const hora_batch *batch, int64_t skip, bool joined, const T *dy, T *dx,
                          bool add, int64_t d) {
    const int64_t k = blockIdx.x, i = batch->lo[k], w = d * (joined ? 2 : 1);
    const int64_t from = i + skip, to = segment_end(batch, i);
    const bool segment = i < to && k < to; /* row i holds the mean */
    for (int64_t j = threadIdx.x; j < d; j += blockDim.x) {
        float sum[1] = {0};
        if (segment && from <= k && k < to)
            sum[0] += to_float(dy[i * w + w - d + j]) / (float)(to - from);
        if (joined && segment && i == k)
            sum[0] += to_float(dy[i * w + j]);
        put<1>(dx + k * d + j, sum, add);
    }
}

extern "C" void hora_cuda_pool(cudaStream_t s, hora_dtype t, const hora_batch *batch, int64_t skip,
                               bool joined, const void *x, void *y, int64_t n, int64_t d) {
    if (n)
        WITH_TYPE(t, T, {
            pool<T><<<(unsigned)n, 256, 0, s>>>(batch, skip, joined, (const T *)x, (T *)y, d);
        });
}

extern "C" void hora_cuda_pool_back(cudaStream_t s, hora_dtype t, const hora_batch *batch,
                                    int64_t skip, bool joined, const void *dy, void *dx, bool add,
                                    int64_t n, int64_t d) {
    if (n)
        WITH_TYPE(t, T, {
            pool_back<T>
                <<<(unsigned)n, 256, 0, s>>>(batch, skip, joined, (const T *)dy, (T *)dx, add, d);
        });
}

/* --- frames: a block per row ------------------------------------------------------------------ */
/* The row of the first frame that row i goes into, in a clip that is whole; -1: none. */
static __device__ int64_t first_frame(int64_t frames, int64_t rows, int64_t n, int64_t i) {
    const int64_t from = i / (frames * rows) * (frames * rows);
    return from + frames * rows <= n ? from + (i - from) % rows : -1;
}

template <class T>
__global__ void frames_mean(int64_t frames, int64_t rows, const T *x, T *y, int64_t n, int64_t d) {
    const int64_t i = blockIdx.x;
    const bool there = first_frame(frames, rows, n, i) == i;
    for (int64_t j = threadIdx.x; j < d; j += blockDim.x) {
        float sum = 0;
        for (int64_t k = 0; there && k < frames; k++)
            sum += to_float(x[(i + k * rows) * d + j]);
        y[i * d + j] = from_float<T>(sum / (float)frames);
    }
}

template <class T>
__global__ void frames_back(int64_t frames, int64_t rows, const T *dy, T *dx, bool add, int64_t n,
                            int64_t d) {
    const int64_t i = blockIdx.x, at = first_frame(frames, rows, n, i);
    for (int64_t j = threadIdx.x; j < d; j += blockDim.x) {
        float sum[1] = {at < 0 ? 0 : to_float(dy[at * d + j]) / (float)frames};
        put<1>(dx + i * d + j, sum, add);
    }
}

extern "C" void hora_cuda_frames(cudaStream_t s, hora_dtype t, int64_t frames, int64_t rows,
                                 const void *x, void *y, int64_t n, int64_t d) {
    if (n)
        WITH_TYPE(t, T, {
            frames_mean<T><<<(unsigned)n, 256, 0, s>>>(frames, rows, (const T *)x, (T *)y, n, d);
        });
}

extern "C" void hora_cuda_frames_back(cudaStream_t s, hora_dtype t, int64_t frames, int64_t rows,
                                      const void *dy, void *dx, bool add, int64_t n, int64_t d) {
    if (n)
        WITH_TYPE(t, T, {
            frames_back<T>
                <<<(unsigned)n, 256, 0, s>>>(frames, rows, (const T *)dy, (T *)dx, add, n, d);
        });
}
