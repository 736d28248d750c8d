/*
 * Providers of products against plain sums in double: every transposition, strided and dense,
 * packed and plain, scaled and accumulated, odd sizes. What a provider declines it must decline
 * with a reason. The bits of a product must not depend on who runs beside it.
 */
#include "hora_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/device_impl.h"
#include "base/rng.h"
#include "base/threads.h"

typedef struct data {
    hora_matmul_shape s;
    int64_t nx, nw, ny;
    float *x, *w, *y, *want;
} data;

static void fill(float *p, int64_t n, hora_rng *r) {
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)hora_rng_normal(r);
}

static float *block(int64_t n) {
    void *p;
    assert_ok(hora_block_new(&p, (size_t)hora_max(n, 1) * sizeof(float), "test"));
    return p;
}

static void expect(data *d) {
    const hora_matmul_shape *s = &d->s;
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < s->k; p++)
                sum += (double)d->x[s->trans_x ? p * s->ldx + i : i * s->ldx + p] *
                       (double)d->w[s->trans_w ? j * s->ldw + p : p * s->ldw + j];
            float *y = &d->want[i * s->ldy + j];
            *y = (float)((s->accumulate ? (double)*y : 0) + (double)s->alpha * sum);
        }
}

static data open_data(hora_matmul_shape s, int64_t gap) {
    data d = {.s = s};
    hora_rng r = hora_rng_new((uint64_t)(s.m * 7919 + s.n * 31 + s.k), "products");
    d.s.ldx = (s.trans_x ? s.m : s.k) + gap;
    d.s.ldw = (s.trans_w ? s.k : s.n) + gap;
    d.s.ldy = s.n + gap;
    d.nx = d.s.ldx * (s.trans_x ? s.k : s.m);
    d.nw = d.s.ldw * (s.trans_w ? s.n : s.k);
    d.ny = d.s.ldy * s.m;
    d.x = block(d.nx);
    d.w = block(d.nw);
    d.y = block(d.ny);
    d.want = block(d.ny);
    fill(d.x, d.nx, &r);
    fill(d.w, d.nw, &r);
    fill(d.y, d.ny, &r);
    memcpy(d.want, d.y, (size_t)d.ny * sizeof(float));
    expect(&d);
    return d;
}

static void close_data(data *d) {
    hora_block_free(d->x, (size_t)hora_max(d->nx, 1) * sizeof(float));
    hora_block_free(d->w, (size_t)hora_max(d->nw, 1) * sizeof(float));
    hora_block_free(d->y, (size_t)hora_max(d->ny, 1) * sizeof(float));
    hora_block_free(d->want, (size_t)hora_max(d->ny, 1) * sizeof(float));
}

typedef struct job {
    const hora_matmul_provider *p;
    const hora_matmul *mm;
    data *d;
    const void *w;
    void *scratch;
} job;

static void run_tile(void *arg, int64_t tile, int thread) {
    (void)tile;
    (void)thread;
    const job *j = arg;
    j->p->run(j->mm, j->d->x, j->w, j->d->y, j->scratch);
}

static void check(const hora_matmul_provider *p, hora_matmul_shape s, int64_t gap) {
    data d = open_data(s, gap);
    hora_matmul *mm;
    void *packed = NULL, *scratch;
    size_t bytes = d.s.packed ? p->pack_bytes(&d.s) : 0;
    if (d.s.packed) {
        assert_true(bytes > 0);
        assert_ok(hora_block_new(&packed, bytes, "test"));
        p->pack(&d.s, d.w, packed);
    }
    assert_ok(p->make(&mm, &d.s));
    assert_non_null(p->variant(mm));
    size_t room = p->scratch(mm) + 64;
    assert_ok(hora_block_new(&scratch, room, "test"));
    memset(scratch, 0xff, room);
    job j = {p, mm, &d, packed ? packed : d.w, scratch};
    hora_parallel(1, run_tile, &j);
    char what[160];
    snprintf(what, sizeof what,
             "%s: %d x %d x %d, trans %d %d, packed %d, gap %d, alpha %g, add %d", p->name,
             (int)s.m, (int)s.n, (int)s.k, s.trans_x, s.trans_w, s.packed, (int)gap,
             (double)s.alpha, s.accumulate);
    /* gaps between rows must be left alone, so whole buffers are compared */
    hora_assert_close(d.y, d.want, (size_t)d.ny, 1e-5 * sqrt((double)s.k + 1), what);
    p->free(mm);
    hora_block_free(scratch, room);
    if (packed)
        hora_block_free(packed, bytes);
    close_data(&d);
}

