/* Best approximations of low rank. A product of thin factors goes by two QR decompositions and the
 * singular values of an r x r matrix. */
#include "interop/svd.h"

#include <math.h>

#include "base/lapack.h"
#include "base/mem.h"

hora_status hora_best_rank(double *delta, int64_t out, int64_t in, int64_t rank, double *b,
                           double *a, double *left) {
    const int64_t k = hora_min(out, in);
    double *u = hora_malloc((size_t)(out * k) * sizeof *u),
           *vt = hora_malloc((size_t)(k * in) * sizeof *vt),
           *w = hora_malloc((size_t)k * sizeof *w), sum = 0;
    const hora_status s = hora_svd(delta, out, in, u, w, vt);
    for (int64_t o = 0; o < out && s == HORA_OK; o++)
        for (int64_t j = 0; j < rank; j++)
            b[o * rank + j] = u[o * k + j] * w[j];
    if (s == HORA_OK)
        memcpy(a, vt, (size_t)(rank * in) * sizeof *a);
    for (int64_t j = rank; j < k && s == HORA_OK; j++)
        sum += w[j] * w[j];
    *left = sqrt(sum);
    hora_free(u);
    hora_free(vt);
    hora_free(w);
    return s;
}

/* c (m, n) = x (m, k) y (k, n) */
static void product(const double *x, const double *y, int64_t m, int64_t k, int64_t n, double *c) {
    memset(c, 0, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            for (int64_t l = 0; l < n; l++)
                c[i * n + l] += x[i * k + j] * y[j * n + l];
}

static double *transposed(const double *x, int64_t m, int64_t n) {
    double *t = hora_malloc((size_t)(m * n) * sizeof *t);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            t[j * m + i] = x[i * n + j];
    return t;
}

/* f = qf rf, g' = qg rg, rf rg' = U S V': b = qf U S, a = V' qg'. */
static hora_status thin(double *f, double *gt, int64_t out, int64_t in, int64_t r, int64_t rank,
                        double *b, double *a, double *left) {
    const size_t rr = (size_t)(r * r);
    double *qf = hora_malloc((size_t)(out * r) * sizeof *qf),
           *qg = hora_malloc((size_t)(in * r) * sizeof *qg),
           *small = hora_malloc((4 * rr + (size_t)(2 * r * rank)) * sizeof *small);
    double *rf = small, *rg = small + rr, *core = small + 2 * rr, *bs = small + 4 * rr,
           *as = bs + r * rank;
    hora_status s = hora_qr(f, out, r, qf, rf);
    if (s == HORA_OK)
        s = hora_qr(gt, in, r, qg, rg);
    if (s == HORA_OK) {
        double *rgt = transposed(rg, r, r), *qgt = transposed(qg, in, r);
        product(rf, rgt, r, r, r, core);
        s = hora_best_rank(core, r, r, rank, bs, as, left);
        if (s == HORA_OK) {
            product(qf, bs, out, r, rank, b);
            product(as, qgt, rank, r, in, a);
        }
        hora_free(rgt);
        hora_free(qgt);
    }
    hora_free(qf);
    hora_free(qg);
    hora_free(small);
    return s;
}

hora_status hora_best_rank_product(double *f, double *g, int64_t out, int64_t in, int64_t r,
                                   int64_t rank, double *b, double *a, double *left) {
    hora_status s;
    if (r < hora_min(out, in) && rank <= r) {
        double *gt = transposed(g, r, in);
        s = thin(f, gt, out, in, r, rank, b, a, left);
        hora_free(gt);
        return s;
    }
    double *delta = hora_malloc((size_t)(out * in) * sizeof *delta);
    product(f, g, out, r, in, delta);
    s = hora_best_rank(delta, out, in, rank, b, a, left);
    hora_free(delta);
    return s;
}
