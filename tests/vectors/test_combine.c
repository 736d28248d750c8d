/*
 * Adapters combined and converted: against PEFT's add_weighted_adapter (files/combine, made by
 * tools/oracle/make_combine_vectors.py), what DARE drops, LoRAs cut from other methods.
 */
#include "interop/combine.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/lapack.h"
#include "base/text.h"
#include "hora_test.h"
#include "interop/convert.h"
#include "model/family.h"
#include "vectors/golden.h"

typedef struct pair {
    hora_base *base;
    hora_adapter *at[2];
    hora_export x;
} pair;

static void open_pair(pair *p) {
    const hora_base_options o = {.dtype = HORA_F32};
    assert_ok(
        hora_base_open(&p->base, hora_test_source("tests/vectors/files/tiny_llama/base"), &o));
    for (int i = 0; i < 2; i++)
        assert_ok(hora_peft_load(
            &p->at[i], p->base,
            hora_test_source(i ? "tests/vectors/files/combine/b" : "tests/vectors/files/combine/a"),
            NULL));
    p->x = (hora_export){.base = p->base, .adapters = p->at, .n = 2};
}

static void close_pair(pair *p) {
    hora_peft_detach(p->at[0]);
    hora_peft_detach(p->at[1]);
    hora_base_close(p->base);
}

static hora_combine_config config_of(const char *text) {
    hora_combine_config c;
    hora_settings s = {0};
    assert_ok(hora_settings_parse(&s, text, "test"));
    assert_ok(hora_options_take(&hora_combine_options, &c, &s));
    hora_settings_release(&s);
    return c;
}

/* --- PEFT ------------------------------------------------------------------------------------- */
static const hora_st_tensor *expected(const hora_st *st, const char *name, const char *module,
                                      const char *what) {
    char *key = hora_format("%s/%s.%s", name, module, what);
    const hora_st_tensor *t = hora_st_find(st, key);
    hora_free(key);
    return t;
}

/* Padded ranks of PEFT are rows and columns of zeros. */
static void check_factors(const hora_flat *f, const hora_site *s, const hora_st_tensor *a,
                          const hora_st_tensor *b, const char *label) {
    const int64_t rank = a->view.shape.d[0];
    const float *wa = a->view.data, *wb = b->view.data;
    for (int64_t j = 0; j < rank; j++)
        for (int64_t k = 0; k < s->in; k++) {
            const double got = j < f->rank ? (double)f->a[j * s->in + k] : 0;
            if (fabs(got - (double)wa[j * s->in + k]) > 1e-5)
                fail_msg("%s: A[%d][%d] %g, want %g", label, (int)j, (int)k, got,
                         (double)wa[j * s->in + k]);
        }
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < rank; j++) {
            const double got = j < f->rank ? (double)f->b[o * f->rank + j] : 0;
            if (fabs(got - (double)wb[o * rank + j]) > 1e-5)
                fail_msg("%s: B[%d][%d] %g, want %g", label, (int)o, (int)j, got,
                         (double)wb[o * rank + j]);
        }
}

static double update_at(const hora_flat *f, const hora_site *s, int64_t o, int64_t k) {
    double sum = 0;
    for (int64_t j = 0; j < f->rank; j++)
        sum += (double)f->b[o * f->rank + j] * (double)f->a[j * s->in + k];
    return sum;
}

static void check_update(const hora_flat *f, const hora_site *s, const hora_st_tensor *t,
                         double tolerance, const char *label) {
    const float *want = t->view.data;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t k = 0; k < s->in; k++)
            if (fabs(update_at(f, s, o, k) - (double)want[o * s->in + k]) > tolerance)
                fail_msg("%s: update[%d][%d] %g, want %g", label, (int)o, (int)k,
                         update_at(f, s, o, k), (double)want[o * s->in + k]);
}

