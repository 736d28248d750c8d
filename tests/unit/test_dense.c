/* Small dense matrices: what they were made of comes back, small singular values included. */
#include <math.h>

#include "base/dense.h"
#include "base/rng.h"
#include "hora_test.h"

enum { M = 9, N = 6 };

static void draw(double *x, int64_t n, const char *stream) {
    hora_rng r = hora_rng_new(5, stream);
    for (int64_t i = 0; i < n; i++)
        x[i] = hora_rng_normal(&r);
}

/* out (m, n) = x (m, k) y (k, n) */
static void product(const double *x, const double *y, int m, int k, int n, double *out) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            out[i * n + j] = 0;
            for (int l = 0; l < k; l++)
                out[i * n + j] += x[i * k + l] * y[l * n + j];
        }
}

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.17g should be %.17g within %g", got, want, tolerance);
}

static void test_eigen(void **state) {
    (void)state;
    double x[M * N], a[N * N], kept[N * N], w[N], v[N * N];
    draw(x, M * N, "eigen");
    hora_dense_gram(x, N, x, N, M, a);
    memcpy(kept, a, sizeof a);
    hora_dense_eigen(a, N, w, v);
    for (int j = 0; j < N; j++) {
        assert_true(j == 0 || w[j] <= w[j - 1]);
        for (int i = 0; i < N; i++) {
            double av = 0, vv = 0;
            for (int k = 0; k < N; k++) {
                av += kept[i * N + k] * v[k * N + j];
                vv += v[k * N + i] * v[k * N + j];
            }
            near(av, w[j] * v[i * N + j], 1e-13 * w[0]);
            near(vv, i == j, 1e-14);
        }
    }
}

/* U diag(w) V' with values down to 1e-12 of the largest, each to 1e-3 of itself. */
static void test_singular(void **state) {
    (void)state;
    const double want[N] = {7, 2, 1e-2, 1e-6, 1e-9, 7e-12};
    double x[M * N], y[N * N], u[M * N], v[N * N], a[M * N], t[N * M], got[N];
    draw(x, M * N, "u");
    draw(y, N * N, "v");
    assert_int_equal(hora_dense_basis(x, M, N, u), N);
    assert_int_equal(hora_dense_basis(y, N, N, v), N);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            a[i * N + j] = 0;
            for (int k = 0; k < N; k++)
                a[i * N + j] += u[i * N + k] * want[k] * v[j * N + k];
            t[j * M + i] = a[i * N + j];
        }
    hora_dense_singular(a, M, N, got);
    for (int k = 0; k < N; k++)
        near(got[k], want[k], 1e-3 * want[k]);
    hora_dense_singular(t, N, M, got);
    for (int k = 0; k < N; k++)
        near(got[k], want[k], 1e-3 * want[k]);
}

/* Of a product, without forming it; a rank that is smaller than the shape shows as zeros. */
static void test_product(void **state) {
    (void)state;
    double b[M * 3], a[3 * N], full[M * N], all[N], three[3], wide[M];
    draw(b, M * 3, "b");
    draw(a, 3 * N, "a");
    product(b, a, M, 3, N, full);
    hora_dense_singular(full, M, N, all);
    hora_dense_singular_product(b, a, M, 3, N, three);
    for (int k = 0; k < 3; k++)
        near(three[k], all[k], 1e-13 * all[0]);
    for (int k = 3; k < N; k++)
        near(all[k], 0, 1e-14 * all[0]);
    /* more columns in the middle than either side has rows */
    hora_dense_singular_product(a, full, 3, N, N, wide); /* a (3, 6), first 6 rows of full */
    product(a, full, 3, N, N, b);
    hora_dense_singular(b, 3, N, three);
    for (int k = 0; k < N; k++)
        near(wide[k], k < 3 ? three[k] : 0, 1e-13 * three[0]);
}

static void test_basis(void **state) {
    (void)state;
    double x[M * 3], q[M * 3], g[9], zero[M] = {0};
    draw(x, M * 3, "basis");
    for (int i = 0; i < M; i++) /* the third column adds nothing */
        x[i * 3 + 2] = 2 * x[i * 3] - x[i * 3 + 1];
    assert_int_equal(hora_dense_basis(x, M, 3, q), 2);
    hora_dense_gram(q, 3, q, 3, M, g);
    near(g[0], 1, 1e-14);
    near(g[4], 1, 1e-14);
    near(g[1], 0, 1e-14);
    assert_int_equal(hora_dense_basis(zero, M, 1, q), 0);
}

/* The solution of a symmetric positive system is what it was made of; any other is refused. */
static void test_solve(void **state) {
    (void)state;
    double x[M * N], a[N * N], kept[N * N], b[N], want[N];
    draw(x, M * N, "solve");
    draw(want, N, "solution");
    hora_dense_gram(x, N, x, N, M, a);
    memcpy(kept, a, sizeof a);
    product(a, want, N, N, 1, b);
    assert_true(hora_dense_solve(a, N, b));
    for (int i = 0; i < N; i++)
        near(b[i], want[i], 1e-12);
    kept[2 * N + 2] = -1;
    assert_false(hora_dense_solve(kept, N, b));
}

HORA_TESTS(unit_dense, {"a symmetric positive system", test_solve, HORA_SHORT},
           {"eigenvectors of a symmetric matrix", test_eigen, HORA_SHORT},
           {"singular values, small ones too", test_singular, HORA_SHORT},
           {"singular values of a product", test_product, HORA_SHORT},
           {"bases, of dependent columns and of nothing", test_basis, HORA_SHORT});
