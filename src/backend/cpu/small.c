/* Products of small matrices by the gemm kernels of f32. */
#include "backend/cpu/small.h"

static const hora_kern_gemm *gemm(void) {
    return hora_kern_get()->gemm[0];
}

int64_t hora_small_room(int64_t k, int64_t n) {
    return hora_round_up((int64_t)(gemm()->pack_bytes(k, n) / sizeof(float)), 16);
}

void hora_small_pack(const float *b, int64_t ldb, bool transpose, int64_t k, int64_t n, float *to) {
    gemm()->pack(
        &(hora_pack){
            .w = b, .ldw = ldb, .trans_w = transpose, .wide = true, .scale = 1, .k = k, .n = n},
        to);
}

void hora_small_product(const hora_small *p) {
    const int64_t size = sizeof(float);
    const hora_gemm g = {.m = p->m,
                         .n = p->n,
                         .t = {{.k = p->k,
                                .x = p->a,
                                .sxi = p->transpose ? size : p->lda * size,
                                .sxp = p->transpose ? p->lda * size : size,
                                .b = p->b,
                                .sb = (int64_t)gemm()->pack_bytes(p->k, gemm()->panel)}},
                         .alpha = 1,
                         .add = p->add ? p->y : NULL,
                         .ldadd = p->ldy,
                         .y = p->y,
                         .ldy = p->ldy,
                         .wide = true};
    gemm()->gemm(&g);
}
