/*
 * Matrix products by register blocks: MR rows x NV vectors of columns, the whole sum over a chunk
 * of k in registers. B is read by rows of a panel of NR columns: packed beforehand, or copied into
 * a chunk on the stack, or in place where its rows lie right already. Every element of y is the sum
 * over k in ascending order within chunks of KC, chunks added in order: its bits depend on k and on
 * nothing else.
 *
 *      x (m, k)                B panel (k, NR)             y
 *   MR | broadcast x[i][p] ->  row p: NV vectors     MR x NR sums in registers
 */
#include "backend/cpu/kern_vec.h"

#if VL == 16
#define MR 8
#else
#define MR 6
#endif
#define NV 2
#define NR (NV * VL)
#define KC 256

/* Sums of mr rows and nv vectors over k. sxi and sxp: steps of x from row to row and along k. */
INLINE void block(const int mr, const int nv, int64_t k, const float *x, int64_t sxi, int64_t sxp,
                  const float *b, int64_t ldb, vf acc[MR][NV]) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++)
            acc[i][j] = v_zero();
    for (int64_t p = 0; p < k; p++) {
        vf bj[NV];
        for (int j = 0; j < nv; j++)
            bj[j] = v_load(b + p * ldb + j * VL);
        for (int i = 0; i < mr; i++) {
            vf xi = v_set(x[i * sxi + p * sxp]);
            for (int j = 0; j < nv; j++)
                acc[i][j] = v_fma(xi, bj[j], acc[i][j]);
        }
    }
}

/* y = add + bias + alpha acc for mr rows and n columns (n <= nv * VL). */
INLINE void finish(const int mr, const int nv, int64_t n, float alpha, vf acc[MR][NV],
                   const float *add, int64_t ldadd, const float *bias, float *y, int64_t ldy) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) {
            int64_t left = n - j * VL;
            vf v = acc[i][j] * alpha;
            if (left >= VL) {
                if (add)
                    v += v_load(add + i * ldadd + j * VL);
                if (bias)
                    v += v_load(bias + j * VL);
                v_store(y + i * ldy + j * VL, v);
            } else if (left > 0) {
                if (add)
                    v += v_load_n(add + i * ldadd + j * VL, left);
                if (bias)
                    v += v_load_n(bias + j * VL, left);
                v_store_n(y + i * ldy + j * VL, v, left);
            }
        }
}

typedef struct strip {
    int64_t n, k, sxi, sxp, ldb, ldadd, ldy;
    float alpha;
    const float *x, *b, *add, *bias;
    float *y;
} strip;

#define BLOCK(mr, nv)                                                                              \
    static void block_##mr##_##nv(const strip *s, int64_t i) {                                     \
        vf acc[MR][NV];                                                                            \
        block(mr, nv, s->k, s->x + i * s->sxi, s->sxi, s->sxp, s->b, s->ldb, acc);                 \
        finish(mr, nv, s->n, s->alpha, acc, s->add ? s->add + i * s->ldadd : NULL, s->ldadd,       \
               s->bias, s->y + i * s->ldy, s->ldy);                                                \
    }
BLOCK(1, 1)
BLOCK(2, 1)
BLOCK(4, 1)
BLOCK(1, 2)
BLOCK(2, 2)
BLOCK(4, 2)
#if MR == 8
BLOCK(8, 1)
BLOCK(8, 2)
#define BLOCK_MR_1 block_8_1
#define BLOCK_MR_2 block_8_2
#else
BLOCK(6, 1)
BLOCK(6, 2)
#define BLOCK_MR_1 block_6_1
#define BLOCK_MR_2 block_6_2
#endif

static void rows_of(const strip *s, int64_t m) {
    int64_t i = 0;
    if (s->n <= VL) {
        for (; i + MR <= m; i += MR)
            BLOCK_MR_1(s, i);
        for (; i + 4 <= m; i += 4)
            block_4_1(s, i);
        for (; i + 2 <= m; i += 2)
            block_2_1(s, i);
        if (i < m)
            block_1_1(s, i);
    } else {
        for (; i + MR <= m; i += MR)
            BLOCK_MR_2(s, i);
        for (; i + 4 <= m; i += 4)
            block_4_2(s, i);
        for (; i + 2 <= m; i += 2)
            block_2_2(s, i);
        if (i < m)
            block_1_2(s, i);
    }
}

