/* Reference kernel of op_ratio.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_ratio.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(ratio, NULL);

#else

static double T(below)(const hora_call *c, int64_t i) {
    return LD(IN(1)[i]) + (hora_absent(&c->in[2]) ? 0 : LD(IN(2)[0]));
}

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(LD(IN(0)[i]) / T(below)(c, i));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout);
    double sum = 0;
    for (int64_t i = 0; WANT(0) && i < n; i++)
        PUTW(0, &DWIDE(0)[i], LD(DOUT[i]) / T(below)(c, i));
    for (int64_t i = 0; (WANT(1) || WANT(2)) && i < n; i++) {
        double db = -LD(DOUT[i]) * LD(OUT[i]) / T(below)(c, i);
        sum += db;
        if (WANT(1))
            PUTW(1, &DWIDE(1)[i], db);
    }
    if (WANT(2))
        PUTW(2, &DWIDE(2)[0], sum);
}

#endif
