/*
 * Whole models with methods attached, in f64 on ref: the gradient of every parameter tensor against
 * central differences of the loss along a random direction, best of three steps, 1e-6 relative.
 * Kept and recomputed must agree to the bit.
 */
#include "vectors/golden.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"

typedef struct shape {
    const char *name, *config;
} shape;
/* Small and odd on purpose: head_dim is not hidden / heads, widths are no powers of two. */
#define DIMS                                                                                       \
    "\"hidden_size\":12,\"intermediate_size\":20,\"num_hidden_layers\":2,\"num_attention_heads\":" \
    "4,\"vocab_size\":23,\"initializer_range\":0.4,\"max_position_embeddings\":64,"
static const shape families[] = {
    {"llama", "{\"model_type\":\"llama\"," DIMS
              "\"num_key_value_heads\":2,\"head_dim\":6,\"tie_word_embeddings\":false}"},
    {"llama tied, rope3",
     "{\"model_type\":\"llama\"," DIMS
     "\"num_key_value_heads\":4,\"head_dim\":4,\"tie_word_embeddings\":true,\"rope_scaling\":{"
     "\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
     "\"original_max_position_embeddings\":16}}"},
    {"llama with biases",
     "{\"model_type\":\"llama\"," DIMS "\"attention_bias\":true,\"mlp_bias\":true,\"hidden_act\":"
     "\"gelu\",\"head_dim\":4,\"tie_word_embeddings\":false}"},
    {"mistral",
     "{\"model_type\":\"mistral\"," DIMS "\"num_key_value_heads\":1,\"head_dim\":2,\"sliding_"
     "window\":3,\"tie_word_embeddings\":false}"},
    {"qwen2", "{\"model_type\":\"qwen2\"," DIMS
              "\"num_key_value_heads\":2,\"head_dim\":6,\"tie_word_embeddings\":false}"},
    {"qwen3", "{\"model_type\":\"qwen3\"," DIMS
              "\"num_key_value_heads\":2,\"head_dim\":8,\"tie_word_embeddings\":true}"},
};
static const struct {
    const char *method, *options;
} methods[] = {
    {"full", ""},
    {"lora", "rank=3,targets=all-linear,dropout=0.25"},
    {"lora", "rank=2,targets=q+down,rslora=true,rank_pattern=q_proj:4"},
    {"hora", "rank=2,input=3,hidden=5,act=tanh"},
    {"hora", "rank=2,targets=q+k+v+o,act=gelu,dropout=0.25"},
    {"hora", "rank=3,targets=q+v+o,share_qv=off,share_heads=off,act=sigmoid"},
    {"hora", "rank=3,targets=k+v,act=identity"},
    {"hora", "rank=2,generator=rep,targets=q+o,act=tanh"},
    {"hora", "rank=2,generator=free,targets=q+v"},
    {"hora", "rank=2,act=relu,layers=1"},
};

static hora_adapter *attach(const hora_base *b, const char *method, const char *options) {
    hora_adapter *a = golden_attach(b, method, options);
    assert_ok(hora_adapter_allocate(a));
    hora_rng r = hora_rng_new(3, "perturb"); /* no factor may be zero */
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++)
            ((double *)a->params[i]->value)[k] += 0.3 * hora_rng_normal(&r);
    return a;
}

static double loss_at(golden_run *r, hora_param *p, const double *p0, const double *dir, double h) {
    for (int64_t k = 0; k < p->elems; k++)
        ((double *)p->value)[k] = p0[k] + h * dir[k];
    golden_again(r);
    return hora_graph_scalar(r->g, r->loss);
}