typedef float v4 __attribute__((vector_size(16)));
typedef float v4_any __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i4 __attribute__((vector_size(16)));

/* dst (4, NR) = w (4, ldw)' */
INLINE void turn4(const float *w, int64_t ldw, float *dst) {
    v4 a = *(const v4_any *)w, b = *(const v4_any *)(w + ldw);
    v4 c = *(const v4_any *)(w + 2 * ldw), d = *(const v4_any *)(w + 3 * ldw);
    v4 ab0 = __builtin_shuffle(a, b, (i4){0, 4, 1, 5}),
       ab1 = __builtin_shuffle(a, b, (i4){2, 6, 3, 7});
    v4 cd0 = __builtin_shuffle(c, d, (i4){0, 4, 1, 5}),
       cd1 = __builtin_shuffle(c, d, (i4){2, 6, 3, 7});
    *(v4_any *)dst = __builtin_shuffle(ab0, cd0, (i4){0, 1, 4, 5});
    *(v4_any *)(dst + NR) = __builtin_shuffle(ab0, cd0, (i4){2, 3, 6, 7});
    *(v4_any *)(dst + 2 * NR) = __builtin_shuffle(ab1, cd1, (i4){0, 1, 4, 5});
    *(v4_any *)(dst + 3 * NR) = __builtin_shuffle(ab1, cd1, (i4){2, 3, 6, 7});
}

/* dst (k, NR) from columns [0, n) of B, the rest zero; w points at the first of them. */
static void copy_panel(const float *w, int64_t ldw, bool trans_w, int64_t k, int64_t n,
                       float *dst) {
    if (!trans_w) {
        for (int64_t p = 0; p < k; p++)
            for (int j = 0; j < NV; j++) {
                int64_t left = n - j * VL;
                v_store(dst + p * NR + j * VL, left >= VL ? v_load(w + p * ldw + j * VL)
                                               : left > 0 ? v_load_n(w + p * ldw + j * VL, left)
                                                          : v_zero());
            }
        return;
    }
    if (n < NR)
        memset(dst, 0, (size_t)(k * NR) * sizeof *dst);
    int64_t j4 = n & ~(int64_t)3, k4 = k & ~(int64_t)3;
    for (int64_t p = 0; p < k4; p += 4)
        for (int64_t j = 0; j < j4; j += 4)
            turn4(w + j * ldw + p, ldw, dst + p * NR + j);
    for (int64_t p = 0; p < k; p++)
        for (int64_t j = p < k4 ? j4 : 0; j < n; j++)
            dst[p * NR + j] = w[j * ldw + p];
}

/* Few rows against rows of w: y_ij = sum of x_i * w_j, each w read once, in place. The sums of the
 * VL lanes run side by side and are folded by v_sum. */
INLINE void dots(const int mr, const hora_gemm *g, int64_t i, int64_t j, int nj) {
    vf acc[4][4];
    const float *x = g->x + i * g->ldx, *w = g->w + j * g->ldw;
    for (int a = 0; a < mr; a++)
        for (int b = 0; b < nj; b++)
            acc[a][b] = v_zero();
    int64_t p = 0;
    for (; p + VL <= g->k; p += VL)
        for (int b = 0; b < nj; b++) {
            vf wb = v_load(w + b * g->ldw + p);
            for (int a = 0; a < mr; a++)
                acc[a][b] = v_fma(v_load(x + a * g->ldx + p), wb, acc[a][b]);
        }
    if (p < g->k)
        for (int b = 0; b < nj; b++) {
            vf wb = v_load_n(w + b * g->ldw + p, g->k - p);
            for (int a = 0; a < mr; a++)
                acc[a][b] = v_fma(v_load_n(x + a * g->ldx + p, g->k - p), wb, acc[a][b]);
        }
    for (int a = 0; a < mr; a++)
        for (int b = 0; b < nj; b++) {
            float s = g->alpha * v_sum(acc[a][b]);
            if (g->add)
                s += g->add[(i + a) * g->ldadd + j + b];
            if (g->bias)
                s += g->bias[j + b];
            g->y[(i + a) * g->ldy + j + b] = s;
        }
}

