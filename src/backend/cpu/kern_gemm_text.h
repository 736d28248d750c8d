/*
 * The text of kern_gemm.c for one element: ELEM bf16 (ELEM_BF16 1) or f32 (0). See there.
 */

#if ELEM_BF16
#define G(name) KERN_JOIN2(name, bf16)
typedef uint16_t KERN_JOIN2(elem, bf16);
#define PER 2 /* elements of a unit */
#else
#define G(name) KERN_JOIN2(name, f32)
typedef float KERN_JOIN2(elem, f32);
#define PER     1
#endif
#define E G(elem)

#if VL == 16 && (!ELEM_BF16 || defined(HORA_VARIANT_avx512_bf16))
#define MR 6
#define NV 4
#elif VL == 16
#define MR 8
#define NV 2
#elif VL == 8 && !ELEM_BF16
#define MR 6
#define NV 2
#else
#define MR 4
#define NV 2
#endif
#define NR    (NV * VL)
#define AHEAD 32 /* rows between what is packed and what is fetched */

/* A unit without a dot product of its own is multiplied in two halves, its elements in order. */
#if ELEM_BF16 && !defined(HORA_VARIANT_avx512_bf16)
#define HALVES 2
INLINE vu G(half)(vu unit, int h) {
    return h ? unit & 0xffff0000u : unit << 16;
}
#else
#define HALVES 1
INLINE vu G(half)(vu unit, int h) {
    (void)h;
    return unit;
}
#endif

/* A unit of x in all lanes. Its elements are taken apart there, where a load puts them by itself:
 * taken apart before, each costs a move into a vector. GCC would turn that round. */
INLINE vu G(lanes)(uint32_t unit) {
    vu x = unit - (vu){0};
#if HALVES == 2 && VL > 4
    __asm__("" : "+v"(x));
#endif
    return x;
}

INLINE vf G(dot)(vu x, vu b, vf acc) {
#if ELEM_BF16 && defined(HORA_VARIANT_avx512_bf16)
    return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)x, (__m512bh)b);
#else
    return v_fma((vf)x, (vf)b, acc);
#endif
}

/* Adds unit p of a term to the sums of mr rows and nv vectors; only its first element is in x where
 * `last` says so. One half for all rows before the other: fewer vectors are held at a time, and a
 * sum's two additions stand apart. */
INLINE void G(unit)(const int mr, const int nv, const hora_gemm_term *t, const char *x,
                    const char *b, const bool last, vf acc[][NV]) {
#pragma GCC unroll 2
    for (int h = 0; h < HALVES; h++) {
        vu bj[NV];
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            bj[j] = G(half)(*(const vu_any *)(b + j * (int64_t)sizeof(vu)), h);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            const char *at = x + r * t->sxi;
            const vu xr = G(half)(G(lanes)(last ? *(const uint16_t *)at : *(const u32_any *)at), h);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                acc[r][j] = G(dot)(xr, bj[j], acc[r][j]);
        }
    }
}

/* Adds a term to the sums of mr rows and nv vectors. */
INLINE void G(block)(const int mr, const int nv, const hora_gemm_term *t, int64_t i, const char *b,
                     vf acc[][NV]) {
    const char *x = (const char *)t->x + i * t->sxi;
    const int64_t sxp = t->sxp, whole = t->k / PER;
    const int64_t su = t->su ? t->su : nv * (int64_t)sizeof(vu);
    for (int64_t p = 0; p < whole; p++)
        G(unit)(mr, nv, t, x + p * sxp, b + p * su, false, acc);
#if ELEM_BF16
    if (t->k % 2) /* the last unit of x may be half outside */
        G(unit)(mr, nv, t, x + whole * sxp, b + whole * su, true, acc);
#endif
}

INLINE vf G(get)(const void *p, bool wide, int64_t n) {
#if ELEM_BF16
    if (!wide)
        return n >= VL ? v_load_bf16(p) : v_load_bf16_n(p, n);
#endif
    (void)wide;
    return n >= VL ? v_load(p) : v_load_n(p, n);
}

