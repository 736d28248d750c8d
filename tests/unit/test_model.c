/* Opening bases: what is refused, by name and with the reason; what is written comes back. */
#include <math.h>
#include <stdio.h>

#include "vectors/golden.h"

#include "base/file.h"
#include "base/text.h"
#include "model/rope.h"

#define DIMS                                                                                       \
    "\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":2,\"num_attention_heads\":"  \
    "2,\"vocab_size\":11"

/* A model directory with random weights; returns its path. */
static const char *write_model(const char *config, hora_dtype dtype) {
    hora_base *b = golden_fresh(config, HORA_F32, false);
    const char *dir = hora_test_tmp();
    assert_ok(hora_base_save(b, dir, NULL, dtype));
    hora_base_close(b);
    return dir;
}

static hora_status open_dir(hora_base **b, const char *dir) {
    return hora_base_open(b, dir, &(hora_base_options){.dtype = HORA_F32});
}

static void test_round_trip(void **state) {
    static const hora_dtype dtypes[] = {HORA_F32, HORA_BF16, HORA_F16};
    (void)state;
    for (size_t d = 0; d < HORA_COUNT(dtypes); d++) {
        const char *config =
            "{\"model_type\":\"qwen3\"," DIMS ",\"head_dim\":6,\"tie_word_embeddings\":true}";
        const char *dir = write_model(config, dtypes[d]);
        hora_base *b, *fresh = golden_fresh(config, HORA_F32, false);
        assert_ok(hora_base_save(fresh, dir, NULL, dtypes[d]));
        assert_ok(open_dir(&b, dir));
        assert_int_equal(b->nweights, fresh->nweights);
        assert_true(b->weights[b->head].tied);
        assert_ptr_equal(b->weights[b->head].view.data, b->weights[b->embed].view.data);
        double tol = dtypes[d] == HORA_F32 ? 0 : dtypes[d] == HORA_F16 ? 1e-4 : 1e-3;
        for (int w = 0; w < b->nweights; w++)
            hora_assert_close(b->weights[w].view.data, fresh->weights[w].view.data,
                              (size_t)hora_elems(&b->weights[w].view), tol, b->weights[w].name);
        hora_base_close(b);
        hora_base_close(fresh);
    }
}

/* What is stored as bf16 is mapped, the rest rounded once. */
static void test_bf16(void **state) {
    static const hora_dtype dtypes[] = {HORA_BF16, HORA_F32};
    const char *config = "{\"model_type\":\"llama\"," DIMS "}";
    (void)state;
    for (size_t d = 0; d < HORA_COUNT(dtypes); d++) {
        const char *dir = write_model(config, dtypes[d]);
        hora_base *b, *fresh = golden_fresh(config, HORA_F32, false);
        assert_ok(hora_base_open(&b, dir, &(hora_base_options){.dtype = HORA_BF16}));
        assert_int_equal(b->store_bytes == 0, dtypes[d] == HORA_BF16);
        for (int w = 0; w < b->nweights; w++) {
            const hora_view *v = &b->weights[w].view;
            const float *want = fresh->weights[w].view.data;
            assert_int_equal(v->dtype, HORA_BF16);
            for (int64_t i = 0; i < hora_elems(v); i++)
                assert_int_equal(((const uint16_t *)v->data)[i], hora_f32_to_bf16(want[i]));
        }
        hora_base_close(b);
        hora_base_close(fresh);
    }
}

