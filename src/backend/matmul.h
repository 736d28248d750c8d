#ifndef HORA_BACKEND_MATMUL_H
#define HORA_BACKEND_MATMUL_H
/*
 * Matrix products by a library: one tile by one thread, y (+)= alpha x op(w). The cpu backend has
 * its own gemm (backend/cpu/kern.h) and asks a library under HORA_MATMUL=onednn, to compare. A
 * provider never starts threads; callers cut fixed tiles and run them with hora_parallel.
 */
#include "backend/backend.h"

typedef struct hora_matmul hora_matmul;

/* y (m, n) = beta y + alpha x (m, k) B, B = w' with w (n, k) when trans_w, else w (k, n). With
 * trans_x, x is stored (k, m). Leading dimensions in elements. dtype of x and w; y and accumulation
 * are f32. */
typedef struct hora_matmul_shape {
    int64_t m, n, k;
    int64_t ldx, ldw, ldy;
    bool trans_x, trans_w;
    hora_dtype dtype, ydtype;
    float alpha;
    bool accumulate; /* beta = 1 */
    bool packed;     /* w is the result of `pack` for the same n, k, trans_w, dtype */
} hora_matmul_shape;

typedef struct hora_matmul_provider {
    const char *name;
    hora_status (*make)(hora_matmul **out, const hora_matmul_shape *);
    void (*run)(const hora_matmul *, const void *x, const void *w, void *y, void *scratch);
    size_t (*scratch)(const hora_matmul *);          /* bytes per running thread */
    size_t (*pack_bytes)(const hora_matmul_shape *); /* 0: this provider does not pack this shape */
    void (*pack)(const hora_matmul_shape *, const void *w, void *packed);
    const char *(*variant)(const hora_matmul *);
    void (*free)(hora_matmul *);
} hora_matmul_provider;
int hora_matmul_count(void); /* providers in this build */
const hora_matmul_provider *hora_matmul_at(int i);
/* The provider that the environment names; NULL: the backend's own gemm. */
const hora_matmul_provider *hora_matmul_chosen(void);
#endif
