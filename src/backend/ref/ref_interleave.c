/* Reference kernel of op_interleave.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_interleave.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(interleave, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->out), groups = c->attr.groups;
    const int64_t s = ref_width(&c->in[0]) / groups, t = ref_width(&c->in[1]) / groups;
    for (int64_t i = 0; i < n * groups; i++)
        for (int64_t l = 0; l < s + t; l++)
            OUT[i * (s + t) + l] = l < s ? IN(0)[i * s + l] : IN(1)[i * t + l - s];
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), groups = c->attr.groups;
    const int64_t s = ref_width(&c->in[0]) / groups, t = ref_width(&c->in[1]) / groups;
    for (int64_t i = 0; WANT(0) && i < n * groups; i++)
        for (int64_t l = 0; l < s; l++)
            PUT(0, &DIN(0)[i * s + l], LD(DOUT[i * (s + t) + l]));
    for (int64_t i = 0; WANT(1) && i < n * groups; i++)
        for (int64_t l = 0; l < t; l++)
            PUT(1, &DIN(1)[i * t + l], LD(DOUT[i * (s + t) + s + l]));
}

#endif
