/* Reference kernel of op_frames.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* The row of the first frame that row i goes into, in a clip that is whole; -1: none. */
static int64_t first_of(const hora_call *c, int64_t n, int64_t i) {
    const int64_t clip = c->attr.a * c->attr.b, from = i / clip * clip;
    return from + clip <= n ? from + (i - from) % c->attr.b : -1;
}

#define REF_TEXT "backend/ref/ref_frames.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(frames, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->out), d = ref_width(&c->out), frames = c->attr.a;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t k = 0; k < frames && first_of(c, n, i) == i; k++)
                sum += LD(IN(0)[(i + k * c->attr.b) * d + j]);
            OUT[i * d + j] = ST(sum / (double)frames);
        }
}

static void T(backward)(const hora_call *c) {
    int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const int64_t at = first_of(c, n, i);
            PUT(0, &DIN(0)[i * d + j], at < 0 ? 0 : LD(DOUT[at * d + j]) / (double)c->attr.a);
        }
}

#endif
