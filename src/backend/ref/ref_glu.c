/* Reference kernel of op_glu.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_glu.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(glu, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(hora_ref_act(c->attr.act, LD(IN(0)[i])) * LD(IN(1)[i]));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout);
    for (int64_t i = 0; WANT(0) && i < n; i++)
        PUT(0, &DIN(0)[i], LD(DOUT[i]) * LD(IN(1)[i]) * hora_ref_dact(c->attr.act, LD(IN(0)[i])));
    for (int64_t i = 0; WANT(1) && i < n; i++)
        PUT(1, &DIN(1)[i], LD(DOUT[i]) * hora_ref_act(c->attr.act, LD(IN(0)[i])));
}

#endif