static double best_error(golden_run *r, hora_param *p, const double *grad, hora_rng *rng) {
    size_t bytes = (size_t)p->elems * sizeof(double);
    double *p0 = hora_malloc(bytes), *dir = hora_malloc(bytes), want = 0, best = INFINITY;
    memcpy(p0, p->value, bytes);
    for (int64_t k = 0; k < p->elems; k++)
        want += (dir[k] = hora_rng_normal(rng)) * grad[k];
    for (double h = 1e-3; h > 1e-6; h /= 10) {
        double got = (loss_at(r, p, p0, dir, h) - loss_at(r, p, p0, dir, -h)) / (2 * h);
        best = fmin(best, fabs(got - want) / fmax(fmax(fabs(got), fabs(want)), 1e-4));
    }
    memcpy(p->value, p0, bytes);
    hora_free(p0);
    hora_free(dir);
    return best;
}

static void check_case(const shape *s, const char *method, const char *options) {
    static const int lengths[] = {7, 1, 5};
    hora_base *b = golden_fresh(s->config, HORA_F64, false);
    hora_adapter *a = attach(b, method, options);
    hora_rng rng = hora_rng_new(1, s->name);
    golden_run r;
    golden_synthetic(&r, &rng, b->vocab, lengths, 3, 2);
    golden_record(&r, b, &a, 1,
                  &(golden_options){.backward = true, .poison = true, .recompute = 1});
    double *grads = hora_malloc(r.grad_bytes);
    memcpy(grads, r.grads, r.grad_bytes);
    for (int i = 0; i < a->nparams; i++) {
        hora_param *p = a->params[i];
        double e = best_error(&r, p, grads + ((double *)p->grad - (double *)r.grads), &rng);
        if (!(e <= 1e-6))
            fail_msg("%s, %s %s: %s is off by %.3g relative", s->name, method, options, p->name, e);
    }
    hora_free(grads);
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
}

static void test_families(void **state) {
    (void)state;
    for (size_t f = 0; f < HORA_COUNT(families); f++)
        check_case(&families[f], "full", "");
}

static void test_methods(void **state) {
    (void)state;
    for (size_t m = 1; m < HORA_COUNT(methods); m++)
        for (size_t f = 0; f < 2; f++)
            check_case(&families[f], methods[m].method, methods[m].options);
}

static void test_bitfit_and_head(void **state) {
    (void)state;
    check_case(&families[2], "bitfit", "");
    check_case(&families[0], "head", "");
    check_case(&families[0], "lora", "modules_to_save=lm_head");
}

/* Recomputing is a change of schedule: same bits, and less memory kept. */
static void test_recompute(void **state) {
    static const int lengths[] = {9, 4};
    static const int recompute[] = {0, 1, HORA_RECOMPUTE_ALL};
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(methods); m++) {
        hora_base *b = golden_fresh(families[0].config, HORA_F64, false);
        hora_adapter *a = attach(b, methods[m].method, methods[m].options);
        void *first = NULL;
        size_t kept = 0;
        for (size_t k = 0; k < HORA_COUNT(recompute); k++) {
            hora_rng rng = hora_rng_new(1, "recompute");
            golden_run r;
            golden_synthetic(&r, &rng, b->vocab, lengths, 2, 3);
            golden_record(
                &r, b, &a, 1,
                &(golden_options){.backward = true, .poison = true, .recompute = recompute[k]});
            const hora_plan_info *info = hora_graph_info(r.g);
            assert_int_equal(hora_graph_used(r.g), info->arena);
            if (k == 0) {
                first = hora_malloc(r.grad_bytes);
                memcpy(first, r.grads, r.grad_bytes);
                kept = info->kept;
            } else {
                assert_memory_equal(first, r.grads, r.grad_bytes);
                assert_true(info->kept <= kept); /* layer 0 may have nothing to keep */
                if (recompute[k] == HORA_RECOMPUTE_ALL)
                    assert_true(info->kept < kept);
            }
            golden_close(&r);
        }
        hora_free(first);
        hora_peft_detach(a);
        hora_base_close(b);
    }
}

HORA_TESTS(grad_models, {"every family, every weight", test_families, HORA_SHORT},
           {"methods", test_methods, HORA_SHORT},
           {"bitfit, head, saved head", test_bitfit_and_head, HORA_SHORT},
           {"recomputed = kept, bit for bit", test_recompute, HORA_SHORT});
