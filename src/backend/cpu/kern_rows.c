/*
 * Loops over elements and rows, by the text of kern_rows_text.h for f32 and for bf16. Sums inside a
 * row run in VL lanes, folded by v_sum; sums over rows run in ascending order: bits follow from
 * shapes alone.
 */
#include "backend/cpu/kern_vec.h"

/* s(x) */
INLINE vf value(const hora_act s, vf x) {
    vf g;
    switch (s) {
    case HORA_ACT_RELU:
        return v_select(x > v_zero(), x, v_zero() * x); /* keeps NaN */
    case HORA_ACT_TANH:
        return v_tanh(x);
    case HORA_ACT_SIGMOID:
        return v_sigmoid(x);
    case HORA_ACT_SILU:
        return x * v_sigmoid(x);
    case HORA_ACT_GELU:
        return x * v_phi(x, &g);
    case HORA_ACT_GELU_TANH: /* (1 + tanh u) / 2 = sigmoid(2 u) */
        return x * v_sigmoid(x * (1.5957691216f + 0.0713548163f * x * x));
    case HORA_ACT_QUICK_GELU:
        return x * v_sigmoid(1.702f * x);
    default:
        return x;
    }
}

/* s'(x) */
INLINE vf slope(const hora_act s, vf x) {
    vf g, t;
    switch (s) {
    case HORA_ACT_RELU:
        return v_select(x > v_zero(), v_set(1.0f), v_zero());
    case HORA_ACT_TANH:
        t = v_tanh(x);
        return 1.0f - t * t;
    case HORA_ACT_SIGMOID:
        t = v_sigmoid(x);
        return t * (1.0f - t);
    case HORA_ACT_SILU:
        t = v_sigmoid(x);
        return t * (1.0f + x * (1.0f - t));
    case HORA_ACT_GELU:
        t = v_phi(x, &g);
        return v_fma(x * g, v_set(0.3989422804f), t);
    case HORA_ACT_GELU_TANH:
        t = v_sigmoid(x * (1.5957691216f + 0.0713548163f * x * x));
        return t + x * t * (1.0f - t) * (1.5957691216f + 0.2140644489f * x * x);
    case HORA_ACT_QUICK_GELU:
        t = v_sigmoid(1.702f * x);
        return t + 1.702f * x * t * (1.0f - t);
    default:
        return v_set(1.0f);
    }
}

/* Both; the compiler finds what they share. */
INLINE void value_and_slope(const hora_act s, vf x, vf *v, vf *dv) {
    *v = value(s, x);
    *dv = slope(s, x);
}

/* The same body with a constant activation in each branch. */
#define BY_ACT(s, CALL)                                                                            \
    switch (s) {                                                                                   \
    case HORA_ACT_RELU:                                                                            \
        CALL(HORA_ACT_RELU);                                                                       \
        break;                                                                                     \
    case HORA_ACT_TANH:                                                                            \
        CALL(HORA_ACT_TANH);                                                                       \
        break;                                                                                     \
    case HORA_ACT_SIGMOID:                                                                         \
        CALL(HORA_ACT_SIGMOID);                                                                    \
        break;                                                                                     \
    case HORA_ACT_SILU:                                                                            \
        CALL(HORA_ACT_SILU);                                                                       \
        break;                                                                                     \
    case HORA_ACT_GELU:                                                                            \
        CALL(HORA_ACT_GELU);                                                                       \
        break;                                                                                     \
    case HORA_ACT_GELU_TANH:                                                                       \
        CALL(HORA_ACT_GELU_TANH);                                                                  \
        break;                                                                                     \
    case HORA_ACT_QUICK_GELU:                                                                      \
        CALL(HORA_ACT_QUICK_GELU);                                                                 \
        break;                                                                                     \
    default:                                                                                       \
        CALL(HORA_ACT_IDENTITY);                                                                   \
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

/* y may begin where x does. */
static void narrow(int64_t n, const float *x, uint16_t *y) {
    for (int64_t i = 0; i < n; i += VL) {
        if (n - i >= VL)
            v_store_bf16(y + i, v_load(x + i));
        else
            v_store_bf16_n(y + i, v_load_n(x + i, n - i), n - i);
    }
}

static void widen(int64_t n, const uint16_t *x, float *y) {
    EACH(n)
        SET(y, left_ >= VL ? v_load_bf16(x + at_) : v_load_bf16_n(x + at_, left_));
}

/* hora_philox of base/rng.c in every lane. */
INLINE void philox(uint64_t seed, uint64_t stream, uint64_t counter, vu c[4]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t lane[VL];
    for (uint32_t i = 0; i < VL; i++)
        lane[i] = i;
    memcpy(c, lane, sizeof lane);
    c[0] += (uint32_t)counter;
    c[1] = (uint32_t)(counter >> 32) - (vu){0};
    c[2] = (uint32_t)stream - (vu){0};
    c[3] = (uint32_t)(stream >> 32) - (vu){0};
    for (int round = 0; round < 10; round++) {
        vu high0 = v_mul_high(c[0], 0xD2511F53u), low0 = c[0] * 0xD2511F53u;
        vu high1 = v_mul_high(c[2], 0xCD9E8D57u), low1 = c[2] * 0xCD9E8D57u;
        c[0] = high1 ^ c[1] ^ k0;
        c[2] = high0 ^ c[3] ^ k1;
        c[1] = low1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static void mask(uint64_t seed, uint64_t stream, uint64_t counter, int64_t n, uint32_t least,
                 float *m) {
    for (int64_t i = 0; i < n; i += VL, m += 4 * VL) {
        vu c[4];
        uint32_t words[4][VL];
        philox(seed, stream, counter + (uint64_t)i, c);
        memcpy(words, c, sizeof words);
        for (int lane = 0; lane < VL; lane++)
            for (int k = 0; k < 4; k++)
                m[4 * lane + k] = words[k][lane] >= least ? 1.0f : 0.0f;
    }
}

#define ELEM    float
#define LOAD    v_load
#define LOAD_N  v_load_n
#define STORE   v_store
#define STORE_N v_store_n
#define R(name) name##_f32
#define ROWS    KERN(rows)
#include "backend/cpu/kern_rows_text.h"
#undef ELEM
#undef LOAD
#undef LOAD_N
#undef STORE
#undef STORE_N
#undef R
#undef ROWS

#define ELEM    uint16_t
#define LOAD    v_load_bf16
#define LOAD_N  v_load_bf16_n
#define STORE   v_store_bf16
#define STORE_N v_store_bf16_n
#define R(name) name##_bf16
#define ROWS    KERN(rows_bf16)
#include "backend/cpu/kern_rows_text.h"
