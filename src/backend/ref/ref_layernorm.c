/* Reference kernel of op_layernorm.c. Group number `at` is row at / h, run at % h of x. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_layernorm.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(layernorm, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t w = ref_width(&c->in[1]), groups = hora_elems(&c->out) / w;
    for (int64_t at = 0; at < groups; at++) {
        const REAL *x = IN(0) + at * w;
        double m = 0, sum = 0;
        for (int64_t j = 0; j < w; j++)
            m += LD(x[j]);
        m /= (double)w;
        for (int64_t j = 0; j < w; j++)
            sum += (LD(x[j]) - m) * (LD(x[j]) - m);
        double r = 1 / sqrt(sum / (double)w + c->attr.eps);
        for (int64_t j = 0; j < w; j++)
            OUT[at * w + j] =
                ST((LD(x[j]) - m) * r * LD(IN(1)[j]) + (hora_absent(&c->in[2]) ? 0 : LD(IN(2)[j])));
        if (c->grad & (HORA_IN(0) | HORA_IN(1))) {
            ((WIDE *)SAVED(0))[at] = (WIDE)m;
            ((WIDE *)SAVED(1))[at] = (WIDE)r;
        }
    }
}

/* u_j of group `at` */
static double T(unit)(const hora_call *c, int64_t at, int64_t j) {
    return (LD(IN(0)[at * ref_width(&c->in[1]) + j]) - (double)((const WIDE *)SAVED(0))[at]) *
           (double)((const WIDE *)SAVED(1))[at];
}

/* dx_j = r (g_j - mean of g - u_j mean of g u),  g_j = w_j dy_j */
static void T(dx)(const hora_call *c, int64_t groups, int64_t w) {
    for (int64_t at = 0; at < groups; at++) {
        const REAL *dy = DOUT + at * w;
        double r = (double)((const WIDE *)SAVED(1))[at], g = 0, gu = 0;
        for (int64_t j = 0; j < w; j++) {
            g += LD(IN(1)[j]) * LD(dy[j]) / (double)w;
            gu += LD(IN(1)[j]) * LD(dy[j]) * T(unit)(c, at, j) / (double)w;
        }
        for (int64_t j = 0; j < w; j++)
            PUT(0, &DIN(0)[at * w + j],
                r * (LD(IN(1)[j]) * LD(dy[j]) - g - T(unit)(c, at, j) * gu));
    }
}

static void T(backward)(const hora_call *c) {
    int64_t w = ref_width(&c->in[1]), groups = hora_elems(&c->dout) / w;
    if (WANT(0))
        T(dx)(c, groups, w);
    for (int64_t j = 0; j < w; j++) { /* dw_j = sum of dy_j u_j, db_j = sum of dy_j */
        double dw = 0, db = 0;
        for (int64_t at = 0; at < groups; at++) {
            if (WANT(1))
                dw += LD(DOUT[at * w + j]) * T(unit)(c, at, j);
            db += LD(DOUT[at * w + j]);
        }
        if (WANT(1))
            PUTW(1, &DWIDE(1)[j], dw);
        if (WANT(2))
            PUTW(2, &DWIDE(2)[j], db);
    }
}

#endif
