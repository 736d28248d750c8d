/* Reference kernel of op_route.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_route.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(route, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->out), d = ref_width(&c->out);
    const bool other = !hora_absent(&c->in[1]);
    for (int64_t i = 0; i < n * d; i++) {
        const bool mine = c->batch->route[i / d] == c->attr.a;
        OUT[i] = ST(mine ? LD(IN(0)[i]) : other ? LD(IN(1)[i]) : 0);
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; i < n * d; i++) {
        const bool mine = c->batch->route[i / d] == c->attr.a;
        if (WANT(0))
            PUT(0, &DIN(0)[i], mine ? LD(DOUT[i]) : 0);
        if (WANT(1))
            PUT(1, &DIN(1)[i], mine ? 0 : LD(DOUT[i]));
    }
}

#endif
