/* Reference kernel of op_rmsnorm.c. Group number `at` is row at / h, run at % h of x. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_rmsnorm.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(rmsnorm, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t w = ref_width(&c->in[1]), groups = hora_elems(&c->out) / w;
    for (int64_t at = 0; at < groups; at++) {
        const REAL *x = IN(0) + at * w;
        double sum = 0;
        for (int64_t j = 0; j < w; j++)
            sum += LD(x[j]) * LD(x[j]);
        double r = 1 / sqrt(sum / (double)w + c->attr.eps);
        for (int64_t j = 0; j < w; j++)
            OUT[at * w + j] = ST(LD(x[j]) * r * LD(IN(1)[j]));
        if (c->grad)
            ((WIDE *)SAVED(0))[at] = (WIDE)r;
    }
}

/* dx_j = r (w_j dy_j - x_j r m),  m = mean of w_j dy_j x_j r */
static void T(dx)(const hora_call *c, int64_t groups, int64_t w) {
    for (int64_t at = 0; at < groups; at++) {
        const REAL *x = IN(0) + at * w, *dy = DOUT + at * w;
        double r = (double)((const WIDE *)SAVED(0))[at], m = 0;
        for (int64_t j = 0; j < w; j++)
            m += LD(IN(1)[j]) * LD(dy[j]) * LD(x[j]) * r;
        m /= (double)w;
        for (int64_t j = 0; j < w; j++)
            PUT(0, &DIN(0)[at * w + j], r * (LD(IN(1)[j]) * LD(dy[j]) - LD(x[j]) * r * m));
    }
}

static void T(backward)(const hora_call *c) {
    int64_t w = ref_width(&c->in[1]), groups = hora_elems(&c->dout) / w;
    if (WANT(0))
        T(dx)(c, groups, w);
    for (int64_t j = 0; WANT(1) && j < w; j++) { /* dw_j = sum of dy_j x_j r */
        double sum = 0;
        for (int64_t at = 0; at < groups; at++)
            sum +=
                LD(DOUT[at * w + j]) * LD(IN(0)[at * w + j]) * (double)((const WIDE *)SAVED(0))[at];
        PUTW(1, &DWIDE(1)[j], sum);
    }
}

#endif
