/*
 * Quantization: Q8_0, Q4_0 and Q5_0 as ggml's reference quantizers have them, bit for bit; Q4_K
 * with a least-squares search of our own for scale and minimum of each 32 values.
 */
#include <math.h>

#include "tensor/blocks.h"
#include "tensor/blocks_groups.h"

static void put_half(unsigned char *y, float f) {
    const uint16_t h = hora_f32_to_f16(f);
    y[0] = (unsigned char)h;
    y[1] = (unsigned char)(h >> 8);
}

static void to_q8_0(unsigned char *y, const float *x) {
    float largest = 0;
    for (int j = 0; j < 32; j++)
        largest = fmaxf(largest, fabsf(x[j]));
    const float d = largest / 127, inverse = d != 0 ? 1 / d : 0;
    put_half(y, d);
    for (int j = 0; j < 32; j++)
        y[2 + j] = (unsigned char)(int8_t)roundf(x[j] * inverse);
}

/* The value of largest magnitude becomes -8, the end of the range that has one code more. */
static void to_q4_0(unsigned char *y, const float *x) {
    float end = 0;
    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > fabsf(end))
            end = x[j];
    const float d = end / -8, inverse = d != 0 ? 1 / d : 0;
    put_half(y, d);
    for (int j = 0; j < 16; j++) {
        const int low = (int)(x[j] * inverse + 8.5f), high = (int)(x[j + 16] * inverse + 8.5f);
        y[2 + j] = (unsigned char)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
    }
}

/* The same with a fifth bit of each, gathered in front of the nibbles. */
static void to_q5_0(unsigned char *y, const float *x) {
    float end = 0;
    uint32_t fifth = 0;
    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > fabsf(end))
            end = x[j];
    const float d = end / -16, inverse = d != 0 ? 1 / d : 0;
    put_half(y, d);
    memset(y + 6, 0, 16);
    for (int j = 0; j < 32; j++) {
        const int q = (int)(x[j] * inverse + 16.5f), in = q < 31 ? q : 31;
        fifth |= (uint32_t)(in >> 4) << j;
        y[6 + j % 16] |= (unsigned char)((in & 15) << (j / 16 * 4));
    }
    for (int b = 0; b < 4; b++)
        y[2 + b] = (unsigned char)(fifth >> 8 * b);
}

/* --- Q4_K ----------------------------------------------------------------------------------------
 * x = scale q - min with q in 0..15 and scale, min >= 0 of six bits in units of d and dmin. */
typedef struct sub_block {
    float scale, min;
} sub_block;

static int code(float v, int top) {
    const int q = (int)lrintf(v);
    return q < 0 ? 0 : q > top ? top : q;
}

/* Scale and minimum that fit the codes best, by least squares; false where the codes are all equal
 * or the minimum would be negative with no room for it. */
static bool fit(const float *x, const int *q, sub_block *s) {
    double n = 32, sq = 0, sqq = 0, sx = 0, sqx = 0;
    for (int j = 0; j < 32; j++) {
        sq += q[j];
        sqq += q[j] * q[j];
        sx += (double)x[j];
        sqx += q[j] * (double)x[j];
    }
    const double det = n * sqq - sq * sq;
    if (det <= 0)
        return false;
    double scale = (n * sqx - sq * sx) / det, min = (sq * sqx - sqq * sx) / det;
    if (min < 0) { /* a minimum cannot lift: the line goes through zero */
        min = 0;
        scale = sqx / sqq;
    }
    *s = (sub_block){(float)scale, (float)min};
    return scale > 0;
}

static double squared_error(const float *x, const sub_block *s, int *q) {
    double sum = 0;
    for (int j = 0; j < 32; j++) {
        q[j] = s->scale > 0 ? code((x[j] + s->min) / s->scale, 15) : 0;
        const double e = (double)(s->scale * (float)q[j] - s->min - x[j]);
        sum += e * e;
    }
    return sum;
}

/* From the extremes, then from ranges a little narrower and wider, each refined once. */
static sub_block search(const float *x) {
    float low = 0, high = x[0];
    int q[32];
    for (int j = 0; j < 32; j++) {
        low = fminf(low, x[j]);
        high = fmaxf(high, x[j]);
    }
    if (high <= low)
        return (sub_block){0, -low};
    sub_block best = {(high - low) / 15, -low};
    double least = squared_error(x, &best, q);
    for (int step = -10; step <= 10; step++) {
        sub_block s = {(high - low) / (15 + 0.1f * (float)step), -low};
        squared_error(x, &s, q);
        if (!fit(x, q, &s))
            continue;
        const double e = squared_error(x, &s, q);
        if (e < least) {
            least = e;
            best = s;
        }
    }
    return best;
}

