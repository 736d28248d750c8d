/* Reference kernel of op_bce.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

#define REF_TEXT "backend/ref/ref_bce.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(bce, NULL);

#else

#include <math.h>

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            double z = LD(IN(0)[i * k + j]), y = (double)c->batch->value[i * k + j];
            sum += (double)c->batch->weight[i] * (fmax(z, 0) - z * y + log1p(exp(-fabs(z))));
        }
    *(double *)c->out.data = c->batch->scale / (double)k * sum;
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double s = *(const double *)c->dout.data * c->batch->scale / (double)k;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            int64_t at = i * k + j;
            double p = 1 / (1 + exp(-LD(IN(0)[at])));
            PUT(0, &DIN(0)[at],
                s * (double)c->batch->weight[i] * (p - (double)c->batch->value[at]));
        }
}

#endif
