/*
 * Dequantization of block formats: one function a type, one block a call. The products are written
 * as ggml writes them, because a sum of two products rounds differently in another order; no
 * contraction into fused multiply-adds (-std=c11 forbids it across expressions).
 */
#include "tensor/blocks.h"

/* A 16-bit float of the block, little-endian. */
static float half_at(const unsigned char *x) {
    return hora_f16_to_f32((uint16_t)(x[0] | x[1] << 8));
}

/* --- 32 values: d, [m], [fifth bits], nibbles ----------------------------------------------------
 * The low nibble of byte j is value j, the high one value j + 16. */
static void nibbles(float *y, const unsigned char *q, uint32_t fifth, int zero, float d, float m) {
    for (int j = 0; j < 16; j++) {
        const int low = (q[j] & 15) | (int)(fifth >> j & 1) << 4;
        const int high = q[j] >> 4 | (int)(fifth >> (j + 16) & 1) << 4;
        y[j] = (float)(low - zero) * d + m;
        y[j + 16] = (float)(high - zero) * d + m;
    }
}

static uint32_t word_at(const unsigned char *x) {
    return (uint32_t)x[0] | (uint32_t)x[1] << 8 | (uint32_t)x[2] << 16 | (uint32_t)x[3] << 24;
}

/* Without a minimum nothing is added: -0 must stay. */
static void signed_nibbles(float *y, const unsigned char *q, uint32_t fifth, int zero, float d) {
    for (int j = 0; j < 16; j++) {
        const int low = (q[j] & 15) | (int)(fifth >> j & 1) << 4;
        const int high = q[j] >> 4 | (int)(fifth >> (j + 16) & 1) << 4;
        y[j] = (float)(low - zero) * d;
        y[j + 16] = (float)(high - zero) * d;
    }
}

static void from_q4_0(float *y, const unsigned char *x) {
    signed_nibbles(y, x + 2, 0, 8, half_at(x));
}

static void from_q4_1(float *y, const unsigned char *x) {
    nibbles(y, x + 4, 0, 0, half_at(x), half_at(x + 2));
}

static void from_q5_0(float *y, const unsigned char *x) {
    signed_nibbles(y, x + 6, word_at(x + 2), 16, half_at(x));
}

static void from_q5_1(float *y, const unsigned char *x) {
    nibbles(y, x + 8, word_at(x + 4), 0, half_at(x), half_at(x + 2));
}

static void from_q8_0(float *y, const unsigned char *x) {
    const float d = half_at(x);
    for (int j = 0; j < 32; j++)
        y[j] = (float)(int8_t)x[2 + j] * d;
}

static void from_iq4_nl(float *y, const unsigned char *x) {
    static const int8_t level[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
    const float d = half_at(x);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)level[x[2 + j] & 15];
        y[j + 16] = d * (float)level[x[2 + j] >> 4];
    }
}

/* --- 256 values ----------------------------------------------------------------------------------
 * Q2_K: 16 bytes (scale, minimum) of 4 bits each, one for 16 values | 64 bytes of 2 bits | d | dmin
 */
static void from_q2_k(float *y, const unsigned char *x) {
    const unsigned char *scale = x, *q = x + 16;
    const float d = half_at(x + 80), dmin = half_at(x + 82);
    for (int i = 0; i < 256; i++) { /* 128 values share 32 bytes, two bits after two bits */
        const unsigned char s = scale[i / 16];
        const int bits = q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        y[i] = d * (float)(s & 15) * (float)bits - dmin * (float)(s >> 4);
    }
}

/* Six bits of scale `i` of Q3_K: 8 bytes of low nibbles, 4 bytes of upper two bits. */
static int scale_q3_k(const unsigned char *s, int i) {
    const int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    return (low | (s[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
}

/* 32 bytes of third bits (set: nothing is subtracted) | 64 of 2 bits | 12 of scales | d */
static void from_q3_k(float *y, const unsigned char *x) {
    const unsigned char *third = x, *q = x + 32, *scale = x + 96;
    const float d = half_at(x + 108);
    for (int i = 0; i < 256; i++) {
        const int bits = q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        const int high = third[i % 32] >> (i / 32) & 1;
        y[i] = d * (float)scale_q3_k(scale, i / 16) * (float)(bits - (high ? 0 : 4));
    }
}

/* Scale and minimum of sub-block `j` of Q4_K and Q5_K, six bits each in 12 bytes: the first four of
 * both in the low bits of 4 + 4 bytes, the upper ones in nibbles with their top bits left there. */
static void scale_min(const unsigned char *s, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
        return;
    }
    *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
}

/* d | dmin | 12 bytes of scales | 128 of nibbles: 64 values share 32 bytes, the low ones first.
 * With `fifth`, 32 bytes of a bit for each of 8 sub-blocks, Q5_K. */
static void sub_blocks(float *y, const unsigned char *x, const unsigned char *fifth,
                       const unsigned char *q) {
    const float d = half_at(x), dmin = half_at(x + 2);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        scale_min(x + 4, j, &scale, &min);
        const float dj = d * (float)scale, mj = dmin * (float)min;
        for (int l = 0; l < 32; l++) {
            const int bits = (j % 2 ? q[j / 2 * 32 + l] >> 4 : q[j / 2 * 32 + l] & 15) +
                             (fifth && fifth[l] >> j & 1 ? 16 : 0);
            y[j * 32 + l] = dj * (float)bits - mj;
        }
    }
}

static void from_q4_k(float *y, const unsigned char *x) {
    sub_blocks(y, x, NULL, x + 16);
}

static void from_q5_k(float *y, const unsigned char *x) {
    sub_blocks(y, x, x + 16, x + 48);
}

/* 128 bytes of low nibbles | 64 of upper two bits | 16 signed scales of 16 values each | d */
static void from_q6_k(float *y, const unsigned char *x) {
    const int8_t *scale = (const int8_t *)x + 192;
    const float d = half_at(x + 208);
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, part = i % 128 / 32, l = i % 32;
        const unsigned char low = x[half * 64 + part % 2 * 32 + l];
        const int bits =
            (part < 2 ? low & 15 : low >> 4) | (x[128 + half * 32 + l] >> (part * 2) & 3) << 4;
        y[i] = d * (float)scale[i / 16] * (float)(bits - 32);
    }
}

static void (*const from[HORA_DTYPES])(float *, const unsigned char *) = {
    [HORA_Q4_0] = from_q4_0, [HORA_Q4_1] = from_q4_1,     [HORA_Q5_0] = from_q5_0,
    [HORA_Q5_1] = from_q5_1, [HORA_Q8_0] = from_q8_0,     [HORA_Q2_K] = from_q2_k,
    [HORA_Q3_K] = from_q3_k, [HORA_Q4_K] = from_q4_k,     [HORA_Q5_K] = from_q5_k,
    [HORA_Q6_K] = from_q6_k, [HORA_IQ4_NL] = from_iq4_nl,
};

void hora_dequantize(float *y, const void *x, hora_dtype type, int64_t n) {
    const int64_t block = hora_dtype_block(type);
    const size_t bytes = hora_dtype_block_bytes(type);
    HORA_ASSERT(from[type] && n % block == 0);
    for (int64_t i = 0; i < n / block; i++)
        from[type](y + i * block, (const unsigned char *)x + (size_t)i * bytes);
}
