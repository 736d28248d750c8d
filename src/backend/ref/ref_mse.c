/* Reference kernel of op_mse.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

#define REF_TEXT "backend/ref/ref_mse.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(mse, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            double d = LD(IN(0)[i * k + j]) - (double)c->batch->value[i * k + j];
            sum += (double)c->batch->weight[i] * d * d;
        }
    *(double *)c->out.data = c->batch->scale / (double)k * sum;
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double s = 2 * *(const double *)c->dout.data * c->batch->scale / (double)k;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            int64_t at = i * k + j;
            double d = LD(IN(0)[at]) - (double)c->batch->value[at];
            PUT(0, &DIN(0)[at], s * (double)c->batch->weight[i] * d);
        }
}

#endif
