/* Laws of methods together: merged is attached, whichever stands before which; the bias counts
 * once; a magnitude starts at the base and stays above its bound. [dora eq.5] [dora sec.4.3] */
#include <math.h>

#include "base/dense.h"
#include "base/file.h"
#include "base/lapack.h"
#include "base/text.h"
#include "train/train.h"
#include "vectors/golden.h"

static const char biased[] =
    "{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,\"vocab_size\":29,"
    "\"initializer_range\":0.3,\"attention_bias\":true,\"mlp_bias\":true,"
    "\"tie_word_embeddings\":false}";
static const int lengths[] = {11, 6};

static hora_adapter *attach(const hora_base *b, const char *method, const char *options) {
    hora_adapter *a = golden_attach(b, method, options);
    assert_ok(hora_adapter_allocate(a));
    return a;
}

static void perturb(hora_adapter *a) {
    hora_rng r = hora_rng_new(3, a->method->name);
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++)
            ((float *)a->params[i]->value)[k] += (float)(0.2 * hora_rng_normal(&r));
}

/* Random biases: a fresh model has zeros. */
static void fill_biases(hora_base *b) {
    hora_rng r = hora_rng_new(9, "biases");
    for (int w = 0; w < b->nweights; w++)
        for (int64_t k = 0;
             b->weights[w].role == HORA_ROLE_BIAS && k < hora_elems(&b->weights[w].view); k++)
            ((float *)b->weights[w].view.data)[k] = (float)hora_rng_normal(&r);
}

static float *logits_of(hora_base *b, hora_adapter *const *a, int n, int64_t *count) {
    golden_run r;
    hora_rng rng = hora_rng_new(1, "batch");
    golden_synthetic(&r, &rng, b->vocab, lengths, 2, 0);
    golden_record(&r, b, a, n, &(golden_options){.mode = HORA_NET_EVAL});
    *count = r.rows.rows * b->vocab;
    float *out = hora_malloc((size_t)*count * sizeof *out);
    memcpy(out, golden_logits(&r), (size_t)*count * sizeof *out);
    golden_close(&r);
    return out;
}

static void check_pair(hora_base *b, hora_adapter *const *pair, const char *label) {
    int64_t n;
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    void **was = hora_calloc((size_t)b->nweights, sizeof *was);
    float *attached = logits_of(b, pair, 2, &n), *base = logits_of(b, NULL, 0, &n);
    assert_ok(hora_peft_merge(pair, 2, w));
    for (int i = 0; i < b->nweights; i++) {
        was[i] = b->weights[i].view.data;
        if (w[i])
            b->weights[i].view.data = w[i];
    }
    float *merged = logits_of(b, NULL, 0, &n);
    double moved = 0;
    for (int64_t i = 0; i < n; i++)
        moved = fmax(moved, fabs((double)attached[i] - base[i]));
    assert_true(moved > 0.05);
    hora_assert_close(merged, attached, (size_t)n, 2e-4, label);
    for (int i = 0; i < b->nweights; i++) {
        b->weights[i].view.data = was[i];
        hora_free(w[i]);
    }
    hora_free(attached);
    hora_free(merged);
    hora_free(base);
    hora_free(was);
    hora_free(w);
}

/* Over the same sites. */
static const char *const together[][2] = {
    {"lora", "rank=2,targets=all-linear"},
    {"dora", "rank=2,targets=all-linear"},
    {"hora", "rank=2,targets=q+k+v+o,act=tanh,magnitude=doran"},
    {"ia3", "targets=q+k+v+o+down"},
    {"bitfit", ""},
    {"vera", "rank=3,targets=q+k+o"},
    {"loha", "rank=2,targets=q+k+v+o+down"},
    {"serial_lora", "rank=2"},
    {"kadapt", "terms=2,targets=q+k+v+o"},
    {"hra", "rank=2,targets=q+k+o"},
    {"householder", "targets=q+v+o"},
    {"boft", "block_size=2,factors=2,targets=q+k+v"},
    {"lokr", "rank=1,targets=q+v+down"},
    {"lora", "rank=2,init=orthogonal,targets=q+o"},
    {"head_scale", ""},
    {"head_lora", "heads=1+2,targets=v+o"},
    {"aoft", "rank=2,targets=q+o+up"},
    {"randlora", "rank=5,alpha=3,targets=q+v+down"},
};

