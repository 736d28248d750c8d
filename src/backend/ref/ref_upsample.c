/* Reference kernel of op_upsample.c. */
#include "backend/ref/ref_impl.h"
#include "op/op_upsample.h"

#ifndef REAL

/* Row i's place in the grid of its segment, whose first row is *first; -1: it has none. */
static int64_t place(const hora_call *c, int64_t i, int64_t *first) {
    const hora_batch *b = c->batch;
    *first = b->lo[i] + c->attr.a;
    const bool in = b->lo[i] < b->hi[i] && i >= *first && i < *first + c->attr.b * c->attr.w;
    return in ? i - *first : -1;
}

#define REF_TEXT "backend/ref/ref_upsample.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(upsample, NULL);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[0]);
    for (int64_t i = 0; i < n; i++) {
        int64_t first;
        const int64_t at = place(c, i, &first);
        const hora_corners q = hora_upsample_corners(&c->attr, at < 0 ? 0 : at);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int k = 0; k < 4 && at >= 0; k++)
                sum += q.share[k] * LD(IN(0)[(first + q.row[k]) * d + j]);
            OUT[i * d + j] = ST(sum);
        }
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; i < n; i++) {
        int64_t first;
        const int64_t at = place(c, i, &first);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t to = 0; at >= 0 && to < c->attr.b * c->attr.w; to++) {
                const hora_corners q = hora_upsample_corners(&c->attr, to);
                for (int k = 0; k < 4; k++)
                    sum += q.row[k] == at ? q.share[k] * LD(DOUT[(first + to) * d + j]) : 0;
            }
            PUT(0, &DIN(0)[i * d + j], sum);
        }
    }
}

#endif
