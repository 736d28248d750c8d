/*
 * Maps of methods: op_blocks.c, op_kron.c, op_reflect.c, op_cayley.c, op_orthonormal.c. Simple rather
 * than fast: an output or a sum has one owner, which walks over what it needs.
 */
#include "backend/cuda/kern_common.cuh"

extern "C" {
#include "backend/cuda/kern_maps.h"
}

enum { THREADS = 256, PIECES = 64 };

/* --- blocks ----------------------------------------------------------------------------------- */
/* Where column `at` goes, as op_blocks.h has it, and back. */
__device__ int64_t butterfly(int64_t at, int64_t b, int64_t level) {
    if (!level)
        return at;
    const int64_t piece = b / 2, run = b << level, half = (int64_t)1 << level;
    const int64_t i = at % run / piece;
    return at - at % run + (i < half ? 2 * i : 2 * (i - half) + 1) * piece + at % piece;
}
__device__ int64_t butterfly_back(int64_t at, int64_t b, int64_t level) {
    if (!level)
        return at;
    const int64_t piece = b / 2, run = b << level, half = (int64_t)1 << level;
    const int64_t i = at % run / piece;
    return at - at % run + (i % 2 ? i / 2 + half : i / 2) * piece + at % piece;
}

/* y = P'(P x : R), or with back x of R' from y: the same with R transposed */
template <class T>
__global__ void blocks(hora_cuda_blocks p, const T *x, T *y, bool back, bool add) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= p.n * p.d)
        return;
    const int64_t at = butterfly(i % p.d, p.b, p.level), base = at / p.b * p.b;
    const float *r = p.r + (p.shared ? 0 : base) * p.b;
    float sum[1] = {0};
    for (int64_t j = 0; j < p.b; j++)
        sum[0] += to_float(x[i / p.d * p.d + butterfly_back(base + j, p.b, p.level)]) *
                  (back ? r[at % p.b * p.b + j] : r[j * p.b + at % p.b]);
    put<1>(y + i, sum, add);
}

/* A block for each element of R sums over rows, and over blocks that share it. */
template <class T>
__global__ void blocks_grad(hora_cuda_blocks p, const T *x, const T *dy, float *dr, bool add) {
    const int64_t row = blockIdx.x / p.b, l = blockIdx.x % p.b;
    float sum = 0;
    for (int64_t from = row; from < p.d; from += p.shared ? p.b : p.d) {
        const int64_t s = butterfly_back(from, p.b, p.level);
        const int64_t t = butterfly_back(from / p.b * p.b + l, p.b, p.level);
        for (int64_t i = threadIdx.x; i < p.n; i += THREADS)
            sum += to_float(x[i * p.d + s]) * to_float(dy[i * p.d + t]);
    }
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        dr[blockIdx.x] = sum + (add ? dr[blockIdx.x] : 0);
}

extern "C" void hora_cuda_blocks_run(cudaStream_t s, const hora_cuda_blocks *p, const void *x,
                                     void *y, bool back, bool add) {
    if (p->n * p->d)
        WITH_TYPE(p->t, T, {
            blocks<T><<<blocks_for(p->n * p->d, THREADS), THREADS, 0, s>>>(*p, (const T *)x, (T *)y,
                                                                           back, add);
        });
}

extern "C" void hora_cuda_blocks_grad(cudaStream_t s, const hora_cuda_blocks *p, const void *x,
                                      const void *dy, float *dr, bool add) {
    WITH_TYPE(p->t, T, {
        blocks_grad<T><<<(unsigned)((p->shared ? p->b : p->d) * p->b), THREADS, 0, s>>>(
            *p, (const T *)x, (const T *)dy, dr, add);
    });
}

/* --- kron: the side of C; that of D is a product ----------------------------------------------- */
/* y (n, p, s) = C t (n, q, s), or with back y (n, q, s) = C' t (n, p, s) */
template <class X, class Y>
__global__ void kron(const float *c, int64_t p, int64_t q, int64_t s, const X *t, Y *y, int64_t n,
                     bool back) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, to = back ? q : p,
                  from = back ? p : q;
    if (i >= n * to * s)
        return;
    const int64_t e = i % s, a = i / s % to, row = i / (s * to);
    float sum = 0;
    for (int64_t b = 0; b < from; b++)
        sum += (back ? c[b * q + a] : c[a * q + b]) * to_float(t[(row * from + b) * s + e]);
    y[i] = from_float<Y>(sum);
}

