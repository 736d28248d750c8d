/* Reference kernel of op_moved.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

#define REF_TEXT "backend/ref/ref_moved.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(moved, NULL);

#else

static void T(forward)(const hora_call *c) {
    const hora_batch *b = c->batch;
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    double sum = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && b->lo[to] == b->lo[from] && b->hi[to] > b->lo[to];)
            to++;
        int64_t i = from;
        while (i < to && b->hi[i] < to)
            i++;
        for (int64_t j = 0; i < to && b->hi[i] > b->lo[i] && j < d; j++) {
            const double x = LD(IN(0)[i * d + j]) - LD(IN(1)[i * d + j]);
            sum += x * x / (double)d;
        }
    }
    *(double *)c->out.data = sum;
}

#endif
