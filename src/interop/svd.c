/* Best approximations of low rank. A product of thin factors goes by two QR decompositions and the
 * singular values of an r x r matrix. */
#include "interop/svd.h"

#include <math.h>

#include "base/lapack.h"
#include "base/mem.h"
#include "base/rng.h"

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

hora_status hora_low_rank(const double *delta, int64_t out, int64_t in, int64_t rank, double floor,
                          double *b, double *a, double *left, bool *found) {
    const int64_t more = 8, k = rank + more; /* columns beyond the rank find all of the range */
    *found = false;
    if (2 * k > hora_min(out, in))
        return HORA_OK;
    double *omega = hora_malloc((size_t)(in * k) * sizeof *omega),
           *y = hora_malloc((size_t)(out * k) * sizeof *y),
           *q = hora_malloc((size_t)(out * k) * sizeof *q),
           *r = hora_malloc((size_t)(k * k) * sizeof *r),
           *g = hora_malloc((size_t)(k * in) * sizeof *g), *qt = NULL, cut = 0;
    hora_rng rng = hora_rng_new(1, "range");
    for (int64_t i = 0; i < in * k; i++)
        omega[i] = hora_rng_normal(&rng);
    product(delta, omega, out, in, k, y);
    hora_status s = hora_qr(y, out, k, q, r);
    if (s == HORA_OK) {
        qt = transposed(q, out, k);
        product(qt, delta, k, out, in, g);
        const double all = hora_frobenius(delta, out * in), in_range = hora_frobenius(g, k * in);
        *left = sqrt(fmax(0, (all - in_range) * (all + in_range)));
        s = hora_best_rank_product(q, g, out, in, k, rank, b, a, &cut);
        *left = hypot(*left, cut);
        *found = s == HORA_OK && *left <= floor;
    }
    hora_free(omega);
    hora_free(y);
    hora_free(q);
    hora_free(r);
    hora_free(g);
    hora_free(qt);
    return s;
}

double hora_frobenius(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}
