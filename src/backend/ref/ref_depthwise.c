/* Reference kernel of op_depthwise.c: one row, column and tap after another. */
#include "backend/ref/ref_impl.h"
#include "op/op_depthwise.h"

#ifndef REAL

/* The sums of dK and db. */
static size_t scratch(const hora_call *c) {
    return (size_t)(ref_width(&c->in[0]) * (ref_width(&c->in[1]) + 1)) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_depthwise.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(depthwise, scratch);

#else

static void T(forward)(const hora_call *c) {
    const int64_t n = ref_rows(&c->out), d = ref_width(&c->out), taps = ref_width(&c->in[1]);
    hora_grid_place p;
    for (int64_t i = 0; i < n; i++) {
        const bool in = hora_grid_at(&c->attr, c->batch, i, &p);
        for (int64_t j = 0; j < d; j++) {
            double sum = in && !hora_absent(&c->in[2]) ? LD(IN(2)[j]) : 0;
            for (int64_t k = 0; in && k < taps; k++) {
                const int64_t from = hora_grid_tap(&c->attr, &p, k, 1);
                sum += from < 0 ? 0 : LD(IN(1)[j * taps + k]) * LD(IN(0)[from * d + j]);
            }
            OUT[i * d + j] = ST(sum);
        }
    }
}

static void T(grad_x)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout), taps = ref_width(&c->in[1]);
    hora_grid_place p;
    for (int64_t i = 0; i < n; i++) {
        const bool in = hora_grid_at(&c->attr, c->batch, i, &p);
        for (int64_t j = 0; j < d; j++) {
            double sum = 0;
            for (int64_t k = 0; in && k < taps; k++) {
                const int64_t by = hora_grid_tap(&c->attr, &p, k, -1);
                sum += by < 0 ? 0 : LD(IN(1)[j * taps + k]) * LD(DOUT[by * d + j]);
            }
            PUT(0, &DIN(0)[i * d + j], sum);
        }
    }
}

static void T(grad_weights)(const hora_call *c) {
    const int64_t n = ref_rows(&c->dout), d = ref_width(&c->dout), taps = ref_width(&c->in[1]);
    double *dk = c->scratch, *db = dk + d * taps;
    hora_grid_place p;
    memset(dk, 0, (size_t)(d * (taps + 1)) * sizeof *dk);
    for (int64_t i = 0; i < n; i++) {
        if (!hora_grid_at(&c->attr, c->batch, i, &p))
            continue;
        for (int64_t j = 0; j < d; j++) {
            const double dy = LD(DOUT[i * d + j]);
            db[j] += dy;
            for (int64_t k = 0; WANT(1) && k < taps; k++) {
                const int64_t from = hora_grid_tap(&c->attr, &p, k, 1);
                dk[j * taps + k] += from < 0 ? 0 : dy * LD(IN(0)[from * d + j]);
            }
        }
    }
    for (int64_t i = 0; WANT(1) && i < d * taps; i++)
        PUTW(1, &DWIDE(1)[i], dk[i]);
    for (int64_t j = 0; WANT(2) && j < d; j++)
        PUTW(2, &DWIDE(2)[j], db[j]);
}

static void T(backward)(const hora_call *c) {
    if (WANT(0))
        T(grad_x)(c);
    if (WANT(1) || WANT(2))
        T(grad_weights)(c);
}

#endif
