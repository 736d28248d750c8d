/* Reference kernel of op_tokenmix.c: one line and column after another. */
#include "backend/ref/ref_impl.h"
#include "op/op_tokenmix.h"

#ifndef REAL

/* z and dz of a column; the sums of dV and dU. */
static size_t scratch(const hora_call *c) {
    return (size_t)(2 * ref_rows(&c->in[1]) * (1 + ref_width(&c->in[1]))) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_tokenmix.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(tokenmix, scratch);

#else

/* z of column j, and how many places count. */
static int64_t T(hidden)(const hora_call *c, const hora_token_line *l, int64_t j, double *z) {
    const int64_t d = ref_width(&c->in[0]), r = ref_rows(&c->in[1]), t = ref_width(&c->in[1]);
    const int64_t n = hora_min(l->n, t);
    for (int64_t k = 0; k < r; k++) {
        z[k] = 0;
        for (int64_t p = 0; p < n; p++)
            z[k] += LD(IN(1)[k * t + p]) * LD(IN(0)[(l->first + p * l->step) * d + j]);
    }
    return n;
}

static void T(forward_line)(const hora_call *c, const hora_token_line *l) {
    const int64_t d = ref_width(&c->in[0]), r = ref_rows(&c->in[1]);
    double *z = c->scratch;
    for (int64_t j = 0; j < d; j++) {
        const int64_t n = T(hidden)(c, l, j, z);
        for (int64_t p = 0; p < l->n; p++) {
            double sum = 0;
            for (int64_t k = 0; p < n && k < r; k++)
                sum += LD(IN(2)[p * r + k]) * hora_ref_act(c->attr.act, z[k]);
            OUT[(l->first + p * l->step) * d + j] = ST(sum);
        }
    }
}

static void T(backward_line)(const hora_call *c, const hora_token_line *l) {
    const int64_t d = ref_width(&c->in[0]), r = ref_rows(&c->in[1]), t = ref_width(&c->in[1]);
    double *z = c->scratch, *dz = z + r, *dv = dz + r, *du = dv + r * t;
    for (int64_t j = 0; j < d; j++) {
        const int64_t n = T(hidden)(c, l, j, z);
        for (int64_t k = 0; k < r; k++) {
            double sum = 0;
            for (int64_t p = 0; p < n; p++) {
                const double dy = LD(DOUT[(l->first + p * l->step) * d + j]);
                sum += LD(IN(2)[p * r + k]) * dy;
                du[p * r + k] += dy * hora_ref_act(c->attr.act, z[k]);
            }
            dz[k] = sum * hora_ref_dact(c->attr.act, z[k]);
        }
        for (int64_t p = 0; p < l->n; p++) {
            const int64_t at = (l->first + p * l->step) * d + j;
            double sum = 0;
            for (int64_t k = 0; p < n && k < r; k++) {
                sum += LD(IN(1)[k * t + p]) * dz[k];
                dv[k * t + p] += dz[k] * LD(IN(0)[at]);
            }
            if (WANT(0))
                PUT(0, &DIN(0)[at], sum);
        }
    }
}

static void T(lines)(const hora_call *c, void (*line)(const hora_call *, const hora_token_line *)) {
    const int64_t n = ref_rows(&c->in[0]);
    hora_token_line l;
    for (int64_t from = 0, to; from < n; from = to) {
        to = hora_segment_end(c->batch, from, n);
        for (int64_t k = 0; hora_token_line_at(&c->attr, from, to, k, &l); k++)
            line(c, &l);
    }
}

static void T(forward)(const hora_call *c) {
    T(lines)(c, T(forward_line));
}

static void T(backward)(const hora_call *c) {
    const int64_t r = ref_rows(&c->in[1]), t = ref_width(&c->in[1]);
    double *dv = (double *)c->scratch + 2 * r, *du = dv + r * t;
    memset(dv, 0, (size_t)(2 * r * t) * sizeof *dv);
    T(lines)(c, T(backward_line));
    for (int64_t i = 0; i < r * t; i++) {
        if (WANT(1))
            PUTW(1, &DWIDE(1)[i], dv[i]);
        if (WANT(2))
            PUTW(2, &DWIDE(2)[i], du[i]);
    }
}

#endif
