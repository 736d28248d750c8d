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
#include "method_cases.h"

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
    {"latent",
     "{\"model_type\":\"latent\"," DIMS
     "\"num_key_value_heads\":2,\"head_dim\":6,\"tie_word_embeddings\":false,"
     "\"attention_bias\":true,\"latent\":{\"rank\":5,\"rotary_pairs\":[[[1],[0]],[[2],[1]]]}}"},
};
enum { TRIED = 3 }; /* families that methods are tried on */

/* NULL: the model has nothing that the method could train. */
static hora_adapter *attach(const hora_base *b, const char *method, const char *options) {
    hora_settings s = {0};
    hora_adapter *a = NULL;
    assert_ok(hora_settings_parse(&s, options, "test"));
    const hora_status st = hora_peft_attach(&a, b, method, &s, 11);
    hora_settings_release(&s);
    if (st == HORA_EUNSUPPORTED)
        return NULL;
    assert_ok(st);
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

/* Vision Transformers: what differs in the recording is among them; positions interpolated. */
#define PICTURES                                                                                   \
    "\"hidden_size\":12,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"initializer_range\":"  \
    "0.4,"                                                                                         \
    "\"image_size\":6,\"patch_size\":2,"
static const shape pictures[] = {
    {"vit", "{\"model_type\":\"vit\"," PICTURES "\"intermediate_size\":20}"},
    {"deit", "{\"model_type\":\"deit\"," PICTURES "\"intermediate_size\":20}"},
    {"dinov2, gated", "{\"model_type\":\"dinov2_with_registers\"," PICTURES
                      "\"mlp_ratio\":2,\"use_swiglu_ffn\":true,\"num_register_tokens\":2}"},
    {"clip", "{\"model_type\":\"clip_vision_model\"," PICTURES "\"intermediate_size\":20}"},
    {"videomae", "{\"model_type\":\"videomae\"," PICTURES
                 "\"intermediate_size\":20,\"num_frames\":4,\"tubelet_size\":2}"},
};
enum { CLASSES = 3 };

/* Clips for models of pictures: a class token, two, the mean of pieces, both. */
#define VIT  "{\"model_type\":\"vit\"," PICTURES "\"intermediate_size\":20}"
#define CLIP "{\"model_type\":\"clip_vision_model\"," PICTURES "\"intermediate_size\":20}"
#define DINO "{\"model_type\":\"dinov2_with_registers\"," PICTURES "\"num_register_tokens\":2}"
typedef struct clip {
    const char *name, *config;
    int frames;
    bool joint;
} clip;
static const clip clips[] = {
    {"vit, apart", VIT, 3, false},   {"vit, joint", VIT, 3, true},
    {"clip, apart", CLIP, 2, false}, {"clip, joint", CLIP, 2, true},
    {"dino, apart", DINO, 2, false}, {"dino, joint", DINO, 2, true},
};

/* A model of pictures with a head, and batches of another height, where that can be. */
static hora_base *open_pictures(const char *config) {
    char *path = hora_path_join(hora_test_tmp(), "config.json");
    hora_base *b = NULL;
    const hora_base_options o = {.dtype = HORA_F64, .headers_only = true, .bare = true};
    assert_ok(hora_file_write(path, config, strlen(config)));
    assert_ok(hora_base_fresh(&b, path, &o, 5));
    assert_ok(hora_base_head(b, "IMAGE_CLS", CLASSES, true, true, 5));
    assert_ok(hora_base_complete(b));
    if (!b->vision->fixed)
        assert_ok(hora_vision_resize(b->vision, 1, 8, 6));
    hora_free(path);
    return b;
}

/* Closes b. */
static bool check_on(hora_base *b, const char *name, const char *method, const char *options) {
    static const int lengths[] = {7, 1, 5};
    hora_adapter *a = attach(b, method, options);
    if (!a) {
        hora_base_close(b);
        return false;
    }
    hora_rng rng = hora_rng_new(1, name);
    golden_run r;
    if (b->vision)
        golden_pictures(&r, &rng, b, 3, CLASSES);
    else
        golden_synthetic(&r, &rng, b->vocab, lengths, 3, 2);
    golden_record(
        &r, b, &a, 1,
        &(golden_options){.backward = true, .poison = true, .recompute = 1, .hold = true});
    double *grads = hora_malloc(r.grad_bytes);
    memcpy(grads, r.grads, r.grad_bytes);
    for (int i = 0; i < a->nparams; i++) {
        hora_param *p = a->params[i];
        if (p->fixed)
            continue;
        double e = best_error(&r, p, grads + ((double *)p->grad - (double *)r.grads), &rng);
        if (!(e <= 1e-6))
            fail_msg("%s, %s %s: %s is off by %.3g relative", name, method, options, p->name, e);
    }
    hora_free(grads);
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
    return true;
}

static bool check_case(const shape *s, const char *method, const char *options) {
    const bool seen = s >= pictures && s < pictures + HORA_COUNT(pictures);
    return check_on(seen ? open_pictures(s->config) : golden_fresh(s->config, HORA_F64, false),
                    s->name, method, options);
}

static bool check_clip(const clip *s, const char *method, const char *options) {
    hora_base *b = open_pictures(s->config);
    assert_ok(hora_vision_clips(b->vision, s->frames, s->joint));
    return check_on(b, s->name, method, options);
}

static void test_families(void **state) {
    (void)state;
    for (size_t f = 0; f < HORA_COUNT(families); f++)
        assert_true(check_case(&families[f], "full", ""));
    for (size_t f = 0; f < HORA_COUNT(pictures); f++)
        assert_true(check_case(&pictures[f], "full", ""));
}

static void test_methods(void **state) {
    (void)state;
    for (int m = 0; m < method_case_count(); m++) {
        const method_case *row = method_case_at(m);
        int fit = 0;
        if (!hora_test_asked(row->method))
            continue;
        for (size_t f = 0; f < TRIED; f++)
            fit += check_case(&families[f], row->method, row->options);
        for (size_t f = 0, none = !fit; none && f < HORA_COUNT(pictures); f++)
            fit += check_case(&pictures[f], row->method, row->options); /* of pictures alone */
        if (!fit)
            fail_msg("no model fits method %s with %s", row->method, row->options);
    }
}

/* What differs where rows see each other both ways: class tokens, tokens mixed whole, in space and
 * in time, windows on two sides, one row that decides for a sample. */
static void test_methods_of_pictures(void **state) {
    static const char *const rows[][2] = {{"losa", "rank=2,token_rank=3"},
                                          {"alternate", "every=2,window=3"},
                                          {"isomorphic", "width=2"},
                                          {"dyt", "bottleneck=2,budget_weight=0,gate_start=0"},
                                          {"adavit", "per=sample,budget_weight=0,gate_start=0"}};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        for (size_t f = 0; f < HORA_COUNT(pictures); f += 2)
            assert_true(check_case(&pictures[f], rows[i][0], rows[i][1]));
}

/* Prompts over the time of a clip among them: keys and values beside those of all frames. */
static void test_clips(void **state) {
    static const char *const rows[][2] = {{"full", ""},
                                          {"hora", "rank=2"},
                                          {"apt", "prompts=3"},
                                          {"vpt", "prompts=2"},
                                          {"losa", "rank=2,token_rank=3"}};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        for (size_t f = 0; f < HORA_COUNT(clips); f++)
            if (f < 2 || i < 4)
                assert_true(check_clip(&clips[f], rows[i][0], rows[i][1]));
}

/* Else no layer has a backward that reads anything. */
static bool in_a_layer(const hora_adapter *a) {
    for (int i = 0; i < a->nparams; i++)
        if (a->params[i]->layer >= 0)
            return true;
    return false;
}

/* Recomputing is a change of schedule: same bits, and less memory kept. */
static void test_recompute(void **state) {
    static const int lengths[] = {9, 4};
    static const int recompute[] = {0, 1, HORA_RECOMPUTE_ALL};
    (void)state;
    for (int m = 0; m < method_case_count(); m++) {
        const method_case *row = method_case_at(m);
        const bool biases = hora_eq(row->method, "bitfit");
        if (!hora_test_asked(row->method))
            continue;
        const bool seen = !method_case_of_text(row);
        hora_base *b = seen ? open_pictures(pictures[0].config)
                            : golden_fresh(families[biases ? 2 : 0].config, HORA_F64, false);
        hora_adapter *a = attach(b, row->method, row->options);
        void *first = NULL;
        size_t kept = 0;
        for (size_t k = 0; k < HORA_COUNT(recompute); k++) {
            hora_rng rng = hora_rng_new(1, "recompute");
            golden_run r;
            if (seen)
                golden_pictures(&r, &rng, b, 3, CLASSES);
            else
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
                if (recompute[k] == HORA_RECOMPUTE_ALL && in_a_layer(a))
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
           {"methods of pictures", test_methods_of_pictures, HORA_SHORT},
           {"clips for models of pictures", test_clips, HORA_SHORT},
           {"recomputed = kept, bit for bit", test_recompute, HORA_SHORT});
