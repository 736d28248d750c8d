/*
 * No guard: the text of kern_rows.c, once per type of elements, with ELEM, LOAD, LOAD_N, STORE,
 * STORE_N and R(name). Whatever the elements, all is computed in f32 and rounded at the store.
 */

/* EACH(n) { .. GET(p) .. PUT(p, v) } of kern_vec.h for elements; F of a pointer is its floats. */
#define EGET(p)       (left_ >= VL ? LOAD((p) + at_) : LOAD_N((p) + at_, left_))
#define ESET(p, v)    (left_ >= VL ? STORE((p) + at_, (v)) : STORE_N((p) + at_, (v), left_))
#define EPUT(p, v, o) ESET(p, (o) ? (v) : EGET(p) + (v))

INLINE void R(act_of)(const hora_act s, int64_t n, const ELEM *x, ELEM *y) {
    EACH(n)
        ESET(y, value(s, EGET(x)));
}
static void R(act)(hora_act s, int64_t n, const void *x, void *y){
#define CALL(a) R(act_of)(a, n, x, y)
    BY_ACT(s, CALL)
#undef CALL
}

INLINE void R(act_grad_of)(const hora_act s, int64_t n, const ELEM *x, const ELEM *dy, ELEM *dx,
                           bool overwrite) {
    EACH(n)
        EPUT(dx, EGET(dy) * slope(s, EGET(x)), overwrite);
}
static void R(act_grad)(hora_act s, int64_t n, const void *x, const void *dy, void *dx,
                        bool overwrite){
#define CALL(a) R(act_grad_of)(a, n, x, dy, dx, overwrite)
    BY_ACT(s, CALL)
#undef CALL
}

INLINE void R(glu_of)(const hora_act s, int64_t n, const ELEM *g, const ELEM *u, ELEM *y) {
    EACH(n)
        ESET(y, value(s, EGET(g)) * EGET(u));
}
static void R(glu)(hora_act s, int64_t n, const void *g, const void *u, void *y){
#define CALL(a) R(glu_of)(a, n, g, u, y)
    BY_ACT(s, CALL)
#undef CALL
}

/* What of a vector of dg stands before that of du is added: both may be one tensor. */
INLINE void R(glu_grad_of)(const hora_act s, int64_t n, const ELEM *g, const ELEM *u,
                           const ELEM *dy, ELEM *dg, ELEM *du, bool new_dg, bool new_du) {
    EACH(n) {
        vf d = EGET(dy), x = EGET(g), v, dv;
        value_and_slope(s, x, &v, &dv);
        if (dg)
            EPUT(dg, d * EGET(u) * dv, new_dg);
        if (du)
            EPUT(du, d * v, new_du);
    }
}
static void R(glu_grad)(hora_act s, int64_t n, const void *g, const void *u, const void *dy,
                        void *dg, void *du, bool new_dg, bool new_du) {
    /* constant flags where all is wanted and new, as in most graphs */
    if (dg && du && new_dg && new_du) {
#define CALL(a) R(glu_grad_of)(a, n, g, u, dy, dg, du, true, true)
        BY_ACT(s, CALL)
#undef CALL
        return;
    }
#define CALL(a) R(glu_grad_of)(a, n, g, u, dy, dg, du, new_dg, new_du)
    BY_ACT(s, CALL)
#undef CALL
}

static void R(add)(int64_t n, float alpha, const void *a, const void *b, void *y) {
    const ELEM *p = a, *q = b;
    ELEM *to = y;
    if (p)
        EACH(n)
            ESET(to, EGET(p) + alpha * EGET(q));
    else
        EACH(n)
            ESET(to, alpha * EGET(q));
}

static void R(mul)(int64_t n, const void *a, const void *b, void *y, bool overwrite) {
    const ELEM *p = a, *q = b;
    ELEM *to = y;
    EACH(n)
        EPUT(to, EGET(p) * EGET(q), overwrite);
}

static void R(scale)(int64_t n, float alpha, const void *x, const float *v, void *y,
                     bool overwrite) {
    const ELEM *p = x;
    ELEM *to = y;
    EACH(n)
        EPUT(to, alpha * EGET(p) * GET(v), overwrite);
}

