/* Reference kernel of op_divergence.c. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_divergence.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(divergence, NULL);

#else

#include "backend/ref/ref_lse.h"

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const REAL *z = IN(0) + i * k, *t = IN(1) + i * k;
        const double p = T(lse)(z, k), q = T(lse)(t, k);
        for (int64_t j = 0; c->batch->weight[i] != 0 && j < k; j++)
            sum +=
                (double)c->batch->weight[i] * exp(LD(t[j]) - q) * ((LD(t[j]) - q) - (LD(z[j]) - p));
    }
    *(double *)c->out.data = c->batch->scale * sum;
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    const double s = *(const double *)c->dout.data * c->batch->scale;
    for (int64_t i = 0; i < n; i++) {
        const REAL *z = IN(0) + i * k, *t = IN(1) + i * k;
        const double p = T(lse)(z, k), q = T(lse)(t, k), w = (double)c->batch->weight[i];
        for (int64_t j = 0; j < k; j++)
            PUT(0, &DIN(0)[i * k + j],
                w != 0 ? s * w * (exp(LD(z[j]) - p) - exp(LD(t[j]) - q)) : 0);
    }
}

#endif
