/* Reference kernel of op_soft_xent.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

#define REF_TEXT "backend/ref/ref_soft_xent.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(soft_xent, NULL);

#else

#include <math.h>

#include "backend/ref/ref_lse.h"

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double lse = T(lse)(IN(0) + i * k, k);
        for (int64_t j = 0; j < k; j++)
            sum += (double)c->batch->weight[i] * (double)c->batch->value[i * k + j] *
                   (lse - LD(IN(0)[i * k + j]));
    }
    *(double *)c->out.data = c->batch->scale * sum;
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), k = ref_width(&c->in[0]);
    double s = *(const double *)c->dout.data * c->batch->scale;
    for (int64_t i = 0; i < n; i++) {
        double lse = T(lse)(IN(0) + i * k, k), all = 0;
        for (int64_t j = 0; j < k; j++)
            all += (double)c->batch->value[i * k + j];
        for (int64_t j = 0; j < k; j++) {
            int64_t at = i * k + j;
            PUT(0, &DIN(0)[at],
                s * (double)c->batch->weight[i] *
                    (all * exp(LD(IN(0)[at]) - lse) - (double)c->batch->value[at]));
        }
    }
}

#endif
