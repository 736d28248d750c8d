/* adapter_config.json as PEFT 0.21.2 writes it (which modules it selects: test_peft_select.c). */
#include <stdio.h>

#include "base/log.h"
#include "format/peft_config.h"
#include "hora_test.h"

static hora_status parse(hora_peft_config *c, const char *text) {
    hora_json *root;
    assert_ok(hora_json_parse(&root, text, strlen(text), "test"));
    hora_status s = hora_peft_config_parse(c, root, "adapter_config.json");
    hora_json_free(root);
    return s;
}

/* Parses {"peft_type": "LORA", rest}. `rest` is an object's text or its members. */
static hora_status parse_lora(hora_peft_config *c, const char *rest) {
    char *text = *rest == '{' ? hora_format("{\"peft_type\": \"LORA\", %s", rest + 1)
                              : hora_format("{\"peft_type\": \"LORA\", %s}", rest);
    hora_status s = parse(c, text);
    hora_free(text);
    return s;
}

/* As PEFT 0.21.2 writes it, every key included. */
static const char *const as_written = "{\"alora_invocation_tokens\": null, "
                                      "\"alpha_pattern\": {\"q_proj\": 8, \"v_proj\": 6.5}, "
                                      "\"arrow_config\": null, "
                                      "\"auto_mapping\": null, "
                                      "\"base_model_name_or_path\": \"some/base\", "
                                      "\"bias\": \"none\", "
                                      "\"corda_config\": null, "
                                      "\"ensure_weight_tying\": false, "
                                      "\"eva_config\": null, "
                                      "\"exclude_modules\": null, "
                                      "\"fan_in_fan_out\": false, "
                                      "\"inference_mode\": true, "
                                      "\"init_lora_weights\": true, "
                                      "\"kasa_config\": null, "
                                      "\"layer_replication\": null, "
                                      "\"layers_pattern\": [\"layers\"], "
                                      "\"layers_to_transform\": [1, 3], "
                                      "\"loftq_config\": {}, "
                                      "\"lora_alpha\": 32, "
                                      "\"lora_bias\": false, "
                                      "\"lora_dropout\": 0.05, "
                                      "\"lora_ga_config\": null, "
                                      "\"megatron_config\": null, "
                                      "\"megatron_core\": \"megatron.core\", "
                                      "\"modules_to_save\": [\"lm_head\"], "
                                      "\"monteclora_config\": null, "
                                      "\"peft_type\": \"LORA\", "
                                      "\"peft_version\": \"0.21.2\", "
                                      "\"qalora_group_size\": 16, "
                                      "\"r\": 16, "
                                      "\"rank_pattern\": {\"q_proj\": 4}, "
                                      "\"revision\": null, "
                                      "\"target_modules\": [\"q_proj\", \"v_proj\"], "
                                      "\"target_parameters\": null, "
                                      "\"task_type\": \"CAUSAL_LM\", "
                                      "\"trainable_token_indices\": null, "
                                      "\"use_bdlora\": null, "
                                      "\"use_dora\": false, "
                                      "\"use_qalora\": false, "
                                      "\"use_rslora\": true, "
                                      "\"velora_config\": null}";

static int warnings;
static void count_warnings(void *user, int level, const char *text) {
    (void)text;
    *(int *)user += level == HORA_LOG_WARN;
}