static void test_config_refusals(void **state) {
    static const struct {
        const char *config;
        hora_status status;
        const char *text;
    } rows[] = {
        {"{" DIMS "}", HORA_EFORMAT, "no model_type"},
        {"[]", HORA_EFORMAT, NULL},
        {"{\"model_type\":\"mamba\"," DIMS "}", HORA_EUNSUPPORTED, "mamba"},
        {"{\"model_type\":\"llama\",\"hidden_size\":8}", HORA_EFORMAT, "intermediate_size"},
        {"{\"model_type\":\"llama\"," DIMS ",\"num_key_value_heads\":3}", HORA_EFORMAT, NULL},
        {"{\"model_type\":\"llama\"," DIMS ",\"head_dim\":3}", HORA_EUNSUPPORTED, "odd"},
        {"{\"model_type\":\"llama\"," DIMS ",\"hidden_act\":\"swoosh\"}", HORA_EUNSUPPORTED,
         "swoosh"},
        {"{\"model_type\":\"llama\"," DIMS
         ",\"rope_scaling\":{\"rope_type\":\"spiral\",\"factor\":4.0}}",
         HORA_EUNSUPPORTED, "spiral"},
        {"{\"model_type\":\"llama\"," DIMS
         ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":0.5}}",
         HORA_EFORMAT, "factor >= 1"},
        {"{\"model_type\":\"llama\"," DIMS
         ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"short_factor\":[1]}}",
         HORA_EFORMAT, "short_factor with"},
        {"{\"model_type\":\"llama\"," DIMS ",\"rope_theta\":-1.0}", HORA_EFORMAT, "rope_theta"},
        {"{\"model_type\":\"llama\"," DIMS ",\"rope_scaling\":{\"rope_type\":\"dynamic\"}}",
         HORA_EFORMAT, "`factor`"},
        {"{\"model_type\":\"llama\"," DIMS
         ",\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":1e30}}",
         HORA_EFORMAT, "`factor`"},
        {"{\"model_type\":\"llama\"," DIMS ",\"partial_rotary_factor\":0.5}", HORA_EUNSUPPORTED,
         "partial_rotary_factor"},
        {"{\"model_type\":\"llama\"," DIMS ",\"quantization_config\":{\"bits\":4}}",
         HORA_EUNSUPPORTED, "quantization_config"},
        {"{\"model_type\":\"qwen3\"," DIMS ",\"layer_types\":[\"full_attention\"]}", HORA_EFORMAT,
         "layer_types"},
        {"{\"model_type\":\"qwen3\"," DIMS
         ",\"layer_types\":[\"full_attention\",\"linear_attention\"]}",
         HORA_EUNSUPPORTED, "linear_attention"},
        {"{\"model_type\":\"llama\"," DIMS ",\"num_hidden_layers\":2}", HORA_EFORMAT,
         NULL}, /* repeated key */
        {"{\"model_type\":\"llama\",\"hidden_size\":\"8\"}", HORA_EFORMAT, "hidden_size"},
        {"{\"model_type\":\"llama\",\"hidden_size\":99999999999}", HORA_EFORMAT, "hidden_size"},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *path = hora_path_join(hora_test_tmp(), "config.json");
        assert_ok(hora_file_write(path, rows[i].config, strlen(rows[i].config)));
        hora_base *b;
        assert_fails(hora_base_fresh(&b, path, &(hora_base_options){.headers_only = true}, 1),
                     rows[i].status, rows[i].text);
        assert_null(b);
        hora_free(path);
    }
}

/* transformers' words for the same function; every family reads them. */
static void test_activations(void **state) {
    static const struct {
        const char *name;
        hora_act act;
    } rows[] = {{"gelu_python", HORA_ACT_GELU},   {"gelu_fast", HORA_ACT_GELU_TANH},
                {"gelu_new", HORA_ACT_GELU_TANH}, {"quick_gelu", HORA_ACT_QUICK_GELU},
                {"swish", HORA_ACT_SILU},         {"tanh", HORA_ACT_TANH},
                {"linear", HORA_ACT_IDENTITY}};
    hora_act act;
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_json *config;
        const char *text = hora_test_text("{\"hidden_act\": \"%s\"}", rows[i].name);
        assert_ok(hora_json_parse(&config, text, strlen(text), "config.json"));
        assert_ok(hora_family_act(config, "hidden_act", "gelu", &act));
        assert_int_equal(act, rows[i].act);
        assert_ok(hora_family_act(config, "another", "relu", &act));
        assert_int_equal(act, HORA_ACT_RELU);
        assert_fails(hora_family_act(config, "another", "gelu_10", &act), HORA_EUNSUPPORTED,
                     "gelu_10");
        hora_json_free(config);
    }
}

