/*
 * Matrix products by register blocks: MR rows x NV vectors of columns, the whole sum over k in
 * registers. One text serves both elements, because both move in units of 32 bits: an f32, or two
 * bf16 that follow each other along k, which a bf16 dot product takes at once (and two fused
 * multiply-adds elsewhere).
 *
 *      x (m, k)                      panel of B (units of k, NR)         y
 *   MR | one unit in all lanes ->  row p: NV vectors            MR x NR sums in registers
 *
 * B is packed in panels of NR columns: row p of a panel is unit p of each column; the last panel is
 * as wide as its columns need, in whole vectors. An odd k leaves half of its last unit zero. Every
 * element of y is the sum over k in ascending order: its bits depend on k and on nothing else.
 */
#include "backend/cpu/kern_vec.h"

typedef vu vu_any __attribute__((aligned(4), may_alias));
typedef uint32_t u32_any __attribute__((aligned(2), may_alias));
typedef float v4 __attribute__((vector_size(16)));
typedef float v4_any __attribute__((vector_size(16), aligned(2), may_alias));
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t i4 __attribute__((vector_size(16)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (i4){__VA_ARGS__})
#endif

/* dst (4, ld) of units = w (4 rows, `step` bytes apart)' */
INLINE void transpose4(const void *w, int64_t step, uint32_t *dst, int64_t ld) {
    const char *p = w;
    v4 a = *(const v4_any *)p, b = *(const v4_any *)(p + step);
    v4 c = *(const v4_any *)(p + 2 * step), d = *(const v4_any *)(p + 3 * step);
    v4 ab0 = SHUFFLE(a, b, 0, 4, 1, 5), ab1 = SHUFFLE(a, b, 2, 6, 3, 7);
    v4 cd0 = SHUFFLE(c, d, 0, 4, 1, 5), cd1 = SHUFFLE(c, d, 2, 6, 3, 7);
    *(v4_any *)dst = SHUFFLE(ab0, cd0, 0, 1, 4, 5);
    *(v4_any *)(dst + ld) = SHUFFLE(ab0, cd0, 2, 3, 6, 7);
    *(v4_any *)(dst + 2 * ld) = SHUFFLE(ab1, cd1, 0, 1, 4, 5);
    *(v4_any *)(dst + 3 * ld) = SHUFFLE(ab1, cd1, 2, 3, 6, 7);
}

#if VL == 16
/* The same for 16 rows and 16 units: pairs of rows, of pairs, of quarters, of halves. */
INLINE void transpose16(const void *w, int64_t step, uint32_t *dst, int64_t ld) {
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_loadu_si512((const char *)w + i * step);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int q = 0; q < 4; q++) {
        __m512i lo0 = _mm512_shuffle_i32x4(a[q], a[q + 4], 0x88);
        __m512i hi0 = _mm512_shuffle_i32x4(a[q], a[q + 4], 0xdd);
        __m512i lo1 = _mm512_shuffle_i32x4(a[q + 8], a[q + 12], 0x88);
        __m512i hi1 = _mm512_shuffle_i32x4(a[q + 8], a[q + 12], 0xdd);
        _mm512_storeu_si512(dst + q * ld, _mm512_shuffle_i32x4(lo0, lo1, 0x88));
        _mm512_storeu_si512(dst + (q + 4) * ld, _mm512_shuffle_i32x4(hi0, hi1, 0x88));
        _mm512_storeu_si512(dst + (q + 8) * ld, _mm512_shuffle_i32x4(lo0, lo1, 0xdd));
        _mm512_storeu_si512(dst + (q + 12) * ld, _mm512_shuffle_i32x4(hi0, hi1, 0xdd));
    }
}
#endif

#define ELEM_BF16 0
#include "backend/cpu/kern_gemm_text.h"
#define ELEM_BF16 1
#include "backend/cpu/kern_gemm_text.h"