static void reads_what_peft_writes(void **state) {
    (void)state;
    hora_peft_config c;
    warnings = 0;
    hora_log_sink(count_warnings, &warnings);
    assert_ok(parse(&c, as_written));
    hora_log_sink(NULL, NULL);
    assert_int_equal(warnings, 0);
    assert_string_equal(c.peft_type, "LORA");
    assert_string_equal(c.task_type, "CAUSAL_LM");
    assert_string_equal(c.base_model, "some/base");
    assert_string_equal(c.bias, "none");
    assert_int_equal(c.r, 16);
    assert_true(c.lora_alpha == 32 && c.lora_dropout == 0.05);
    assert_true(c.use_rslora);
    assert_false(c.use_dora || c.lora_bias || c.fan_in_fan_out || c.targets_unset);
    assert_int_equal(c.n_targets, 2);
    assert_string_equal(c.target_modules[0], "q_proj");
    assert_string_equal(c.modules_to_save[0], "lm_head");
    assert_int_equal(c.n_rank, 1);
    assert_true(c.rank_pattern[0].value == 4);
    assert_int_equal(c.n_alpha, 2);
    assert_string_equal(c.alpha_pattern[1].pattern, "v_proj");
    assert_true(c.alpha_pattern[1].value == 6.5);
    assert_int_equal(c.n_layers, 2);
    assert_int_equal(c.layers[1], 3);
    assert_string_equal(c.layers_pattern[0], "layers");
    hora_peft_config_release(&c);
}

static void what_is_dumped_is_read(void **state) {
    (void)state;
    hora_peft_config c;
    hora_str once = {0}, twice = {0};
    assert_ok(parse(&c, as_written));
    hora_peft_config_dump(&c, &once);
    hora_peft_config_release(&c);
    assert_non_null(strstr(once.s, "\n  \"lora_alpha\": 32,\n"));
    assert_non_null(strstr(once.s, "\n  \"inference_mode\": true,\n"));
    assert_non_null(strstr(once.s, "\n  \"revision\": null,\n"));
    assert_ok(parse(&c, once.s));
    assert_int_equal(c.n_alpha, 2);
    hora_peft_config_dump(&c, &twice);
    hora_peft_config_release(&c);
    assert_string_equal(once.s, twice.s);
    hora_str_release(&once);
    hora_str_release(&twice);
    hora_peft_config empty = {.r = 4, .lora_alpha = 8};
    hora_peft_config_dump(&empty, &once);
    assert_ok(parse(&c, once.s));
    assert_string_equal(c.bias, "none");
    assert_int_equal(c.r, 4);
    assert_null(c.base_model);
    hora_peft_config_release(&c);
    hora_str_release(&once);
    /* the first pattern that matches counts: their order stays */
    assert_ok(parse(&c,
                    "{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"], \"rank_pattern\": "
                    "{\"q_proj\": 4, \"layers.0.*\": 2}}"));
    hora_peft_config_dump(&c, &once);
    hora_peft_config_release(&c);
    assert_ok(parse(&c, once.s));
    assert_string_equal(c.rank_pattern[0].pattern, "q_proj");
    hora_peft_config_release(&c);
    hora_str_release(&once);
}

static void defaults_are_pefts(void **state) {
    (void)state;
    hora_peft_config c;
    assert_ok(parse(&c, "{\"peft_type\": \"LORA\"}"));
    assert_int_equal(c.r, 8);
    assert_true(c.lora_alpha == 8 && c.lora_dropout == 0);
    assert_true(c.targets_unset);
    assert_null(c.task_type);
    hora_peft_config_release(&c);
}

static void refuses_by_name(void **state) {
    (void)state;
    static const char *const refused[] = {"\"layer_replication\": [[0, 2]]",
                                          "\"use_qalora\": true",
                                          "\"trainable_token_indices\": {\"a\": [1], \"b\": [2]}",
                                          "\"alora_invocation_tokens\": [5, 6]",
                                          "\"target_parameters\": [\"w\"]",
                                          "\"use_bdlora\": {\"nblocks\": 2}",
                                          "\"arrow_config\": {\"top_k\": 1}",
                                          "\"kasa_config\": {\"a\": 1}",
                                          "\"monteclora_config\": {\"num_samples\": 8}",
                                          "\"ensure_weight_tying\": true",
                                          "\"init_lora_weights\": \"pissa\"",
                                          "\"init_lora_weights\": \"pissa_niter_16\"",
                                          "\"init_lora_weights\": \"olora\"",
                                          "\"init_lora_weights\": \"corda\"",
                                          "\"init_lora_weights\": \"loftq\"",
                                          "\"init_lora_weights\": \"lora_ga\"",
                                          "\"init_lora_weights\": 3"};
    hora_peft_config c;
    for (size_t i = 0; i < HORA_COUNT(refused); i++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(refused[i] + 1, "\""), refused[i] + 1);
        assert_fails(parse_lora(&c, refused[i]), HORA_EUNSUPPORTED, key);
    }
    /* present but saying nothing */
    assert_ok(parse_lora(&c, "\"layer_replication\": null, \"use_qalora\": false, "
                             "\"loftq_config\": {}, \"trainable_token_indices\": null, "
                             "\"target_parameters\": [], \"init_lora_weights\": \"gaussian\""));
    hora_peft_config_release(&c);
}