template <class T>
__global__ void kron_grad(int64_t p, int64_t q, int64_t s, const float *t, const T *dy, float *dc,
                          int64_t n, bool add) {
    const int64_t a = blockIdx.x / q, b = blockIdx.x % q;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < n * s; i += THREADS)
        sum += to_float(dy[(i / s * p + a) * s + i % s]) * t[(i / s * q + b) * s + i % s];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0)
        dc[blockIdx.x] = sum + (add ? dc[blockIdx.x] : 0);
}

extern "C" void hora_cuda_kron(cudaStream_t s, hora_dtype t, const float *c, int64_t p, int64_t q,
                               int64_t width, const float *x, void *y, int64_t n) {
    if (n)
        WITH_TYPE(t, T, {
            kron<float, T><<<blocks_for(n * p * width, THREADS), THREADS, 0, s>>>(c, p, q, width, x,
                                                                                  (T *)y, n, false);
        });
}

extern "C" void hora_cuda_kron_back(cudaStream_t s, hora_dtype t, const float *c, int64_t p,
                                    int64_t q, int64_t width, const void *dy, void *dx, int64_t n) {
    if (n)
        WITH_TYPE(t, T, {
            kron<T, T><<<blocks_for(n * q * width, THREADS), THREADS, 0, s>>>(
                c, p, q, width, (const T *)dy, (T *)dx, n, true);
        });
}

extern "C" void hora_cuda_kron_grad(cudaStream_t s, hora_dtype t, int64_t p, int64_t q,
                                    int64_t width, const float *x, const void *dy, float *dc,
                                    int64_t n, bool add) {
    WITH_TYPE(t, T, {
        kron_grad<T>
            <<<(unsigned)(p * q), THREADS, 0, s>>>(p, q, width, x, (const T *)dy, dc, n, add);
    });
}

/* --- reflect: a block walks over rows; columns stay with their threads -------------------------- */
__device__ float inner(const float *u, const float *v, int64_t d) {
    float sum = 0;
    for (int64_t k = threadIdx.x; k < d; k += THREADS)
        sum += u[k] * v[k];
    return block_sum<THREADS>(sum);
}
__device__ void mirror(const float *u, float *v, int64_t d) {
    const float c = inner(u, u, d), uv = inner(u, v, d), f = c > 0 ? 2 * uv / c : 0;
    for (int64_t k = threadIdx.x; k < d; k += THREADS)
        v[k] -= f * u[k];
}

template <class T> __global__ void reflect(hora_cuda_reflect p, const T *x, T *y) {
    extern __shared__ float v[];
    const int64_t i = blockIdx.x;
    for (int64_t k = threadIdx.x; k < p.d; k += THREADS)
        v[k] = to_float(x[i * p.d + k]);
    for (int64_t j = p.r - 1; j >= 0; j--)
        mirror(p.u + j * p.d, v, p.d);
    for (int64_t k = threadIdx.x; k < p.d; k += THREADS)
        y[i * p.d + k] = from_float<T>(v[k]);
}

/* partial (PIECES, r, d): what a piece of the rows adds to dU; NULL: not wanted */
template <class T>
__global__ void reflect_back(hora_cuda_reflect p, const T *y, const T *dy, T *dx, bool add,
                             float *partial) {
    extern __shared__ float x[];
    float *g = x + p.d;
    const int64_t step = (p.n + PIECES - 1) / PIECES, from = blockIdx.x * step,
                  to = min(from + step, p.n);
    float *mine = partial ? partial + blockIdx.x * p.r * p.d : NULL;
    for (int64_t k = threadIdx.x; mine && k < p.d; k += THREADS)
        for (int64_t j = 0; j < p.r; j++)
            mine[j * p.d + k] = 0;
    for (int64_t i = from; i < to; i++) {
        for (int64_t k = threadIdx.x; k < p.d; k += THREADS) {
            x[k] = mine ? to_float(y[i * p.d + k]) : 0;
            g[k] = to_float(dy[i * p.d + k]);
        }
        for (int64_t j = 0; j < p.r; j++) {
            const float *u = p.u + j * p.d;
            if (mine) {
                mirror(u, x, p.d);
                const float s = inner(u, u, p.d), ux = inner(u, x, p.d), ug = inner(u, g, p.d);
                for (int64_t k = threadIdx.x; s > 0 && k < p.d; k += THREADS)
                    mine[j * p.d + k] +=
                        4 * ux * ug / (s * s) * u[k] - 2 / s * (ux * g[k] + ug * x[k]);
            }
            mirror(u, g, p.d);
        }
        for (int64_t k = threadIdx.x; dx && k < p.d; k += THREADS) {
            float v[1] = {g[k]};
            put<1>(dx + i * p.d + k, v, add);
        }
    }
}

