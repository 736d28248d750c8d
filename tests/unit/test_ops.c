/*
 * What the ops compute, on ref: numbers from an independent implementation (PyTorch 2, float64) of
 * small cases, identities between ops, and refusals of inputs that do not fit. The gradients are
 * tests/grad/test_ops.c's.
 */
#include "hora_test.h"

#include <math.h>

#include "backend/backend.h"
#include "op/op_dropout.h"

/* A call in f64 with the inputs given as arrays. */
typedef struct small {
    hora_call c;
    hora_batch batch;
    double out[64], saved[64], scratch[256];
} small;

static void input(small *s, int i, const double *data, int64_t n, int64_t w) {
    hora_shape shape = w ? HORA_SHAPE2(n, w) : HORA_SHAPE1(n);
    s->c.in[i] = (hora_view){(void *)(uintptr_t)data, HORA_F64, shape};
}

static void start(small *s, hora_op_id op) {
    *s = (small){.c = {.op = hora_op_at(op), .op_id = op}};
    for (int i = 0; i < HORA_MAX_IN; i++)
        s->c.in[i].shape.n = -1;
    s->c.attr.alpha = 1;
    s->batch.scale = 1;
}

static void forward(small *s) {
    hora_need need;
    hora_impl impl;
    s->c.out = (hora_view){.dtype = HORA_F64, .shape = HORA_SHAPE1(s->batch.rows)};
    assert_ok(s->c.op->shape(s->c.in, &s->c.attr, &s->c.out));
    assert_true(hora_elems(&s->c.out) <= (int64_t)HORA_COUNT(s->out));
    s->c.out.data = s->out;
    s->c.batch = &s->batch;
    s->c.scratch = s->scratch;
    const hora_backend *ref = hora_backend_named("ref");
    assert_true(ref->query(NULL, &s->c, &need));
    assert_true(need.scratch <= sizeof s->scratch);
    assert_ok(ref->prepare(NULL, &s->c, &impl));
    impl.run(&impl, &s->c);
    ref->release(&impl);
}

