/* Reference kernel of op_linear.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_linear.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(linear, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]), o = ref_rows(&c->in[1]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < o; j++) {
            const REAL *x = IN(0) + i * k, *w = IN(1) + j * k;
            double sum = c->attr.alpha * T(dot)(x, w, k);
            if (!hora_absent(&c->in[2]))
                sum += LD(IN(2)[j]);
            if (!hora_absent(&c->in[3]))
                sum += LD(IN(3)[i * o + j]);
            OUT[i * o + j] = ST(sum);
        }
}

/* dx = alpha dy W */
static void T(dx)(const hora_call *c, int64_t n, int64_t k, int64_t o) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t l = 0; l < k; l++) {
            double sum = 0;
            for (int64_t j = 0; j < o; j++)
                sum += LD(DOUT[i * o + j]) * LD(IN(1)[j * k + l]);
            PUT(0, &DIN(0)[i * k + l], c->attr.alpha * sum);
        }
}

/* dW = alpha dy' x */
static void T(dw)(const hora_call *c, int64_t n, int64_t k, int64_t o) {
    for (int64_t j = 0; j < o; j++)
        for (int64_t l = 0; l < k; l++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += LD(DOUT[i * o + j]) * LD(IN(0)[i * k + l]);
            PUTW(1, &DWIDE(1)[j * k + l], c->attr.alpha * sum);
        }
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]), o = ref_rows(&c->in[1]);
    if (WANT(0))
        T(dx)(c, n, k, o);
    if (WANT(1))
        T(dw)(c, n, k, o);
    for (int64_t j = 0; WANT(2) && j < o; j++) { /* db = sum of the rows of dy */
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += LD(DOUT[i * o + j]);
        PUTW(2, &DWIDE(2)[j], sum);
    }
    for (int64_t i = 0; WANT(3) && i < n * o; i++)
        PUT(3, &DIN(3)[i], LD(DOUT[i]));
}

#endif
