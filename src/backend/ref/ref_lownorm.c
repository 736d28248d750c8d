/* Reference kernel of op_lownorm.c. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_lownorm.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(lownorm, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t o = ref_rows(&c->in[0]), k = ref_width(&c->in[0]), r = ref_rows(&c->in[1]);
    for (int64_t i = 0; i < o; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) {
            double ba = 0;
            for (int64_t l = 0; l < r; l++)
                ba += LD(IN(2)[i * r + l]) * LD(IN(1)[l * k + j]);
            double w = LD(IN(0)[i * k + j]) + c->attr.alpha * ba;
            sum += w * w;
        }
        OUT[i] = ST(sqrt(sum));
    }
}

#endif
