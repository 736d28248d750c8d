/* The simulated layer: its algebra against central differences and the proved ranks, its data,
 * teachers, distances and fits. */
#include <math.h>

#include "hora_test.h"
#include "lab/rates.h"
#include "lab/rates_run_impl.h"

/* Every curve and rank of the table, and the Jacobian of every student in every setting. */
static void test_algebra(void **state) {
    (void)state;
    rates_algebra *a = hora_calloc(1, sizeof *a);
    hora_rates_algebra_run(a);
    for (int i = 0; i < CURVES; i++) {
        const rates_curve *c = &a->curve[i];
        if (c->hi > 0 ? !(c->slope >= c->lo && c->slope <= c->hi && c->gap[0] > 1e-9)
                      : !(c->most <= 1e-12))
            fail_msg("curve %s: slope %g, largest gap %g", c->name, c->slope, c->most);
        if (!(c->d[0] > 0 && c->d[CURVE_POINTS - 1] > c->d[0]))
            fail_msg("curve %s does not leave the truth", c->name);
    }
    static const int ranks[RANKS] = {32, 26, 32, 26, 56, 32};
    for (int i = 0; i < RANKS; i++) {
        assert_int_equal(a->rank[i].rank, ranks[i]);
        assert_int_equal(a->rank[i].expected, ranks[i]);
    }
    assert_true(a->jacobian <= 1e-6 && a->jacobian > 0);
    hora_free(a);
}

typedef struct layer {
    rates_model m;
    rates_base base;
    rates_teacher teacher;
    rates_data data;
    double c[RATES_COORDS];
} layer;

static layer *layer_new(rates_setting s, rates_kind kind, const char *student, double sigma,
                        int64_t n) {
    layer *x = hora_calloc(1, sizeof *x);
    const rates_shape shape = hora_rates_shape_of(s);
    x->m = hora_rates_model_new(hora_rates_student_find(student), &shape, kind, 0, 0);
    hora_rates_base_draw(&x->base, &shape, 3);
    hora_rates_teacher_draw(&x->teacher, kind, shape.d, shape.dh, hora_rates_teacher_heads(s),
                            kind == RATES_TANH ? 3 : 2, 3);
    hora_rates_teacher_coords(&x->teacher, &x->m.shape, x->c);
    hora_rates_data_draw(&x->data, &x->m.shape, &x->base, x->c, &x->m.shape, sigma, n, 3, "test");
    return x;
}

static void layer_free(layer *x) {
    hora_rates_data_release(&x->data);
    hora_free(x);
}

/* The layer written out as the formula has it. */
static void literal(const layer *x, const double *c, int64_t i, double *f) {
    const rates_shape *s = &x->m.shape;
    const double *in = x->data.x + i * s->tokens * s->d;
    for (int r = 0; r < s->dh; r++)
        f[r] = 0;
    for (int h = 0; h < s->heads; h++) {
        const int base = s->labelled ? h : 0;
        double p[RATES_N], sum = 0, w_q[RATES_DH * RATES_D], w_v[RATES_DH * RATES_D];
        for (int r = 0; r < s->dh; r++)
            for (int l = 0; l < s->d; l++) {
                w_q[r * s->d + l] =
                    x->base.q[base][r * s->d + l] +
                    c[hora_rates_at_b(s, 0, h) + r] * c[hora_rates_at_a(s, 0, h) + l];
                w_v[r * s->d + l] =
                    x->base.v[base][r * s->d + l] +
                    c[hora_rates_at_b(s, 1, h) + r] * c[hora_rates_at_a(s, 1, h) + l];
            }
        for (int j = 0; j < s->tokens; j++) {
            double score = 0;
            for (int r = 0; r < s->dh; r++) {
                double q = 0, k = 0;
                for (int l = 0; l < s->d; l++) {
                    q += w_q[r * s->d + l] * in[l];
                    k += x->base.k[base][r * s->d + l] * in[j * s->d + l];
                }
                score += q * k;
            }
            sum += p[j] = exp(score / sqrt(s->dh));
        }
        for (int j = 0; j < s->tokens; j++)
            for (int r = 0; r < s->dh; r++)
                for (int l = 0; l < s->d; l++)
                    f[r] += p[j] / sum * w_v[r * s->d + l] * in[j * s->d + l] / s->heads;
    }
}

static void test_layer(void **state) {
    (void)state;
    static const char *const students[] = {"lora", "lora-perhead"};
    for (int s = 0; s < RATES_SETTINGS; s++)
        for (int k = 0; k < 2; k++) {
            layer *x = layer_new((rates_setting)s, RATES_LINEAR, students[k], 0.1, 5);
            double theta[RATES_PARAMS], got[RATES_DH], want[RATES_DH];
            hora_rates_start_random(&x->m, false, 1, 0, theta);
            for (int64_t i = 0; i < 5; i++) {
                hora_rates_sample(&x->m.shape, theta, &x->data, i, got, NULL);
                literal(x, theta, i, want);
                for (int r = 0; r < x->m.shape.dh; r++)
                    assert_true(fabs(got[r] - want[r]) < 1e-13);
            }
            layer_free(x);
        }
}

