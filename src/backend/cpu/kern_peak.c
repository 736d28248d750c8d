/*
 * What this instruction set reaches at best, as loops that do nothing else: products in registers,
 * and reading memory. Yardsticks for measurements; no result of a step depends on them.
 *
 * The chains of a loop are variables, so that they live in registers; twelve of them hide the
 * latency of two units of up to six cycles. They start apart, so that no compiler takes two for
 * one.
 */
#include "backend/cpu/kern_vec.h"

#define CHAINS 12
/* Defines `name`, which runs `rounds` times step(chain) on every chain; the sum keeps the loop
 * alive. */
#define LOOP(name, step)                                                                           \
    static float name(int64_t rounds) {                                                            \
        vf a = v_set(0), b = v_set(1), c = v_set(2), d = v_set(3), e = v_set(4), f = v_set(5);     \
        vf g = v_set(6), h = v_set(7), p = v_set(8), q = v_set(9), r = v_set(10), s = v_set(11);   \
        for (int64_t i = 0; i < rounds; i++) {                                                     \
            a = step(a), b = step(b), c = step(c), d = step(d), e = step(e), f = step(f);          \
            g = step(g), h = step(h), p = step(p), q = step(q), r = step(r), s = step(s);          \
        }                                                                                          \
        a += b + c + d + e + f + g + h + p + q + r + s;                                            \
        return a[0];                                                                               \
    }

#if VL > 4
#define FMA(x) v_fma(x, v_set(0.999f), v_set(1e-3f))
LOOP(f32, FMA)
#define F32       f32
#define F32_FLOPS (2.0 * VL * CHAINS)
#else /* baseline vectors have no fused multiply-add: nothing worth calling a peak */
#define F32       NULL
#define F32_FLOPS 0
#endif

#ifdef HORA_VARIANT_avx512_bf16
/* Each f32 lane takes the products of two pairs of bf16. */
#define DOT(x) (vf) _mm512_dpbf16_ps((__m512)(x), pairs(0.5f), pairs(1e-3f))
INLINE __m512bh pairs(float s) {
    return _mm512_cvtne2ps_pbh(_mm512_set1_ps(s), _mm512_set1_ps(s));
}
LOOP(bf16, DOT)
#define BF16       bf16
#define BF16_FLOPS (4.0 * VL * CHAINS)
#else
#define BF16       NULL
#define BF16_FLOPS 0
#endif

#if defined(HORA_VARIANT_avx512_bf16) && defined(HORA_CC_AMX)
/* Four accumulating tiles of 16 x 16 floats, each += (16, 32) x (32, 16) bf16 per round. The caller
 * has asked whether the processor and the system allow tiles. */
#define TILES_FLOPS (4 * 2.0 * 16 * 16 * 32)
__attribute__((target("amx-tile,amx-bf16"))) static float tiles(int64_t rounds) {
    struct {
        uint8_t palette, start, zero[14];
        uint16_t columns[16]; /* bytes of a row */
        uint8_t rows[16];
    } __attribute__((aligned(64))) shape = {.palette = 1};
    float out[16 * 16] __attribute__((aligned(64)));
    for (int i = 0; i < 8; i++) {
        shape.columns[i] = 64;
        shape.rows[i] = 16;
    }
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t i = 0; i < rounds; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, 64);
    _tile_release();
    return out[0];
}
#define TILES tiles
#else
#define TILES       NULL
#define TILES_FLOPS 0
#endif

/* Reads n words, a multiple of 4 VL, and folds them. */
static uint32_t read_words(const uint32_t *p, int64_t n) {
    typedef uint32_t vu_any __attribute__((vector_size(4 * VL), aligned(4), may_alias));
    vu a = {0}, b = {0}, c = {0}, d = {0};
    for (int64_t i = 0; i < n; i += 4 * VL) {
        a ^= *(const vu_any *)(p + i);
        b ^= *(const vu_any *)(p + i + VL);
        c ^= *(const vu_any *)(p + i + 2 * VL);
        d ^= *(const vu_any *)(p + i + 3 * VL);
    }
    a ^= b ^ c ^ d;
    uint32_t all = 0;
    for (int i = 0; i < VL; i++)
        all ^= a[i];
    return all;
}

extern const hora_kern_peak KERN(peak);
const hora_kern_peak KERN(peak) = {
    {F32, F32_FLOPS}, {BF16, BF16_FLOPS}, {TILES, TILES_FLOPS}, read_words};
