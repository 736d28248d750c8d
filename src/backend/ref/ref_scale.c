/* Reference kernel of op_scale.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_scale.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(scale, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out), d = ref_width(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(c->attr.alpha * LD(IN(0)[i]) * (hora_absent(&c->in[1]) ? 1 : LD(IN(1)[i % d])) +
                    (hora_absent(&c->in[2]) ? 0 : LD(IN(2)[i % d])));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        PUT(0, &DIN(0)[i],
            c->attr.alpha * LD(DOUT[i]) * (hora_absent(&c->in[1]) ? 1 : LD(IN(1)[i % d])));
    for (int64_t j = 0; WANT(1) && j < d; j++) { /* dv_j = alpha sum of x_ij dy_ij */
        double sum = 0;
        for (int64_t i = j; i < n; i += d)
            sum += LD(IN(0)[i]) * LD(DOUT[i]);
        PUTW(1, &DWIDE(1)[j], c->attr.alpha * sum);
    }
    for (int64_t j = 0; WANT(2) && j < d; j++) {
        double sum = 0;
        for (int64_t i = j; i < n; i += d)
            sum += LD(DOUT[i]);
        PUTW(2, &DWIDE(2)[j], sum);
    }
}

#endif