/* Rotary frequencies of 4 pairs, theta 10000, 64 positions; by hand from the definitions. */
static void test_rope(void **state) {
    (void)state;
    static const struct {
        const char *scaling;
        double freq[4], scale;
        int64_t positions;
    } rows[] = {
        {"{}", {1, 0.1, 0.01, 0.001}, 1, 64},
        {"{\"rope_type\":\"linear\",\"factor\":4}", {0.25, 0.025, 0.0025, 0.00025}, 1, 64},
        {"{\"rope_type\":\"dynamic\",\"factor\":4}", {1, 0.1, 0.01, 0.001}, 1, 64},
        /* without an original length it is the model's: waves of 6.3 and 63 positions, cut at 16
         * and 64; the second is blended, (64 / 62.83 - 1) / 3 = 0.0062 */
        {"{\"rope_type\":\"llama3\",\"factor\":4}", {1, 0.0254648, 0.0025, 0.00025}, 1, 64},
        {"{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":16,"
         "\"short_factor\":[1,2,4,5],\"long_factor\":[9,9,9,9]}",
         {1, 0.05, 0.0025, 0.0002},
         1.224745, /* (1 + ln 4 / ln 16)^(1/2) */
         16},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_rope_frequencies f;
        hora_json *s;
        assert_ok(hora_json_parse(&s, rows[i].scaling, strlen(rows[i].scaling), "rope"));
        assert_ok(hora_rope_read(&f, s, 10000, 4, 64));
        for (int k = 0; k < 4; k++)
            assert_true(fabs(f.freq[k] / rows[i].freq[k] - 1) < 1e-5);
        assert_true(fabs(f.scale - rows[i].scale) < 1e-5);
        assert_int_equal(f.positions, rows[i].positions);
        hora_free(f.freq);
        hora_json_free(s);
    }
}

/* Weights of another configuration: everything wrong is in one message. */
static void test_weights_that_do_not_fit(void **state) {
    (void)state;
    const char *dir =
        write_model("{\"model_type\":\"llama\"," DIMS ",\"tie_word_embeddings\":false}", HORA_F32);
    char *config = hora_path_join(dir, "config.json"),
         *weights = hora_path_join(dir, "model.safetensors");
    hora_base *b;
    const char *biased = "{\"model_type\":\"qwen2\"," DIMS ",\"tie_word_embeddings\":false}";
    assert_ok(hora_file_write(config, biased, strlen(biased)));
    assert_fails(open_dir(&b, dir), HORA_ESHAPE, "missing model.layers.0.self_attn.q_proj.bias");
    const char *narrow =
        "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_"
        "layers\":1,\"num_attention_heads\":2,\"vocab_size\":12,\"tie_word_embeddings\":false}";
    assert_ok(hora_file_write(config, narrow, strlen(narrow)));
    assert_fails(open_dir(&b, dir), HORA_ESHAPE,
                 "model.embed_tokens.weight is [11, 8], config.json makes it [12, 8]");
    assert_non_null(strstr(hora_errmsg(), "model.layers.1."));
    hora_str whole = {0};
    assert_ok(hora_file_read(&whole, weights));
    assert_ok(hora_file_write(weights, whole.s, whole.n - 7));
    assert_fails(open_dir(&b, dir), HORA_EFORMAT, NULL);
    assert_ok(hora_remove_tree(weights));
    assert_fails(open_dir(&b, dir), HORA_ENOTFOUND, NULL);
    assert_fails(open_dir(&b, config), HORA_ENOTFOUND, "no model directory");
    hora_str_release(&whole);
    hora_free(config);
    hora_free(weights);
}

