/*
 * Softmax by tiles (M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", 2018)
 * and over rows. Columns that a row does not see count as exp(-inf).
 */
#include "backend/cpu/kern_vec.h"

#include <math.h>

INLINE float exp1(float x) {
    return v_exp(v_set(x))[0];
}

INLINE float most(int64_t n, const float *z) {
    vf m = v_set(-INFINITY);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        m = v_max(m, v_load(z + i));
    float best = v_max_lane(m);
    for (; i < n; i++)
        best = z[i] > best ? z[i] : best;
    return best;
}

/* z becomes exp(z - m); the sum comes back */
INLINE float exps(int64_t n, float m, float *z) {
    vf sum = v_zero();
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf e = v_exp(v_load(z + i) - m);
        sum += e;
        v_store(z + i, e);
    }
    if (i < n) { /* lanes past the end read as 0, so they must not count */
        vf e = v_exp(v_load_n(z + i, n - i) - m);
        v_store_n(z + i, e, n - i);
        sum += v_load_n(z + i, n - i);
    }
    return v_sum(sum);
}

INLINE void zero(float *p, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        p[i] = 0;
}

static void tile(int64_t rows, int64_t columns, float *s, int64_t ld, const int32_t *from,
                 const int32_t *to, float *m, float *l, float *o, int64_t dh) {
    for (int64_t i = 0; i < rows; i++, s += ld, o += dh) {
        int64_t a = from[i], n = to[i] - a;
        if (n <= 0) {
            zero(s, columns);
            continue;
        }
        zero(s, a);
        zero(s + to[i], columns - to[i]);
        float best = most(n, s + a);
        if (!(best <= m[i])) { /* NaN goes through */
            float shrink = exp1(m[i] - best);
            m[i] = best;
            l[i] *= shrink;
            EACH(dh)
            SET(o, GET(o) * shrink);
        }
        l[i] += exps(n, m[i], s + a);
    }
}

static void end(int64_t rows, int64_t dh, const float *m, const float *l, const float *o, float *y,
                int64_t ldy, float *lse, int64_t ldlse) {
    for (int64_t i = 0; i < rows; i++, o += dh, y += ldy) {
        bool saw = m[i] != -INFINITY;
        float each = saw ? 1.0f / l[i] : 0.0f;
        EACH(dh)
        SET(y, GET(o) * each);
        if (lse)
            lse[i * ldlse] = saw ? m[i] + logf(l[i]) : 0.0f;
    }
}

static void grad(int64_t rows, int64_t columns, float scale, float *s, float *dp, int64_t ld,
                 const int32_t *from, const int32_t *to, const float *lse, const float *d,
                 int64_t ldrow) {
    for (int64_t i = 0; i < rows; i++, s += ld, dp += ld) {
        int64_t a = from[i] < to[i] ? from[i] : columns, b = from[i] < to[i] ? to[i] : columns;
        float shift = lse[i * ldrow], di = d[i * ldrow];
        zero(s, a);
        zero(dp, a);
        zero(s + b, columns - b);
        zero(dp + b, columns - b);
        float *sa = s + a, *dpa = dp + a;
        EACH(b - a) {
            vf p = v_exp(GET(sa) - shift);
            SET(sa, p);
            SET(dpa, scale * p * (GET(dpa) - di));
        }
    }
}

static float dot(int64_t n, const float *a, const float *b) {
    return v_dot(n, a, b);
}

static float lse_of(int64_t n, const float *z) {
    float m = most(n, z);
    vf sum = v_zero();
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        sum += v_exp(v_load(z + i) - m);
    float rest = 0;
    for (; i < n; i++)
        rest += exp1(z[i] - m);
    return m + logf(v_sum(sum) + rest);
}

static void weigh(int64_t n, float lse, float factor, float *z) {
    EACH(n)
    SET(z, factor * v_exp(GET(z) - lse));
}

extern const hora_kern_softmax KERN(softmax);
const hora_kern_softmax KERN(softmax) = {tile, end, grad, dot, lse_of, weigh};
