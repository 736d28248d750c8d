/*
 * Loops over elements and rows. Sums inside a row run in VL lanes, folded by v_sum; sums over rows
 * run in ascending order: bits follow from shapes alone.
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
        return x / (1.0f + v_exp(-x));
    case HORA_ACT_GELU:
        return x * v_phi(x, &g);
    case HORA_ACT_GELU_TANH: /* (1 + tanh u) / 2 = sigmoid(2 u) */
        return x * v_sigmoid(x * (1.5957691216f + 0.0713548163f * x * x));
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
    default:
        return v_set(1.0f);
    }
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
    default:                                                                                       \
        CALL(HORA_ACT_IDENTITY);                                                                   \
    }

INLINE void act_of(const hora_act s, int64_t n, const float *x, float *y) {
    EACH(n)
    SET(y, value(s, GET(x)));
}
static void act(hora_act s, int64_t n, const float *x, float *y){
#define CALL(a) act_of(a, n, x, y)
    BY_ACT(s, CALL)
#undef CALL
}

INLINE void act_grad_of(const hora_act s, int64_t n, const float *x, const float *dy, float *dx,
                        bool overwrite) {
    EACH(n)
    PUT(dx, GET(dy) * slope(s, GET(x)), overwrite);
}
static void act_grad(hora_act s, int64_t n, const float *x, const float *dy, float *dx,
                     bool overwrite){
#define CALL(a) act_grad_of(a, n, x, dy, dx, overwrite)
    BY_ACT(s, CALL)
#undef CALL
}

INLINE void glu_of(const hora_act s, int64_t n, const float *g, const float *u, float *y) {
    EACH(n)
    SET(y, value(s, GET(g)) * GET(u));
}
static void glu(hora_act s, int64_t n, const float *g, const float *u, float *y){
#define CALL(a) glu_of(a, n, g, u, y)
    BY_ACT(s, CALL)
#undef CALL
}

INLINE void glu_dg_of(const hora_act s, int64_t n, const float *g, const float *u, const float *dy,
                      float *dg, bool overwrite) {
    EACH(n)
    PUT(dg, GET(dy) * GET(u) * slope(s, GET(g)), overwrite);
}
static void glu_dg(hora_act s, int64_t n, const float *g, const float *u, const float *dy,
                   float *dg, bool overwrite){
#define CALL(a) glu_dg_of(a, n, g, u, dy, dg, overwrite)
    BY_ACT(s, CALL)
#undef CALL
}

INLINE void glu_du_of(const hora_act s, int64_t n, const float *g, const float *dy, float *du,
                      bool overwrite) {
    EACH(n)
    PUT(du, GET(dy) * value(s, GET(g)), overwrite);
}
static void glu_du(hora_act s, int64_t n, const float *g, const float *dy, float *du,
                   bool overwrite) {
#define CALL(a) glu_du_of(a, n, g, dy, du, overwrite)
    BY_ACT(s, CALL)
#undef CALL
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

static void narrow(int64_t n, const float *x, uint16_t *y) {
    for (int64_t i = 0; i < n; i += VL) {
        if (n - i >= VL)
            v_store_bf16(y + i, v_load(x + i));
        else
            v_store_bf16_n(y + i, v_load_n(x + i, n - i), n - i);
    }
}

static void mul(int64_t n, float alpha, const float *a, const float *b, float *y, bool overwrite) {
    EACH(n)
    PUT(y, alpha * GET(a) * GET(b), overwrite);
}

static void column_sums(int64_t rows, int64_t width, float alpha, const float *x, const float *b,
                        int64_t ld, float *y, bool overwrite) {
    EACH(width) {
        vf sum = v_zero();
        for (int64_t i = 0; i < rows; i++)
            sum += b ? GET(x + i * ld) * GET(b + i * ld) : GET(x + i * ld);
        PUT(y, alpha * sum, overwrite);
    }
}

/* (mean of x^2 + eps)^-1/2. Squares of large values leave the range of float where the result does
 * not; zeros in their place would hide a run that went wrong. */
INLINE float reciprocal_norm(int64_t w, float eps, const float *x) {
    float sum = v_dot(w, x, x);
    if (sum <= __FLT_MAX__)
        return 1.0f / __builtin_sqrtf(sum / (float)w + eps);
    double wide = 0;
    for (int64_t j = 0; j < w; j++)
        wide += (double)x[j] * (double)x[j];
    return (float)(1 / __builtin_sqrt(wide / (double)w + (double)eps));
}

static void rmsnorm(int64_t n, int64_t w, float eps, const float *x, const float *weight, float *y,
                    float *r) {
    for (int64_t i = 0; i < n; i++, x += w, y += w) {
        float ri = reciprocal_norm(w, eps, x);
        if (r)
            r[i] = ri;
        EACH(w)
        SET(y, GET(x) * ri * GET(weight));
    }
}

static void rmsnorm_dx(int64_t n, int64_t w, const float *x, const float *weight, const float *r,
                       const float *dy, float *dx, bool overwrite) {
    for (int64_t i = 0; i < n; i++, x += w, dy += w, dx += w) {
        vf sum = v_zero();
        EACH(w)
        sum = v_fma(GET(weight) * GET(dy), GET(x) * r[i], sum);
        float m = v_sum(sum) / (float)w;
        EACH(w)
        PUT(dx, r[i] * (GET(weight) * GET(dy) - GET(x) * r[i] * m), overwrite);
    }
}

static void rmsnorm_dw(int64_t n, int64_t w, int64_t columns, const float *x, const float *r,
                       const float *dy, float *dw, bool overwrite) {
    EACH(columns) {
        vf sum = v_zero();
        for (int64_t i = 0; i < n; i++)
            sum = v_fma(GET(x + i * w) * r[i], GET(dy + i * w), sum);
        PUT(dw, sum, overwrite);
    }
}

static void rope(int64_t heads, int64_t half, const float *cos, const float *sin, float sign,
                 const float *x, float *y, bool overwrite) {
    for (int64_t h = 0; h < heads; h++, x += 2 * half, y += 2 * half) {
        EACH(half) {
            vf c = GET(cos), s = sign * GET(sin), a = GET(x), b = GET(x + half);
            PUT(y, a * c - b * s, overwrite);
            PUT(y + half, b * c + a * s, overwrite);
        }
    }
}

extern const hora_kern_rows KERN(rows);
const hora_kern_rows KERN(rows) = {act, act_grad,    glu,     glu_dg,     glu_du,     merge, narrow,
                                   mul, column_sums, rmsnorm, rmsnorm_dx, rmsnorm_dw, rope};