/* Sites that PEFT would adapt, options that make no sense. */
static void test_targets(void **state) {
    static const struct {
        const char *options;
        int adapted; /* sites; 0: refused with `text` */
        const char *text;
    } rows[] = {
        {"targets=q+v", 4, NULL},
        {"targets=q_proj+mlp.down_proj", 4, NULL},
        {"targets=all-linear", 14, NULL},
        {"targets=all", 14, NULL},
        {"targets=ALL_LINEAR", 14, NULL},
        {"targets=all-linear+lm_head", 15, NULL},
        {"exclude=all", 0, "matches no module"},
        {"targets=\"re:.*layers\\.1\\.self_attn\\..*\"", 4, NULL},
        {"targets=gate,layers=0", 1, NULL},
        {"targets=q+k+v+o,layers=1", 4, NULL},
        {"targets=all-linear,layers=1", 7, NULL},
        {"targets=re:.*(q|k)_proj,layers=0", 2, NULL},
        {"targets=re:.*layers.0.*,layers=1", 0, "matches nothing in the layers"},
        {"targets=all-linear,layers=7", 0, "no layer 7"},
        {"targets=query", 0, "try targets=q+v"},
        {"targets=q+vv", 0, "vv"},
        {"layers=2", 0, "no layer 2"},
        {"layers=x", 0, "layer number"},
        {"rank_pattern=q_proj", 0, "PATTERN:NUMBER"},
        {"rank_pattern=q_proj:2.5", 0, "whole numbers"},
        {"modules_to_save=score", 0, "score"},
    };
    (void)state;
    hora_base *b = golden_fresh("{\"model_type\":\"llama\"," DIMS ",\"tie_word_embeddings\":true}",
                                HORA_F32, true);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_settings s = {0};
        hora_adapter *a = NULL;
        const char *eq = strchr(rows[i].options, '"');
        if (eq) /* a quoted value, as on a command line */
            hora_settings_put(&s, "targets", "re:.*layers\\.1\\.self_attn\\..*", "test");
        else
            for (const char *p = rows[i].options; *p;
                 p += strcspn(p, ",") + (p[strcspn(p, ",")] != '\0')) {
                char *part = hora_strndup(p, strcspn(p, ",")), *value = strchr(part, '=');
                *value = '\0';
                hora_settings_put(&s, part, value + 1, "test");
                hora_free(part);
            }
        hora_status st = hora_peft_attach(&a, b, "lora", &s, 1);
        if (rows[i].adapted) {
            assert_int_equal(st, HORA_OK);
            assert_int_equal(a->nparams, 2 * rows[i].adapted);
        } else {
            assert_true(st < 0);
            assert_non_null(strstr(hora_errmsg(), rows[i].text));
        }
        hora_peft_detach(a);
        hora_settings_release(&s);
    }
    hora_adapter *a;
    hora_settings none = {0};
    assert_fails(hora_peft_attach(&a, b, "lorra", &none, 1), HORA_ENOTFOUND, "did you mean `lora`");
    assert_fails(hora_peft_attach(&a, b, "head", &none, 1), HORA_EUNSUPPORTED,
                 "tie_word_embeddings");
    assert_fails(hora_peft_attach(&a, b, "bitfit", &none, 1), HORA_EUNSUPPORTED, "no biases");
    hora_settings mlp = {0};
    hora_settings_put(&mlp, "targets", "q+down", "test");
    assert_fails(hora_peft_attach(&a, b, "hora", &mlp, 1), HORA_EUSAGE, "no attention heads");
    hora_settings_release(&mlp);
    hora_base_close(b);
}