/* J'J and J'r of the normal equations are sums over the Jacobians of single inputs. */
static void test_normal(void **state) {
    (void)state;
    enum { N = 37 }; /* no multiple of a block of rows */
    layer *x = layer_new(RATES_LABELLED, RATES_LINEAR, "lora-perhead", 0.1, N);
    const int p = hora_rates_coords(&x->m.shape), dh = x->m.shape.dh;
    double *m = hora_calloc((size_t)(2 * p * p + 2 * p + dh * p), sizeof *m);
    double *want = m + p * p, *g = want + p * p, *want_g = g + p, *jac = want_g + p;
    double f[RATES_DH], theta[RATES_PARAMS];
    hora_rates_start_random(&x->m, false, 1, 0, theta);
    const double error = hora_rates_normal(&x->m.shape, theta, &x->data, m, g);
    for (int64_t i = 0; i < N; i++) {
        hora_rates_sample(&x->m.shape, theta, &x->data, i, f, jac);
        for (int r = 0; r < dh; r++)
            for (int a = 0; a < p; a++) {
                want_g[a] += jac[r * p + a] * (f[r] - x->data.y[i * dh + r]) / N;
                for (int b = 0; b < p; b++)
                    want[a * p + b] += jac[r * p + a] * jac[r * p + b] / N;
            }
    }
    assert_true(fabs(error - hora_rates_error(&x->m.shape, theta, &x->data)) < 1e-12 * error);
    for (int a = 0; a < p; a++) {
        assert_true(fabs(g[a] - want_g[a]) < 1e-12);
        for (int b = 0; b < p; b++)
            assert_true(fabs(m[a * p + b] - want[a * p + b]) < 1e-12);
    }
    hora_free(m);
    layer_free(x);
}

/* A longer sample begins with the shorter one. */
static void test_nested(void **state) {
    (void)state;
    layer *a = layer_new(RATES_OVER, RATES_LINEAR, "lora", 0.1, 20);
    layer *b = layer_new(RATES_OVER, RATES_LINEAR, "lora", 0.1, 50);
    assert_memory_equal(a->data.x, b->data.x, 20 * 4 * 5 * sizeof(double));
    assert_memory_equal(a->data.y, b->data.y, 20 * 4 * sizeof(double));
    layer_free(a);
    layer_free(b);
}

static void test_teachers(void **state) {
    (void)state;
    for (int kind = RATES_LINEAR; kind <= RATES_FREE; kind++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            rates_teacher t;
            hora_rates_teacher_draw(&t, (rates_kind)kind, 5, 4, 3, kind == RATES_TANH ? 3 : 2,
                                    seed);
            for (int p = 0; p < 2; p++) {
                double sum = 0;
                for (int h = 0; h < 3; h++)
                    for (int i = 0; i < 4; i++) {
                        double made = 0;
                        for (int k = 0; k < t.m; k++)
                            made += t.w[p][i * t.m + k] * t.z[h][k];
                        assert_true(kind == RATES_FREE || fabs(made - t.b[p][h][i]) < 1e-14);
                        sum += t.b[p][h][i] * t.b[p][h][i];
                    }
                assert_true(fabs(sqrt(sum / 3) - 1.5) < 1e-12);
            }
        }
}