__global__ void add_pieces(const float *partial, float *y, bool add, int64_t n) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    float sum = 0;
    for (int64_t k = 0; i < n && k < PIECES; k++)
        sum += partial[k * n + i];
    if (i < n)
        y[i] = sum + (add ? y[i] : 0);
}

extern "C" size_t hora_cuda_reflect_partials(const hora_cuda_reflect *p) {
    return (size_t)(PIECES * p->r * p->d) * sizeof(float);
}

extern "C" void hora_cuda_reflect_run(cudaStream_t s, const hora_cuda_reflect *p, const void *x,
                                      void *y) {
    if (p->n)
        WITH_TYPE(p->t, T, {
            reflect<T><<<(unsigned)p->n, THREADS, (size_t)p->d * sizeof(float), s>>>(
                *p, (const T *)x, (T *)y);
        });
}

extern "C" void hora_cuda_reflect_back(cudaStream_t s, const hora_cuda_reflect *p, const void *y,
                                       const void *dy, void *dx, bool add_x, float *du, bool add_u,
                                       float *partial) {
    WITH_TYPE(p->t, T, {
        reflect_back<T><<<PIECES, THREADS, (size_t)(2 * p->d) * sizeof(float), s>>>(
            *p, (const T *)y, (const T *)dy, (T *)dx, add_x, du ? partial : NULL);
    });
    if (du)
        add_pieces<<<blocks_for(p->r * p->d, THREADS), THREADS, 0, s>>>(partial, du, add_u,
                                                                        p->r * p->d);
}

/* --- cayley: a block for each rotation, its matrices in shared memory ---------------------------- */
/* c = a b, the second transposed where tb, the first where ta; all (b, b) */
__device__ void times(float *c, const float *x, bool tx, const float *y, bool ty, int b,
                      float beta) {
    for (int i = threadIdx.x; i < b * b; i += THREADS) {
        float sum = beta == 0 ? 0 : beta * c[i];
        for (int k = 0; k < b; k++)
            sum += (tx ? x[k * b + i / b] : x[i / b * b + k]) *
                   (ty ? y[i % b * b + k] : y[k * b + i % b]);
        c[i] = sum;
    }
    __syncthreads();
}

__device__ int64_t corner(int i, int j, int b) { /* place of (i, j), i < j, in the triangle */
    return (int64_t)i * b - (int64_t)i * (i + 1) / 2 + j - i - 1;
}

__device__ void skew(float *q, const float *p, int b, bool whole) {
    for (int at = threadIdx.x; at < b * b; at += THREADS) {
        const int i = at / b, j = at % b;
        q[at] = i == j  ? 0
                : whole ? (p[i * b + j] - p[j * b + i]) / 2
                : i < j ? p[corner(i, j, b)]
                        : -p[corner(j, i, b)];
    }
    __syncthreads();
}

/* x = (I + Q)^-1 by Gauss and Jordan; the diagonal stays at 1 or above */
__device__ void invert(float *x, float *m, const float *q, int b) {
    for (int i = threadIdx.x; i < b * b; i += THREADS) {
        x[i] = i % (b + 1) == 0;
        m[i] = q[i] + x[i];
    }
    __syncthreads();
    for (int k = 0; k < b; k++) {
        const float f = 1 / m[k * b + k];
        __syncthreads();
        for (int j = threadIdx.x; j < b; j += THREADS) {
            m[k * b + j] *= f;
            x[k * b + j] *= f;
        }
        __syncthreads();
        for (int i = threadIdx.x; i < b; i += THREADS) {
            const float g = m[i * b + k];
            for (int j = 0; i != k && j < b; j++) {
                m[i * b + j] -= g * m[k * b + j];
                x[i * b + j] -= g * x[k * b + j];
            }
        }
        __syncthreads();
    }
}

