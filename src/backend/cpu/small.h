#ifndef HORA_BACKEND_CPU_SMALL_H
#define HORA_BACKEND_CPU_SMALL_H
/*
 * Products of f32 matrices as they lie, on one thread, by the processor's own loops (kern.h): what
 * kernels with many small matrices are made of. B is packed by the caller, once for all that it
 * meets.
 */
#include "backend/cpu/kern.h"

/* Floats that a packed B (k, n) takes, in whole cache lines. */
int64_t hora_small_room(int64_t k, int64_t n);
/* B (k, n) of rows ldb apart, or the transpose of (n, k), into `to`. */
void hora_small_pack(const float *b, int64_t ldb, bool transpose, int64_t k, int64_t n, float *to);

typedef struct hora_small {
    int64_t m, n, k;
    const float *a; /* (m, k) of rows lda apart; `transpose`: (k, m) */
    int64_t lda;
    bool transpose;
    const float *b; /* packed, (k, n) */
    float *y;       /* (m, n) of rows ldy apart */
    int64_t ldy;
    bool add; /* to what is in y */
} hora_small;
void hora_small_product(const hora_small *p);
#endif
