/*
 * Gradients of weights, dW = alpha a' b summed over rows: tiles of dW, each by one thread, which
 * packs the rows' share of both sides and has the own gemm kernels sum it. The cut follows from the
 * shape of W alone.
 */
#include "backend/cpu/cpu_impl.h"

enum {
    UNIT = 64,              /* numbers on a side of a tile */
    WEIGHT_GRAD_ROWS = 1024 /* rows that are packed at a time */
};

typedef struct weight_grad_run {
    const hora_kern_gemm *gemm;
    int64_t rows, o, k, tile, across;
    float alpha;
    const char *a, *b;
    float *y;
    bool overwrite;
    char *scratch;
    size_t each; /* bytes of a thread */
} weight_grad_run;

static size_t weight_grad_panel(const hora_kern_gemm *b) {
    return hora_cpu_aligned(b->pack_bytes(WEIGHT_GRAD_ROWS, UNIT));
}

size_t hora_cpu_weight_grad_scratch(hora_device *d, hora_dtype dtype) {
    const hora_kern_gemm *b = hora_kern_get()->gemm[dtype == HORA_BF16];
    return 2 * weight_grad_panel(b) * (size_t)hora_device_threads(d);
}

/* Columns [at, at + n) of rows [i, i + m) of a matrix of `width` columns, as B. */
static void pack_rows(const weight_grad_run *r, const char *from, int64_t width, int64_t i,
                      int64_t m, int64_t at, int64_t n, char *to) {
    size_t size = r->gemm->elem;
    r->gemm->pack(&(hora_pack){.w = from + (size_t)(i * width + at) * size,
                               .ldw = width,
                               .wide = size == sizeof(float),
                               .scale = 1,
                               .k = m,
                               .n = n},
                  to);
}

static void weight_grad_tile(void *arg, int64_t tile, int thread) {
    const weight_grad_run *r = arg;
    const hora_kern_gemm *gemm = r->gemm;
    int64_t o0 = tile / r->across * r->tile, k0 = tile % r->across * r->tile;
    int64_t m = hora_min(r->tile, r->o - o0), n = hora_min(r->tile, r->k - k0);
    char *pa = r->scratch + (size_t)thread * 2 * r->each, *pb = pa + r->each;
    for (int64_t i = 0; i < r->rows; i += WEIGHT_GRAD_ROWS) {
        int64_t rows = hora_min(WEIGHT_GRAD_ROWS, r->rows - i);
        pack_rows(r, r->a, r->o, i, rows, o0, m, pa);
        pack_rows(r, r->b, r->k, i, rows, k0, n, pb);
        for (int64_t at = 0; at < m; at += gemm->panel) {
            int64_t width = hora_min(gemm->panel, m - at);
            float *y = r->y + (o0 + at) * r->k + k0;
            hora_gemm g = {
                .m = width, .n = n, .alpha = r->alpha, .y = y, .ldy = r->k, .wide = true};
            int64_t units = (int64_t)gemm->pack_bytes(rows, gemm->panel);
            g.t[0] = (hora_gemm_term){.k = rows,
                                      .x = pa + at / gemm->panel * units,
                                      .sxi = 4,
                                      .sxp = (int64_t)gemm->pack_bytes(1, width),
                                      .b = pb,
                                      .sb = units};
            g.add = i || !r->overwrite ? y : NULL;
            g.ldadd = r->k;
            gemm->gemm(&g);
        }
    }
}

void hora_cpu_weight_grad(hora_dtype dtype, int threads, int64_t rows, int64_t o, int64_t k,
                          float alpha, const void *a, const void *b, float *y, bool overwrite,
                          void *scratch) {
    const hora_kern_gemm *gemm = hora_kern_get()->gemm[dtype == HORA_BF16];
    weight_grad_run r = {gemm, rows, o, k,         UNIT,    hora_ceil_div(k, UNIT), alpha,
                         a,    b,    y, overwrite, scratch, weight_grad_panel(gemm)};
    hora_cpu_few_or_parallel(threads, (double)rows * (double)o * (double)k,
                             hora_ceil_div(o, UNIT) * r.across, weight_grad_tile, &r);
}
