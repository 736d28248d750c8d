/* Reference kernel of op_gate.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_gate.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(gate, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[1]), k = ref_width(&c->in[1]), w = ref_width(&c->in[0]) / k;
    for (int64_t i = 0; i < n * k * w; i++)
        OUT[i] = ST(LD(IN(1)[i / w]) * LD(IN(0)[i]));
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->in[0]), k = ref_width(&c->in[1]);
    const int64_t w = d / k;
    for (int64_t i = 0; i < n * k; i++) {
        double sum = 0;
        for (int64_t l = i * w; l < (i + 1) * w; l++) {
            if (WANT(0))
                PUT(0, &DIN(0)[l], LD(IN(1)[i]) * LD(DOUT[l]));
            if (WANT(1))
                sum += LD(DOUT[l]) * LD(IN(0)[l]);
        }
        if (WANT(1))
            PUT(1, &DIN(1)[i], sum);
    }
}

#endif