static void R(accumulate)(int64_t n, const void *x, float *y, bool overwrite) {
    const ELEM *p = x;
    EACH(n)
        PUT(y, EGET(p), overwrite);
}

static void R(column_sums)(int64_t rows, int64_t width, float alpha, const void *x, const void *b,
                           int64_t ld, float *y, bool overwrite) {
    const ELEM *p = x, *q = b;
    EACH(width) {
        vf sum = v_zero();
        for (int64_t i = 0; i < rows; i++)
            sum += q ? EGET(p + i * ld) * EGET(q + i * ld) : EGET(p + i * ld);
        PUT(y, alpha * sum, overwrite);
    }
}

/* Sum of squares; in four chains, for a row is short and an addition takes its time. */
INLINE float R(squares)(int64_t n, const ELEM *x) {
    vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int k = 0; k < 4; k++) {
            vf v = LOAD(x + i + k * VL);
            s[k] = v_fma(v, v, s[k]);
        }
    for (; i < n; i += VL) {
        vf v = n - i >= VL ? LOAD(x + i) : LOAD_N(x + i, n - i);
        s[0] = v_fma(v, v, s[0]);
    }
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

/* (mean of x^2 + eps)^-1/2. Squares of large values leave the range of float where the result does
 * not; zeros in their place would hide a run that went wrong. */
INLINE float R(reciprocal_norm)(int64_t w, float eps, const ELEM *x) {
    float sum = R(squares)(w, x);
    if (sum <= __FLT_MAX__)
        return 1.0f / __builtin_sqrtf(sum / (float)w + eps);
    double wide = 0;
    for (int64_t j = 0; j < w; j++) {
        double v = (double)LOAD_N(x + j, 1)[0];
        wide += v * v;
    }
    return (float)(1 / __builtin_sqrt(wide / (double)w + (double)eps));
}

static void R(rmsnorm)(int64_t n, int64_t w, float eps, const void *from, const float *weight,
                       void *to, float *r) {
    const ELEM *x = from;
    ELEM *y = to;
    for (int64_t i = 0; i < n; i++, x += w, y += w) {
        float ri = R(reciprocal_norm)(w, eps, x);
        if (r)
            r[i] = ri;
        EACH(w)
            ESET(y, EGET(x) * ri * GET(weight));
    }
}

/* Sum of weight dy x. */
INLINE float R(weighted)(int64_t n, const float *weight, const ELEM *dy, const ELEM *x) {
    vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int k = 0; k < 4; k++) {
            int64_t at = i + k * VL;
            s[k] = v_fma(v_load(weight + at) * LOAD(dy + at), LOAD(x + at), s[k]);
        }
    for (; i < n; i += VL) {
        int64_t left = n - i;
        bool whole = left >= VL;
        vf a = whole ? v_load(weight + i) : v_load_n(weight + i, left);
        vf b = whole ? LOAD(dy + i) : LOAD_N(dy + i, left);
        s[0] = v_fma(a * b, whole ? LOAD(x + i) : LOAD_N(x + i, left), s[0]);
    }
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static void R(rmsnorm_dx)(int64_t n, int64_t w, const void *from, const float *weight,
                          const float *r, const void *grad, void *to, bool overwrite) {
    const ELEM *x = from, *dy = grad;
    ELEM *dx = to;
    for (int64_t i = 0; i < n; i++, x += w, dy += w, dx += w) {
        float m = R(weighted)(w, weight, dy, x) * r[i] / (float)w, xm = r[i] * m;
        EACH(w)
            EPUT(dx, r[i] * (GET(weight) * EGET(dy) - EGET(x) * xm), overwrite);
    }
}

static void R(rmsnorm_dw)(int64_t n, int64_t w, int64_t columns, const void *from, const float *r,
                          const void *grad, float *dw, bool overwrite) {
    const ELEM *x = from, *dy = grad;
    EACH(columns) {
        vf sum = v_zero();
        for (int64_t i = 0; i < n; i++)
            sum = v_fma(EGET(x + i * w) * r[i], EGET(dy + i * w), sum);
        PUT(dw, sum, overwrite);
    }
}

