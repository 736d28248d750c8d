/* Reference kernel of op_permute.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* Where element `at` of x goes. */
static int64_t place(const hora_attr *s, int64_t at) {
    int64_t l = at % s->w, j = at / s->w % s->b, i = at / s->w / s->b % s->a;
    int64_t g = at / s->w / s->b / s->a;
    return ((g * s->b + j) * s->a + i) * s->w + l;
}

#define REF_TEXT "backend/ref/ref_permute.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(permute, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out);
    for (int64_t at = 0; at < n; at++)
        OUT[place(&c->attr, at)] = IN(0)[at];
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout);
    for (int64_t at = 0; at < n; at++)
        PUT(0, &DIN(0)[at], LD(DOUT[place(&c->attr, at)]));
}

#endif
