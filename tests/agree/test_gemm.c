/*
 * The inner loops of products against plain sums in double: every combination of terms, addends and
 * storage that callers use, with sizes around the blocks of all instruction sets. Memory that an x
 * and a panel do not own holds NaN, so what is read beside them shows.
 */
#include "hora_test.h"

#include <math.h>
#include <stdio.h>

#include "backend/cpu/kern.h"
#include "base/rng.h"

enum { MOST = 200, GAP = 3 };

typedef struct term {
    int64_t k;
    float x[MOST][MOST], w[MOST][MOST]; /* x (m, k), w (n, k), rounded to elements */
    char left[4 * MOST * (MOST + GAP)], panels[4 * (MOST + 64) * (MOST + 2)];
} term;

typedef struct test {
    const hora_kern_gemm *gemm;
    hora_rng rng;
    int64_t m, n;
    bool trans_x, inside; /* x as `pack` writes it; columns of a wider panel */
    term t[2];
    float c[MOST][MOST], bias[MOST], add[MOST][MOST];
} test;

static float rounded(test *t) {
    float f = (float)hora_rng_normal(&t->rng);
    return t->gemm->elem == 2 ? hora_bf16_to_f32(hora_f32_to_bf16(f)) : f;
}

static void put(const test *t, void *at, int64_t i, float f) {
    if (t->gemm->elem == 2)
        ((uint16_t *)at)[i] = hora_f32_to_bf16(f);
    else
        ((float *)at)[i] = f;
}

static float get(const test *t, bool wide, const void *at, int64_t i) {
    return wide || t->gemm->elem == 4 ? ((const float *)at)[i]
                                      : hora_bf16_to_f32(((const uint16_t *)at)[i]);
}

/* Packs `from` (n, k) into `to` after NaN: as a B of columns [skip, skip + n) of a panel. */
static int64_t pack(test *t, float from[MOST][MOST], int64_t n, int64_t k, int64_t skip, char *to) {
    static char w[4 * MOST * (MOST + 64)];
    for (int64_t j = 0; j < skip + n; j++)
        for (int64_t p = 0; p < k; p++)
            put(t, w, j * k + p, j < skip ? NAN : from[j - skip][p]);
    hora_pack p = {.w = w, .ldw = k, .trans_w = true, .scale = 1, .k = k, .n = skip + n};
    p.wide = t->gemm->elem == 4;
    t->gemm->pack(&p, to);
    return (int64_t)t->gemm->pack_bytes(1, hora_min(t->gemm->panel, skip + n));
}

static hora_gemm_term make_term(test *t, term *s, int64_t k) {
    const int64_t panel = t->gemm->panel, elem = (int64_t)t->gemm->elem;
    const int64_t skip = t->inside ? (panel > 16 ? 16 : 0) : 0;
    memset(s->left, 0xff, sizeof s->left);
    memset(s->panels, 0xff, sizeof s->panels);
    s->k = k;
    for (int64_t p = 0; p < k; p++) {
        for (int64_t i = 0; i < t->m; i++)
            s->x[i][p] = rounded(t);
        for (int64_t j = 0; j < t->n; j++)
            s->w[j][p] = rounded(t);
    }
    int64_t unit = pack(t, s->w, t->n, k, skip, s->panels);
    hora_gemm_term g = {.k = k, .x = s->left, .b = s->panels + skip * 4};
    g.sb = (int64_t)t->gemm->pack_bytes(k, panel);
    g.su = t->inside ? unit : 0;
    if (t->trans_x) {
        g.sxi = 4;
        g.sxp = pack(t, s->x, t->m, k, 0, s->left);
        return g;
    }
    g.sxi = (k + GAP) * elem;
    g.sxp = 4;
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t p = 0; p < k; p++)
            put(t, s->left, i * (k + GAP) + p, s->x[i][p]);
    return g;
}

enum { C = 1, ADD = 2, BIAS = 4, WIDE = 8, SECOND = 16 };

static double want(const test *t, const hora_gemm *g, int64_t i, int64_t j) {
    double sum = g->c ? (double)t->c[i][j] : 0;
    for (int q = 0; q < 2; q++)
        for (int64_t p = 0; p < g->t[q].k; p++)
            sum += (double)t->t[q].x[i][p] * (double)t->t[q].w[j][p];
    return (double)g->alpha * sum + (g->bias ? (double)t->bias[j] : 0) +
           (g->add ? (double)t->add[i][j] : 0);
}

