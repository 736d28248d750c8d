/* config.json and adapter_config.json that lie: damaged at random, they parse or are refused, and a
 * config that parsed can be asked and written again. The sanitizers watch; the seed is fixed. */
#include "base/log.h"
#include "base/rng.h"
#include "format/hf_config.h"
#include "format/peft_config.h"
#include "hora_test.h"

static const char *const pieces[] = {"null",
                                     "true",
                                     "-1",
                                     "1.5",
                                     "\"q\"",
                                     "[]",
                                     "{}",
                                     "[1,2]",
                                     "[\"a\",\"b\"]",
                                     "{\"a\":1}",
                                     "\"(a|b)*\"",
                                     "\"[\"",
                                     "\"\\\\\"",
                                     "9223372036854775807",
                                     "1e308",
                                     "\"\\u00e9\\ud83d\\ude00\"",
                                     "{\"(\":1}",
                                     "\"all-linear\"",
                                     "\"LORA\"",
                                     "\"default\""};

static void quiet(void *user, int level, const char *text) {
    (void)user;
    (void)level;
    (void)text;
}

/* An object whose keys get values of any kind. */
static void random_object(hora_rng *r, const char *const *names, int n, hora_str *out) {
    hora_str_puts(out, "{\"peft_type\":\"LORA\"");
    for (int i = 0; i < n; i++)
        if (!hora_rng_below(r, 3))
            hora_str_printf(out, ",\"%s\":%s", names[i],
                            pieces[hora_rng_below(r, HORA_COUNT(pieces))]);
    hora_str_putc(out, '}');
    for (int64_t k = hora_rng_below(r, 6); k == 0; k--) /* now and then a byte, too */
        out->s[hora_rng_below(r, (int64_t)out->n)] = (char)hora_rng_below(r, 256);
}

static bool try_peft(const hora_json *root) {
    hora_peft_config c;
    if (hora_peft_config_parse(&c, root, "fuzz") != HORA_OK)
        return false;
    bool yes;
    double v;
    hora_str out = {0};
    /* any answer or error will do */
    (void)hora_peft_targets(&c, "model.layers.0.self_attn.q", &yes);
    (void)hora_peft_pattern_value(c.rank_pattern, c.n_rank, "a.q", 1, &v);
    (void)hora_peft_pattern_value(c.alpha_pattern, c.n_alpha, "a.q", 1, &v);
    hora_peft_config_dump(&c, &out);
    hora_peft_config_release(&c);
    hora_json *again;
    assert_ok(hora_json_parse(&again, out.s, out.n, "dump"));
    assert_ok(hora_peft_config_parse(&c, again, "dump"));
    hora_peft_config_release(&c);
    hora_json_free(again);
    hora_str_release(&out);
    return true;
}

static void damaged_adapter_configs(void **state) {
    (void)state;
    static const char *const names[] = {"r",
                                        "lora_alpha",
                                        "lora_dropout",
                                        "bias",
                                        "use_rslora",
                                        "target_modules",
                                        "exclude_modules",
                                        "modules_to_save",
                                        "rank_pattern",
                                        "alpha_pattern",
                                        "layers_to_transform",
                                        "layers_pattern",
                                        "init_lora_weights",
                                        "task_type",
                                        "loftq_config",
                                        "unknown"};
    hora_rng r = hora_rng_new(3, "adapter configs");
    int taken = 0, refused = 0;
    hora_log_sink(quiet, NULL);
    for (int i = 0; i < 8000; i++) {
        hora_str text = {0};
        hora_json *root;
        random_object(&r, names + hora_rng_below(&r, 10), 6, &text);
        bool ok = false;
        if (hora_json_parse(&root, text.s, text.n, "fuzz") == HORA_OK) {
            ok = try_peft(root);
            hora_json_free(root);
        }
        taken += ok;
        refused += !ok;
        hora_str_release(&text);
    }
    hora_log_sink(NULL, NULL);
    assert_true(taken > 500);
    assert_true(refused > 500);
}

static void damaged_model_configs(void **state) {
    (void)state;
    static const char *const names[] = {"rope_parameters", "rope_scaling", "rope_theta",
                                        "dtype",           "torch_dtype",  "eos_token_id"};
    hora_rng r = hora_rng_new(4, "model configs");
    int taken = 0, refused = 0;
    for (int i = 0; i < 4000; i++) {
        hora_str text = {0};
        hora_json *root, *config;
        random_object(&r, names, HORA_COUNT(names), &text);
        if (hora_json_parse(&root, text.s, text.n, "fuzz") == HORA_OK) {
            hora_status s = hora_hf_config_normalize(&config, root);
            assert_true((s == HORA_OK) == (config != NULL));
            if (s == HORA_OK) {
                const hora_json *scaling = hora_json_get(config, "rope_scaling");
                hora_jtype t = hora_json_type(scaling);
                assert_true(t == HORA_JNULL || hora_json_get(scaling, "rope_type"));
                assert_null(hora_json_get(config, "rope_parameters"));
                assert_null(hora_json_get(config, "dtype"));
            }
            taken += s == HORA_OK;
            refused += s != HORA_OK;
            hora_json_free(config);
            hora_json_free(root);
        }
        hora_str_release(&text);
    }
    assert_true(taken > 500);
    assert_true(refused > 500);
}

HORA_TESTS(fuzz_configs, {"damaged adapter configs", damaged_adapter_configs, HORA_SHORT},
           {"damaged model configs", damaged_model_configs, HORA_SHORT});