/* Every ordered pair. */
static void test_pairs(void **state) {
    (void)state;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    fill_biases(b);
    for (size_t i = 0; i < HORA_COUNT(together); i++)
        for (size_t k = 0; k < HORA_COUNT(together); k++) {
            if (i == k)
                continue;
            hora_adapter *pair[] = {attach(b, together[i][0], together[i][1]),
                                    attach(b, together[k][0], together[k][1])};
            char *label = hora_format("%s before %s", together[i][0], together[k][0]);
            perturb(pair[0]);
            perturb(pair[1]);
            check_pair(b, pair, label);
            hora_free(label);
            hora_peft_detach(pair[0]);
            hora_peft_detach(pair[1]);
        }
    hora_base_close(b);
}

static void check_weight(hora_base *b, hora_adapter *a, double weight, const float *whole,
                         const float *base, int64_t n) {
    assert_ok(hora_peft_weigh(a, weight));
    float *got = logits_of(b, &a, 1, &n);
    if (weight == 1)
        assert_memory_equal(got, whole, (size_t)n * sizeof *got);
    else if (weight == 0)
        hora_assert_close(got, base, (size_t)n, 2e-5, a->method->name);
    hora_free(got);
}

/* An adapter that counts in part: attached and merged agree, 0 is the base, 1 is itself to the bit
 * also after other weights. */
static void test_weights(void **state) {
    (void)state;
    int64_t n;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    fill_biases(b);
    float *base = logits_of(b, NULL, 0, &n);
    for (size_t i = 0; i < HORA_COUNT(together); i++) {
        const size_t k = (i + 1) % HORA_COUNT(together);
        hora_adapter *pair[] = {attach(b, together[i][0], together[i][1]),
                                attach(b, together[k][0], together[k][1])};
        perturb(pair[0]);
        perturb(pair[1]);
        float *whole = logits_of(b, pair, 1, &n);
        check_weight(b, pair[0], 0, whole, base, n);
        assert_ok(hora_peft_weigh(pair[0], -0.5));
        assert_ok(hora_peft_weigh(pair[1], 1.5));
        char *label = hora_format("-0.5 of %s before 1.5 of %s", together[i][0], together[k][0]);
        check_pair(b, pair, label);
        check_weight(b, pair[0], 1, whole, base, n);
        hora_free(label);
        hora_free(whole);
        hora_peft_detach(pair[0]);
        hora_peft_detach(pair[1]);
    }
    static const char *const whole[] = {"apt", "prefix", "dyt", "alternate"};
    for (size_t i = 0; i < HORA_COUNT(whole); i++) {
        hora_adapter *a = attach(b, whole[i], "");
        perturb(a);
        float *was = logits_of(b, &a, 1, &n);
        assert_fails(hora_peft_weigh(a, 0.5), HORA_EUNSUPPORTED, "no share");
        check_weight(b, a, 0, was, base, n);
        check_weight(b, a, 1, was, base, n);
        hora_free(was);
        hora_peft_detach(a);
    }
    hora_free(base);
    hora_base_close(b);
}