static void check_case(pair *p, const hora_st *st, const char *name, const char *options, double wa,
                       double wb) {
    hora_flat *f;
    const hora_combine_config c = config_of(options);
    int seen = 0;
    assert_ok(hora_peft_weigh(p->at[0], wa));
    assert_ok(hora_peft_weigh(p->at[1], wb));
    assert_ok(hora_combine(&f, &p->x, &c));
    for (int i = 0; i < hora_flat_sites(p->base); i++) {
        const hora_site *s = &p->base->sites[i];
        const hora_st_tensor *u = expected(st, name, s->module, "update"),
                             *a = expected(st, name, s->module, "lora_A");
        if (a)
            assert_true(f[i].rank > 0);
        if (u)
            check_update(&f[i], s, u, 2e-5, name);
        if (a)
            check_factors(&f[i], s, a, expected(st, name, s->module, "lora_B"), name);
        seen += u || a;
    }
    assert_int_equal(seen, strstr(options, "svd") ? 3 : 6); /* q, k and v of one block or two */
    hora_flat_free(f, p->base);
}

static void test_peft(void **state) {
    static const struct {
        const char *name, *options;
        double a, b;
        bool svd;
    } cases[] = {
        {"linear", "type=linear", 1, 0.5, false},
        {"linear_minus", "type=linear", 0.7, -0.4, false},
        {"cat", "type=cat", 0.7, -0.4, false},
        {"svd", "type=svd,svd_rank=6", 0.7, -0.4, true},
        {"svd_cut", "type=svd,svd_rank=2", 1, 1, true},
        {"ties", "type=ties,density=0.5", 1, 0.8, false},
        {"ties_frequency", "type=ties,density=0.7,majority_sign=frequency", 1, 0.8, false},
        {"ties_svd", "type=ties_svd,density=0.4", 1, -0.8, true},
        {"magnitude_prune", "type=magnitude_prune,density=0.35", 0.3, 1.1, false},
        {"magnitude_prune_svd", "type=magnitude_prune_svd,density=0.35,svd_rank=4", 0.3, 1.1, true},
        {"dare_whole", "type=dare_linear,density=1", 1, 0.5, false},
    };
    pair p;
    hora_st *st;
    (void)state;
    open_pair(&p);
    assert_ok(
        hora_st_open(&st, hora_test_source("tests/vectors/files/combine/expect.safetensors")));
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        if (!cases[i].svd || hora_lapack())
            check_case(&p, st, cases[i].name, cases[i].options, cases[i].a, cases[i].b);
    hora_st_close(st);
    close_pair(&p);
}

/* Factors are cut at the quantile of all their numbers, signs counted. */
static void test_clamp(void **state) {
    pair p;
    hora_flat *f[2];
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    open_pair(&p);
    const hora_combine_config off = config_of("type=svd,svd_rank=2"),
                              on = config_of("type=svd,svd_rank=2,svd_clamp=0.9");
    assert_ok(hora_combine(&f[0], &p.x, &off));
    assert_ok(hora_combine(&f[1], &p.x, &on));
    for (int i = 0; i < p.base->nsites; i++) {
        const hora_site *s = &p.base->sites[i];
        const hora_flat *was = &f[0][i], *is = &f[1][i];
        const int64_t na = is->rank * s->in, n = na + s->out * is->rank;
        double most = 0;
        int64_t below = 0;
        assert_int_equal(was->rank, is->rank);
        for (int64_t k = 0; k < n; k++)
            most = fmax(most, fabs(k < na ? is->a[k] : is->b[k - na]));
        /* thin and whole matrices may differ in the sign of a pair of vectors */
        for (int64_t k = 0; k < n; k++) {
            const double x = fabs(k < na ? was->a[k] : was->b[k - na]),
                         y = fabs(k < na ? is->a[k] : is->b[k - na]),
                         v = k < na ? is->a[k] : is->b[k - na];
            assert_true(fabs(y - fmin(x, most)) < 1e-5);
            below += v < most - 1e-6;
        }
        if (is->rank)
            assert_true(llabs(below - (int64_t)(0.9 * (double)n)) <= 1);
    }
    hora_flat_free(f[0], p.base);
    hora_flat_free(f[1], p.base);
    close_pair(&p);
}

/* --- DARE ------------------------------------------------------------------------------------- */
/* Of an adapter beside one that counts nothing: each number is dropped or divided by the density,
 * about that share is kept, a seed decides which. */
