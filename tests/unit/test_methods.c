/* The contract of a method: rows that are whole, folders that say all that opens them again, PEFT's
 * configurations word for word, merging that is refused by name. */
#include "base/file.h"
#include "base/text.h"
#include "peft/replaced.h"
#include "vectors/golden.h"

#define DIMS                                                                                       \
    "\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":" \
    "4,\"num_key_value_heads\":2,\"vocab_size\":29,\"initializer_range\":0.3,"                     \
    "\"tie_word_embeddings\":false"
static const char llama[] = "{\"model_type\":\"llama\"," DIMS "}";
static const char qwen2[] = "{\"model_type\":\"qwen2\"," DIMS "}";

static const char *folder(const char *name) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    assert_ok(hora_mkdirs(dir));
    return dir;
}

static void put(const char *dir, const char *name, const char *text) {
    assert_ok(hora_file_write(hora_test_path(dir, name), text, strlen(text)));
}

static void every_row_is_whole(void **state) {
    (void)state;
    for (int i = 0; i < hora_method_count(); i++)
        assert_null(hora_method_lacks(hora_method_at(i)));
    const hora_method *lora = hora_method_named("lora");
    hora_method m = *lora;
    m.save = NULL;
    assert_string_equal(hora_method_lacks(&m), "save");
    m = *lora;
    m.load = NULL;
    assert_string_equal(hora_method_lacks(&m), "load");
    m = *lora;
    m.claims = NULL;
    assert_string_equal(hora_method_lacks(&m), "claims");
    m = *lora;
    m.setup = NULL;
    assert_string_equal(hora_method_lacks(&m), "setup");
    m = *lora;
    m.hooks = (hora_hooks){0};
    assert_string_equal(hora_method_lacks(&m), "a hook");
    m = *lora;
    m.peft_config = NULL;
    assert_non_null(strstr(hora_method_lacks(&m), "factors"));
    m = *lora;
    m.merge = NULL; /* there are methods that cannot */
    assert_null(hora_method_lacks(&m));
}

static void what_cannot_merge_is_refused(void **state) {
    (void)state;
    hora_base *b = golden_fresh(llama, HORA_F32, false);
    hora_adapter *a = golden_attach(b, "lora", "rank=2");
    assert_ok(hora_adapter_allocate(a));
    const hora_method *lora = a->method;
    hora_method stubborn = *lora;
    stubborn.name = "stubborn";
    stubborn.merge = NULL;
    a->method = &stubborn;
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    assert_fails(hora_peft_merge(&a, 1, w), HORA_EUNSUPPORTED, "method stubborn cannot be merged");
    for (int i = 0; i < b->nweights; i++)
        assert_null(w[i]);
    hora_free(w);
    a->method = lora;
    hora_peft_detach(a);
    hora_base_close(b);
}

static void same_values(const hora_adapter *a, const hora_adapter *b) {
    assert_int_equal(a->nparams, b->nparams);
    for (int i = 0; i < a->nparams; i++) {
        assert_string_equal(a->params[i]->name, b->params[i]->name);
        assert_memory_equal(a->params[i]->value, b->params[i]->value,
                            (size_t)a->params[i]->elems * sizeof(float));
    }
}

/* What was chosen by options is opened again without being told. */
static void options_come_back(void **state) {
    static const struct {
        const char *options;
        int params;
    } rows[] = {{"", 6}, {"targets=q+v", 4}, {"layers=1", 3}, {"targets=k,layers=0", 1}};
    (void)state;
    hora_base *b = golden_fresh(qwen2, HORA_F32, false);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = golden_attach(b, "bitfit", rows[i].options), *back;
        assert_int_equal(a->nparams, rows[i].params);
        assert_ok(hora_adapter_allocate(a));
        ((float *)a->params[0]->value)[1] = 0.25f;
        char *name = hora_format("bitfit%zu", i);
        const char *dir = folder(name);
        assert_ok(hora_peft_save(a, dir, NULL));
        assert_ok(hora_peft_load(&back, b, dir, NULL));
        same_values(a, back);
        hora_peft_detach(back);
        hora_peft_detach(a);
        hora_free(name);
    }
    hora_base_close(b);
}