static void want(const small *s, const double *values, int64_t n) {
    assert_int_equal(hora_elems(&s->c.out), n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(s->out[i] - values[i]) <= 1e-13))
            fail_msg("%s: element %lld is %.17g, should be %.17g", s->c.op->name, (long long)i,
                     s->out[i], values[i]);
}
#define WANT(s, ...)                                                                               \
    want(s, (const double[]){__VA_ARGS__},                                                         \
         (int64_t)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

/* The input of the numbers below: ((i s) mod 7 - 3) / 4. */
static const double *ramp(double *to, int n, int s) {
    for (int i = 0; i < n; i++)
        to[i] = (i * s % 7 - 3) / 4.0;
    return to;
}

static void activations(void **state) {
    (void)state;
    static const double x[] = {-2.5, -0.3, 0, 0.7, 3};
    static const double y[HORA_ACTS][5] = {
        {-2.5, -0.3, 0, 0.7, 3},
        {0, 0, 0, 0.7, 3},
        {-0.98661429815143, -0.291312612451591, 0, 0.604367777117163, 0.99505475368673},
        {0.0758581800212435, 0.425557483188341, 0.5, 0.668187772168166, 0.952574126822433},
        {-0.0155241633144404, -0.114626573343314, 0, 0.530625443443849, 2.99595030590511},
        {-0.0150842660899986, -0.114629076457241, 0, 0.530570134705117, 2.99636260791823},
        {-0.189645450053109, -0.127667244956502, 0, 0.467731440517716, 2.8577223804673},
        {-0.0349861650485701, -0.112515864618408, 0, 0.53689395172315, 2.98192869029221},
    };
    static const double u[] = {2, 2, 2, 2, 2};
    for (int a = 0; a < HORA_ACTS; a++) {
        small s;
        double twice[5];
        start(&s, HORA_OP_act);
        input(&s, 0, x, 1, 5);
        s.c.attr.act = (hora_act)a;
        forward(&s);
        want(&s, y[a], 5);
        start(&s, HORA_OP_glu);
        input(&s, 0, x, 1, 5);
        input(&s, 1, u, 1, 5);
        s.c.attr.act = (hora_act)a;
        forward(&s);
        for (int i = 0; i < 5; i++)
            twice[i] = 2 * y[a][i];
        want(&s, twice, 5);
    }
}

static void products(void **state) {
    (void)state;
    small s;
    double x[6], w[6], a[4], b[3];
    start(&s, HORA_OP_linear);
    input(&s, 0, ramp(x, 6, 3), 2, 3);
    input(&s, 1, ramp(w, 6, 5), 2, 3);
    input(&s, 2, (const double[]){1, -1}, 2, 0);
    input(&s, 3, ramp(a, 4, 2), 2, 2);
    s.c.attr.alpha = 2;
    forward(&s);
    WANT(&s, 1.375, -0.125, 2.125, 0.5);
    /* Two groups of one row each: x_0 W_0' and x_1 W_1', each one number. */
    start(&s, HORA_OP_grouped);
    input(&s, 0, (const double[]){1, 2, 3, 4}, 2, 2);
    input(&s, 1, (const double[]){5, 6, 7, 8}, 2, 2);
    s.c.attr.groups = 2;
    forward(&s);
    WANT(&s, 17, 53);
    start(&s, HORA_OP_lownorm);
    input(&s, 0, ramp(x, 6, 3), 3, 2);
    input(&s, 1, ramp(w, 2, 5), 1, 2);
    input(&s, 2, ramp(b, 3, 2), 3, 1);
    s.c.attr.alpha = 0.5;
    forward(&s);
    WANT(&s, 0.50485920066886, 0.899761253055498, 0.597030411704462);
}

static void by_element(void **state) {
    (void)state;
    static const double a[] = {1, 2, 3, 4, 5, 6}, b[] = {6, 5, 4, 3, 2, 1}, v[] = {1, 0, -1};
    small s;
    start(&s, HORA_OP_add);
    input(&s, 0, a, 2, 3);
    input(&s, 1, b, 2, 3);
    s.c.attr.alpha = -2;
    forward(&s);
    WANT(&s, -11, -8, -5, -2, 1, 4);
    start(&s, HORA_OP_mul);
    input(&s, 0, a, 2, 3);
    input(&s, 1, b, 2, 3);
    forward(&s);
    WANT(&s, 6, 10, 12, 12, 10, 6);
    start(&s, HORA_OP_scale);
    input(&s, 0, a, 2, 3);
    input(&s, 1, v, 3, 0);
    s.c.attr.alpha = 3;
    forward(&s);
    WANT(&s, 3, 0, -9, 12, 0, -18);
    start(&s, HORA_OP_permute);
    input(&s, 0, a, 2, 3);
    s.c.attr.groups = s.c.attr.w = 1;
    s.c.attr.a = 2;
    s.c.attr.b = 3;
    forward(&s);
    WANT(&s, 1, 4, 2, 5, 3, 6);
    start(&s, HORA_OP_gather);
    input(&s, 0, a, 3, 2);
    s.batch.rows = 3;
    s.batch.ids = (int32_t[]){2, 0, 2};
    forward(&s);
    WANT(&s, 5, 6, 1, 2, 5, 6);
}

static void norm_and_positions(void **state) {
    (void)state;
    small s;
    double x[16];
    start(&s, HORA_OP_rmsnorm);
    input(&s, 0, ramp(x, 12, 3), 2, 6);
    input(&s, 1, (const double[]){0.5, 1, -2}, 3, 0);
    s.c.attr.eps = 1e-2;
    forward(&s);
    WANT(&s, -0.604367223019035, 0, -2.41746889207614, -0.281271975231506, 1.12508790092602,
         2.25017580185205, 0.267516140627408, -1.60509684376445, 0, 0.682759270163705,
         -0.455172846775803, -1.82069138710321);
    start(&s, HORA_OP_rope);
    input(&s, 0, ramp(x, 16, 3), 2, 8);
    s.c.attr.heads = 2;
    s.c.attr.head_dim = 4;
    s.c.attr.freq = (const double[]){1, 0.1};
    s.c.attr.rope_scale = 1.5;
    s.batch.rows = 2;
    s.batch.pos = (int32_t[]){3, 5};
    forward(&s);
    WANT(&s, 0.95498154960815, 0.110820077498002, -1.27250156774285, -0.358251183422102,
         -0.795414375472784, -0.384042134350198, -0.265407180180267, -1.29639370526231,
         -0.359596602998677, 0.627711228173517, -0.10637331954871, 1.19754065234751,
         -1.29153644809345, 0.32909346070889, 0.400073247351224, 0.179784576976576);
}

static void set_heads(small *s, int64_t heads, int64_t kv_heads, int64_t head_dim, double scale) {
    s->c.attr.heads = heads;
    s->c.attr.kv_heads = kv_heads;
    s->c.attr.head_dim = head_dim;
    s->c.attr.scale = scale;
}

/* Two query heads on one key-value head, a window of two, a prefix of one row, one row unused. */
static void attention(void **state) {
    (void)state;
    small s;
    double q[16], k[8], v[8];
    start(&s, HORA_OP_attention);
    input(&s, 0, ramp(q, 16, 3), 4, 4);
    input(&s, 1, ramp(k, 8, 5), 4, 2);
    input(&s, 2, ramp(v, 8, 2), 4, 2);
    input(&s, 3, (const double[]){0.25, 1.25}, 1, 2);
    input(&s, 4, (const double[]){-1.75, -0.25}, 1, 2);
    set_heads(&s, 2, 1, 2, 0.8);
    s.c.attr.window = 2;
    s.batch.rows = 4;
    s.batch.lo = (int32_t[]){0, 0, 0, 3};
    s.batch.hi = (int32_t[]){1, 2, 3, 3};
    forward(&s);
    WANT(&s, -1.1043436937742, -0.25, -1.36063923394922, -0.25, -0.529412809754548,
         0.238902657718854, -0.406502141061784, 0.293405611699743, -1.02010375664186,
         0.00655869170012702, -0.903305069397194, 0.0664924830255275, 0, 0, 0, 0);
}

/* Rows put into the cache one or two at a time see what they see in one attention over all. */
static void cache_is_attention(void **state) {
    (void)state;
    enum { N = 7, H = 2, G = 1, DH = 3, WINDOW = 3 };
    small all, part;
    double q[N * H * DH], k[N * DH], v[N * DH], keys[10 * DH], values[10 * DH];
    int32_t lo[N] = {0}, hi[N];
    for (int i = 0; i < N; i++)
        hi[i] = i + 1;
    start(&all, HORA_OP_attention);
    input(&all, 0, ramp(q, N * H * DH, 3), N, H * DH);
    input(&all, 1, ramp(k, N * DH, 5), N, DH);
    input(&all, 2, ramp(v, N * DH, 2), N, DH);
    set_heads(&all, H, G, DH, 0.5);
    all.c.attr.window = WINDOW;
    all.batch.rows = N;
    all.batch.lo = lo;
    all.batch.hi = hi;
    forward(&all);
    for (int i = 0; i < 10 * DH; i++)
        keys[i] = values[i] = NAN; /* rows not yet written are never read */
    for (int at = 0, n = 1; at < N; at += n, n = 2) {
        start(&part, HORA_OP_cached_attention);
        input(&part, 0, q + at * H * DH, n, H * DH);
        input(&part, 1, k + at * DH, n, DH);
        input(&part, 2, v + at * DH, n, DH);
        input(&part, 3, keys, 10, DH);
        input(&part, 4, values, 10, DH);
        set_heads(&part, H, G, DH, 0.5);
        part.c.attr.window = WINDOW;
        part.batch.rows = n;
        part.batch.lo = lo + at;
        part.batch.hi = hi + at;
        part.batch.cache_row = at;
        forward(&part);
        want(&part, all.out + at * H * DH, n * H * DH);
    }
    assert_memory_equal(keys, k, sizeof k);
    assert_memory_equal(values, v, sizeof v);
    assert_true(isnan(keys[N * DH]));
}

static void loss(void **state) {
    (void)state;
    small s;
    double x[6], w[8];
    start(&s, HORA_OP_head_xent);
    input(&s, 0, ramp(x, 6, 3), 3, 2);
    input(&s, 1, ramp(w, 8, 5), 4, 2);
    input(&s, 2, (const double[]){0.1, -0.2, 0.3, 0}, 4, 0);
    s.batch.rows = 3;
    s.batch.target = (int32_t[]){2, -1, 0};
    s.batch.weight = (float[]){1, 1, 0.5f};
    s.batch.scale = 0.25;
    forward(&s);
    WANT(&s, 0.712307729742948);
    /* Huge logits neither overflow nor vanish. */
    for (int i = 0; i < 6; i++)
        x[i] *= 1e6;
    forward(&s);
    assert_true(isfinite(s.out[0]) && s.out[0] > 1000);
}

/* The share of zeros, what is kept, and: rows computed apart have the mask of rows computed
 * together. */
static void dropout(void **state) {
    (void)state;
    enum { N = 8, D = 7 };
    static double ones[N * D];
    small s, tail;
    for (int i = 0; i < N * D; i++)
        ones[i] = 1;
    start(&s, HORA_OP_dropout);
    input(&s, 0, ones, N, D);
    s.c.attr.alpha = 0.25;
    s.c.attr.stream = 11;
    s.batch = (hora_batch){.rows = N, .seed = 3, .step = 2, .row0 = 40};
    forward(&s);
    int zeros = 0;
    for (int i = 0; i < N * D; i++) {
        zeros += s.out[i] == 0;
        assert_true(s.out[i] == 0 || s.out[i] == 1 / 0.75);
    }
    assert_in_range(zeros, 4, 26); /* 14 expected, standard deviation 3.2 */
    tail = s;
    input(&tail, 0, ones, N - 3, D);
    tail.batch.rows = N - 3;
    tail.batch.row0 = 43;
    forward(&tail);
    want(&tail, s.out + 3 * D, (N - 3) * D);
    tail.batch.step = 3;
    forward(&tail);
    assert_memory_not_equal(tail.out, s.out + 3 * D, sizeof(double) * (N - 3) * D);
    int64_t dropped = 0;
    for (int64_t row = 0; row < 25000; row++) {
        uint32_t w[4];
        hora_dropout_words(1, 2, 3, row, 0, w);
        for (int i = 0; i < 4; i++)
            dropped += w[i] < hora_dropout_threshold(0.1);
    }
    assert_in_range(dropped, 10000 - 500, 10000 + 500); /* five standard deviations */
}

static void refuse(small *s, hora_status status, const char *part) {
    hora_view out = {.dtype = HORA_F64, .shape = HORA_SHAPE1(4)};
    assert_fails(s->c.op->shape(s->c.in, &s->c.attr, &out), status, part);
}

static void misfits_are_refused(void **state) {
    (void)state;
    small s;
    start(&s, HORA_OP_linear);
    input(&s, 0, NULL, 4, 3);
    input(&s, 1, NULL, 5, 2);
    refuse(&s, HORA_ESHAPE, "x [4, 3] and W [5, 2]: give both the same width");
    input(&s, 1, NULL, 5, 3);
    input(&s, 2, NULL, 4, 0);
    refuse(&s, HORA_ESHAPE, "bias [4]");
    s.c.in[2].shape.n = -1;
    input(&s, 3, NULL, 4, 4);
    refuse(&s, HORA_ESHAPE, "addend [4, 4]");
    start(&s, HORA_OP_attention);
    input(&s, 0, NULL, 4, 12);
    input(&s, 1, NULL, 4, 4);
    input(&s, 2, NULL, 4, 4);
    set_heads(&s, 3, 2, 2, 1);
    refuse(&s, HORA_ESHAPE, "multiple");
    set_heads(&s, 6, 1, 2, 1);
    refuse(&s, HORA_ESHAPE, "kv_heads");
    set_heads(&s, 6, 2, 2, 1);
    input(&s, 3, NULL, 1, 4);
    refuse(&s, HORA_ESHAPE, "both or neither");
    start(&s, HORA_OP_rmsnorm);
    input(&s, 0, NULL, 4, 6);
    input(&s, 1, NULL, 4, 0);
    refuse(&s, HORA_ESHAPE, "divides");
    start(&s, HORA_OP_rope);
    input(&s, 0, NULL, 4, 6);
    s.c.attr.heads = 2;
    s.c.attr.head_dim = 3;
    refuse(&s, HORA_ESHAPE, "even");
    start(&s, HORA_OP_permute);
    input(&s, 0, NULL, 4, 6);
    s.c.attr.groups = s.c.attr.a = s.c.attr.b = INT64_MAX / 2;
    s.c.attr.w = 8;
    refuse(&s, HORA_ESHAPE, "product");
    start(&s, HORA_OP_gather);
    input(&s, 0, NULL, 4, 0);
    refuse(&s, HORA_ESHAPE, "two dimensions");
    start(&s, HORA_OP_dropout);
    input(&s, 0, NULL, 4, 6);
    refuse(&s, HORA_EUSAGE, "probability 1");
}

HORA_TESTS(unit_ops, {"activations", activations, HORA_SHORT}, {"products", products, HORA_SHORT},
           {"by element", by_element, HORA_SHORT},
           {"norm and positions", norm_and_positions, HORA_SHORT},
           {"attention", attention, HORA_SHORT},
           {"cache is attention", cache_is_attention, HORA_SHORT}, {"loss", loss, HORA_SHORT},
           {"dropout", dropout, HORA_SHORT},
           {"misfits are refused", misfits_are_refused, HORA_SHORT});