/* Adapter folders: written, read back, and refused when they belong elsewhere. */
static void test_adapter_files(void **state) {
    static const struct {
        const char *method, *options;
    } rows[] = {
        {"lora",
         "rank=2,targets=all-linear,rslora=true,rank_pattern=q_proj:4,alpha_pattern=v_proj:3"},
        {"lora", "rank=3,layers=1,modules_to_save=lm_head"},
        {"hora", "rank=2,modules_to_save=lm_head"},
        {"head", ""},
        {"full", ""}};
    (void)state;
    hora_base *b = golden_fresh("{\"model_type\":\"llama\"," DIMS ",\"tie_word_embeddings\":false}",
                                HORA_F32, false);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = golden_attach(b, rows[i].method, rows[i].options), *back = NULL;
        assert_ok(hora_adapter_allocate(a));
        hora_rng r = hora_rng_new(1, "values");
        for (int k = 0; k < a->nparams; k++)
            for (int64_t j = 0; j < a->params[k]->elems; j++)
                ((float *)a->params[k]->value)[j] = (float)hora_rng_normal(&r);
        char *dir = hora_format("%s/%zu", hora_test_tmp(), i);
        assert_ok(hora_mkdirs(dir));
        assert_ok(hora_peft_save(a, dir, "made by a test"));
        assert_ok(hora_peft_load(&back, b, dir, NULL));
        assert_string_equal(back->method->name, rows[i].method);
        assert_int_equal(back->nparams, a->nparams);
        for (int k = 0; k < a->nparams; k++) {
            hora_param *p = hora_adapter_find(back, a->params[k]->name);
            assert_non_null(p);
            assert_memory_equal(p->value, a->params[k]->value, (size_t)p->elems * sizeof(float));
        }
        hora_peft_detach(back);
        hora_base *other =
            golden_fresh("{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":12,"
                         "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":11}",
                         HORA_F32, false);
        if (strcmp(rows[i].method, "full") != 0) { /* a model is its own base */
            assert_fails(hora_peft_load(&back, other, dir, NULL), HORA_EMISMATCH, "another base");
            assert_null(back);
            /* a folder of before does not say what it was trained on */
            assert_int_equal(remove(hora_test_path(dir, "hora_base.json")), 0);
        }
        assert_fails(hora_peft_load(&back, other, dir, NULL), HORA_ESHAPE, "another base");
        assert_null(back);
        hora_base_close(other);
        hora_peft_detach(a);
        hora_free(dir);
    }
    hora_adapter *none;
    assert_fails(hora_peft_load(&none, b, "/nonexistent", NULL), HORA_ENOTFOUND,
                 "no such adapter folder");
    hora_base_close(b);
}

/* A model that trains may fill most of the memory: its weights are written from where they lie. */
static void test_saved_without_a_copy(void **state) {
    (void)state;
    hora_base *b = golden_fresh("{\"model_type\":\"llama\",\"hidden_size\":512,"
                                "\"intermediate_size\":1024,\"num_hidden_layers\":4,"
                                "\"num_attention_heads\":4,\"vocab_size\":11}",
                                HORA_F32, false);
    hora_adapter *a = golden_attach(b, "full", "");
    assert_ok(hora_adapter_allocate(a));
    size_t bytes = 0;
    for (int k = 0; k < a->nparams; k++) {
        bytes += (size_t)a->params[k]->elems * sizeof(float);
        memset(a->params[k]->value, 0, (size_t)a->params[k]->elems * sizeof(float));
    }
    assert_true(bytes > (size_t)32 << 20);
    char *dir = hora_format("%s/large", hora_test_tmp());
    assert_ok(hora_mkdirs(dir));
    const bool told = hora_rss_peak_reset();
    const size_t before = hora_rss();
    assert_ok(hora_peft_save(a, dir, "made by a test"));
    if (told)
        assert_true(hora_rss_peak() < before + bytes / 2);
    hora_free(dir);
    hora_peft_detach(a);
    hora_base_close(b);
}

HORA_TESTS(unit_model, {"activations", test_activations, HORA_SHORT},
           {"rotary frequencies", test_rope, HORA_SHORT},
           {"written models come back", test_round_trip, HORA_SHORT},
           {"bf16 is mapped, the rest is rounded once", test_bf16, HORA_SHORT},
           {"configurations that are refused", test_config_refusals, HORA_SHORT},
           {"weights that do not fit", test_weights_that_do_not_fit, HORA_SHORT},
           {"targets", test_targets, HORA_SHORT}, {"adapter files", test_adapter_files, HORA_SHORT},
           {"a model is saved without a copy", test_saved_without_a_copy, HORA_SHORT});
