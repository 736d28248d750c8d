#ifndef HORA_BASE_DENSE_H
#define HORA_BASE_DENSE_H
/*
 * Small dense matrices in f64, row by row, for looking at what was learned: a few hundred rows and
 * columns at most, one thread, no blocking. Nothing here is on the way of a training step.
 */
#include <stdbool.h>
#include <stdint.h>

/* Sum of the products of x and y, both of n. */
double hora_dense_inner(const double *x, const double *y, int64_t n);
/* out (r, c) = x' y of x (n, r), y (n, c). */
void hora_dense_gram(const double *x, int64_t r, const double *y, int64_t c, int64_t n,
                     double *out);
/* Eigenvalues of the symmetric a (n, n; destroyed) into w (n), falling; v (n, n; may be NULL) gets
 * the eigenvectors in its columns, in the same order. Cyclic Jacobi rotations. */
void hora_dense_eigen(double *a, int64_t n, double *w, double *v);
/* Singular values of a (m, n) into w (min(m, n)), falling. One-sided Jacobi rotations: small values
 * are as good as large ones, which the roots of a'a's eigenvalues are not. */
void hora_dense_singular(const double *a, int64_t m, int64_t n, double *w);
/* The first r singular values of b a, with b (m, r) and a (r, n), which is never formed. */
void hora_dense_singular_product(const double *b, const double *a, int64_t m, int64_t r, int64_t n,
                                 double *w);
/* Orthonormal basis of the columns of x (n, r) into the first columns of q (n, r); returns how many
 * there are. A column that adds less than 1e-7 of |x| is none. */
int64_t hora_dense_basis(const double *x, int64_t n, int64_t r, double *q);
/* Solves a x = b for the symmetric positive a (n, n; its lower half is read and destroyed); b (n)
 * becomes x. False when a is not positive. Cholesky. */
bool hora_dense_solve(double *a, int64_t n, double *b);
#endif