static void test_dare(void **state) {
    pair p;
    hora_flat *f[3];
    int64_t kept = 0, all = 0, other = 0;
    (void)state;
    open_pair(&p);
    assert_ok(hora_peft_weigh(p.at[1], 0));
    for (int i = 0; i < 3; i++) {
        const hora_combine_config c = config_of(i == 2 ? "type=dare_linear,density=0.25,seed=2"
                                                       : "type=dare_linear,density=0.25");
        assert_ok(hora_combine(&f[i], &p.x, &c));
    }
    for (int i = 0; i < p.base->nsites; i++) {
        const hora_site *s = &p.base->sites[i];
        hora_factors one = {0};
        p.at[0]->method->factors(p.at[0], i, &one);
        for (int64_t k = 0; one.rank && k < one.rank * s->in; k++) {
            const double whole = sqrt(one.scale) * (double)((const float *)one.a)[k] / 0.25;
            const double got = (double)f[0][i].a[k];
            assert_true(got == 0 || fabs(got - whole) < 1e-5);
            assert_true(got == (double)f[1][i].a[k]);
            other += got != (double)f[2][i].a[k];
            kept += got != 0;
            all++;
        }
    }
    assert_true(fabs((double)kept / (double)all - 0.25) < 0.05);
    assert_true(other > all / 10);
    for (int i = 0; i < 3; i++)
        hora_flat_free(f[i], p.base);
    close_pair(&p);
}

/* --- what is refused -------------------------------------------------------------------------- */
static void test_refused(void **state) {
    pair p;
    hora_flat *f;
    (void)state;
    open_pair(&p);
    hora_combine_config c = config_of("type=ties");
    assert_fails(hora_combine(&f, &p.x, &c), HORA_EUSAGE, "--density");
    c = config_of("type=dare_ties,density=0");
    assert_fails(hora_combine(&f, &p.x, &c), HORA_EUSAGE, "must not be 0");
    hora_adapter *b = p.at[1];
    static const char *const rows[][3] = {{"lora", "rank=5", "rank 3 in one adapter and 5"},
                                          {"ia3", "", "no low-rank update"},
                                          {"dora", "rank=3", "magnitude"},
                                          {"lora", "modules_to_save=lm_head", "whole"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        p.at[1] = golden_attach(p.base, rows[i][0], rows[i][1]);
        assert_ok(hora_adapter_allocate(p.at[1]));
        c = config_of("type=linear");
        assert_fails(hora_combine(&f, &p.x, &c), i ? HORA_EUNSUPPORTED : HORA_EUSAGE, rows[i][2]);
        hora_peft_detach(p.at[1]);
    }
    p.at[1] = b;
    close_pair(&p);
}

/* --- conversion ------------------------------------------------------------------------------- */
static void perturb(hora_adapter *a) {
    hora_rng r = hora_rng_new(5, a->method->name);
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++)
            ((float *)a->params[i]->value)[k] += (float)(0.1 * hora_rng_normal(&r));
}

/* Largest difference of the weights that two adapters make, beside what the first changes. */
static double apart(hora_adapter *a, hora_adapter *b, double *moved) {
    const hora_base *base = a->base;
    double most = 0;
    float **w[2];
    for (int i = 0; i < 2; i++) {
        w[i] = hora_calloc((size_t)base->nweights, sizeof *w[i]);
        assert_ok(hora_peft_merge(i ? &b : &a, 1, w[i]));
    }
    *moved = 0;
    for (int i = 0; i < base->nweights; i++) {
        const float *was = base->weights[i].view.data;
        for (int64_t k = 0; k < hora_elems(&base->weights[i].view); k++) {
            const double x = (double)(w[0][i] ? w[0][i][k] : was[k]),
                         y = (double)(w[1][i] ? w[1][i][k] : was[k]);
            most = fmax(most, fabs(x - y));
            *moved = fmax(*moved, fabs(x - (double)was[k]));
        }
        hora_free(w[0][i]);
        hora_free(w[1][i]);
    }
    hora_free(w[0]);
    hora_free(w[1]);
    return most;
}

static void convert(const hora_export *x, const char *to, double *error, hora_adapter **back) {
    const hora_converter *c;
    int64_t n;
    const char *dir = hora_test_path(hora_test_tmp(), "converted");
    hora_json *report = hora_json_new_object();
    assert_ok(hora_remove_tree(dir));
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_converter_parse(&c, &n, to));
    assert_ok(c->check(x, &(hora_convert_config){.n = n}));
    assert_ok(c->write(x, &(hora_convert_config){.n = n}, dir, report));
    assert_true(hora_json_real(hora_json_get(report, "error"), error));
    assert_ok(hora_peft_load(back, x->base, dir, NULL));
    hora_json_free(report);
}

