/*
 * Dequantization of block formats, compiled for each instruction set: 32 values at a time become
 * signed bytes, and those y = q d + c, with c = -0 where a format has no minimum (adding -0 changes
 * no number). Layouts and the order of operations are those of tensor/blocks_groups.h, whose bits
 * these loops give; what they give in bf16 is rounded once.
 */
#include "tensor/blocks_groups.h"

#include "backend/cpu/kern_vec.h"

#if VL == 4
/* The groups as they stand. */
static void dequantize(float *y, const void *x, hora_dtype type, int64_t from, int64_t n) {
    (void)hora_dequantize_groups(y, x, type, from, n);
}

static void dequantize_bf16(uint16_t *y, const void *x, hora_dtype type, int64_t from, int64_t n) {
    float group[HORA_GROUP];
    for (int64_t i = 0; i < n; i += HORA_GROUP) {
        (void)hora_dequantize_groups(group, x, type, from + i, HORA_GROUP);
        for (int j = 0; j < HORA_GROUP; j += VL)
            v_store_bf16(y + i + j, v_load(group + j));
    }
}
#else
typedef uint8_t b16 __attribute__((vector_size(16)));
typedef uint8_t b32 __attribute__((vector_size(32)));

/* 32 values, 16 of them to a scale and a constant. */
typedef struct values {
    b32 q; /* signed bytes */
    float d[2], c[2];
} values;

INLINE float half(const uint8_t *x) {
    uint16_t h;
    memcpy(&h, x, 2);
    return _cvtsh_ss(h);
}

INLINE b32 bytes32(const uint8_t *x) {
    b32 v;
    memcpy(&v, x, 32);
    return v;
}

INLINE b32 both(b16 low, b16 high) {
    return (b32)_mm256_set_m128i((__m128i)high, (__m128i)low);
}

/* 16 bytes of nibbles: the low ones are values 0 to 15. */
INLINE b32 nibbles32(const uint8_t *x) {
    b16 v;
    memcpy(&v, x, 16);
    return both(v & 15, v >> 4);
}

/* 16 where the bit of a value is set. */
INLINE b32 fifth32(const uint8_t *x) {
    uint32_t bits;
    memcpy(&bits, x, 4);
#if VL == 16
    return (b32)_mm256_maskz_set1_epi8((__mmask32)bits, 16);
#else
    const __m256i spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int32_t)bits), spread);
    return (b32)_mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit),
                                 _mm256_set1_epi8(16));
#endif
}

INLINE values scaled(b32 q, float d, float c) {
    return (values){q, {d, d}, {c, c}};
}

/* --- blocks of 32 ----------------------------------------------------------------------------- */
INLINE values values_q4_0(const uint8_t *x, int g) {
    (void)g;
    return scaled(nibbles32(x + 2) - 8, half(x), -0.0f);
}
INLINE values values_q4_1(const uint8_t *x, int g) {
    (void)g;
    return scaled(nibbles32(x + 4), half(x), half(x + 2));
}
INLINE values values_q5_0(const uint8_t *x, int g) {
    (void)g;
    return scaled((nibbles32(x + 6) | fifth32(x + 2)) - 16, half(x), -0.0f);
}
INLINE values values_q5_1(const uint8_t *x, int g) {
    (void)g;
    return scaled(nibbles32(x + 8) | fifth32(x + 4), half(x), half(x + 2));
}
INLINE values values_q8_0(const uint8_t *x, int g) {
    (void)g;
    return scaled(bytes32(x + 2), half(x), -0.0f);
}
INLINE values values_iq4_nl(const uint8_t *x, int g) {
    const __m256i level = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    (void)g;
    return scaled((b32)_mm256_shuffle_epi8(level, (__m256i)nibbles32(x + 2)), half(x), -0.0f);
}

/* --- blocks of 256 ---------------------------------------------------------------------------- */
INLINE values values_q2_k(const uint8_t *x, int g) {
    const float d = half(x + 80), m = half(x + 82);
    const uint8_t *s = x + 2 * g;
    return (values){bytes32(x + 16 + g / 4 * 32) >> (g % 4 * 2) & 3,
                    {d * (float)(s[0] & 15), d * (float)(s[1] & 15)},
                    {-(m * (float)(s[0] >> 4)), -(m * (float)(s[1] >> 4))}};
}
INLINE values values_q3_k(const uint8_t *x, int g) {
    const float d = half(x + 108);
    const b32 two = bytes32(x + 32 + g / 4 * 32) >> (g % 4 * 2) & 3;
    return (values){
        two + ((bytes32(x) >> g & 1) << 2) - 4,
        {d * (float)scale_q3_k(x + 96, 2 * g), d * (float)scale_q3_k(x + 96, 2 * g + 1)},
        {-0.0f, -0.0f}};
}
INLINE values values_k(const uint8_t *x, b32 q, int g) {
    int scale, min;
    scale_min(x + 4, g, &scale, &min);
    return scaled(q, half(x) * (float)scale, -(half(x + 2) * (float)min));
}
INLINE values values_q4_k(const uint8_t *x, int g) {
    return values_k(x, bytes32(x + 16 + g / 2 * 32) >> (g % 2 * 4) & 15, g);
}
INLINE values values_q5_k(const uint8_t *x, int g) {
    const b32 low = bytes32(x + 48 + g / 2 * 32) >> (g % 2 * 4) & 15;
    return values_k(x, low | (bytes32(x + 16) >> g & 1) << 4, g);
}
INLINE values values_q6_k(const uint8_t *x, int g) {
    const int8_t *s = (const int8_t *)x + 192 + 2 * g;
    const float d = half(x + 208);
    const b32 low = bytes32(x + g / 4 * 64 + g % 2 * 32) >> (g % 4 / 2 * 4) & 15;
    const b32 high = bytes32(x + 128 + g / 4 * 32) >> (g % 4 * 2) & 3;
    return (values){(low | high << 4) - 32, {d * (float)s[0], d * (float)s[1]}, {-0.0f, -0.0f}};
}

