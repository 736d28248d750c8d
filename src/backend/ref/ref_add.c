/* Reference kernel of op_add.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_add.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(add, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(LD(IN(0)[i]) + c->attr.alpha * LD(IN(1)[i]));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        PUT(0, &DIN(0)[i], LD(DOUT[i]));
    for (int64_t i = 0; WANT(1) && i < n; i++)
        PUT(1, &DIN(1)[i], c->attr.alpha * LD(DOUT[i]));
}

#endif
