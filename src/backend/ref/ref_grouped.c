/* Reference kernel of op_grouped.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* Of one group: rows of x, width, rows of W. */
typedef struct sizes {
    int64_t n, k, o;
} sizes;

static sizes measure(const hora_call *c) {
    int64_t g = c->attr.groups;
    return (sizes){ref_rows(&c->in[0]) / g, ref_width(&c->in[0]), ref_rows(&c->in[1]) / g};
}

#define REF_TEXT "backend/ref/ref_grouped.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(grouped, NULL);

#else

static void T(forward)(const hora_call *c) {
    sizes m = measure(c);
    for (int64_t row = 0; row < m.n * c->attr.groups; row++)
        for (int64_t j = 0; j < m.o; j++) {
            const REAL *x = IN(0) + row * m.k, *w = IN(1) + (row / m.n * m.o + j) * m.k;
            OUT[row * m.o + j] = ST(T(dot)(x, w, m.k));
        }
}

static void T(backward)(const hora_call *c) {
    sizes m = measure(c);
    for (int64_t row = 0; WANT(0) && row < m.n * c->attr.groups; row++) /* dx_g = dy_g W_g */
        for (int64_t l = 0; l < m.k; l++) {
            double sum = 0;
            for (int64_t j = 0; j < m.o; j++)
                sum += LD(DOUT[row * m.o + j]) * LD(IN(1)[(row / m.n * m.o + j) * m.k + l]);
            PUT(0, &DIN(0)[row * m.k + l], sum);
        }
    for (int64_t row = 0; WANT(1) && row < m.o * c->attr.groups; row++) /* dW_g = dy_g' x_g */
        for (int64_t l = 0; l < m.k; l++) {
            int64_t first = row / m.o * m.n;
            double sum = 0;
            for (int64_t i = first; i < first + m.n; i++)
                sum += LD(DOUT[i * m.o + row % m.o]) * LD(IN(0)[i * m.k + l]);
            PUTW(1, &DWIDE(1)[row * m.k + l], sum);
        }
}

#endif
