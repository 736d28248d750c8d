/*
 * Reference kernel of op_head_xent.c. The chunk of logits is one row in forward and one number in
 * backward, where each is computed again for every sum that needs it.
 */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* Columns of the low-rank term; 0: none. */
static int64_t rank_of(const hora_call *c) {
    return hora_absent(&c->in[3]) ? 0 : ref_width(&c->in[3]);
}

/* Forward: logits of a row. Backward: a sum as wide as x and one as wide as u. */
static size_t scratch(const hora_call *c) {
    int64_t wide =
        c->phase == HORA_FORWARD ? ref_rows(&c->in[1]) : ref_width(&c->in[1]) + rank_of(c);
    return (size_t)wide * sizeof(double);
}

/* Row i has a term in the loss. */
static bool counts(const hora_call *c, int64_t i) {
    HORA_ASSERT(c->batch->target[i] >= -1 && c->batch->target[i] < ref_rows(&c->in[1]));
    return c->batch->target[i] >= 0;
}

#define REF_TEXT "backend/ref/ref_head_xent.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(head_xent, scratch);

#else

#include <math.h>

static double T(logit)(const hora_call *c, int64_t i, int64_t v) {
    int64_t d = ref_width(&c->in[1]);
    double b = hora_absent(&c->in[2]) ? 0 : LD(IN(2)[v]);
    int64_t r = rank_of(c);
    double low = r ? c->attr.alpha * T(dot)(IN(3) + i * r, IN(4) + v * r, r) : 0;
    return T(dot)(IN(0) + i * d, IN(1) + v * d, d) + b + low;
}

/* dx_i / s = c w_i (P W - W[t_i]), P in scratch; 0 where row i has no term */
static void T(save_dx)(const hora_call *c, int64_t i) {
    int64_t d = ref_width(&c->in[1]), classes = ref_rows(&c->in[1]);
    REAL *dx = (REAL *)SAVED(0) + i * d;
    const double *p = c->scratch;
    for (int64_t l = 0; l < d; l++) {
        double sum = 0;
        if (counts(c, i)) {
            for (int64_t v = 0; v < classes; v++)
                sum += p[v] * LD(IN(1)[v * d + l]);
            sum -= LD(IN(1)[c->batch->target[i] * d + l]);
            sum *= c->batch->scale * (double)c->batch->weight[i];
        }
        dx[l] = ST(sum);
    }
}

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), classes = ref_rows(&c->in[1]);
    double *z = c->scratch, loss = 0;
    for (int64_t i = 0; i < n; i++) {
        double most = -INFINITY, sum = 0, lse = 0;
        if (counts(c, i)) {
            for (int64_t v = 0; v < classes; v++)
                most = fmax(most, z[v] = T(logit)(c, i, v));
            for (int64_t v = 0; v < classes; v++)
                sum += exp(z[v] - most);
            lse = most + log(sum);
            loss += (double)c->batch->weight[i] * (lse - z[c->batch->target[i]]);
            for (int64_t v = 0; v < classes; v++)
                z[v] = exp(z[v] - lse);
        }
        if (c->grad == HORA_IN(0))
            T(save_dx)(c, i);
        else if (c->grad)
            ((WIDE *)SAVED(0))[i] = (WIDE)lse;
    }
    *(double *)c->out.data = c->batch->scale * loss;
}

/* dz_iv, for a row that has a term. */
static double T(dz)(const hora_call *c, int64_t i, int64_t v) {
    double s = *(const double *)c->dout.data * c->batch->scale * (double)c->batch->weight[i];
    double p = exp(T(logit)(c, i, v) - (double)((const WIDE *)SAVED(0))[i]);
    return s * (p - (v == c->batch->target[i] ? 1 : 0));
}

/* dx_i = dz_i W and du_i = alpha dz_i F */
static void T(dx)(const hora_call *c, int64_t i) {
    int64_t d = ref_width(&c->in[1]), classes = ref_rows(&c->in[1]), r = rank_of(c);
    double *sum = c->scratch, *low = sum + d;
    for (int64_t l = 0; l < d + r; l++)
        sum[l] = 0;
    for (int64_t v = 0; counts(c, i) && v < classes; v++) {
        double dz = T(dz)(c, i, v);
        for (int64_t l = 0; l < d; l++)
            sum[l] += dz * LD(IN(1)[v * d + l]);
        for (int64_t l = 0; l < r; l++)
            low[l] += c->attr.alpha * dz * LD(IN(4)[v * r + l]);
    }
    for (int64_t l = 0; WANT(0) && l < d; l++)
        PUT(0, &DIN(0)[i * d + l], sum[l]);
    for (int64_t l = 0; WANT(3) && l < r; l++)
        PUT(3, &DIN(3)[i * r + l], low[l]);
}

/* dW_v = sum_i dz_iv x_i, db_v = sum_i dz_iv, dF_v = alpha sum_i dz_iv u_i */
static void T(dw)(const hora_call *c, int64_t v) {
    int64_t n = ref_rows(&c->in[0]), d = ref_width(&c->in[1]), r = rank_of(c);
    double *sum = c->scratch, *low = sum + d, db = 0;
    for (int64_t l = 0; l < d + r; l++)
        sum[l] = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!counts(c, i))
            continue;
        double dz = T(dz)(c, i, v);
        db += dz;
        for (int64_t l = 0; l < d; l++)
            sum[l] += dz * LD(IN(0)[i * d + l]);
        for (int64_t l = 0; l < r; l++)
            low[l] += c->attr.alpha * dz * LD(IN(3)[i * r + l]);
    }
    for (int64_t l = 0; WANT(1) && l < d; l++)
        PUTW(1, &DWIDE(1)[v * d + l], sum[l]);
    if (WANT(2))
        PUTW(2, &DWIDE(2)[v], db);
    for (int64_t l = 0; WANT(4) && l < r; l++)
        PUTW(4, &DWIDE(4)[v * r + l], low[l]);
}

static void T(backward)(const hora_call *c) {
    if (c->grad == HORA_IN(0)) { /* made in forward */
        double s = *(const double *)c->dout.data;
        for (int64_t at = 0; at < hora_elems(&c->din[0]); at++)
            PUT(0, &DIN(0)[at], s * LD(((const REAL *)SAVED(0))[at]));
        return;
    }
    for (int64_t i = 0; (WANT(0) || WANT(3)) && i < ref_rows(&c->in[0]); i++)
        T(dx)(c, i);
    for (int64_t v = 0; v < ref_rows(&c->in[1]); v++)
        T(dw)(c, v);
}

#endif
