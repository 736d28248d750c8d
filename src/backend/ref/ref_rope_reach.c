/* Reference kernel of op_rope_reach.c. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_rope_reach.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(rope_reach, NULL);

#else

/* Every pair of every head, rotated by sign * angle. */
static void T(rotate)(const hora_call *c, const REAL *x, REAL *y, double sign, bool add) {
    int64_t n = ref_rows(&c->in[0]), width = ref_width(&c->in[0]);
    int64_t dh = c->attr.head_dim, half = dh / 2;
    for (int64_t i = 0; i < n; i++) {
        const bool far = c->batch->reach[i] + c->attr.shift > c->attr.far;
        const double *freq = c->attr.freq + (far ? half : 0);
        for (int64_t j = 0; j < half; j++) {
            double t = (double)(c->batch->pos[i] + c->attr.shift) * freq[j];
            double co = c->attr.rope_scale * cos(t), si = sign * c->attr.rope_scale * sin(t);
            for (int64_t at = i * width + j; at < (i + 1) * width; at += dh) {
                double x1 = LD(x[at]), x2 = LD(x[at + half]);
                y[at] = ST((add ? LD(y[at]) : 0) + x1 * co - x2 * si);
                y[at + half] = ST((add ? LD(y[at + half]) : 0) + x2 * co + x1 * si);
            }
        }
    }
}

static void T(forward)(const hora_call *c) {
    T(rotate)(c, IN(0), OUT, 1, false);
}

static void T(backward)(const hora_call *c) {
    T(rotate)(c, DOUT, DIN(0), -1, !(c->overwrite & HORA_IN(0)));
}

#endif