__global__ void cayley(hora_cuda_cayley c, const float *p, float *r) {
    extern __shared__ float room[];
    const int b = (int)c.b, n = b * b;
    float *q = room, *x = q + n, *m = x + n, *sum = m + n;
    skew(q, p + blockIdx.x * c.width, b, c.whole);
    if (!c.terms) {
        invert(x, m, q, b);
        for (int i = threadIdx.x; i < n; i += THREADS) /* (I - Q)(I + Q)^-1 = 2 (I + Q)^-1 - I */
            r[(int64_t)blockIdx.x * n + i] = 2 * x[i] - (i % (b + 1) == 0);
        return;
    }
    for (int i = threadIdx.x; i < n; i += THREADS)
        x[i] = sum[i] = i % (b + 1) == 0;
    __syncthreads();
    for (int k = 1; k < c.terms; k++) {
        times(m, x, false, q, false, b, 0);
        for (int i = threadIdx.x; i < n; i += THREADS) {
            x[i] = m[i];
            sum[i] += (k == c.terms - 1 ? 1 : 2) * m[i];
        }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < n; i += THREADS)
        r[(int64_t)blockIdx.x * n + i] = sum[i];
}

/* exact: dQ = -1/2 (I + R)' dR (I + R)'; terms: S_1 = dR, S_(k+1) = Q' S_k + dR (Q')^k */
__global__ void cayley_back(hora_cuda_cayley c, const float *p, const float *r, const float *dr,
                            float *dp, bool add) {
    extern __shared__ float room[];
    const int b = (int)c.b, n = b * b;
    float *q = room, *g = q + n, *s = g + n, *power = s + n, *m = power + n, *dq = m + n;
    skew(q, p + blockIdx.x * c.width, b, c.whole);
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const int64_t at = (int64_t)blockIdx.x * n + i;
        g[i] = s[i] = dr[at];
        power[i] = (i % (b + 1) == 0) + (c.terms ? 0 : r[at]);
        dq[i] = 0;
    }
    __syncthreads();
    if (!c.terms) {
        times(m, power, true, g, false, b, 0);
        times(dq, m, false, power, true, b, 0);
        for (int i = threadIdx.x; i < n; i += THREADS)
            dq[i] *= -0.5f;
    }
    for (int k = 1; k < c.terms; k++) {
        for (int i = threadIdx.x; i < n; i += THREADS)
            dq[i] += (k == c.terms - 1 ? 1 : 2) * s[i];
        times(m, power, false, q, true, b, 0); /* (Q')^k */
        for (int i = threadIdx.x; i < n; i += THREADS)
            power[i] = m[i];
        __syncthreads();
        times(m, q, true, s, false, b, 0);
        times(m, g, false, power, false, b, 1);
        for (int i = threadIdx.x; i < n; i += THREADS)
            s[i] = m[i];
        __syncthreads();
    }
    __syncthreads();
    float *out = dp + blockIdx.x * c.width;
    for (int at = threadIdx.x; at < n; at += THREADS) {
        const int i = at / b, j = at % b;
        const float v = dq[i * b + j] - dq[j * b + i];
        if (c.whole)
            out[at] = v / 2 + (add ? out[at] : 0);
        else if (i < j)
            out[corner(i, j, b)] = v + (add ? out[corner(i, j, b)] : 0);
    }
}

extern "C" bool hora_cuda_cayley_takes(int64_t b) {
    return 6 * b * b * (int64_t)sizeof(float) <= 48 << 10;
}

extern "C" void hora_cuda_cayley_run(cudaStream_t s, const hora_cuda_cayley *c, const float *p,
                                     float *r) {
    cayley<<<(unsigned)c->blocks, THREADS, (size_t)(4 * c->b * c->b) * sizeof(float), s>>>(*c, p,
                                                                                           r);
}

