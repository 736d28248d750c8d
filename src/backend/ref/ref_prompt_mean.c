/* Reference kernel of op_prompt_mean.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_prompt_mean.h"

#ifndef REAL
#define REF_TEXT "backend/ref/ref_prompt_mean.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(prompt_mean, NULL);

#else

static void T(forward)(const hora_call *c) {
    const hora_batch *b = c->batch;
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    for (int64_t from = 0, to; from < n; from = to) {
        to = hora_segment_end(b, from, n);
        const bool there = b->hi[from] > b->lo[from];
        const int64_t end = hora_prompt_end(b, from, to);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = from; there && i < end; i++)
                sum += LD(IN(0)[i * d + j]) / (double)(end - from);
            for (int64_t i = from; i < to; i++)
                OUT[i * d + j] = ST(sum);
        }
    }
}

static void T(backward)(const hora_call *c) {
    const hora_batch *b = c->batch;
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    for (int64_t from = 0, to; from < n; from = to) {
        to = hora_segment_end(b, from, n);
        const bool there = b->hi[from] > b->lo[from];
        const int64_t end = hora_prompt_end(b, from, to);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t i = from; there && i < to; i++)
                sum += LD(DOUT[i * d + j]) / (double)(end - from);
            for (int64_t i = from; i < to; i++)
                PUT(0, &DIN(0)[i * d + j], i < end ? sum : 0);
        }
    }
}

#endif
