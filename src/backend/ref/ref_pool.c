/* Reference kernel of op_pool.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* Rows [from, to) whose mean stands in row i; false: none does. */
static bool range(const hora_call *c, int64_t i, int64_t *from, int64_t *to) {
    const hora_batch *b = c->batch;
    *from = i + c->attr.a;
    *to = hora_batch_segment_end(b, i);
    return i < *to;
}

#define REF_TEXT "backend/ref/ref_pool.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(pool, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]), w = ref_width(&c->out), from, to;
    for (int64_t i = 0; i < n; i++) {
        const bool there = range(c, i, &from, &to);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t k = from; there && k < to; k++)
                sum += LD(IN(0)[k * d + j]) / (double)(to - from);
            if (c->attr.b)
                OUT[i * w + j] = ST(there ? LD(IN(0)[i * d + j]) : 0);
            OUT[i * w + w - d + j] = ST(sum);
        }
    }
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]), w = ref_width(&c->dout), from, to;
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = 0; i <= k; i++) {
                if (!range(c, i, &from, &to))
                    continue;
                if (from <= k && k < to)
                    sum += LD(DOUT[i * w + w - d + j]) / (double)(to - from);
                if (c->attr.b && i == k)
                    sum += LD(DOUT[i * w + j]);
            }
            PUT(0, &DIN(0)[k * d + j], sum);
        }
}

#endif
