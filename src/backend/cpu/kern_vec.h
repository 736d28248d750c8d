#ifndef HORA_BACKEND_CPU_KERN_VEC_H
#define HORA_BACKEND_CPU_KERN_VEC_H
/*
 * Vectors of one instruction set, for kern_*.c alone. Each of those files is compiled once per
 * variant with HORA_VARIANT set; KERN(name) carries the variant in the symbol. GCC and Clang vector
 * extensions give +, -, *, / and comparisons; what they lack is named here. A fused multiply-add is
 * asked for by name and never contracted behind our back, so a variant has one set of bits.
 *
 * Polynomials are our own minimax fits in double precision, rounded to float; the largest relative
 * error is beside each.
 */
#include <stdint.h>
#include <string.h>

#include "backend/cpu/kern.h"

#if defined(HORA_VARIANT_avx512) || defined(HORA_VARIANT_avx512_bf16)
#include <immintrin.h>
#define VL 16
#elif defined(HORA_VARIANT_avx2)
#include <immintrin.h>
#define VL 8
#else
#define VL 4
#endif

#define KERN_JOIN2(a, b) a##_##b
#define KERN_JOIN(a, b)  KERN_JOIN2(a, b)
#define KERN(name)       KERN_JOIN(hora_kern_##name, HORA_VARIANT)
#define INLINE           static inline __attribute__((always_inline, unused))

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vu __attribute__((vector_size(4 * VL)));
typedef float vf_any __attribute__((vector_size(4 * VL), aligned(4), may_alias));

INLINE vf v_load(const float *p) {
    return *(const vf_any *)p;
}
INLINE void v_store(float *p, vf v) {
    *(vf_any *)p = v;
}
INLINE vf v_set(float s) {
    return s - (vf){0};
}
INLINE vf v_zero(void) {
    return (vf){0};
}

/* Loads and stores of vectors are checked by the address sanitizer like any other, but masked ones
 * are instructions that it does not see: each asks first. */
#ifdef HORA_SANITIZE
void *__asan_region_is_poisoned(void *from, size_t bytes);
INLINE void v_touch(const void *p, int64_t bytes) {
    const volatile char *bad = __asan_region_is_poisoned((void *)(uintptr_t)p, (size_t)bytes);
    if (bad)
        (void)*bad; /* reported as an access there */
}
#else
INLINE void v_touch(const void *p, int64_t bytes) {
    (void)p, (void)bytes;
}
#endif

#if VL == 16
/* First n < VL elements; the rest reads as zero and is not touched. */
INLINE vf v_load_n(const float *p, int64_t n) {
    v_touch(p, n * 4);
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
INLINE void v_store_n(float *p, vf v, int64_t n) {
    v_touch(p, n * 4);
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
}
INLINE vf v_fma(vf a, vf b, vf c) {
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
INLINE vf v_max(vf a, vf b) {
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}
INLINE vf v_sqrt(vf a) {
    return (vf)_mm512_sqrt_ps((__m512)a);
}
#else
INLINE vf v_load_n(const float *p, int64_t n) {
    vf v = {0};
    for (int i = 0; i < VL; i++)
        if (i < n)
            v[i] = p[i];
    return v;
}
INLINE void v_store_n(float *p, vf v, int64_t n) {
    for (int i = 0; i < VL; i++)
        if (i < n)
            p[i] = v[i];
}
#if VL == 8
INLINE vf v_fma(vf a, vf b, vf c) {
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
INLINE vf v_max(vf a, vf b) {
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}
INLINE vf v_sqrt(vf a) {
    return (vf)_mm256_sqrt_ps((__m256)a);
}
#else
INLINE vf v_fma(vf a, vf b, vf c) {
    return a * b + c;
}
INLINE vf v_max(vf a, vf b) {
    vi m = a > b;
    return (vf)(((vi)a & m) | ((vi)b & ~m));
}
INLINE vf v_sqrt(vf a) {
    for (int i = 0; i < VL; i++)
        a[i] = __builtin_sqrtf(a[i]);
    return a;
}
#endif
#endif

/* bf16 elements: widened exactly; rounded to nearest even, NaN kept. vcvtneps2bf16 takes denormal
 * floats for zero, so the bits of one variant are not those of another there. */
#if VL == 16
INLINE vf v_load_bf16(const uint16_t *p) {
    __m256i h = _mm256_loadu_si256((const __m256i_u *)p);
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
}
INLINE vf v_load_bf16_n(const uint16_t *p, int64_t n) {
    v_touch(p, n * 2);
    __m256i h = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p);
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
}
INLINE __m256i v_to_bf16(vf v) {
#ifdef HORA_VARIANT_avx512_bf16
    return (__m256i)_mm512_cvtneps_pbh((__m512)v);
#else
    __m512i u = (__m512i)v, lsb = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
#endif
}
INLINE void v_store_bf16(uint16_t *p, vf v) {
    _mm256_storeu_si256((__m256i_u *)p, v_to_bf16(v));
}
INLINE void v_store_bf16_n(uint16_t *p, vf v, int64_t n) {
    v_touch(p, n * 2);
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), v_to_bf16(v));
}
#else
INLINE vf v_load_bf16_n(const uint16_t *p, int64_t n) {
    vu v = {0};
    for (int i = 0; i < VL; i++)
        if (i < n)
            v[i] = (uint32_t)p[i] << 16;
    return (vf)v;
}
INLINE void v_store_bf16_n(uint16_t *p, vf v, int64_t n) {
    vu u = (vu)v, r = (u + 0x7fff + ((u >> 16) & 1)) >> 16, nan = (vu)(v != v);
    r = (((u >> 16) | 0x40) & nan) | (r & ~nan);
    for (int i = 0; i < VL; i++)
        if (i < n)
            p[i] = (uint16_t)r[i];
}
#if VL == 8
INLINE vf v_load_bf16(const uint16_t *p) {
    __m128i h = _mm_loadu_si128((const __m128i_u *)p);
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
}
#else
INLINE vf v_load_bf16(const uint16_t *p) {
    return v_load_bf16_n(p, VL);
}
#endif
INLINE void v_store_bf16(uint16_t *p, vf v) {
    v_store_bf16_n(p, v, VL);
}
#endif