/* --- NF4, by its table ------------------------------------------------------------------------ */
/* Codes of the 32 values of a group, in order. */
INLINE b32 codes_nf4(const uint8_t *x) {
    b16 v;
    memcpy(&v, x, 16);
    const __m128i high = (__m128i)(v >> 4), low = (__m128i)(v & 15);
    return both((b16)_mm_unpacklo_epi8(high, low), (b16)_mm_unpackhi_epi8(high, low));
}

INLINE vf levels_nf4(const b32 *codes, int i) {
    const __m128i *at = (const __m128i *)((const char *)codes + i);
#if VL == 16
    const __m512i q = _mm512_cvtepu8_epi32(_mm_loadu_si128(at));
    return (vf)_mm512_permutexvar_ps(q, _mm512_loadu_ps(hora_nf4_level));
#else
    const __m256i q = _mm256_cvtepu8_epi32(_mm_loadl_epi64(at));
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(hora_nf4_level), q);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(hora_nf4_level + 8), q);
    return (vf)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(q, 28)));
#endif
}

#define LOOP_NF4(name, type, store)                                                                \
    static void name(type *y, const uint8_t *x, int64_t from, int64_t n) {                         \
        for (int64_t i = from; i < from + n; i += HORA_GROUP) {                                    \
            const uint8_t *block = x + i / 64 * 36;                                                \
            const b32 codes = codes_nf4(block + 4 + i % 64 / 2);                                   \
            float most;                                                                            \
            memcpy(&most, block, 4);                                                               \
            for (int j = 0; j < HORA_GROUP; j += VL)                                               \
                store(y + (i - from) + j, levels_nf4(&codes, j) * most);                           \
        }                                                                                          \
    }
LOOP_NF4(f32_nf4, float, v_store)
LOOP_NF4(bf16_nf4, uint16_t, v_store_bf16)

/* --- output ----------------------------------------------------------------------------------- */
/* Values [i, i + VL) of a group. */
INLINE vf finished(const values *v, int i) {
    const __m128i *at = (const __m128i *)((const char *)&v->q + i);
#if VL == 16
    const vf q = (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at)));
#else
    const vf q = (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at)));
#endif
    return q * v->d[i / 16] + v->c[i / 16];
}

/* A loop a type and an output, so that nothing is decided inside. */
#define TYPE(name, size, bytes)                                                                    \
    static void f32_##name(float *y, const uint8_t *x, int64_t from, int64_t n) {                  \
        for (int64_t i = from; i < from + n; i += HORA_GROUP) {                                    \
            const values v = values_##name(x + i / (size) * (bytes), (int)(i % (size)) / 32);      \
            for (int j = 0; j < HORA_GROUP; j += VL)                                               \
                v_store(y + (i - from) + j, finished(&v, j));                                      \
        }                                                                                          \
    }                                                                                              \
    static void bf16_##name(uint16_t *y, const uint8_t *x, int64_t from, int64_t n) {              \
        for (int64_t i = from; i < from + n; i += HORA_GROUP) {                                    \
            const values v = values_##name(x + i / (size) * (bytes), (int)(i % (size)) / 32);      \
            for (int j = 0; j < HORA_GROUP; j += VL)                                               \
                v_store_bf16(y + (i - from) + j, finished(&v, j));                                 \
        }                                                                                          \
    }
TYPE(q4_0, 32, 18)
TYPE(q4_1, 32, 20)
TYPE(q5_0, 32, 22)
TYPE(q5_1, 32, 24)
TYPE(q8_0, 32, 34)
TYPE(iq4_nl, 32, 18)
TYPE(q2_k, 256, 84)
TYPE(q3_k, 256, 110)
TYPE(q4_k, 256, 144)
TYPE(q5_k, 256, 176)
TYPE(q6_k, 256, 210)

static const struct {
    void (*f32)(float *y, const uint8_t *x, int64_t from, int64_t n);
    void (*bf16)(uint16_t *y, const uint8_t *x, int64_t from, int64_t n);
} loops[HORA_DTYPES] = {
    [HORA_Q4_0] = {f32_q4_0, bf16_q4_0}, [HORA_Q4_1] = {f32_q4_1, bf16_q4_1},
    [HORA_Q5_0] = {f32_q5_0, bf16_q5_0}, [HORA_Q5_1] = {f32_q5_1, bf16_q5_1},
    [HORA_Q8_0] = {f32_q8_0, bf16_q8_0}, [HORA_IQ4_NL] = {f32_iq4_nl, bf16_iq4_nl},
    [HORA_Q2_K] = {f32_q2_k, bf16_q2_k}, [HORA_Q3_K] = {f32_q3_k, bf16_q3_k},
    [HORA_Q4_K] = {f32_q4_k, bf16_q4_k}, [HORA_Q5_K] = {f32_q5_k, bf16_q5_k},
    [HORA_Q6_K] = {f32_q6_k, bf16_q6_k}, [HORA_NF4] = {f32_nf4, bf16_nf4}};

static void dequantize(float *y, const void *x, hora_dtype type, int64_t from, int64_t n) {
    loops[type].f32(y, x, from, n);
}

static void dequantize_bf16(uint16_t *y, const void *x, hora_dtype type, int64_t from, int64_t n) {
    loops[type].bf16(y, x, from, n);
}
#endif

const hora_kern_blocks KERN(blocks) = {dequantize, dequantize_bf16};