/* Every student that can represent its teacher starts from it: no distance and no error. */
static void test_truths(void **state) {
    (void)state;
    static const struct {
        const char *student;
        rates_kind kind;
    } rows[] = {{"lora", RATES_FREE},   {"lora-perhead", RATES_TANH}, {"linear", RATES_LINEAR},
                {"linear", RATES_TANH}, {"wide", RATES_LINEAR},       {"wide", RATES_FREE},
                {"tanh", RATES_TANH}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        for (int s = 0; s < 2; s++) {
            layer *x = layer_new((rates_setting)s, rows[i].kind, rows[i].student, 0, 50);
            double theta[RATES_PARAMS], c[RATES_COORDS];
            assert_true(x->m.student->truth(&x->m, &x->teacher, theta));
            x->m.student->coords(&x->m, theta, c);
            const rates_distances d = hora_rates_measure(&x->m.shape, c, &x->teacher);
            assert_true(d.q < 1e-12 && d.v < 1e-12 && d.d < 1e-12);
            assert_int_equal(d.singletons, s == RATES_EXACT ? 3 : 0);
            assert_true(hora_rates_error(&x->m.shape, c, &x->data) < 1e-24);
            c[hora_rates_at_b(&x->m.shape, RATES_V, 0)] += 0.25; /* one head, by 0.25 |A| = 0.25 */
            const rates_distances e = hora_rates_measure(&x->m.shape, c, &x->teacher);
            const double w = 1.0 / x->m.shape.heads;
            assert_true(fabs(e.v - w * 0.25) < 1e-12 && e.q < 1e-12);
            assert_true(fabs(e.d - w * (s == RATES_EXACT ? 0.25 : 0.0625)) < 1e-12);
            layer_free(x);
        }
}

/* Parameters as the table of docs/theory.md counts them: exact, over. */
static void test_counts(void **state) {
    (void)state;
    static const struct {
        const char *student;
        int exact, over;
    } rows[] = {{"lora", 34, 58}, {"lora-perhead", 54, 108}, {"linear", 32, 38},
                {"tanh", 46, 52}, {"wide", 76, 94},          {"lora-wd", 34, 58}};
    const rates_shape exact = hora_rates_shape_of(RATES_EXACT),
                      over = hora_rates_shape_of(RATES_OVER);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        const rates_student *st = hora_rates_student_find(rows[i].student);
        assert_int_equal(hora_rates_model_new(st, &exact, RATES_LINEAR, 0, 0).count, rows[i].exact);
        assert_int_equal(hora_rates_model_new(st, &over, RATES_LINEAR, 0, 0).count, rows[i].over);
    }
}

/* Without noise the fit finds the matrices of exactly specified heads, and never leaves the
 * parameter set. */
static void test_fit(void **state) {
    (void)state;
    static const char *const students[] = {"lora", "linear", "wide"};
    const rates_fit_options o = {0, 1e-3, 1e-14, 200};
    for (size_t i = 0; i < HORA_COUNT(students); i++) {
        layer *x = layer_new(RATES_EXACT, RATES_LINEAR, students[i], 0, 400);
        double theta[RATES_PARAMS], c[RATES_COORDS];
        int steps;
        assert_true(hora_rates_start_near(&x->m, &x->teacher, 3, theta));
        const double error = hora_rates_fit(&x->m, &x->data, &o, theta, &steps);
        x->m.student->coords(&x->m, theta, c);
        if (!(error < 1e-20 && steps > 2 &&
              hora_rates_measure(&x->m.shape, c, &x->teacher).d < 1e-8))
            fail_msg("%s: error %g after %d steps", students[i], error, steps);
        layer_free(x);
    }
    layer *x = layer_new(RATES_OVER, RATES_LINEAR, "lora", 0.1, 20); /* far too few */
    double theta[RATES_PARAMS];
    int steps;
    assert_true(hora_rates_start_near(&x->m, &x->teacher, 3, theta));
    hora_rates_fit(&x->m, &x->data, &o, theta, &steps);
    for (int h = 0; h < 6; h++)
        for (int p = 0; p < 2; p++) {
            double a = 0, b = 0;
            for (int i = 0; i < 5; i++)
                a += theta[hora_rates_at_a(&x->m.shape, p, h) + i] *
                     theta[hora_rates_at_a(&x->m.shape, p, h) + i];
            for (int i = 0; i < 4; i++)
                b += theta[hora_rates_at_b(&x->m.shape, p, h) + i] *
                     theta[hora_rates_at_b(&x->m.shape, p, h) + i];
            assert_true(sqrt(a * b) <= RATES_RADIUS * (1 + 1e-12));
        }
    layer_free(x);
}

static void test_sizes(void **state) {
    (void)state;
    int64_t n[4];
    int count;
    assert_ok(hora_sizes_parse("n", "4k,250+1000,250", 10, n, 4, &count));
    assert_true(count == 3 && n[0] == 250 && n[1] == 1000 && n[2] == 4000);
    assert_fails(hora_sizes_parse("n", "0", 10, n, 4, &count), HORA_EUSAGE, "at least 10");
    assert_fails(hora_sizes_parse("n", "many", 10, n, 4, &count), HORA_EUSAGE, "`many`");
    assert_fails(hora_sizes_parse("n", ",", 10, n, 4, &count), HORA_EUSAGE, "empty");
    assert_fails(hora_sizes_parse("n", "10,20,30,40,50", 10, n, 4, &count), HORA_EUSAGE, "4 sizes");
}

HORA_TESTS(unit_rates, {"curves, ranks and Jacobians", test_algebra, HORA_SHORT},
           {"the layer is the formula", test_layer, HORA_SHORT},
           {"normal equations", test_normal, HORA_SHORT},
           {"longer samples extend shorter ones", test_nested, HORA_SHORT},
           {"teachers", test_teachers, HORA_SHORT},
           {"truths and distances", test_truths, HORA_SHORT},
           {"parameter counts", test_counts, HORA_SHORT}, {"fits", test_fit, HORA_SHORT},
           {"lists of sizes", test_sizes, HORA_SHORT});