static void few_rows(const hora_gemm *g) {
    for (int64_t i = 0; i < g->m; i++) {
        int64_t j = 0;
        if (i + 2 <= g->m) {
            for (; j + 4 <= g->n; j += 4)
                dots(2, g, i, j, 4);
            for (; j < g->n; j++)
                dots(2, g, i, j, 1);
            i++;
            continue;
        }
        for (; j + 4 <= g->n; j += 4)
            dots(1, g, i, j, 4);
        for (; j < g->n; j++)
            dots(1, g, i, j, 1);
    }
}

static void gemm(const hora_gemm *g) {
    if (g->m <= 4 && g->trans_w && !g->packed && !g->trans_x && g->k >= VL) {
        few_rows(g);
        return;
    }
    float buffer[KC * NR] __attribute__((aligned(64)));
    /* k == 0 still writes add + bias */
    for (int64_t p0 = 0; p0 < g->k || p0 == 0; p0 += KC) {
        int64_t kc = g->k - p0 < KC ? g->k - p0 : KC;
        for (int64_t j0 = 0; j0 < g->n; j0 += NR) {
            int64_t n = g->n - j0 < NR ? g->n - j0 : NR;
            const float *w = g->packed    ? g->w + j0 * g->k + p0 * NR
                             : g->trans_w ? g->w + j0 * g->ldw + p0
                                          : g->w + p0 * g->ldw + j0;
            strip s = {.n = n, .k = kc, .ldb = NR, .ldy = g->ldy, .alpha = g->alpha};
            s.sxi = g->trans_x ? 1 : g->ldx;
            s.sxp = g->trans_x ? g->ldx : 1;
            s.x = g->x + p0 * s.sxp;
            s.y = g->y + j0;
            s.add = p0 ? s.y : g->add ? g->add + j0 : NULL;
            s.ldadd = p0 ? g->ldy : g->ldadd;
            s.bias = !p0 && g->bias ? g->bias + j0 : NULL;
            if (g->packed) {
                s.b = w;
            } else if (!g->trans_w && n == NR && g->m <= 4 * MR) {
                s.b = w;
                s.ldb = g->ldw;
            } else {
                copy_panel(w, g->ldw, g->trans_w, kc, n, buffer);
                s.b = buffer;
            }
            rows_of(&s, g->m);
        }
    }
}

static int64_t pack_size(int64_t k, int64_t n) {
    return (n + NR - 1) / NR * NR * k;
}

static void pack(const float *w, int64_t ldw, bool trans_w, int64_t k, int64_t n, float *dst) {
    for (int64_t j = 0; j < n; j += NR)
        copy_panel(trans_w ? w + j * ldw : w + j, ldw, trans_w, k, n - j < NR ? n - j : NR,
                   dst + j * k);
}

static void merge(int64_t m, int64_t n, float alpha, const float *c, int64_t ldc, const float *add,
                  int64_t ldadd, const float *bias, float *y, int64_t ldy) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j += VL) {
            int64_t left = n - j;
            bool whole = left >= VL;
            vf v = alpha * (whole ? v_load(c + i * ldc + j) : v_load_n(c + i * ldc + j, left));
            if (add)
                v += whole ? v_load(add + i * ldadd + j) : v_load_n(add + i * ldadd + j, left);
            if (bias)
                v += whole ? v_load(bias + j) : v_load_n(bias + j, left);
            if (whole)
                v_store(y + i * ldy + j, v);
            else
                v_store_n(y + i * ldy + j, v, left);
        }
    }
}

extern const hora_kern_products KERN(products);
const hora_kern_products KERN(products) = {NR, gemm, pack_size, pack, merge};
