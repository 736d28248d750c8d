/* Reference kernel of op_rope.c; its text is op_rope_reach.c's too. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL
#define REF_TEXT "backend/ref/ref_rope.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(rope, NULL);

#else

/* The frequency of pair j for a sequence of more than `far` positions (op_rope_reach.c). */
static double T(far)(const hora_attr *a, int64_t j, int64_t half, int64_t length) {
    if (!(a->stretch > 0))
        return a->freq[half + j];
    double grown = a->stretch * (double)length / (double)a->far - a->stretch + 1;
    return a->freq[j] / pow(grown, 2.0 * (double)j / (double)(a->head_dim - 2));
}

/* Every pair of every head, rotated by sign * angle. */
static void T(rotate)(const hora_call *c, const REAL *x, REAL *y, double sign, bool add) {
    int64_t n = ref_rows(&c->in[0]), heads = c->attr.heads;
    int64_t dh = c->attr.head_dim, half = dh / 2, tables = hora_max(c->attr.groups, 1);
    for (int64_t i = 0; i < n; i++) {
        const int64_t length = c->attr.far ? c->batch->reach[i] + c->attr.shift : 0;
        for (int64_t j = 0; j < tables * half; j++) {
            double freq =
                length > c->attr.far ? T(far)(&c->attr, j, half, length) : c->attr.freq[j];
            double t = (double)(c->batch->pos[i] + c->attr.shift) * freq;
            double co = c->attr.rope_scale * cos(t), si = sign * c->attr.rope_scale * sin(t);
            int64_t first = j / half * heads / tables, end = (j / half + 1) * heads / tables;
            for (int64_t h = first; h < end; h++) {
                int64_t at = (i * heads + h) * dh + j % half;
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