INLINE void G(put)(void *p, bool wide, vf v, int64_t n) {
#if ELEM_BF16
    if (!wide) {
        if (n >= VL)
            v_store_bf16(p, v);
        else
            v_store_bf16_n(p, v, n);
        return;
    }
#endif
    (void)wide;
    if (n >= VL)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

/* y = add + bias + alpha (c + acc) for mr rows and n columns from (i, j). A function of its own: in
 * every block it would be most of what a compiler reads. */
static __attribute__((noinline)) void G(finish)(const int mr, const hora_gemm *g, int64_t i,
                                                int64_t j, int64_t n, vf acc[][NV]) {
    const int64_t size = g->wide ? 4 : (int64_t)sizeof(E);
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < NV; v++) {
            int64_t left = n - v * VL, at = j + v * VL;
            if (left <= 0)
                break;
            vf s = acc[r][v];
            if (g->c)
                s += G(get)(g->c + (i + r) * g->ldc + at, true, left);
            s *= g->alpha;
            if (g->bias)
                s += G(get)(g->bias + at, true, left);
            if (g->add)
                s += G(get)((const char *)g->add + ((i + r) * g->ldadd + at) * size, g->wide, left);
            G(put)((char *)g->y + ((i + r) * g->ldy + at) * size, g->wide, s, left);
        }
}

/* The same for whole vectors without c and bias, unrolled so that sums never leave registers. */
INLINE void G(finish_plain)(const int mr, const int nv, const hora_gemm *g, int64_t i, int64_t j,
                            const bool wide, const bool add, vf acc[][NV]) {
    const int64_t size = wide ? 4 : (int64_t)sizeof(E);
    const vf alpha = v_set(g->alpha);
    char *y = (char *)g->y + (i * g->ldy + j) * size;
    const char *x = add ? (const char *)g->add + (i * g->ldadd + j) * size : NULL;
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            vf s = acc[r][v] * alpha;
            if (add)
                s += G(get)(x + v * VL * size, wide, VL);
            G(put)(y + v * VL * size, wide, s, VL);
        }
        y += g->ldy * size;
        if (add)
            x += g->ldadd * size;
    }
}

#define BLOCK(mr, nv)                                                                              \
    static void G(block_##mr##_##nv)(const hora_gemm *g, int64_t i, int64_t j, int64_t n) {        \
        vf acc[mr][NV];                                                                            \
        _Pragma("GCC unroll 8") for (int r = 0; r < mr; r++)                                       \
            _Pragma("GCC unroll 4") for (int v = 0; v < nv; v++) acc[r][v] = v_zero();             \
        if (g->t[0].k)                                                                             \
            G(block)(mr, nv, &g->t[0], i, (const char *)g->t[0].b + j / NR * g->t[0].sb, acc);     \
        if (g->t[1].k)                                                                             \
            G(block)(mr, nv, &g->t[1], i, (const char *)g->t[1].b + j / NR * g->t[1].sb, acc);     \
        if (n == nv * VL && !g->c && !g->bias) {                                                   \
            if (g->wide && g->add)                                                                 \
                G(finish_plain)(mr, nv, g, i, j, true, true, acc);                                 \
            else if (g->wide)                                                                      \
                G(finish_plain)(mr, nv, g, i, j, true, false, acc);                                \
            else if (g->add)                                                                       \
                G(finish_plain)(mr, nv, g, i, j, false, true, acc);                                \
            else                                                                                   \
                G(finish_plain)(mr, nv, g, i, j, false, false, acc);                               \
            return;                                                                                \
        }                                                                                          \
        vf out[mr][NV];                                                                            \
        _Pragma("GCC unroll 8") for (int r = 0; r < mr; r++)                                       \
            _Pragma("GCC unroll 4") for (int v = 0; v < nv; v++) out[r][v] = acc[r][v];            \
        G(finish)(mr, g, i, j, n, out);                                                            \
    }
