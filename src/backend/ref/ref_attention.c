/* Reference kernel of op_attention.c: one (row, head) after another, scores in scratch. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* Key-value head of query head h, in elements from the start of a row. */
static int64_t shared(const hora_call *c, int64_t h) {
    return h * c->attr.kv_heads / c->attr.heads * c->attr.head_dim;
}

/* Forward: a score per key. Backward: sums of dk and dv. */
static size_t scratch(const hora_call *c) {
    int64_t keys = ref_rows(&c->in[1]) + (hora_absent(&c->in[3]) ? 0 : ref_rows(&c->in[3]));
    return (size_t)(c->phase == HORA_FORWARD ? keys : 2 * c->attr.head_dim) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_attention.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(attention, scratch);

#else

#include "backend/ref/ref_softmax.h"

/* The two runs of keys that row i sees: its own range and the prefix; padding sees none. */
static void T(runs)(const hora_call *c, int64_t i, int64_t h, T(keys) run[2]) {
    int64_t at = shared(c, h);
    run[0] = (T(keys)){IN(1) + at, IN(2) + at, 0, 0};
    hora_call_sees(c, i, &run[0].lo, &run[0].hi);
    run[1] = (T(keys)){NULL, NULL, 0, 0};
    if (!hora_absent(&c->in[3]) && c->batch->lo[i] < c->batch->hi[i])
        run[1] = (T(keys)){IN(3) + at, IN(4) + at, 0, ref_rows(&c->in[3])};
}

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), heads = c->attr.heads, dh = c->attr.head_dim;
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < heads; h++) {
            int64_t at = (i * heads + h) * dh;
            T(keys) run[2];
            T(runs)(c, i, h, run);
            double lse = T(softmax)(c, IN(0) + at, run, OUT + at);
            if (c->grad)
                ((WIDE *)SAVED(0))[i * heads + h] = (WIDE)lse;
        }
}

/* P_ij and dZ_ij of row i, head h and the key and value at k, v. */
static double T(score)(const hora_call *c, int64_t i, int64_t h, const REAL *k, const REAL *v,
                       double *dz) {
    int64_t dh = c->attr.head_dim, at = (i * c->attr.heads + h) * dh;
    double lse = (double)((const WIDE *)SAVED(0))[i * c->attr.heads + h];
    double p = exp(c->attr.scale * T(dot)(IN(0) + at, k, dh) - lse);
    *dz = p * (T(dot)(DOUT + at, v, dh) - T(dot)(DOUT + at, OUT + at, dh));
    return p;
}

/* dq_i = s sum_j dZ_ij k_j */
static void T(dq)(const hora_call *c, int64_t i, int64_t h) {
    int64_t dh = c->attr.head_dim, width = ref_width(&c->in[1]);
    double *sum = c->scratch, dz;
    T(keys) run[2];
    T(runs)(c, i, h, run);
    for (int64_t l = 0; l < dh; l++)
        sum[l] = 0;
    for (int p = 0; p < 2; p++)
        for (int64_t j = run[p].lo; j < run[p].hi; j++) {
            const REAL *k = run[p].k + j * width;
            T(score)(c, i, h, k, run[p].v + j * width, &dz);
            for (int64_t l = 0; l < dh; l++)
                sum[l] += dz * LD(k[l]);
        }
    for (int64_t l = 0; l < dh; l++)
        PUT(0, &DIN(0)[(i * c->attr.heads + h) * dh + l], c->attr.scale * sum[l]);
}

/* dk_j = s sum_i dZ_ij q_i and dv_j = sum_i P_ij dy_i, over the rows i and heads that see key j of
 * key-value head g. `prefix`: inputs 3 and 4, which every row sees that sees anything. */
static void T(dkv)(const hora_call *c, int64_t j, int64_t g, bool prefix) {
    int64_t n = ref_rows(&c->in[0]), dh = c->attr.head_dim, each = c->attr.heads / c->attr.kv_heads;
    int ik = prefix ? 3 : 1, iv = ik + 1;
    int64_t at = j * ref_width(&c->in[1]) + g * dh;
    double *dk = c->scratch, *dv = dk + dh, dz;
    for (int64_t l = 0; l < 2 * dh; l++)
        dk[l] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t lo, hi;
        hora_call_sees(c, i, &lo, &hi);
        if (prefix ? c->batch->lo[i] >= c->batch->hi[i] : j < lo || j >= hi)
            continue;
        for (int64_t h = g * each; h < (g + 1) * each; h++) {
            const REAL *q = IN(0) + (i * c->attr.heads + h) * dh;
            const REAL *dy = DOUT + (i * c->attr.heads + h) * dh;
            double p = T(score)(c, i, h, IN(ik) + at, IN(iv) + at, &dz);
            for (int64_t l = 0; l < dh; l++) {
                dk[l] += dz * LD(q[l]);
                dv[l] += p * LD(dy[l]);
            }
        }
    }
    for (int64_t l = 0; WANT(ik) && l < dh; l++)
        PUT(ik, &DIN(ik)[at + l], c->attr.scale * dk[l]);
    for (int64_t l = 0; WANT(iv) && l < dh; l++)
        PUT(iv, &DIN(iv)[at + l], dv[l]);
}

static void T(backward)(const hora_call *c) {
    for (int64_t i = 0; WANT(0) && i < ref_rows(&c->in[0]); i++)
        for (int64_t h = 0; h < c->attr.heads; h++)
            T(dq)(c, i, h);
    for (int prefix = 0; prefix < 2; prefix++) {
        int ik = prefix ? 3 : 1;
        for (int64_t j = 0; (WANT(ik) || WANT(ik + 1)) && j < ref_rows(&c->in[ik]); j++)
            for (int64_t g = 0; g < c->attr.kv_heads; g++)
                T(dkv)(c, j, g, prefix);
    }
}

#endif
