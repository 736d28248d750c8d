#ifndef HORA_BASE_LAPACK_H
#define HORA_BASE_LAPACK_H
/*
 * Decompositions of large matrices, by LAPACK, in f64, row by row. k = min(m, n). Without LAPACK in
 * the build all are HORA_EUNSUPPORTED, which names the package.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

bool hora_lapack(void); /* is it there? */
/* a (m, n; destroyed) = u (m, k) diag(w (k), falling) vt (k, n) */
hora_status hora_svd(double *a, int64_t m, int64_t n, double *u, double *w, double *vt);
/* a (m, n) becomes what is left of it; = q (m, k) r (k, n), q with orthonormal columns */
hora_status hora_qr(double *a, int64_t m, int64_t n, double *q, double *r);
#endif