extern "C" void hora_cuda_cayley_back(cudaStream_t s, const hora_cuda_cayley *c, const float *p,
                                      const float *r, const float *dr, float *dp, bool add) {
    cayley_back<<<(unsigned)c->blocks, THREADS, (size_t)(6 * c->b * c->b) * sizeof(float), s>>>(
        *c, p, r, dr, dp, add);
}

/* --- orthonormal: one block; v, g (d) and gw (r, d) are scratch ----------------------------------- */
/* v = u_i without its parts along w_0 .. w_(j-1) */
__device__ void without(const float *u, const float *w, float *v, int64_t j, int64_t d) {
    for (int64_t k = threadIdx.x; k < d; k += THREADS)
        v[k] = u[k];
    for (int64_t l = 0; l < j; l++) {
        const float c = inner(w + l * d, v, d);
        for (int64_t k = threadIdx.x; k < d; k += THREADS)
            v[k] -= c * w[l * d + k];
    }
}

__global__ void orthonormal(const float *u, float *w, float *v, int64_t r, int64_t d) {
    for (int64_t i = 0; i < r; i++) {
        without(u + i * d, w, v, i, d);
        const float norm = sqrtf(inner(v, v, d));
        for (int64_t k = threadIdx.x; k < d; k += THREADS)
            w[i * d + k] = v[k] / norm;
    }
}

__global__ void orthonormal_back(const float *u, const float *w, const float *dw, float *du,
                                 bool add, float *room, int64_t r, int64_t d) {
    float *v = room, *g = v + d, *gw = g + d;
    for (int64_t k = threadIdx.x; k < d; k += THREADS)
        for (int64_t i = 0; i < r; i++)
            gw[i * d + k] = dw[i * d + k];
    for (int64_t i = r - 1; i >= 0; i--) {
        const float along = inner(w + i * d, gw + i * d, d);
        without(u + i * d, w, v, i, d);
        const float norm = sqrtf(inner(v, v, d));
        for (int64_t k = threadIdx.x; k < d; k += THREADS)
            g[k] = (gw[i * d + k] - along * w[i * d + k]) / norm;
        for (int64_t j = i - 1; j >= 0; j--) {
            without(u + i * d, w, v, j, d);
            const float wv = inner(w + j * d, v, d), wg = inner(w + j * d, g, d);
            for (int64_t k = threadIdx.x; k < d; k += THREADS) {
                gw[j * d + k] -= wg * v[k] + wv * g[k];
                g[k] -= wg * w[j * d + k];
            }
        }
        for (int64_t k = threadIdx.x; k < d; k += THREADS)
            du[i * d + k] = g[k] + (add ? du[i * d + k] : 0);
    }
}

extern "C" size_t hora_cuda_orthonormal_room(int64_t r, int64_t d) {
    return (size_t)((r + 2) * d) * sizeof(float);
}

extern "C" void hora_cuda_orthonormal(cudaStream_t s, const float *u, float *w, float *room,
                                      int64_t r, int64_t d) {
    orthonormal<<<1, THREADS, 0, s>>>(u, w, room, r, d);
}

extern "C" void hora_cuda_orthonormal_back(cudaStream_t s, const float *u, const float *w,
                                           const float *dw, float *du, bool add, float *room,
                                           int64_t r, int64_t d) {
    orthonormal_back<<<1, THREADS, 0, s>>>(u, w, dw, du, add, room, r, d);
}

/* --- fit -------------------------------------------------------------------------------------- */
template <class T>
__global__ void fit(const T *x, T *y, bool add, int64_t rows, int64_t from, int64_t to) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= rows * to)
        return;
    float v[1] = {i % to < from ? to_float(x[i / to * from + i % to]) : 0};
    put<1>(y + i, v, add);
}

extern "C" void hora_cuda_fit(cudaStream_t s, hora_dtype t, const void *x, void *y, bool add,
                              int64_t rows, int64_t from, int64_t to) {
    if (rows * to)
        WITH_TYPE(t, T, {
            fit<T><<<blocks_for(rows * to, THREADS), THREADS, 0, s>>>((const T *)x, (T *)y, add,
                                                                      rows, from, to);
        });
}