static void check_provider(const hora_matmul_provider *p) {
    static const int64_t sizes[][3] = {{1, 1, 1},    {1, 64, 64},  {3, 5, 7},     {64, 64, 16},
                                       {65, 33, 17}, {64, 100, 3}, {128, 48, 65}, {16, 130, 300}};
    for (size_t i = 0; i < HORA_COUNT(sizes); i++)
        for (int bits = 0; bits < 64; bits++) {
            hora_matmul_shape s = {.m = sizes[i][0],
                                   .n = sizes[i][1],
                                   .k = sizes[i][2],
                                   .trans_x = bits & 1,
                                   .trans_w = bits & 2,
                                   .packed = bits & 4,
                                   .accumulate = bits & 8,
                                   .alpha = bits & 16 ? -0.5f : 1,
                                   .dtype = HORA_F32,
                                   .ydtype = HORA_F32};
            check(p, s, bits & 32 ? 5 : 0);
        }
}

static void providers(void **state) {
    (void)state;
    for (int i = 0; i < hora_matmul_count(); i++)
        check_provider(hora_matmul_at(i));
    if (!hora_matmul_count())
        hora_test_skip("no matmul library is in this build");
}

static void refuses(void **state) {
    (void)state;
    hora_matmul_shape s = {.m = 2, .n = 2, .k = 2, .ldx = 2, .ldw = 2, .ldy = 2, .dtype = HORA_F64};
    s.ydtype = HORA_F64;
    s.alpha = 1;
    hora_matmul *mm = (hora_matmul *)&s;
    for (int i = 0; i < hora_matmul_count(); i++, mm = (hora_matmul *)&s) {
        assert_fails(hora_matmul_at(i)->make(&mm, &s), HORA_EUNSUPPORTED, "F64");
        assert_null(mm);
    }
    if (!hora_matmul_count())
        hora_test_skip("no matmul library is in this build");
}

static void fill_ones(void *dst, const void *arg) {
    memset(dst, 1, *(const size_t *)arg);
}

static void device_shares(void **state) {
    (void)state;
    const char *name = hora_matmul_count() ? hora_matmul_at(0)->name : NULL;
    if (!name)
        hora_test_skip("no matmul library is in this build");
    setenv("HORA_MATMUL", name, 1); /* each test is a process of its own */
    hora_device *d = hora_device_new();
    size_t bytes = 256;
    int a, b;
    void *p, *q, *r;
    assert_false(hora_device_has(d, &a, 1));
    assert_ok(hora_device_pack(d, &a, 1, bytes, fill_ones, &bytes, &p));
    assert_ok(hora_device_pack(d, &a, 1, bytes, fill_ones, &bytes, &q));
    assert_ptr_equal(p, q);
    assert_ok(hora_device_pack(d, &b, 1, bytes, fill_ones, &bytes, &r));
    assert_ptr_not_equal(p, r);
    assert_int_equal(hora_device_packed_bytes(d), 2 * bytes);
    hora_device_drop(d, &a);
    assert_false(hora_device_has(d, &a, 1));
    assert_true(hora_device_has(d, &b, 1));
    assert_int_equal(hora_device_packed_bytes(d), bytes);
    hora_matmul_shape s = {.m = 4, .n = 4, .k = 4, .ldx = 4, .ldw = 4, .ldy = 4, .alpha = 1};
    const hora_matmul *m1, *m2, *m3;
    assert_ok(hora_device_matmul(d, &s, &m1));
    assert_ok(hora_device_matmul(d, &s, &m2));
    s.m = 3;
    assert_ok(hora_device_matmul(d, &s, &m3));
    assert_ptr_equal(m1, m2);
    assert_ptr_not_equal(m1, m3);
    hora_device_free(d);
}

/* Each test is a process of its own, so what it sets ends with it. */
static void environment_chooses(void **state) {
    (void)state;
    const char *name = hora_matmul_count() ? hora_matmul_at(0)->name : "own";
    unsetenv("HORA_MATMUL");
    setenv("HORA_PRODUCTS", name, 1); /* the name of version 0.1 */
    for (int i = 0; i < 2; i++) {
        const hora_matmul_provider *p = hora_matmul_chosen();
        assert_string_equal(p ? p->name : "own", name);
        setenv("HORA_MATMUL", name, 1);
        setenv("HORA_PRODUCTS", "own", 1);
    }
    setenv("HORA_MATMUL", "own", 1);
    assert_null(hora_matmul_chosen());
    unsetenv("HORA_MATMUL");
    unsetenv("HORA_PRODUCTS");
    assert_null(hora_matmul_chosen());
}

HORA_TESTS(agree_matmul, {"providers agree with plain sums", providers, HORA_SHORT},
           {"a dtype that is not there is refused", refuses, HORA_SHORT},
           {"the device shares packings and matmuls", device_shares, HORA_SHORT},
           {"the environment chooses", environment_chooses, HORA_SHORT});
