/* No guard: part of the texts of attention and cache, once per dtype. */
#include <math.h>

/* A run of keys and values of one head: rows lo .. hi - 1, k and v point at row 0. */
typedef struct T(keys) {
    const REAL *k, *v;
    int64_t lo, hi;
} T(keys);

/* y = softmax(s q k') v over both runs, for one row and head; scores in scratch. Returns the
 * log-sum-exp; 0 where nothing is seen, and y is 0. */
static double T(softmax)(const hora_call *c, const REAL *q, const T(keys) run[2], REAL *y) {
    int64_t dh = c->attr.head_dim, width = ref_width(&c->in[1]), n = 0;
    double *z = c->scratch, most = -INFINITY, sum = 0;
    for (int p = 0; p < 2; p++)
        for (int64_t j = run[p].lo; j < run[p].hi; j++) {
            z[n] = c->attr.scale * T(dot)(q, run[p].k + j * width, dh);
            most = fmax(most, z[n++]);
        }
    for (int64_t j = 0; j < n; j++)
        sum += exp(z[j] - most);
    double lse = n ? most + log(sum) : 0;
    for (int64_t j = 0; j < n; j++)
        z[j] = exp(z[j] - lse);
    for (int64_t l = 0; l < dh; l++) {
        double acc = 0;
        n = 0;
        for (int p = 0; p < 2; p++)
            for (int64_t j = run[p].lo; j < run[p].hi; j++)
                acc += z[n++] * LD(run[p].v[j * width + l]);
        y[l] = ST(acc);
    }
    return lse;
}
