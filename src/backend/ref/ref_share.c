/* Reference kernel of op_share.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

static bool counts(const hora_call *c, int64_t i) {
    const hora_batch *b = c->batch;
    return b->hi[i] > b->lo[i] && i - b->lo[i] >= c->attr.a;
}

/* Gates that count; 1 where there are none, so that their mean is 0. */
static double how_many(const hora_call *c) {
    int64_t n = 0;
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++)
        n += counts(c, i) * ref_width(&c->in[0]);
    return (double)hora_max(n, 1);
}

static double targets(const hora_call *c) {
    double sum = 0;
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++)
        sum += (double)c->batch->weight[i];
    return c->batch->scale * sum;
}

#define REF_TEXT "backend/ref/ref_share.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(share, NULL);

#else

static double T(sum)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < n * d; i++)
        sum += counts(c, i / d) ? LD(IN(0)[i]) : 0;
    return c->attr.alpha * sum / how_many(c) +
           (hora_absent(&c->in[1]) ? 0 : (double)*(const WIDE *)c->in[1].data);
}

static void T(forward)(const hora_call *c) {
    const double a = T(sum)(c);
    if (c->attr.w)
        *(double *)c->out.data = targets(c) * (a - c->attr.eps) * (a - c->attr.eps);
    else
        *(WIDE *)c->out.data = (WIDE)a;
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    const double dy =
        c->attr.w ? *(const double *)c->dout.data * targets(c) * 2 * (T(sum)(c) - c->attr.eps)
                  : (double)*(const WIDE *)c->dout.data;
    for (int64_t i = 0; WANT(0) && i < n * d; i++)
        PUT(0, &DIN(0)[i], counts(c, i / d) ? dy * c->attr.alpha / how_many(c) : 0);
    if (WANT(1))
        PUTW(1, &DWIDE(1)[0], dy);
}

#endif
