#ifndef HORA_TENSOR_BLOCKS_GROUPS_H
#define HORA_TENSOR_BLOCKS_GROUPS_H
/*
 * Dequantization of block formats, 32 values at a time: a function a type, to be compiled where it
 * is used, for the instruction set that is there. The products are written as ggml writes them,
 * because a sum of two products rounds differently in another order; no contraction into fused
 * multiply-adds (-ffp-contract=off).
 */
#include "tensor/tensor.h"

enum { HORA_GROUP = 32 }; /* values; blocks of 256 have eight groups, the others one */

/* A 16-bit float of the block, little-endian. */
static inline float half_at(const unsigned char *x) {
    return hora_f16_to_f32((uint16_t)(x[0] | x[1] << 8));
}

static inline uint32_t word_at(const unsigned char *x) {
    return (uint32_t)x[0] | (uint32_t)x[1] << 8 | (uint32_t)x[2] << 16 | (uint32_t)x[3] << 24;
}

/* --- blocks of 32: d, [m], [fifth bits], nibbles -------------------------------------------------
 * The low nibble of byte j is value j, the high one value j + 16. */
static inline void nibbles(int q[32], const unsigned char *x) {
    for (int j = 0; j < 16; j++) {
        q[j] = x[j] & 15;
        q[j + 16] = x[j] >> 4;
    }
}

static inline void fifth_bits(int q[32], uint32_t bits) {
    for (int j = 0; j < 32; j++)
        q[j] |= (int)(bits >> j & 1) << 4;
}

/* Without a minimum nothing is added: -0 must stay. */
static inline void around_zero(float *y, const int q[32], int zero, float d) {
    for (int j = 0; j < 32; j++)
        y[j] = (float)(q[j] - zero) * d;
}

static inline void from_minimum(float *y, const int q[32], float d, float m) {
    for (int j = 0; j < 32; j++)
        y[j] = (float)q[j] * d + m;
}

static inline void group_q4_0(float *y, const unsigned char *x, int g) {
    int q[32];
    (void)g;
    nibbles(q, x + 2);
    around_zero(y, q, 8, half_at(x));
}

static inline void group_q4_1(float *y, const unsigned char *x, int g) {
    int q[32];
    (void)g;
    nibbles(q, x + 4);
    from_minimum(y, q, half_at(x), half_at(x + 2));
}

static inline void group_q5_0(float *y, const unsigned char *x, int g) {
    int q[32];
    (void)g;
    nibbles(q, x + 6);
    fifth_bits(q, word_at(x + 2));
    around_zero(y, q, 16, half_at(x));
}

static inline void group_q5_1(float *y, const unsigned char *x, int g) {
    int q[32];
    (void)g;
    nibbles(q, x + 8);
    fifth_bits(q, word_at(x + 4));
    from_minimum(y, q, half_at(x), half_at(x + 2));
}

static inline void group_q8_0(float *y, const unsigned char *x, int g) {
    const float d = half_at(x);
    (void)g;
    for (int j = 0; j < 32; j++)
        y[j] = (float)(int8_t)x[2 + j] * d;
}

