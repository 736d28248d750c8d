/* Reference kernel of op_cosine.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

#include <math.h>

/* The anchor of row i; -1: it is no text beside one. */
static int64_t anchor(const hora_batch *b, int64_t i) {
    if (b->target[i] < 1)
        return -1;
    while (i >= 0 && b->target[i] != 0)
        i--;
    return i;
}

#define REF_TEXT "backend/ref/ref_cosine.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(cosine, NULL);

#else

#include "backend/ref/ref_length.h"

/* of rows a and i */
static double T(cosine)(const hora_call *c, int64_t a, int64_t i) {
    const int64_t d = ref_width(&c->in[0]);
    const REAL *x = IN(0) + a * d, *y = IN(0) + i * d;
    return T(dot)(x, y, d) / (T(length)(x, d) * T(length)(y, d));
}

static void T(forward)(const hora_call *c) {
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        const int64_t a = anchor(c->batch, i);
        ((WIDE *)c->out.data)[i] = (WIDE)(a < 0 ? 0 : T(cosine)(c, a, i));
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    const WIDE *dy = c->dout.data;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < d; k++) {
            const double length = T(length)(IN(0) + i * d, d), u = LD(IN(0)[i * d + k]) / length;
            double sum = 0; /* of dy (u' of the other - y u), over the pairs that i is in */
            for (int64_t j = 0; j < n; j++) {
                const int64_t a = anchor(c->batch, j), other = i == a ? j : a;
                if (a < 0 || (i != a && i != j))
                    continue;
                sum += (double)dy[j] * (LD(IN(0)[other * d + k]) / T(length)(IN(0) + other * d, d) -
                                        T(cosine)(c, a, j) * u);
            }
            PUT(0, &DIN(0)[i * d + k], sum / length);
        }
}

#endif
