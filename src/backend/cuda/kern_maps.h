#ifndef HORA_BACKEND_CUDA_KERN_MAPS_H
#define HORA_BACKEND_CUDA_KERN_MAPS_H
/* kern_maps.cu: ops of methods, as kern.h has the others. Parameters are F32. */
#include "backend/cuda/kern.h"

typedef struct hora_cuda_blocks { /* x, y (n, d), r (d, b), or (b, b) where shared */
    hora_dtype t;
    const float *r;
    int64_t n, d, b, level;
    bool shared;
} hora_cuda_blocks;
/* y (+)= P'(P x : blocks R); back: R' */
void hora_cuda_blocks_run(cudaStream_t s, const hora_cuda_blocks *p, const void *x, void *y,
                          bool back, bool add);
void hora_cuda_blocks_grad(cudaStream_t s, const hora_cuda_blocks *p, const void *x, const void *dy,
                           float *dr, bool add);
/* y (n, p, width) = C x (n, q, width), C (p, q); dx = C' dy; dc (+)= sum of dy x' */
void hora_cuda_kron(cudaStream_t s, hora_dtype t, const float *c, int64_t p, int64_t q,
                    int64_t width, const float *x, void *y, int64_t n);
void hora_cuda_kron_back(cudaStream_t s, hora_dtype t, const float *c, int64_t p, int64_t q,
                         int64_t width, const void *dy, void *dx, int64_t n);
void hora_cuda_kron_grad(cudaStream_t s, hora_dtype t, int64_t p, int64_t q, int64_t width,
                         const float *x, const void *dy, float *dc, int64_t n, bool add);
typedef struct hora_cuda_reflect { /* x, y (n, d), u (r, d); d at most 6144 */
    hora_dtype t;
    const float *u;
    int64_t n, d, r;
} hora_cuda_reflect;
size_t hora_cuda_reflect_partials(const hora_cuda_reflect *p); /* bytes */
void hora_cuda_reflect_run(cudaStream_t s, const hora_cuda_reflect *p, const void *x, void *y);
/* dx or du may be NULL */
void hora_cuda_reflect_back(cudaStream_t s, const hora_cuda_reflect *p, const void *y,
                            const void *dy, void *dx, bool add_x, float *du, bool add_u,
                            float *partial);
typedef struct hora_cuda_cayley { /* p (blocks, width) -> r (blocks b, b) */
    int64_t blocks, width, b, terms;
    bool whole;
} hora_cuda_cayley;
bool hora_cuda_cayley_takes(int64_t b);
void hora_cuda_cayley_run(cudaStream_t s, const hora_cuda_cayley *c, const float *p, float *r);
void hora_cuda_cayley_back(cudaStream_t s, const hora_cuda_cayley *c, const float *p,
                           const float *r, const float *dr, float *dp, bool add);
size_t hora_cuda_orthonormal_room(int64_t r, int64_t d); /* bytes */
void hora_cuda_orthonormal(cudaStream_t s, const float *u, float *w, float *room, int64_t r,
                           int64_t d);
void hora_cuda_orthonormal_back(cudaStream_t s, const float *u, const float *w, const float *dw,
                                float *du, bool add, float *room, int64_t r, int64_t d);
/* op fit: rows of `from` columns cut or filled up to `to` */
void hora_cuda_fit(cudaStream_t s, hora_dtype t, const void *x, void *y, bool add, int64_t rows,
                   int64_t from, int64_t to);
#endif
