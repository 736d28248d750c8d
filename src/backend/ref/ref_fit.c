/* Reference kernel of op_fit.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_fit.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(fit, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]), w = ref_width(&c->out);
    const int64_t a = c->attr.a;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < w; j++)
            OUT[i * w + j] = ST(j >= a && j - a < d ? LD(IN(0)[i * d + j - a]) : 0);
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->din[0]), w = ref_width(&c->dout);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        for (int64_t j = 0; j < d; j++)
            PUT(0, &DIN(0)[i * d + j], c->attr.a + j < w ? LD(DOUT[i * w + c->attr.a + j]) : 0);
}

#endif