/* The upper halves of the 64-bit products. */
INLINE vu v_mul_high(vu a, uint32_t m) {
#if VL == 16
    __m512i f = _mm512_set1_epi32((int32_t)m), even = _mm512_mul_epu32((__m512i)a, f);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), f);
    return (vu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#elif VL == 8
    __m256i f = _mm256_set1_epi32((int32_t)m), even = _mm256_mul_epu32((__m256i)a, f);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), f);
    return (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#else
    for (int i = 0; i < VL; i++)
        a[i] = (uint32_t)(((uint64_t)a[i] * m) >> 32);
    return a;
#endif
}

/* m ? a : b by lanes; m from a comparison. */
INLINE vf v_select(vi m, vf a, vf b) {
    return (vf)(((vi)a & m) | ((vi)b & ~m));
}
/* The first n lanes, zero in the others. */
INLINE vf v_first(vf a, int64_t n) {
    vi lane;
    for (int i = 0; i < VL; i++)
        lane[i] = i;
    return v_select(lane < (int32_t)n - (vi){0}, a, v_zero());
}
INLINE vf v_abs(vf a) {
    return (vf)((vi)a & 0x7fffffff);
}

/* Sums of lanes by halves: the same tree for every call. */
#if VL == 16
INLINE float v_sum(vf v) {
    __m256 a = _mm512_castps512_ps256((__m512)v) + _mm512_extractf32x8_ps((__m512)v, 1);
    __m128 b = _mm256_castps256_ps128(a) + _mm256_extractf128_ps(a, 1);
    b += _mm_movehl_ps(b, b);
    return b[0] + b[1];
}
#else
INLINE float v_sum(vf v) {
    float t[VL];
    memcpy(t, &v, sizeof t);
    for (int w = VL / 2; w; w /= 2)
        for (int i = 0; i < w; i++)
            t[i] += t[i + w];
    return t[0];
}
#endif
INLINE float v_max_lane(vf v) {
    float t[VL];
    memcpy(t, &v, sizeof t);
    for (int w = VL / 2; w; w /= 2)
        for (int i = 0; i < w; i++)
            t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
    return t[0];
}

/* e^x, 1e-7 relative; 0 below -87.3, inf above 88.7, NaN kept. 2^n e^r with |r| <= ln 2 / 2,
 * e^r = 1 + r + r^2 q(r). */
