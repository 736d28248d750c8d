/* Reference kernel of op_resample.c, and the only one: it runs once a step over a small table. */
#include "backend/ref/ref_impl.h"

#include "op/op_resample.h"

#ifndef REAL

typedef struct places { /* that place `at` of a side is made of */
    int64_t n, m, at, from, to;
    bool antialias;
    double sum;
} places;

static places places_of(int64_t n, int64_t m, int64_t at, bool antialias) {
    places p = {.n = n, .m = m, .at = at, .antialias = antialias, .sum = 0};
    hora_resample_range(n, m, at, antialias, &p.from, &p.to);
    for (int64_t i = p.from; i < p.to; i++)
        p.sum += hora_resample_weight(n, m, at, antialias, i);
    return p;
}

static double weight(const places *p, int64_t i) {
    return hora_resample_weight(p->n, p->m, p->at, p->antialias, i) / (p->antialias ? p->sum : 1);
}

static int64_t inside(const places *p, int64_t i) {
    return i < 0 ? 0 : i < p->n ? i : p->n - 1;
}

#define REF_TEXT "backend/ref/ref_resample.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(resample, NULL);

#else

static void T(forward)(const hora_call *c) {
    const hora_attr *a = &c->attr;
    const int64_t d = ref_width(&c->out), f = a->first;
    for (int64_t i = 0; i < f * d; i++)
        OUT[i] = IN(0)[i];
    for (int64_t at = 0; at < a->groups * a->w; at++) {
        const places y = places_of(a->a, a->groups, at / a->w, a->antialias);
        const places x = places_of(a->b, a->w, at % a->w, a->antialias);
        for (int64_t l = 0; l < d; l++) {
            double sum = 0;
            for (int64_t i = y.from; i < y.to; i++)
                for (int64_t j = x.from; j < x.to; j++)
                    sum += weight(&y, i) * weight(&x, j) *
                           LD(IN(0)[(f + inside(&y, i) * a->b + inside(&x, j)) * d + l]);
            OUT[(f + at) * d + l] = ST(sum);
        }
    }
}

/* dx += p q dy */
static void T(backward)(const hora_call *c) {
    const hora_attr *a = &c->attr;
    const int64_t d = ref_width(&c->dout), f = a->first, n = f + a->a * a->b;
    for (int64_t i = 0; i < n * d; i++)
        PUTW(0, &DWIDE(0)[i], i < f * d ? LD(DOUT[i]) : 0);
    for (int64_t at = 0; at < a->groups * a->w; at++) {
        const places y = places_of(a->a, a->groups, at / a->w, a->antialias);
        const places x = places_of(a->b, a->w, at % a->w, a->antialias);
        for (int64_t i = y.from; i < y.to; i++)
            for (int64_t j = x.from; j < x.to; j++)
                for (int64_t l = 0; l < d; l++) {
                    WIDE *to = &DWIDE(0)[(f + inside(&y, i) * a->b + inside(&x, j)) * d + l];
                    *to = (WIDE)((double)*to +
                                 weight(&y, i) * weight(&x, j) * LD(DOUT[(f + at) * d + l]));
                }
    }
}

#endif