static void warns_by_name(void **state) {
    (void)state;
    static const char *const warned[] = {
        "\"eva_config\": {\"rho\": 2}", "\"megatron_config\": {\"a\": 1}",
        "\"corda_config\": {\"a\": 1}", "\"loftq_config\": {\"loftq_bits\": 4}",
        "\"a_key_of_the_future\": 0"};
    hora_peft_config c;
    for (size_t i = 0; i < HORA_COUNT(warned); i++) {
        warnings = 0;
        hora_log_sink(count_warnings, &warnings);
        hora_status s = parse_lora(&c, warned[i]);
        hora_log_sink(NULL, NULL);
        assert_ok(s);
        assert_int_equal(warnings, 1);
        hora_peft_config_release(&c);
    }
}

/* What all types share is read of each; the rest is its method's. */
static void other_types(void **state) {
    (void)state;
    hora_peft_config c, copy;
    hora_str once = {0}, twice = {0};
    char **names;
    int n;
    assert_ok(parse(&c, "{\"peft_type\": \"IA3\", \"target_modules\": [\"k_proj\", \"a+b;c\"], "
                        "\"feedforward_modules\": \"down_proj\", \"novelty\": 1}"));
    assert_string_equal(c.peft_type, "IA3");
    assert_int_equal(c.n_targets, 2);
    assert_ok(hora_peft_config_names(&c, "feedforward_modules", &names, &n));
    assert_int_equal(n, 1);
    assert_string_equal(names[0], "down_proj");
    hora_free(names[0]);
    hora_free(names);
    warnings = 0;
    hora_log_sink(count_warnings, &warnings);
    hora_peft_config_known(&c, "feedforward_modules init_ia3_weights", "here");
    hora_log_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
    hora_peft_config_copy(&copy, &c);
    hora_peft_config_dump(&c, &once);
    hora_peft_config_release(&c);
    hora_peft_config_dump(&copy, &twice);
    hora_peft_config_release(&copy);
    assert_string_equal(once.s, twice.s);
    assert_non_null(strstr(once.s, "\"feedforward_modules\": \"down_proj\""));
    assert_non_null(strstr(once.s, "a+b;c"));
    assert_null(strstr(once.s, "lora_alpha"));
    hora_str_release(&once);
    hora_str_release(&twice);
}

static void wrong_values_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"\"r\": 0",
                                        "\"r\": -1",
                                        "\"r\": 1.5",
                                        "\"r\": \"8\"",
                                        "\"lora_alpha\": \"x\"",
                                        "\"lora_dropout\": 1",
                                        "\"lora_dropout\": -0.1",
                                        "\"use_rslora\": 1",
                                        "\"bias\": \"some\"",
                                        "\"bias\": 0",
                                        "\"target_modules\": 3",
                                        "\"target_modules\": [1]",
                                        "\"target_modules\": {\"q\": 1}",
                                        "\"exclude_modules\": [null]",
                                        "\"modules_to_save\": \"x\"",
                                        "\"rank_pattern\": [1]",
                                        "\"rank_pattern\": {\"q\": 0}",
                                        "\"rank_pattern\": {\"q\": 1.5}",
                                        "\"alpha_pattern\": {\"q\": \"1\"}",
                                        "\"alpha_pattern\": 1",
                                        "\"layers_to_transform\": \"1\"",
                                        "\"layers_to_transform\": [1.5]",
                                        "\"layers_pattern\": 1",
                                        "\"task_type\": 1",
                                        "\"lora_bias\": true, \"use_dora\": true"};
    hora_peft_config c;
    for (size_t i = 0; i < HORA_COUNT(wrong); i++)
        assert_fails(parse_lora(&c, wrong[i]), HORA_EFORMAT, "adapter_config.json: ");
    assert_fails(parse(&c, "[]"), HORA_EFORMAT, "object");
    assert_fails(parse(&c, "{}"), HORA_EFORMAT, "peft_type");
    assert_fails(hora_peft_config_load(&c, hora_test_tmp()), HORA_ENOTFOUND, "adapter_config.json");
}