INLINE vf v_exp_core(vf n, vf c) {
    vf r = v_fma(n, v_set(-0.693145751953125f), c);
    r = v_fma(n, v_set(-1.428606765330187e-06f), r);
    vf q = v_fma(v_set(1.3814466738550928e-03f), r, v_set(8.368780429086765e-03f));
    q = v_fma(q, r, v_set(4.1668394217443123e-02f));
    q = v_fma(q, r, v_set(1.6666520107626473e-01f));
    q = v_fma(q, r, v_set(4.9999993412469557e-01f));
    return v_fma(r * r, q, r) + 1.0f;
}
#if VL == 16
INLINE vf v_exp(vf x) { /* min and max give their second operand where one is NaN */
    const __m512 low = _mm512_set1_ps(-87.3f), high = _mm512_set1_ps(89.0f);
    __m512 c = _mm512_min_ps(high, _mm512_max_ps(low, (__m512)x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(c, _mm512_set1_ps(1.44269504f)), 0x08);
    __mmask16 seen = _mm512_cmp_ps_mask((__m512)x, low, _CMP_NLT_UQ);
    return (vf)_mm512_maskz_scalef_ps(seen, (__m512)v_exp_core((vf)n, (vf)c), n);
}

/* 1 / (1 + e^-x), 2e-7 relative: an estimate of 14 bits and a step of Newton's. -x is cut where
 * e^-x is finite still, for there is no step from inf. */
INLINE vf v_sigmoid(vf x) {
    __m512 cut = _mm512_min_ps(_mm512_set1_ps(88.0f), (__m512)-x);
    vf d = v_exp((vf)cut) + 1.0f, y = (vf)_mm512_rcp14_ps((__m512)d);
    return v_fma(y, (vf)_mm512_fnmadd_ps((__m512)d, (__m512)y, _mm512_set1_ps(1.0f)), y);
}
#else
INLINE vf v_exp(vf x) {
    const vf magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vi low = x<v_set(-87.3f), high = x> v_set(88.72f);
    vf c = v_select(low, v_set(-87.3f), v_select(high, v_set(88.72f), x));
    vf t = v_fma(c, v_set(1.44269504f), magic);
    vf e = v_exp_core(t - magic, c);
    /* 2^n in two halves: n reaches 128 */
    vi whole = (vi)t - (vi)magic, half = whole >> 1;
    vf s1 = (vf)((half + 127) << 23), s2 = (vf)((whole - half + 127) << 23);
    e = e * s1 * s2;
    e = v_select(high, v_set(__builtin_inff()), e);
    return v_select(low, v_zero(), e);
}

INLINE vf v_sigmoid(vf x) {
    return 1.0f / (1.0f + v_exp(-x));
}
#endif

/* tanh, 3e-7 relative: x + x^3 p(x^2) below 0.625, 1 - 2 / (e^2x + 1) above. */
INLINE vf v_tanh(vf x) {
    vf u = x * x;
    vf p = v_fma(v_set(-5.601559888479266e-03f), u, v_set(2.0549612244478807e-02f));
    p = v_fma(p, u, v_set(-5.371346590509343e-02f));
    p = v_fma(p, u, v_set(1.3331145244544268e-01f));
    p = v_fma(p, u, v_set(-3.33332718119866e-01f));
    vf small = v_fma(x * u, p, x);
    vf a = v_abs(x);
    vf big = 1.0f - 2.0f / (v_exp(a + a) + 1.0f);
    vi sign = (vi)x & (int32_t)0x80000000;
    big = (vf)((vi)big | sign);
    return v_select(a < v_set(0.625f), small, big);
}

/* Phi(x), the normal distribution function, 1e-6 relative on both tails, and e^{-x^2/2}.
 * erfc(z) = e^{-z^2} p(t) / (z + 2), t = (z - 2) / (z + 2), z >= 0. */
INLINE vf v_phi(vf x, vf *gauss) {
    vf z = v_abs(x) * 0.70710678f;
    vf d = 1.0f / (z + 2.0f), t = (z - 2.0f) * d;
    vf p = v_fma(v_set(-4.798178468660811e-05f), t, v_set(-5.310699331931124e-04f));
    p = v_fma(p, t, v_set(-7.26010467438958e-04f));
    p = v_fma(p, t, v_set(3.044523229109081e-03f));
    p = v_fma(p, t, v_set(6.435395917287293e-03f));
    p = v_fma(p, t, v_set(-2.150324415792635e-02f));
    p = v_fma(p, t, v_set(-3.643596260544541e-02f));
    p = v_fma(p, t, v_set(2.7947155748681146e-01f));
    p = v_fma(p, t, v_set(-6.871609216898208e-01f));
    p = v_fma(p, t, v_set(1.0215827134156206f));
    vf g = v_exp(x * x * -0.5f);
    *gauss = g;
    vf tail = 0.5f * g * p * d;
    return v_select(x < v_zero(), tail, 1.0f - tail);
}

/* EACH(n) { .. GET(p) .. PUT(p, v) }: vectors of VL, the rest by the same text on part of one. */
#define EACH(n)      for (int64_t at_ = 0, left_ = (n); left_ > 0; at_ += VL, left_ -= VL)
#define GET(p)       (left_ >= VL ? v_load((p) + at_) : v_load_n((p) + at_, left_))
#define SET(p, v)    (left_ >= VL ? v_store((p) + at_, (v)) : v_store_n((p) + at_, (v), left_))
#define PUT(p, v, o) SET(p, (o) ? (v) : GET(p) + (v))

/* Sum of a_i b_i in lanes. */
INLINE float v_dot(int64_t n, const float *a, const float *b) {
    vf s0 = v_zero(), s1 = v_zero();
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        s0 = v_fma(v_load(a + i), v_load(b + i), s0);
        s1 = v_fma(v_load(a + i + VL), v_load(b + i + VL), s1);
    }
    for (; i < n; i += VL) {
        int64_t left = n - i;
        s0 = left >= VL ? v_fma(v_load(a + i), v_load(b + i), s0)
                        : v_fma(v_load_n(a + i, left), v_load_n(b + i, left), s0);
    }
    return v_sum(s0 + s1);
}
#endif
