/* No guard: part of the texts of mix_attention and cached_mix_attention, once per dtype. */
#include <math.h>

/* P (H, count) of row q (H dh) over the keys [lo, hi) at k. */
static void T(maps)(const hora_call *c, const REAL *q, const REAL *k, int64_t lo, int64_t hi,
                    double *p) {
    const int64_t dh = c->attr.head_dim, width = ref_width(&c->in[1]), n = hi - lo;
    for (int64_t h = 0; h < c->attr.heads; h++, p += n) {
        const REAL *kh = k + h * c->attr.kv_heads / c->attr.heads * dh;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) {
            p[j] = c->attr.scale * T(dot)(q + h * dh, kh + (lo + j) * width, dh);
            most = fmax(most, p[j]);
        }
        for (int64_t j = 0; j < n; j++)
            sum += p[j] = exp(p[j] - most);
        for (int64_t j = 0; j < n; j++)
            p[j] /= sum;
    }
}

/* P_g + sum_h M[g,h] P_h at key j of n */
static double T(mixed)(const hora_call *c, const REAL *m, const double *p, int64_t n, int64_t g,
                       int64_t j) {
    double sum = p[g * n + j];
    for (int64_t h = 0; h < c->attr.heads; h++)
        sum += LD(m[g * c->attr.heads + h]) * p[h * n + j];
    return sum;
}

/* y (H dh) of the maps P (H, hi - lo) and the values at v. */
static void T(values)(const hora_call *c, const REAL *m, const double *p, const REAL *v, int64_t lo,
                      int64_t hi, REAL *y) {
    const int64_t dh = c->attr.head_dim, width = ref_width(&c->in[1]);
    for (int64_t g = 0; g < c->attr.heads; g++) {
        const REAL *vg = v + g * c->attr.kv_heads / c->attr.heads * dh;
        for (int64_t l = 0; l < dh; l++) {
            double sum = 0;
            for (int64_t j = lo; j < hi; j++)
                sum += T(mixed)(c, m, p, hi - lo, g, j - lo) * LD(vg[j * width + l]);
            y[g * dh + l] = ST(sum);
        }
    }
}