static void put_scales(unsigned char *y, const int *scale, const int *min) {
    for (int j = 0; j < 4; j++) {
        y[j] = (unsigned char)(scale[j] | scale[j + 4] >> 4 << 6);
        y[j + 4] = (unsigned char)(min[j] | min[j + 4] >> 4 << 6);
        y[j + 8] = (unsigned char)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

static void to_q4_k(unsigned char *y, const float *x) {
    sub_block s[8];
    float most = 0, deepest = 0;
    int scale[8], min[8];
    for (int j = 0; j < 8; j++) {
        s[j] = search(x + 32 * j);
        most = fmaxf(most, s[j].scale);
        deepest = fmaxf(deepest, s[j].min);
    }
    put_half(y, most / 63);
    put_half(y + 2, deepest / 63);
    const float d = hora_f16_to_f32(hora_f32_to_f16(most / 63));
    const float dmin = hora_f16_to_f32(hora_f32_to_f16(deepest / 63));
    memset(y + 16, 0, 128);
    for (int j = 0; j < 8; j++) {
        int q[32];
        scale[j] = d > 0 ? code(s[j].scale / d, 63) : 0;
        min[j] = dmin > 0 ? code(s[j].min / dmin, 63) : 0;
        const sub_block kept = {d * (float)scale[j], dmin * (float)min[j]};
        squared_error(x + 32 * j, &kept, q);
        for (int l = 0; l < 32; l++)
            y[16 + j / 2 * 32 + l] |= (unsigned char)(q[l] << (j % 2 * 4));
    }
    put_scales(y + 4, scale, min);
}

/* --- NF4: times 1 / largest, then the nearest level by midpoints in f32; a tie goes down ------ */
static void to_nf4(unsigned char *y, const float *x) {
    float most = 0;
    for (int j = 0; j < 64; j++)
        most = fmaxf(most, fabsf(x[j]));
    const float inverse = 1 / fmaxf(most, 1e-38f);
    memcpy(y, &most, 4);
    memset(y + 4, 0, 32);
    for (int j = 0; j < 64; j++) {
        const float v = fmaxf(-1, fminf(x[j] * inverse, 1));
        int q = 0;
        while (q < 15 && (hora_nf4_level[q] + hora_nf4_level[q + 1]) / 2 < v)
            q++;
        y[4 + j / 2] |= (unsigned char)(q << (j % 2 ? 0 : 4));
    }
}

static void (*const to[HORA_DTYPES])(unsigned char *, const float *) = {[HORA_Q8_0] = to_q8_0,
                                                                        [HORA_Q4_0] = to_q4_0,
                                                                        [HORA_Q5_0] = to_q5_0,
                                                                        [HORA_Q4_K] = to_q4_k,
                                                                        [HORA_NF4] = to_nf4};

hora_dtype hora_blocks_that_fit(hora_dtype want, int64_t width) {
    static const hora_dtype next[HORA_DTYPES] = {[HORA_Q2_K] = HORA_Q4_0,
                                                 [HORA_Q3_K] = HORA_Q4_0,
                                                 [HORA_Q4_K] = HORA_Q5_0,
                                                 [HORA_Q5_K] = HORA_Q5_1,
                                                 [HORA_Q6_K] = HORA_Q8_0};
    while (width % hora_dtype_block(want))
        want = next[want] ? next[want] : HORA_F16;
    return want;
}

bool hora_can_quantize(hora_dtype type) {
    return to[type] != NULL;
}

hora_status hora_quantize(void *y, hora_dtype type, const float *x, int64_t n) {
    const int64_t block = hora_dtype_block(type);
    if (!to[type])
        return hora_fail(HORA_EUNSUPPORTED,
                         "values are not quantized to %s here; take q8_0, q4_0 "
                         "or q4_k",
                         hora_dtype_name(type));
    HORA_ASSERT(n % block == 0);
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= 65504 * 7.0f)) /* the scale, a seventh at least, is an f16 */
            return hora_fail(HORA_ENUMERIC,
                             "%g cannot be quantized; look at the model it came from",
                             (double)x[i]);
    for (int64_t i = 0; i < n / block; i++)
        to[type]((unsigned char *)y + (size_t)i * hora_dtype_block_bytes(type), x + i * block);
    return HORA_OK;
}
