/* Reference kernel of op_lowrank.c. z and dz of one row at a time, in double. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
enum { X, W, BIAS, ADDEND, A, B, XD };

/* z and dz of all rows, in double */
static size_t scratch(const hora_call *c) {
    return (size_t)(ref_rows(&c->in[X]) * ref_rows(&c->in[A])) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_lowrank.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(lowrank, scratch);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[X]), k = ref_width(&c->in[X]), o = ref_rows(&c->in[W]);
    int64_t r = ref_rows(&c->in[A]);
    const REAL *xd = hora_absent(&c->in[XD]) ? IN(X) : IN(XD);
    double *z = c->scratch;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t q = 0; q < r; q++) {
            z[q] = T(dot)(xd + i * k, IN(A) + q * k, k);
            if (WANT(B))
                ((REAL *)SAVED(0))[i * r + q] = ST(z[q]);
        }
        for (int64_t j = 0; j < o; j++) {
            double sum = T(dot)(IN(X) + i * k, IN(W) + j * k, k);
            for (int64_t q = 0; q < r; q++)
                sum += c->attr.alpha * z[q] * LD(IN(B)[j * r + q]);
            if (!hora_absent(&c->in[BIAS]))
                sum += LD(IN(BIAS)[j]);
            if (!hora_absent(&c->in[ADDEND]))
                sum += LD(IN(ADDEND)[i * o + j]);
            OUT[i * o + j] = ST(sum);
        }
    }
}

/* sum over rows of u_i[p] v_i[q], u (n, wu) of doubles, v (n, wv) */
static double T(down)(const double *u, int64_t wu, int64_t p, const REAL *v, int64_t wv, int64_t q,
                      int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += u[i * wu + p] * LD(v[i * wv + q]);
    return sum;
}

/* (dz A)_il */
static double T(through)(const hora_call *c, const double *dz, int64_t i, int64_t l) {
    int64_t r = ref_rows(&c->in[A]), k = ref_width(&c->in[A]);
    double sum = 0;
    for (int64_t q = 0; q < r; q++)
        sum += dz[i * r + q] * LD(IN(A)[q * k + l]);
    return sum;
}

static void T(dx)(const hora_call *c, const double *dz) {
    int64_t n = ref_rows(&c->in[X]), k = ref_width(&c->in[X]), o = ref_rows(&c->in[W]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t l = 0; l < k; l++) {
            double sum = hora_absent(&c->in[XD]) ? T(through)(c, dz, i, l) : 0;
            for (int64_t j = 0; j < o; j++)
                sum += LD(DOUT[i * o + j]) * LD(IN(W)[j * k + l]);
            PUT(X, &DIN(X)[i * k + l], sum);
        }
}

/* The gradients of W, b and B: sums over rows of dy times something. */
static void T(of_dy)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[X]), k = ref_width(&c->in[X]), o = ref_rows(&c->in[W]);
    int64_t r = ref_rows(&c->in[A]);
    for (int64_t j = 0; j < o; j++) {
        for (int64_t l = 0; WANT(W) && l < k; l++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += LD(DOUT[i * o + j]) * LD(IN(X)[i * k + l]);
            PUTW(W, &DWIDE(W)[j * k + l], sum);
        }
        double db = 0;
        for (int64_t i = 0; i < n; i++)
            db += LD(DOUT[i * o + j]);
        if (WANT(BIAS))
            PUTW(BIAS, &DWIDE(BIAS)[j], db);
        for (int64_t q = 0; WANT(B) && q < r; q++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += LD(DOUT[i * o + j]) * LD(((const REAL *)SAVED(0))[i * r + q]);
            PUTW(B, &DWIDE(B)[j * r + q], c->attr.alpha * sum);
        }
    }
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[X]), k = ref_width(&c->in[X]), o = ref_rows(&c->in[W]);
    int64_t r = ref_rows(&c->in[A]);
    double *dz = c->scratch;
    bool low = WANT(X) || WANT(A) || WANT(XD);
    for (int64_t i = 0; low && i < n; i++)
        for (int64_t q = 0; q < r; q++) {
            double sum = 0;
            for (int64_t j = 0; j < o; j++)
                sum += LD(DOUT[i * o + j]) * LD(IN(B)[j * r + q]);
            dz[i * r + q] = c->attr.alpha * sum;
        }
    if (WANT(X))
        T(dx)(c, dz);
    T(of_dy)(c);
    for (int64_t i = 0; WANT(ADDEND) && i < n * o; i++)
        PUT(ADDEND, &DIN(ADDEND)[i], LD(DOUT[i]));
    const REAL *xd = hora_absent(&c->in[XD]) ? IN(X) : IN(XD);
    for (int64_t q = 0; WANT(A) && q < r; q++)
        for (int64_t l = 0; l < k; l++)
            PUTW(A, &DWIDE(A)[q * k + l], T(down)(dz, r, q, xd, k, l, n));
    for (int64_t i = 0; WANT(XD) && i < n; i++)
        for (int64_t l = 0; l < k; l++)
            PUT(XD, &DIN(XD)[i * k + l], T(through)(c, dz, i, l));
}

#endif
