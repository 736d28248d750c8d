/* LAPACK by its C interface. */
#include "base/lapack.h"

#include "base/mem.h"

#ifdef HORA_HAVE_LAPACK
#include <lapacke.h>

bool hora_lapack(void) {
    return true;
}

/* What LAPACK returned for an m x n matrix; rows and its own space are copies that it allocates. */
static hora_status outcome(lapack_int info, const char *what, int64_t m, int64_t n) {
    if (!info)
        return HORA_OK;
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR)
        return hora_fail(HORA_ENOMEM,
                         "%s of a %lld x %lld matrix: out of memory; close other "
                         "programs",
                         what, (long long)m, (long long)n);
    return hora_fail(HORA_ENUMERIC,
                     "%s of a %lld x %lld matrix: LAPACK says %d; look for numbers "
                     "that are not finite",
                     what, (long long)m, (long long)n, (int)info);
}

hora_status hora_svd(double *a, int64_t m, int64_t n, double *u, double *w, double *vt) {
    const lapack_int k = (lapack_int)hora_min(m, n);
    const lapack_int info = LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', (lapack_int)m, (lapack_int)n, a,
                                           (lapack_int)n, w, u, k, vt, (lapack_int)n);
    return outcome(info, "singular values", m, n);
}

hora_status hora_qr(double *a, int64_t m, int64_t n, double *q, double *r) {
    const int64_t k = hora_min(m, n);
    double *tau = hora_malloc((size_t)k * sizeof *tau);
    lapack_int info =
        LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, (lapack_int)m, (lapack_int)n, a, (lapack_int)n, tau);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            r[i * n + j] = j < i ? 0 : a[i * n + j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            q[i * k + j] = a[i * n + j];
    if (!info)
        info = LAPACKE_dorgqr(LAPACK_ROW_MAJOR, (lapack_int)m, (lapack_int)k, (lapack_int)k, q,
                              (lapack_int)k, tau);
    hora_free(tau);
    return outcome(info, "QR", m, n);
}

#else

static hora_status missing(void) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "this build has no LAPACK; install liblapacke-dev and build again");
}

bool hora_lapack(void) {
    return false;
}

hora_status hora_svd(double *a, int64_t m, int64_t n, double *u, double *w, double *vt) {
    (void)a, (void)m, (void)n, (void)u, (void)w, (void)vt;
    return missing();
}

hora_status hora_qr(double *a, int64_t m, int64_t n, double *q, double *r) {
    (void)a, (void)m, (void)n, (void)q, (void)r;
    return missing();
}
#endif