static inline void group_iq4_nl(float *y, const unsigned char *x, int g) {
    static const int8_t level[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
    const float d = half_at(x);
    int q[32];
    (void)g;
    nibbles(q, x + 2);
    for (int j = 0; j < 32; j++)
        y[j] = d * (float)level[q[j]];
}

/* --- NF4: blocks of 64, two groups ---------------------------------------------------------------
 * The largest magnitude in f32 | 32 bytes of two codes, the first in the high nibble. The numbers
 * and the codes are those of bitsandbytes, which keeps the two parts in tensors of their own.
 * Source: QLoRA (arXiv 2305.14314, appendix E); bitsandbytes, functional.py, get_4bit_type. */
static const float hora_nf4_level[16] = {
    -1.0f,           -0x1.647362p-1f, -0x1.0cd66p-1f,  -0x1.946540p-2f,
    -0x1.23449ap-2f, -0x1.7a6a7ep-3f, -0x1.74f0e2p-4f, 0.0f,
    0x1.45f5fep-4f,  0x1.4995c6p-3f,  0x1.f809bap-3f,  0x1.5a0674p-2f,
    0x1.c34970p-2f,  0x1.200f56p-1f,  0x1.722766p-1f,  1.0f};

static inline void group_nf4(float *y, const unsigned char *x, int g) {
    const uint32_t bits = word_at(x);
    float most;
    memcpy(&most, &bits, 4);
    for (int j = 0; j < 16; j++) {
        const unsigned char two = x[4 + 16 * g + j];
        y[2 * j] = hora_nf4_level[two >> 4] * most;
        y[2 * j + 1] = hora_nf4_level[two & 15] * most;
    }
}

/* --- blocks of 256, eight groups -----------------------------------------------------------------
 * 128 values share 32 bytes of 2 bits: group g has bits 2 (g % 4) of those of its half. */
static inline void two_bits(int q[32], const unsigned char *x, int g) {
    for (int l = 0; l < 32; l++)
        q[l] = x[g / 4 * 32 + l] >> (g % 4 * 2) & 3;
}

/* 16 bytes (scale, minimum) of 4 bits each, one for 16 values | 64 bytes of 2 bits | d | dmin */
static inline void group_q2_k(float *y, const unsigned char *x, int g) {
    const float d = half_at(x + 80), dmin = half_at(x + 82);
    int q[32];
    two_bits(q, x + 16, g);
    for (int h = 0; h < 2; h++) {
        const unsigned char s = x[2 * g + h];
        const float scale = d * (float)(s & 15), min = dmin * (float)(s >> 4);
        for (int l = 16 * h; l < 16 * h + 16; l++)
            y[l] = scale * (float)q[l] - min;
    }
}

/* Six bits of scale `i` of Q3_K: 8 bytes of low nibbles, 4 bytes of upper two bits. */
static inline int scale_q3_k(const unsigned char *s, int i) {
    const int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    return (low | (s[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
}

/* 32 bytes of third bits (set: nothing is subtracted) | 64 of 2 bits | 12 of scales | d */
static inline void group_q3_k(float *y, const unsigned char *x, int g) {
    const float d = half_at(x + 108);
    int q[32];
    two_bits(q, x + 32, g);
    for (int l = 0; l < 32; l++)
        q[l] -= x[l] >> g & 1 ? 0 : 4;
    for (int h = 0; h < 2; h++) {
        const float scale = d * (float)scale_q3_k(x + 96, 2 * g + h);
        for (int l = 16 * h; l < 16 * h + 16; l++)
            y[l] = scale * (float)q[l];
    }
}

/* Scale and minimum of group `j` of Q4_K and Q5_K, six bits each in 12 bytes: the first four of
 * both in the low bits of 4 + 4 bytes, the upper ones in nibbles with their top bits left there. */
static inline void scale_min(const unsigned char *s, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
        return;
    }
    *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
}

/* d | dmin | 12 bytes of scales | 128 of nibbles: 64 values share 32 bytes, the low ones first.
 * With `fifth`, 32 bytes of a bit for each of the groups, Q5_K. */
static inline void group_k(float *y, const unsigned char *x, const unsigned char *fifth,
                           const unsigned char *q, int g) {
    int scale, min;
    scale_min(x + 4, g, &scale, &min);
    const float d = half_at(x) * (float)scale, m = half_at(x + 2) * (float)min;
    for (int l = 0; l < 32; l++) {
        const int bits =
            (q[g / 2 * 32 + l] >> (g % 2 * 4) & 15) | (fifth ? (fifth[l] >> g & 1) << 4 : 0);
        y[l] = d * (float)bits - m;
    }
}

static inline void group_q4_k(float *y, const unsigned char *x, int g) {
    group_k(y, x, NULL, x + 16, g);
}

static inline void group_q5_k(float *y, const unsigned char *x, int g) {
    group_k(y, x, x + 16, x + 48, g);
}

/* 128 bytes of low nibbles | 64 of upper two bits | 16 signed scales of 16 values each | d */
static inline void group_q6_k(float *y, const unsigned char *x, int g) {
    const int8_t *scale = (const int8_t *)x + 192 + 2 * g;
    const unsigned char *low = x + g / 4 * 64 + g % 2 * 32, *high = x + 128 + g / 4 * 32;
    const float d = half_at(x + 208);
    for (int h = 0; h < 2; h++) {
        const float s = d * (float)scale[h];
        for (int l = 16 * h; l < 16 * h + 16; l++)
            y[l] =
                s * (float)(((low[l] >> (g % 4 / 2 * 4) & 15) | (high[l] >> (g % 4 * 2) & 3) << 4) -
                            32);
    }
}

/* `n` values of a row from value `from` on, both multiples of 32, by a group function. */
#define HORA_DEQUANTIZE_LOOP(group, values, bytes)                                                 \
    for (int64_t i = from; i < from + n; i += HORA_GROUP)                                          \
    group(y + (i - from), x + (size_t)(i / (values)) * (bytes), (int)(i % (values) / HORA_GROUP))

/* The same by type; false: no block dtype. */
static inline bool hora_dequantize_groups(float *y, const unsigned char *x, hora_dtype type,
                                          int64_t from, int64_t n) {
    switch (type) {
    case HORA_Q4_0:
        HORA_DEQUANTIZE_LOOP(group_q4_0, 32, 18);
        return true;
    case HORA_Q4_1:
        HORA_DEQUANTIZE_LOOP(group_q4_1, 32, 20);
        return true;
    case HORA_Q5_0:
        HORA_DEQUANTIZE_LOOP(group_q5_0, 32, 22);
        return true;
    case HORA_Q5_1:
        HORA_DEQUANTIZE_LOOP(group_q5_1, 32, 24);
        return true;
    case HORA_Q8_0:
        HORA_DEQUANTIZE_LOOP(group_q8_0, 32, 34);
        return true;
    case HORA_IQ4_NL:
        HORA_DEQUANTIZE_LOOP(group_iq4_nl, 32, 18);
        return true;
    case HORA_Q2_K:
        HORA_DEQUANTIZE_LOOP(group_q2_k, 256, 84);
        return true;
    case HORA_Q3_K:
        HORA_DEQUANTIZE_LOOP(group_q3_k, 256, 110);
        return true;
    case HORA_Q4_K:
        HORA_DEQUANTIZE_LOOP(group_q4_k, 256, 144);
        return true;
    case HORA_Q5_K:
        HORA_DEQUANTIZE_LOOP(group_q5_k, 256, 176);
        return true;
    case HORA_Q6_K:
        HORA_DEQUANTIZE_LOOP(group_q6_k, 256, 210);
        return true;
    case HORA_NF4:
        HORA_DEQUANTIZE_LOOP(group_nf4, 64, 36);
        return true;
    default:
        return false;
    }
}
#endif