#define PANEL(nv)                                                                                  \
    BLOCK(1, nv)                                                                                   \
    BLOCK(2, nv)                                                                                   \
    BLOCK(4, nv)                                                                                   \
    BLOCK_MOST(nv)                                                                                 \
    static void G(panel_##nv)(const hora_gemm *g, int64_t j, int64_t n) {                          \
        int64_t i = 0;                                                                             \
        for (; i + MR <= g->m; i += MR)                                                            \
            PANEL_MOST(nv)(g, i, j, n);                                                            \
        for (; i + 4 <= g->m; i += 4)                                                              \
            G(block_4_##nv)(g, i, j, n);                                                           \
        for (; i + 2 <= g->m; i += 2)                                                              \
            G(block_2_##nv)(g, i, j, n);                                                           \
        if (i < g->m)                                                                              \
            G(block_1_##nv)(g, i, j, n);                                                           \
    }
#if MR == 8
#define BLOCK_MOST(nv) BLOCK(8, nv)
#define PANEL_MOST(nv) G(block_8_##nv)
#elif MR == 6
#define BLOCK_MOST(nv) BLOCK(6, nv)
#define PANEL_MOST(nv) G(block_6_##nv)
#else
#define BLOCK_MOST(nv)
#define PANEL_MOST(nv) G(block_4_##nv)
#endif
PANEL(1)
PANEL(2)
#if NV == 4
PANEL(3)
PANEL(4)
#endif

static void G(gemm)(const hora_gemm *g) {
    for (int64_t j = 0; j < g->n; j += NR) {
        int64_t n = g->n - j < NR ? g->n - j : NR;
        switch ((n + VL - 1) / VL) {
        case 1:
            G(panel_1)(g, j, n);
            break;
        case 2:
            G(panel_2)(g, j, n);
            break;
#if NV == 4
        case 3:
            G(panel_3)(g, j, n);
            break;
        default:
            G(panel_4)(g, j, n);
#endif
        }
    }
}

/* Columns that a panel of n has in memory. */
INLINE int64_t G(columns)(int64_t n) {
    return n >= NR ? NR : (n + VL - 1) / VL * VL;
}

static size_t G(pack_bytes)(int64_t k, int64_t n) {
    int64_t last = n % NR ? G(columns)(n % NR) : 0;
    return (size_t)((n / NR * NR + last) * ((k + PER - 1) / PER)) * 4;
}

/* A panel of B = w' from w (n, ldw) of elements: units of a row of w lie side by side already, so
 * this transposes a matrix of units. */
static void G(transpose_panel)(const E *w, int64_t ldw, int64_t k, int64_t n, int64_t columns,
                               uint32_t *dst) {
    int64_t whole = k / PER, j = 0;
    for (; j + 4 <= n; j += 4) {
        const E *row = w + j * ldw;
        int64_t p = 0;
#if VL == 16
        for (; j + 16 <= n && p + 16 <= whole; p += 16)
            transpose16(row + p * PER, ldw * (int64_t)sizeof(E), dst + p * columns + j, columns);
        if (j + 16 <= n && p == whole) {
            j += 12;
            continue;
        }
#endif
        for (; p + 4 <= whole; p += 4)
            transpose4(row + p * PER, ldw * (int64_t)sizeof(E), dst + p * columns + j, columns);
        for (; p < whole; p++)
            for (int c = 0; c < 4; c++)
                dst[p * columns + j + c] = *(const u32_any *)(row + c * ldw + p * PER);
    }
    for (; j < n; j++)
        for (int64_t p = 0; p < whole; p++)
            dst[p * columns + j] = *(const u32_any *)(w + j * ldw + p * PER);
    for (int64_t c = 0; k % PER && c < n; c++)
        dst[whole * columns + c] = *(const uint16_t *)(w + c * ldw + k - 1);
}

/* A panel of B = w from w (k, ldw). Its rows lie on pages of their own, where no hardware
 * prefetcher follows. */
static void G(copy_panel)(const E *w, int64_t ldw, int64_t k, int64_t n, int64_t columns,
                          uint32_t *dst) {
    for (int64_t p = 0; p < k; p += PER, dst += columns)
        for (int64_t j = 0; j < n; j += VL) {
            const E *at = w + p * ldw + j;
            int64_t left = n - j;
            for (int ahead = 0; ahead < PER; ahead++)
                __builtin_prefetch(at + (AHEAD + ahead) * ldw);
#if ELEM_BF16
            vu even = (vu)G(get)(at, false, left) >> 16;
            vu odd = p + 1 < k ? (vu)G(get)(at + ldw, false, left) : (vu){0};
            *(vu_any *)(dst + j) = even | odd;
#else
            *(vu_any *)(dst + j) = (vu)G(get)(at, true, left);
#endif
        }
}

#if ELEM_BF16
enum { NARROWED = 128 }; /* elements of a row that are rounded at a time */

/* The same from w of floats, scaled and rounded first, a run at a time. */
static void G(round_panel)(const float *w, int64_t ldw, bool trans_w, float scale, int64_t k,
                           int64_t n, int64_t columns, uint32_t *dst) {
    uint16_t run[NR * NARROWED];
    for (int64_t p0 = 0; p0 < k; p0 += NARROWED) {
        int64_t kc = k - p0 < NARROWED ? k - p0 : NARROWED;
        int64_t rows = trans_w ? n : kc, width = trans_w ? kc : n, ld = trans_w ? NARROWED : NR;
        for (int64_t i = 0; i < rows; i++) {
            const float *from = trans_w ? w + i * ldw + p0 : w + (p0 + i) * ldw;
            for (int64_t j = 0; j < width; j += VL) {
                vf v = scale * G(get)(from + j, true, width - j);
                G(put)(run + i * ld + j, false, v, width - j);
            }
        }
        if (trans_w)
            G(transpose_panel)(run, ld, kc, n, columns, dst + p0 / 2 * columns);
        else
            G(copy_panel)(run, ld, kc, n, columns, dst + p0 / 2 * columns);
    }
}
#endif

static void G(pack)(const hora_pack *p, void *to) {
    uint32_t *dst = to;
    for (int64_t j = 0; j < p->n; j += NR) {
        int64_t n = p->n - j < NR ? p->n - j : NR, columns = G(columns)(n);
        int64_t units = (p->k + PER - 1) / PER;
        const char *w =
            (const char *)p->w + j * (p->trans_w ? p->ldw : 1) * (p->wide ? 4 : (int64_t)sizeof(E));
        for (int64_t u = 0; n < columns && u < units; u++)
            memset(dst + u * columns + n, 0, (size_t)(columns - n) * 4);
#if ELEM_BF16
        if (p->wide)
            G(round_panel)((const float *)w, p->ldw, p->trans_w, p->scale, p->k, n, columns, dst);
        else
#endif
            if (p->trans_w)
            G(transpose_panel)((const E *)w, p->ldw, p->k, n, columns, dst);
        else
            G(copy_panel)((const E *)w, p->ldw, p->k, n, columns, dst);
#if !ELEM_BF16
        if (p->scale != 1)
            for (int64_t u = 0; u < units * columns; u += VL)
                v_store((float *)dst + u, p->scale * v_load((float *)dst + u));
#endif
        dst += units * columns;
    }
}

/* mr rows against nj rows of w, each read once, in place; the sums of the lanes run side by side
 * and are added by v_sum. */
INLINE void G(dots)(const int mr, const int nj, const hora_few *f, int64_t i, int64_t j) {
    vf acc[4][4];
    const E *x = (const E *)f->x + i * f->ldx, *w = (const E *)f->w + j * f->ldw;
    for (int a = 0; a < mr; a++)
        for (int b = 0; b < nj; b++)
            acc[a][b] = v_zero();
    int64_t p = 0;
#if ELEM_BF16 && defined(HORA_VARIANT_avx512_bf16)
    for (; p + 2 * VL <= f->k; p += 2 * VL)
        for (int b = 0; b < nj; b++) {
            __m512bh wb = (__m512bh)_mm512_loadu_si512(w + b * f->ldw + p);
            for (int a = 0; a < mr; a++)
                acc[a][b] = (vf)_mm512_dpbf16_ps(
                    (__m512)acc[a][b], (__m512bh)_mm512_loadu_si512(x + a * f->ldx + p), wb);
        }
#endif
    for (; p < f->k; p += VL)
        for (int b = 0; b < nj; b++) {
            vf wb = G(get)(w + b * f->ldw + p, false, f->k - p);
            for (int a = 0; a < mr; a++)
                acc[a][b] = v_fma(G(get)(x + a * f->ldx + p, false, f->k - p), wb, acc[a][b]);
        }
    for (int a = 0; a < mr; a++)
        for (int b = 0; b < nj; b++)
            f->y[(i + a) * f->ldy + j + b] = v_sum(acc[a][b]);
}

static void G(few)(const hora_few *f) {
    for (int64_t i = 0; i < f->m; i += 2) {
        int64_t j = 0;
        if (i + 2 <= f->m) {
            for (; j + 4 <= f->n; j += 4)
                G(dots)(2, 4, f, i, j);
            for (; j < f->n; j++)
                G(dots)(2, 1, f, i, j);
        } else {
            for (; j + 4 <= f->n; j += 4)
                G(dots)(1, 4, f, i, j);
            for (; j < f->n; j++)
                G(dots)(1, 1, f, i, j);
        }
    }
}

#if ELEM_BF16
#define TABLE KERN(gemm_bf16)
#else
#define TABLE KERN(gemm_f32)
#endif
extern const hora_kern_gemm TABLE;
const hora_kern_gemm TABLE = {NR, sizeof(E), G(gemm), G(few), G(pack_bytes), G(pack)};

#if ELEM_BF16 && defined(HORA_VARIANT_avx512_bf16) && defined(HORA_CC_AMX)
#include "backend/cpu/kern_tiles_text.h"
#endif

#undef G
#undef E
#undef PER
#undef HALVES
#undef MR
#undef NV
#undef NR
#undef AHEAD
#undef BLOCK
#undef PANEL
#undef BLOCK_MOST
#undef PANEL_MOST
#undef TABLE
#undef ELEM_BF16
