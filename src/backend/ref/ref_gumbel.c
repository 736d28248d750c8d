/* Reference kernel of op_gumbel.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_gumbel.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_gumbel.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(gumbel, NULL);

#else

static void T(forward)(const hora_call *c) {
    const hora_attr *a = &c->attr;
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const int64_t r = hora_gumbel_row(c->batch, a, i);
            const double x = LD(IN(0)[r * d + j]) + hora_gumbel_noise(c->batch, a, r, j);
            OUT[i * d + j] =
                ST(hora_gumbel_leads(c->batch, a, i) ? 1 : 1 / (1 + exp(-x / a->alpha)));
        }
}

static void T(backward)(const hora_call *c) {
    const hora_attr *a = &c->attr;
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout);
    for (int64_t r = 0; r < n; r++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                if (hora_gumbel_row(c->batch, a, i) == r && !hora_gumbel_leads(c->batch, a, i)) {
                    const double s = LD(OUT[i * d + j]);
                    sum += LD(DOUT[i * d + j]) * s * (1 - s) / a->alpha;
                }
            PUT(0, &DIN(0)[r * d + j], sum);
        }
}

#endif
