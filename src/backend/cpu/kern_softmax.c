/* Softmax over rows of logits. */
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
const hora_kern_softmax KERN(softmax) = {lse_of, weigh};