/* Sum of (x - m) or, squared, of (x - m)^2; in four chains as above. */
INLINE float R(moment)(int64_t n, const ELEM *x, float m, const bool squared) {
    vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int k = 0; k < 4; k++) {
            vf v = LOAD(x + i + k * VL) - m;
            s[k] = squared ? v_fma(v, v, s[k]) : s[k] + v;
        }
    for (; i < n; i += VL) {
        vf v = (n - i >= VL ? LOAD(x + i) : LOAD_N(x + i, n - i)) - m;
        if (n - i < VL)
            v = v_first(v, n - i); /* zeros past the end are not zero behind m */
        s[0] = squared ? v_fma(v, v, s[0]) : s[0] + v;
    }
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static void R(layernorm)(int64_t n, int64_t w, float eps, const void *from, const float *weight,
                         const float *bias, void *to, float *mean, float *r) {
    const ELEM *x = from;
    ELEM *y = to;
    for (int64_t i = 0; i < n; i++, x += w, y += w) {
        const float m = R(moment)(w, x, 0, false) / (float)w;
        const float ri = 1.0f / __builtin_sqrtf(R(moment)(w, x, m, true) / (float)w + eps);
        if (r) {
            mean[i] = m;
            r[i] = ri;
        }
        if (bias)
            EACH(w)
                ESET(y, (EGET(x) - m) * ri * GET(weight) + GET(bias));
        else
            EACH(w)
                ESET(y, (EGET(x) - m) * ri * GET(weight));
    }
}

static void R(layernorm_dx)(int64_t n, int64_t w, const void *from, const float *weight,
                            const float *mean, const float *r, const void *grad, void *to,
                            bool overwrite) {
    const ELEM *x = from, *dy = grad;
    ELEM *dx = to;
    for (int64_t i = 0; i < n; i++, x += w, dy += w, dx += w) {
        vf sum = v_zero(), along = v_zero();
        EACH(w) { /* dy reads as zero past the end */
            vf d = GET(weight) * EGET(dy);
            sum += d;
            along = v_fma(d, EGET(x) - mean[i], along);
        }
        const float g = v_sum(sum) / (float)w, gu = v_sum(along) * r[i] / (float)w;
        EACH(w)
            EPUT(dx, r[i] * (GET(weight) * EGET(dy) - g - (EGET(x) - mean[i]) * r[i] * gu),
                 overwrite);
    }
}

static void R(layernorm_dw)(int64_t n, int64_t w, int64_t columns, const void *from,
                            const float *mean, const float *r, const void *grad, float *dw,
                            bool overwrite) {
    const ELEM *x = from, *dy = grad;
    EACH(columns) {
        vf sum = v_zero();
        for (int64_t i = 0; i < n; i++)
            sum = v_fma((EGET(x + i * w) - mean[i]) * r[i], EGET(dy + i * w), sum);
        PUT(dw, sum, overwrite);
    }
}

static void R(rope)(int64_t heads, int64_t half, const float *cos, const float *sin, float sign,
                    const void *from, void *to, bool overwrite) {
    const ELEM *x = from;
    ELEM *y = to;
    for (int64_t h = 0; h < heads; h++, x += 2 * half, y += 2 * half) {
        EACH(half) {
            vf c = GET(cos), s = sign * GET(sin), a = EGET(x), b = EGET(x + half);
            EPUT(y, a * c - b * s, overwrite);
            EPUT(y + half, b * c + a * s, overwrite);
        }
    }
}

extern const hora_kern_rows ROWS;
const hora_kern_rows ROWS = {R(act),
                             R(act_grad),
                             R(glu),
                             R(glu_grad),
                             R(add),
                             R(mul),
                             R(scale),
                             R(accumulate),
                             R(column_sums),
                             R(rmsnorm),
                             R(rmsnorm_dx),
                             R(rmsnorm_dw),
                             R(layernorm),
                             R(layernorm_dx),
                             R(layernorm_dw),
                             R(rope),
                             narrow,
                             widen,
                             mask,
                             merge};

#undef EGET
#undef ESET
#undef EPUT
