/* Jacobi's rotations, both ways, and Gram and Schmidt. Plain loops: see the header for the sizes.
 */
#include "base/dense.h"

#include <math.h>

#include "base/mem.h"

enum { SWEEPS = 60 }; /* either method needs about ten */

double hora_dense_inner(const double *x, const double *y, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += x[i] * y[i];
    return s;
}

void hora_dense_gram(const double *x, int64_t r, const double *y, int64_t c, int64_t n,
                     double *out) {
    memset(out, 0, (size_t)(r * c) * sizeof *out);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < c; j++)
                out[i * c + j] += x[k * r + i] * y[k * c + j];
}

/* (x, y) rotated by the angle with cosine c and sine s; elements `step` apart. */
static void rotate(double *x, double *y, int64_t n, int64_t step, double c, double s) {
    for (int64_t k = 0; k < n * step; k += step) {
        const double a = x[k], b = y[k];
        x[k] = c * a - s * b;
        y[k] = s * a + c * b;
    }
}

/* Cosine and sine that make the off-diagonal `off` between `first` and `second` zero. */
static void angle(double first, double second, double off, double *c, double *s) {
    const double theta = (second - first) / (2 * off);
    const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    *c = 1 / sqrt(t * t + 1);
    *s = t * *c;
}

/* --- symmetric matrices ----------------------------------------------------------------------- */
static void sort_eigen(double *w, double *v, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t best = i;
        for (int64_t j = i + 1; j < n; j++)
            best = w[j] > w[best] ? j : best;
        if (best == i)
            continue;
        const double kept = w[i];
        w[i] = w[best];
        w[best] = kept;
        for (int64_t k = 0; v && k < n; k++) {
            const double x = v[k * n + i];
            v[k * n + i] = v[k * n + best];
            v[k * n + best] = x;
        }
    }
}

void hora_dense_eigen(double *a, int64_t n, double *w, double *v) {
    for (int64_t i = 0; v && i < n * n; i++)
        v[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, all = 0, c, s;
        for (int64_t i = 0; i < n * n; i++) {
            all += a[i] * a[i];
            off += i % (n + 1) ? a[i] * a[i] : 0;
        }
        if (off <= 1e-30 * all)
            break;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                if (a[p * n + q] == 0)
                    continue;
                angle(a[p * n + p], a[q * n + q], a[p * n + q], &c, &s);
                rotate(a + p, a + q, n, n, c, s);
                rotate(a + p * n, a + q * n, n, 1, c, s);
                if (v)
                    rotate(v + p, v + q, n, n, c, s);
            }
    }
    for (int64_t i = 0; i < n; i++)
        w[i] = a[i * n + i];
    sort_eigen(w, v, n);
}

/* --- singular values -------------------------------------------------------------------------- */
/* Rotates the n rows of x (n, len) until they are orthogonal; `with` (n, width; may be NULL) is
 * rotated along, so with'x stays what it was. */
static void orthogonalise(double *x, int64_t n, int64_t len, double *with, int64_t width) {
    const double nothing = 1e-34 * hora_dense_inner(x, x, n * len); /* rounding has no direction */
    for (int sweep = 0, turned = 1; sweep < SWEEPS && turned; sweep++) {
        turned = 0;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double *a = x + p * len, *b = x + q * len, c, s;
                const double aa = hora_dense_inner(a, a, len), bb = hora_dense_inner(b, b, len);
                const double ab = hora_dense_inner(a, b, len);
                if (fabs(ab) <= 1e-15 * sqrt(aa * bb) || aa <= nothing || bb <= nothing)
                    continue;
                angle(aa, bb, ab, &c, &s);
                rotate(a, b, len, 1, c, s);
                if (with)
                    rotate(with + p * width, with + q * width, width, 1, c, s);
                turned = 1;
            }
    }
}

void hora_dense_singular(const double *a, int64_t m, int64_t n, double *w) {
    const bool wide = m <= n; /* then its rows, else its columns */
    const int64_t k = wide ? m : n, len = wide ? n : m;
    double *x = hora_calloc((size_t)(m * n) + 1, sizeof *x);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            x[wide ? i * n + j : j * m + i] = a[i * n + j];
    orthogonalise(x, k, len, NULL, 0);
    for (int64_t i = 0; i < k; i++)
        w[i] = sqrt(hora_dense_inner(x + i * len, x + i * len, len));
    sort_eigen(w, NULL, k);
    hora_free(x);
}

void hora_dense_singular_product(const double *b, const double *a, int64_t m, int64_t r, int64_t n,
                                 double *w) {
    double *x = hora_calloc((size_t)(m * r + r * n) + 1, sizeof *x), *y = x + m * r;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < r; j++)
            x[j * m + i] = b[i * r + j];
    memcpy(y, a, (size_t)(r * n) * sizeof *y);
    orthogonalise(x, r, m, y, n); /* b a = U (S V'a) with orthonormal U */
    for (int64_t j = 0; j < r; j++) {
        const double s = sqrt(hora_dense_inner(x + j * m, x + j * m, m));
        for (int64_t i = 0; i < n; i++)
            y[j * n + i] *= s;
    }
    orthogonalise(y, r, n, NULL, 0);
    for (int64_t j = 0; j < r; j++)
        w[j] = sqrt(hora_dense_inner(y + j * n, y + j * n, n));
    sort_eigen(w, NULL, r);
    hora_free(x);
}

int64_t hora_dense_basis(const double *x, int64_t n, int64_t r, double *q) {
    int64_t k = 0;
    const double scale = sqrt(hora_dense_inner(x, x, n * r));
    for (int64_t j = 0; j < r && scale > 0; j++) {
        for (int64_t i = 0; i < n; i++)
            q[i * r + k] = x[i * r + j];
        for (int pass = 0; pass < 2; pass++) /* twice is enough */
            for (int64_t l = 0; l < k; l++) {
                double dot = 0;
                for (int64_t i = 0; i < n; i++)
                    dot += q[i * r + l] * q[i * r + k];
                for (int64_t i = 0; i < n; i++)
                    q[i * r + k] -= dot * q[i * r + l];
            }
        double norm = 0;
        for (int64_t i = 0; i < n; i++)
            norm += q[i * r + k] * q[i * r + k];
        norm = sqrt(norm);
        if (norm <= 1e-7 * scale)
            continue;
        for (int64_t i = 0; i < n; i++)
            q[i * r + k] /= norm;
        k++;
    }
    return k;
}

/* --- linear systems --------------------------------------------------------------------------- */
bool hora_dense_solve(double *a, int64_t n, double *b) {
    for (int64_t i = 0; i < n; i++) { /* a = l l', row by row */
        double *row = a + i * n;
        for (int64_t j = 0; j <= i; j++) {
            const double left = row[j] - hora_dense_inner(row, a + j * n, j);
            if (j == i && !(left > 0))
                return false;
            row[j] = j == i ? sqrt(left) : left / a[j * n + j];
        }
        b[i] = (b[i] - hora_dense_inner(row, b, i)) / row[i];
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        b[i] /= a[i * n + i];
        for (int64_t j = 0; j < i; j++)
            b[j] -= a[i * n + j] * b[i];
    }
    return true;
}