/* Half of an update of low rank is half of what it adds to the weights. */
static void test_half(void **state) {
    (void)state;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    hora_adapter *a = attach(b, "lora", "rank=2,targets=all-linear");
    float **w[2];
    perturb(a);
    for (int i = 0; i < 2; i++) {
        w[i] = hora_calloc((size_t)b->nweights, sizeof *w[i]);
        assert_ok(hora_peft_weigh(a, i ? 0.5 : 1));
        assert_ok(hora_peft_merge(&a, 1, w[i]));
    }
    for (int i = 0; i < b->nweights; i++) {
        const float *was = b->weights[i].view.data;
        for (int64_t k = 0; w[0][i] && k < hora_elems(&b->weights[i].view); k++)
            assert_true(fabs((double)w[0][i][k] - was[k] - 2 * ((double)w[1][i][k] - was[k])) <
                        1e-6);
        hora_free(w[0][i]);
        hora_free(w[1][i]);
    }
    hora_free(w[0]);
    hora_free(w[1]);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* A magnitude that starts at the row norm changes nothing, and the alias is the option. */
static void test_starts_at_base(void **state) {
    static const char *const rows[][2] = {{"dora", "rank=3,targets=all-linear"},
                                          {"hora", "rank=2,targets=q+v+o,magnitude=dora"},
                                          {"hora", "rank=2,magnitude=doran"},
                                          {"ia3", ""},
                                          {"vera", "rank=4"},
                                          {"loha", "rank=2,targets=all-linear"},
                                          {"serial_lora", ""},
                                          {"replora", ""},
                                          {"kadapt", "terms=2"},
                                          {"serial", "bottleneck=3"},
                                          {"parallel", "bottleneck=3"},
                                          {"tiny_attention", ""},
                                          {"hra", "rank=4,targets=q+o"},
                                          {"householder", ""},
                                          {"oft", "block_size=4"},
                                          {"oft", "block_size=4,cayley_neumann=false"},
                                          {"boft", "factors=2"},
                                          {"lokr", "rank=1"},
                                          {"lokr", "rank=1,decompose_both=true"},
                                          {"fourierft", "frequencies=5,init_weights=true"},
                                          {"ln_tuning", ""},
                                          {"adalora", ""},
                                          {"last_layers", ""},
                                          {"apla", ""},
                                          {"head_mix", ""},
                                          {"head_scale", ""},
                                          {"head_lora", "heads=1:0+0:3,targets=q+k+o"},
                                          {"aoft", ""},
                                          {"randlora", "rank=5,targets=q+v+down"},
                                          {"lora", "init=gaussian"},
                                          {"lora", "rank=4,init=orthogonal,targets=all-linear"}};
    (void)state;
    int64_t n;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    fill_biases(b);
    float *base = logits_of(b, NULL, 0, &n);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = attach(b, rows[i][0], rows[i][1]);
        float *got = logits_of(b, &a, 1, &n);
        hora_assert_close(got, base, (size_t)n, 2e-5, rows[i][1]);
        hora_free(got);
        hora_peft_detach(a);
    }
    hora_adapter *alias = attach(b, "dora", "rank=3"),
                 *option = attach(b, "lora", "rank=3,use_dora=true");
    assert_ptr_equal(alias->method, option->method);
    assert_int_equal(alias->nparams, option->nparams);
    for (int i = 0; i < alias->nparams; i++)
        assert_memory_equal(alias->params[i]->value, option->params[i]->value,
                            (size_t)alias->params[i]->elems * sizeof(float));
    hora_peft_detach(alias);
    hora_peft_detach(option);
    hora_free(base);
    hora_base_close(b);
}

static double squares(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

/* W - s B A of a site, squared. */
static double left_over(const hora_adapter *a, const hora_site *s, int64_t r, double scale) {
    char *na = hora_format("base_model.model.%s.lora_A.weight", s->module);
    char *nb = hora_format("base_model.model.%s.lora_B.weight", s->module);
    const float *fa = hora_adapter_find(a, na)->value, *fb = hora_adapter_find(a, nb)->value;
    const float *w = a->base->weights[s->weight].view.data;
    double *x = hora_malloc((size_t)(s->in * s->out) * sizeof *x);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++) {
            double ba = 0;
            for (int64_t k = 0; k < r; k++)
                ba += (double)fb[o * r + k] * (double)fa[k * s->in + i];
            x[o * s->in + i] = (double)w[o * s->in + i] - scale * ba;
        }
    const double sum = squares(x, s->in * s->out);
    hora_free(x);
    hora_free(na);
    hora_free(nb);
    return sum;
}

/* What is left of W are its smaller singular values: nothing of rank r leaves less. */
static void check_pissa(const hora_base *b) {
    hora_adapter *a = attach(b, "lora", "rank=3,alpha=6,init=pissa");
    const hora_site *s = &b->sites[0];
    const int64_t n = s->in * s->out, k = hora_min(s->in, s->out);
    double *w = hora_malloc((size_t)n * sizeof *w), *values = hora_malloc((size_t)k * sizeof *w);
    assert_ok(hora_convert(w, HORA_F64, b->weights[s->weight].view.data, HORA_F32, n));
    hora_dense_singular(w, s->out, s->in, values);
    const double least = squares(values + 3, k - 3), all = squares(values, k);
    assert_true(fabs(left_over(a, s, 3, 2) - least) < 1e-5 * all);
    hora_free(w);
    hora_free(values);
    hora_peft_detach(a);
}