/* Folders of version 0.1 say no options. */
static void without_options(void **state) {
    (void)state;
    hora_base *b = golden_fresh(qwen2, HORA_F32, false);
    hora_adapter *a = golden_attach(b, "bitfit", ""), *back;
    assert_ok(hora_adapter_allocate(a));
    const char *dir = folder("old");
    assert_ok(hora_peft_save(a, dir, NULL));
    put(dir, "delta_config.json",
        "{\n  \"base_model_name_or_path\": \"x\",\n  \"format\": \"hora-delta\",\n"
        "  \"method\": \"bitfit\",\n  \"version\": 1\n}\n");
    assert_ok(hora_peft_load(&back, b, dir, NULL));
    same_values(a, back);
    hora_peft_detach(back);
    hora_peft_detach(a);
    put(dir, "delta_config.json", "{\"method\": \"bitfit\", \"options\": {\"tragets\": \"q\"}}");
    assert_fails(hora_peft_load(&back, b, dir, NULL), HORA_EUSAGE, "delta_config.json");
    put(dir, "delta_config.json", "{\"method\": \"nobody\"}");
    assert_fails(hora_peft_load(&back, b, dir, NULL), HORA_EFORMAT, "method `nobody`");
    hora_base_close(b);
}

#define LORA_HEAD "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 3, "

/* Names and patterns that option texts could not carry; names that match nothing. */
static void pefts_own_words(void **state) {
    (void)state;
    hora_base *b = golden_fresh(llama, HORA_F32, false);
    hora_adapter *a = golden_attach(b, "lora", "rank=4,targets=q+v,rank_pattern=v_proj:2"), *back;
    hora_factors f;
    assert_ok(hora_adapter_allocate(a));
    const char *dir = folder("words");
    assert_ok(hora_peft_save(a, dir, NULL));
    put(dir, "adapter_config.json",
        LORA_HEAD "\"target_modules\": [\"c_attn\", \"v_proj\", \"odd+name\", \"q_proj\"], "
                  "\"rank_pattern\": {\"q_proj;*\": 4}, \"alpha_pattern\": {\"v_proj;*:?\": 6}}");
    assert_ok(hora_peft_load(&back, b, dir, NULL));
    assert_int_equal(back->nparams, 8);
    back->method->factors(back, 0, &f); /* q of layer 0 */
    assert_true(f.rank == 4 && f.alpha == 3);
    back->method->factors(back, 2, &f); /* v */
    assert_true(f.rank == 2 && f.alpha == 6 && f.scale == 3);
    assert_ok(hora_peft_save(back, dir, NULL)); /* and they are written as they were */
    hora_peft_detach(back);
    hora_peft_config c;
    assert_ok(hora_peft_config_load(&c, dir));
    assert_int_equal(c.n_targets, 4);
    assert_string_equal(c.target_modules[2], "odd+name");
    assert_string_equal(c.rank_pattern[0].pattern, "q_proj;*");
    hora_peft_config_release(&c);
    put(dir, "adapter_config.json", LORA_HEAD "\"target_modules\": [\"c_attn\"]}");
    assert_fails(hora_peft_load(&back, b, dir, NULL), HORA_ENOTFOUND, "c_attn");
    put(dir, "adapter_config.json", "{\"peft_type\": \"NOVELTY\", \"target_modules\": [\"q\"]}");
    assert_fails(hora_peft_load(&back, b, dir, NULL), HORA_EUNSUPPORTED, "\"NOVELTY\"");
    hora_peft_detach(a);
    hora_base_close(b);
}

/* A random pair that is not stored is drawn again from its seed: PEFT's numbers, to the bit. */
static void pairs_as_peft_draws_them(void **state) {
    (void)state;
    static const char *const names[] = {"base_model.randlora_A", "base_model.randlora_B"};
    hora_base *b = NULL;
    hora_st *st = NULL;
    assert_ok(hora_base_open(&b, hora_test_source("tests/vectors/files/tiny_llama/base"),
                             &(hora_base_options){.dtype = HORA_F32}));
    hora_adapter *a = golden_attach(b, "randlora", "rank=4,save_projection=false");
    assert_ok(hora_adapter_allocate(a));
    assert_ok(hora_st_open(&st, hora_test_source("tests/vectors/files/tiny_llama/randlora/adapter/"
                                                 "adapter_model.safetensors")));
    for (size_t k = 0; k < HORA_COUNT(names); k++) {
        const hora_param *p = hora_adapter_find(a, names[k]);
        const hora_st_tensor *t = hora_st_find(st, names[k]);
        assert_non_null(t);
        assert_int_equal(t->view.dtype, HORA_F32);
        assert_true(hora_shape_equal(&t->view.shape, &p->shape));
        assert_memory_equal(p->value, t->view.data, (size_t)p->elems * sizeof(float));
    }
    hora_st_close(st);
    hora_peft_detach(a);
    hora_base_close(b);
}

HORA_TESTS(unit_methods, {"every row is whole", every_row_is_whole, HORA_SHORT},
           {"what cannot merge is refused", what_cannot_merge_is_refused, HORA_SHORT},
           {"options come back", options_come_back, HORA_SHORT},
           {"folders without options", without_options, HORA_SHORT},
           {"PEFT's own words", pefts_own_words, HORA_SHORT},
           {"random pairs as PEFT draws them", pairs_as_peft_draws_them, HORA_SHORT});