static void keys_of_tensors(void **state) {
    (void)state;
    static const struct {
        const char *key, *module;
        hora_peft_part part;
    } rows[] = {
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
         "model.layers.0.self_attn.q_proj", HORA_PEFT_LORA_A},
        {"base_model.model.m.lora_B.weight", "m", HORA_PEFT_LORA_B},
        {"base_model.model.m.lora_B.bias", "m", HORA_PEFT_LORA_BIAS},
        {"base_model.model.m.lora_magnitude_vector", "m", HORA_PEFT_MAGNITUDE},
        {"base_model.model.model.embed_tokens.lora_embedding_A", "model.embed_tokens",
         HORA_PEFT_EMB_A},
        {"base_model.model.model.embed_tokens.lora_embedding_B", "model.embed_tokens",
         HORA_PEFT_EMB_B},
        {"base_model.model.m.base_layer.bias", "m", HORA_PEFT_BASE_BIAS},
        {"base_model.model.m.base_layer.weight", "m", HORA_PEFT_BASE_WEIGHT},
        {"base_model.model.lm_head.weight", "lm_head", HORA_PEFT_WEIGHT},
        {"base_model.model.classifier.bias", "classifier", HORA_PEFT_BIAS},
    };
    char *module;
    hora_peft_part part;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *key = hora_peft_key(rows[i].module, rows[i].part);
        assert_string_equal(key, rows[i].key);
        assert_ok(hora_peft_parse_key(key, &module, &part));
        assert_string_equal(module, rows[i].module);
        assert_int_equal(part, rows[i].part);
        hora_free(module);
        hora_free(key);
    }
    static const char *const strangers[] = {"", "model.layers.0.q_proj.lora_A.weight",
                                            "base_model.model.", "base_model.model..weight",
                                            "base_model.model.q_proj.lora_C"};
    for (size_t i = 0; i < HORA_COUNT(strangers); i++)
        assert_fails(hora_peft_parse_key(strangers[i], &module, &part), HORA_EFORMAT, "; ");
}

/* VeraConfig has no exclude_modules: PEFT warns of keys that a type does not know. */
static void test_excluded_of_types(void **state) {
    (void)state;
    hora_peft_config vera = {.peft_type = "VERA", .own = hora_json_new_object()}, lora = {0};
    hora_str text = {0};
    hora_peft_config_dump(&vera, &text);
    assert_null(strstr(text.s, "exclude_modules"));
    hora_str_release(&text);
    hora_peft_config_dump(&lora, &text);
    assert_non_null(strstr(text.s, "\"exclude_modules\": null"));
    hora_str_release(&text);
    hora_json_free(vera.own);
}

HORA_TESTS(unit_peft_config, {"what no type excludes", test_excluded_of_types, HORA_SHORT},
           {"types other than LORA", other_types, HORA_SHORT},
           {"reads what PEFT writes", reads_what_peft_writes, HORA_SHORT},
           {"what is dumped is read", what_is_dumped_is_read, HORA_SHORT},
           {"defaults are PEFT's", defaults_are_pefts, HORA_SHORT},
           {"refuses by name", refuses_by_name, HORA_SHORT},
           {"warns by name", warns_by_name, HORA_SHORT},
           {"wrong values are refused", wrong_values_are_refused, HORA_SHORT},
           {"keys of tensors", keys_of_tensors, HORA_SHORT});