/* Starts that are made of W: the base at first, the same when saved and read as plain LoRA. */
static void test_starts_of_weights(void **state) {
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    int64_t n;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    fill_biases(b);
    check_pissa(b);
    float *base = logits_of(b, NULL, 0, &n);
    static const char *const inits[] = {"rank=3,init=pissa,targets=q+v+down",
                                        "rank=4,init=olora,rslora=true,rank_pattern=q_proj:2"};
    for (size_t i = 0; i < HORA_COUNT(inits); i++) {
        hora_adapter *a = attach(b, "lora", inits[i]), *back;
        float *got = logits_of(b, &a, 1, &n);
        hora_assert_close(got, base, (size_t)n, 1e-4, inits[i]);
        hora_free(got);
        hora_rng r = hora_rng_new(3, inits[i]);
        for (int k = 0; k < a->nparams; k++)
            for (int64_t e = 0; !a->params[k]->fixed && e < a->params[k]->elems; e++)
                ((float *)a->params[k]->value)[e] += (float)(0.1 * hora_rng_normal(&r));
        float *moved = logits_of(b, &a, 1, &n);
        const char *dir = hora_test_path(hora_test_tmp(), "start");
        assert_ok(hora_remove_tree(dir));
        assert_ok(hora_mkdirs(dir));
        assert_ok(hora_peft_save(a, dir, NULL));
        assert_ok(hora_peft_load(&back, b, dir, NULL));
        got = logits_of(b, &back, 1, &n);
        hora_assert_close(got, moved, (size_t)n, 1e-4, inits[i]);
        hora_free(got);
        hora_free(moved);
        hora_peft_detach(back);
        hora_peft_detach(a);
    }
    hora_free(base);
    hora_base_close(b);
}

/* However large the step: a parameter with a bound stays there. */
static void test_bound(void **state) {
    (void)state;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    hora_adapter *a = attach(b, "hora", "rank=2,magnitude=doran");
    golden_run r;
    hora_rng rng = hora_rng_new(1, "batch");
    golden_synthetic(&r, &rng, b->vocab, lengths, 2, 0);
    hora_settings s = {0};
    hora_train_config c;
    hora_training *t;
    hora_step_info info;
    assert_ok(
        hora_settings_parse(&s, "steps=3,lr=10,schedule=constant,warmup=0,explode=0", "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    c.batch_size = 1;
    hora_training_parts p = {.base = b, .adapters = &a, .nadapters = 1, .seq_len = r.length};
    assert_ok(hora_training_open(&t, &p, &c));
    assert_ok(hora_training_prepare(t));
    const hora_batch one = {.rows = r.rows.rows,
                            .ids = r.ints[0],
                            .pos = r.ints[1],
                            .lo = r.ints[2],
                            .hi = r.ints[3],
                            .target = r.ints[4],
                            .weight = r.weight,
                            .tokens = r.rows.rows,
                            .supervised = 5};
    golden_record(&r, b, &a, 1, &(golden_options){.mode = HORA_NET_EVAL});
    int at_bound = 0;
    for (int k = 0; k < 3; k++) {
        assert_ok(hora_training_step_on(t, &one, 1, &info));
        for (int i = 0; i < a->nparams; i++)
            if (strstr(a->params[i]->name, "tau_")) {
                const float tau = *(const float *)a->params[i]->value;
                assert_true(tau >= 1e-6f);
                at_bound += tau == 1e-6f;
            }
    }
    assert_true(at_bound > 0);
    hora_training_free(t);
    golden_close(&r);
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* A row of zeros has no norm to divide by: said at the start, with its name; tau makes it harmless.
 */
static void zero_rows(void **state) {
    (void)state;
    hora_base *b = golden_fresh(biased, HORA_F32, false);
    const hora_view *w = &b->weights[hora_base_site(b, HORA_SITE_Q, 1)->weight].view;
    memset((float *)w->data + 3 * w->shape.d[1], 0, (size_t)w->shape.d[1] * sizeof(float));
    hora_adapter *a = golden_attach(b, "dora", "rank=2,targets=q");
    assert_fails(hora_adapter_allocate(a), HORA_ENUMERIC,
                 "row 3 of model.layers.1.self_attn.q_proj.weight is all zeros");
    hora_peft_detach(a);
    hora_peft_detach(attach(b, "dora", "rank=2,targets=k"));
    hora_peft_detach(attach(b, "hora", "rank=2,targets=q,magnitude=doran"));
    hora_base_close(b);
}

HORA_TESTS(law_methods, {"a row of zeros under DoRA is named", zero_rows, HORA_SHORT},
           {"merged is attached, in every order", test_pairs, HORA_SHORT},
           {"adapters that count in part", test_weights, HORA_SHORT},
           {"half of a low-rank update", test_half, HORA_SHORT},
           {"starts made of weights", test_starts_of_weights, HORA_SHORT},
           {"starts at the base", test_starts_at_base, HORA_SHORT},
           {"bounds hold", test_bound, HORA_SHORT});