static void one(test *t, int64_t m, int64_t n, int64_t k, unsigned with) {
    static char y[4 * MOST * (MOST + GAP)], add[4 * MOST * MOST];
    const bool wide = with & WIDE;
    t->m = m;
    t->n = n;
    hora_gemm g = {.m = m, .n = n, .alpha = -0.5f, .y = y, .ldy = n + GAP, .wide = wide};
    g.t[0] = make_term(t, &t->t[0], k);
    if (with & SECOND)
        g.t[1] = make_term(t, &t->t[1], k % 24 + 1);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            t->c[i][j] = t->bias[j] = (float)hora_rng_normal(&t->rng);
            t->add[i][j] = rounded(t);
            if (wide)
                ((float *)add)[i * n + j] = t->add[i][j];
            else
                put(t, add, i * n + j, t->add[i][j]);
        }
    g.c = with & C ? t->c[0] : NULL;
    g.ldc = MOST;
    g.bias = with & BIAS ? t->bias : NULL;
    g.add = with & ADD ? add : NULL;
    g.ldadd = n;
    memset(y, 0x5a, sizeof y);
    t->gemm->gemm(&g);
    const bool narrow = t->gemm->elem == 2 && !wide;
    const float untouched = get(t, wide, y, n);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n + GAP; j++) {
            const float got = get(t, wide, y, i * g.ldy + j);
            const double w = j < n ? want(t, &g, i, j) : (double)untouched;
            const double tol = (narrow ? fabs(w) / 256 : 0) + 2e-5 * sqrt((double)k + 1);
            if (!(fabs((double)got - w) <= tol))
                fail_msg("%d x %d x %d, element %d, with %u, trans_x %d, inside %d: y[%d][%d] is "
                         "%g, not %g",
                         (int)m, (int)n, (int)k, (int)t->gemm->elem, with, t->trans_x, t->inside,
                         (int)i, (int)j, (double)got, w);
        }
}

static void sums(void **state) {
    (void)state;
    static test t;
    static const int64_t rows[] = {1, 2, 5, 8, 15, 16, 17, 31, 32, 33, 47, 64, 70};
    static const int64_t columns[] = {1, 7, 16, 17, 32, 40, 48, 63, 64, 65, 100, 130};
    static const int64_t depths[] = {1, 2, 8, 15, 16, 31, 32, 33, 34, 63, 64, 65, 97, 190};
    t.rng = hora_rng_new(7, "gemm");
    unsigned turn = 0;
    for (int e = 0; e < 2; e++)
        for (size_t i = 0; i < HORA_COUNT(rows); i++)
            for (size_t j = 0; j < HORA_COUNT(columns); j++)
                for (size_t k = 0; k < HORA_COUNT(depths); k++, turn++) {
                    t.gemm = hora_kern_get()->gemm[e];
                    /* what `pack` wrote of an x is one panel; inside: columns of one panel */
                    t.trans_x = turn % 3 == 0 && rows[i] <= t.gemm->panel;
                    t.inside = turn % 5 == 0 && columns[j] + 16 <= t.gemm->panel;
                    one(&t, rows[i], columns[j], depths[k], turn * 7 % 32);
                }
}

/* The bits of a row are those it has alone: batches of other sizes must not change them. */
static void rows_alone(void **state) {
    (void)state;
    static test t;
    static float all[MOST * MOST], alone[MOST];
    t.rng = hora_rng_new(8, "gemm");
    for (int e = 0; e < 2; e++)
        for (int64_t k = 1; k < 190; k += 21) {
            t.gemm = hora_kern_get()->gemm[e];
            t.m = 53;
            t.n = 70;
            hora_gemm g = {.m = t.m, .n = t.n, .alpha = 1, .y = all, .ldy = t.n, .wide = true};
            g.t[0] = make_term(&t, &t.t[0], k);
            t.gemm->gemm(&g);
            g.m = 1;
            g.y = alone;
            for (int64_t i = 0; i < t.m; i++) {
                t.gemm->gemm(&g);
                assert_memory_equal(alone, all + i * t.n, (size_t)t.n * sizeof(float));
                g.t[0].x = (const char *)g.t[0].x + g.t[0].sxi;
            }
        }
}

HORA_TESTS(agree_gemm, {"products agree with plain sums", sums, HORA_SHORT},
           {"a row has the bits it has alone", rows_alone, HORA_SHORT});
