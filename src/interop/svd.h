#ifndef HORA_INTEROP_SVD_H
#define HORA_INTEROP_SVD_H
/* Best approximations of low rank, by LAPACK, in f64 (Eckart and Young). Matrices row by row. */
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* delta (out, in; destroyed) ~ b (out, rank) a (rank, in): b = U S, a = V', as PEFT splits them.
 * rank is at most min(out, in). *left: Frobenius norm of what is left over. */
hora_status hora_best_rank(double *delta, int64_t out, int64_t in, int64_t rank, double *b,
                           double *a, double *left);
/* The same of the product f g, f (out, r) and g (r, in; both destroyed), which is not formed where
 * r is small. */
hora_status hora_best_rank_product(double *f, double *g, int64_t out, int64_t in, int64_t r,
                                   int64_t rank, double *b, double *a, double *left);
/* As hora_best_rank where delta (kept) is of that rank but for a rest of norm `floor`: by its
 * range, in a few products (Halko, Martinsson, Tropp 2011, algorithm 4.1). *found: it was. */
hora_status hora_low_rank(const double *delta, int64_t out, int64_t in, int64_t rank, double floor,
                          double *b, double *a, double *left, bool *found);
double hora_frobenius(const double *x, int64_t n); /* its norm */
#endif
