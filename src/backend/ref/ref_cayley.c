/* Reference kernel of op_cayley.c: the text of cayley_text.h, in double. */
#include "backend/ref/ref_impl.h"

#ifndef REAL
#define CAYLEY double
#include "backend/cayley_text.h"

static size_t bytes(const hora_call *c) {
    return (size_t)cayley_room(c->attr.b, c->attr.a) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_cayley.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(cayley, bytes);

#else

static void T(load)(const hora_call *c, int64_t blk, double *p) {
    const int64_t w = ref_width(&c->in[0]);
    for (int64_t k = 0; k < w; k++)
        p[k] = LD(IN(0)[blk * w + k]);
}

static void T(forward)(const hora_call *c) {
    const int64_t b = c->attr.b, n = ref_rows(&c->in[0]);
    double *room = c->scratch, *q = room, *r = q + b * b, *p = r + b * b, *rest = p + b * b;
    for (int64_t blk = 0; blk < n; blk++) {
        T(load)(c, blk, p);
        cayley_skew(q, p, b, c->attr.w != 0);
        cayley_forward(r, q, b, c->attr.a, rest);
        for (int64_t k = 0; k < b * b; k++)
            OUT[blk * b * b + k] = ST(r[k]);
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t b = c->attr.b, n = ref_rows(&c->in[0]), w = ref_width(&c->in[0]);
    double *room = c->scratch, *q = room, *r = q + b * b, *p = r + b * b, *g = p + b * b,
           *rest = g + b * b;
    for (int64_t blk = 0; blk < n; blk++) {
        T(load)(c, blk, p);
        cayley_skew(q, p, b, c->attr.w != 0);
        for (int64_t k = 0; k < b * b; k++) {
            r[k] = LD(OUT[blk * b * b + k]);
            g[k] = LD(DOUT[blk * b * b + k]);
        }
        cayley_backward(p, r, q, g, b, c->attr.a, c->attr.w != 0, rest);
        for (int64_t k = 0; k < w; k++)
            PUTW(0, &DWIDE(0)[blk * w + k], p[k]);
    }
}

#endif
