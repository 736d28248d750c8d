/* Reference kernel of op_mix_attention.c: one row after another, its maps of all heads in scratch.
 */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* What row i sees of the batch's rows. */
static void range(const hora_call *c, int64_t i, int64_t *lo, int64_t *hi) {
    *lo = c->batch->lo[i];
    *hi = c->batch->hi[i];
    if (c->attr.window)
        *lo = hora_max(*lo, i - c->attr.window + 1);
    if (c->attr.ahead)
        *hi = hora_min(*hi, i + c->attr.ahead + 1);
    *lo = hora_min(*lo, *hi);
}

/* Forward: P. Backward: P, dP+ and dP; the sums of dk, dv and dM. */
static size_t scratch(const hora_call *c) {
    const int64_t h = c->attr.heads, maps = h * ref_rows(&c->in[0]);
    const int64_t all = 3 * maps + 2 * hora_elems(&c->in[1]) + h * h;
    return (size_t)(c->phase == HORA_FORWARD ? maps : all) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_mix_attention.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(mix_attention, scratch);

#else

#include "backend/ref/ref_mix.h"

static void T(forward)(const hora_call *c) {
    const int64_t width = ref_width(&c->in[0]);
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        int64_t lo, hi;
        range(c, i, &lo, &hi);
        T(maps)(c, IN(0) + i * width, IN(1), lo, hi, c->scratch);
        T(values)(c, IN(3), c->scratch, IN(2), lo, hi, OUT + i * width);
    }
}

typedef struct T(row) { /* of the backward pass: maps (H, n), sums, what is seen */
    double *p, *dpp, *dp, *dk, *dv, *dm;
    int64_t i, lo, n;
} T(row);

/* dP+, dM and dv of a row whose maps are there. */
static void T(behind)(const hora_call *c, const T(row) * r) {
    const int64_t H = c->attr.heads, dh = c->attr.head_dim, w = ref_width(&c->in[1]), n = r->n;
    for (int64_t g = 0; g < H; g++) {
        const int64_t at = g * c->attr.kv_heads / H * dh;
        const REAL *dy = DOUT + (r->i * H + g) * dh;
        for (int64_t j = 0; j < n; j++) {
            const int64_t key = (r->lo + j) * w + at;
            r->dpp[g * n + j] = T(dot)(dy, IN(2) + key, dh);
            const double mixed = T(mixed)(c, IN(3), r->p, n, g, j);
            for (int64_t l = 0; l < dh; l++)
                r->dv[key + l] += mixed * LD(dy[l]);
        }
        for (int64_t h = 0; h < H; h++)
            for (int64_t j = 0; j < n; j++)
                r->dm[g * H + h] += r->dpp[g * n + j] * r->p[h * n + j];
    }
}

/* dP, and from it dq and dk. */
static void T(before)(const hora_call *c, const T(row) * r, int64_t h) {
    const int64_t H = c->attr.heads, dh = c->attr.head_dim, w = ref_width(&c->in[1]), n = r->n;
    const int64_t at = h * c->attr.kv_heads / H * dh, row = (r->i * H + h) * dh;
    double mean = 0;
    for (int64_t j = 0; j < n; j++) {
        double d = r->dpp[h * n + j];
        for (int64_t g = 0; g < H; g++)
            d += LD(IN(3)[g * H + h]) * r->dpp[g * n + j];
        r->dp[j] = d;
        mean += d * r->p[h * n + j];
    }
    for (int64_t j = 0; j < n; j++)
        r->dp[j] = c->attr.scale * r->p[h * n + j] * (r->dp[j] - mean);
    for (int64_t l = 0; l < dh; l++) {
        double dq = 0;
        for (int64_t j = 0; j < n; j++) {
            dq += r->dp[j] * LD(IN(1)[(r->lo + j) * w + at + l]);
            r->dk[(r->lo + j) * w + at + l] += r->dp[j] * LD(IN(0)[row + l]);
        }
        if (WANT(0))
            PUT(0, &DIN(0)[row + l], dq);
    }
}

static void T(backward)(const hora_call *c) {
    const int64_t H = c->attr.heads, rows = ref_rows(&c->in[0]);
    const int64_t keys = rows * ref_width(&c->in[1]);
    T(row) r = {.p = c->scratch};
    r.dpp = r.p + H * rows;
    r.dp = r.dpp + H * rows;
    r.dk = r.dp + H * rows;
    r.dv = r.dk + keys;
    r.dm = r.dv + keys;
    for (int64_t k = 0; k < 2 * keys + H * H; k++)
        r.dk[k] = 0;
    for (r.i = 0; r.i < rows; r.i++) {
        int64_t hi;
        range(c, r.i, &r.lo, &hi);
        r.n = hi - r.lo;
        T(maps)(c, IN(0) + r.i * H * c->attr.head_dim, IN(1), r.lo, hi, r.p);
        T(behind)(c, &r);
        for (int64_t h = 0; h < H; h++)
            T(before)(c, &r, h);
    }
    for (int64_t k = 0; k < keys; k++) {
        if (WANT(1))
            PUT(1, &DIN(1)[k], r.dk[k]);
        if (WANT(2))
            PUT(2, &DIN(2)[k], r.dv[k]);
    }
    for (int64_t k = 0; WANT(3) && k < H * H; k++)
        PUTW(3, &DWIDE(3)[k], r.dm[k]);
}

#endif