static void test_convert(void **state) {
    static const struct {
        const char *method, *options, *to;
        double least, most; /* share that is left over */
        double close;       /* of the weights where nothing is; 0: not asked */
    } rows[] = {
        {"lora", "rank=3,rslora=true,targets=all-linear", "lora", 0, 0, 1e-6},
        {"hora", "rank=2,targets=q+k+v+o", "lora", 0, 0, 1e-6},
        {"hora", "rank=4", "lora:4", 0, 0, 1e-6},
        {"hora", "rank=4", "lora:2", 0.05, 0.9, 0},
        {"lora", "targets=q+lm_head+embed_tokens,rank=3", "lora:3", 0, 0, 1e-6},
        {"hra", "rank=2", "lora:2", 0, 1e-4, 1e-5},
        {"householder", "", "lora:8", 0.01, 1, 0},
        {"dora", "rank=2", "lora:64", 0, 1e-6, 1e-5},
        {"oft", "block_size=8", "lora:64", 0, 1e-6, 1e-5},
        {"ia3", "", "lora:64", 0, 1e-6, 1e-5},
        {"lokr", "rank=2", "lora:4", 0, 1, 0},
    };
    hora_base *b;
    const hora_base_options o = {.dtype = HORA_F32};
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    assert_ok(hora_base_open(&b, hora_test_source("tests/vectors/files/tiny_llama/base"), &o));
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = golden_attach(b, rows[i].method, rows[i].options), *back;
        double error, moved;
        assert_ok(hora_adapter_allocate(a));
        perturb(a);
        convert(&(hora_export){.base = b, .adapters = &a, .n = 1}, rows[i].to, &error, &back);
        if (error < rows[i].least || error > rows[i].most)
            fail_msg("%s %s: %g is left over", rows[i].method, rows[i].to, error);
        const double d = apart(a, back, &moved);
        assert_true(moved > 1e-3);
        if (rows[i].close > 0 && d > rows[i].close)
            fail_msg("%s %s: weights differ by %g", rows[i].method, rows[i].to, d);
        hora_peft_detach(back);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

static void test_not_converted(void **state) {
    static const char *const rows[][4] = {{"serial", "", "lora:4", "changes no weight"},
                                          {"bitfit", "", "lora:4", "no projection"},
                                          {"oft", "block_size=8", "lora", "say one"},
                                          {"ln_tuning", "", "lora:4", "no projection"}};
    hora_base *b = golden_fresh("{\"model_type\":\"llama\",\"hidden_size\":16,"
                                "\"intermediate_size\":24,\"num_hidden_layers\":1,"
                                "\"num_attention_heads\":2,\"vocab_size\":29,"
                                "\"attention_bias\":true}",
                                HORA_F32, false);
    const hora_converter *c;
    int64_t n;
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = golden_attach(b, rows[i][0], rows[i][1]);
        const hora_export x = {.base = b, .adapters = &a, .n = 1};
        hora_json *report = hora_json_new_object();
        assert_ok(hora_adapter_allocate(a));
        assert_ok(hora_converter_parse(&c, &n, rows[i][2]));
        hora_status s = c->check(&x, &(hora_convert_config){.n = n});
        if (!s)
            s = c->write(&x, &(hora_convert_config){.n = n}, hora_test_tmp(), report);
        assert_true(s < 0);
        if (!strstr(hora_errmsg(), rows[i][3]))
            fail_msg("%s: %s", rows[i][0], hora_errmsg());
        hora_json_free(report);
        hora_peft_detach(a);
    }
    assert_fails(hora_converter_parse(&c, &n, "lora:0"), HORA_EUSAGE, "above 0");
    assert_fails(hora_converter_parse(&c, &n, "lorra:3"), HORA_EUSAGE, "lora[:N]");
    hora_base_close(b);
}

HORA_TESTS(vectors_combine, {"as PEFT combines them", test_peft, HORA_SHORT},
           {"cut factors", test_clamp, HORA_SHORT}, {"what DARE drops", test_dare, HORA_SHORT},
           {"refusals", test_refused, HORA_SHORT},
           {"LoRAs of other methods", test_convert, HORA_SHORT},
           {"what no LoRA can say", test_not_converted, HORA_SHORT});
