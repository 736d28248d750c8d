/* PEFT's matching rules. The expected names and values are what PEFT 0.21.2
 * itself selects (LoraConfig, check_target_module_exists, get_pattern_key) for the same config. */
#include <stdio.h>

#include "format/peft_config.h"
#include "hora_test.h"

/* Module paths of a small llama with layers 0, 1, 2 and 10, and some strangers. */
static const char *const modules[] = {"model",
                                      "model.embed_tokens",
                                      "model.layers",
                                      "model.layers.0",
                                      "model.layers.0.self_attn",
                                      "model.layers.0.self_attn.q_proj",
                                      "model.layers.0.self_attn.k_proj",
                                      "model.layers.0.self_attn.v_proj",
                                      "model.layers.0.self_attn.o_proj",
                                      "model.layers.0.mlp",
                                      "model.layers.0.mlp.gate_proj",
                                      "model.layers.0.mlp.up_proj",
                                      "model.layers.0.mlp.down_proj",
                                      "model.layers.0.input_layernorm",
                                      "model.layers.1",
                                      "model.layers.1.self_attn",
                                      "model.layers.1.self_attn.q_proj",
                                      "model.layers.1.self_attn.k_proj",
                                      "model.layers.1.self_attn.v_proj",
                                      "model.layers.1.self_attn.o_proj",
                                      "model.layers.1.mlp",
                                      "model.layers.1.mlp.gate_proj",
                                      "model.layers.1.mlp.up_proj",
                                      "model.layers.1.mlp.down_proj",
                                      "model.layers.1.input_layernorm",
                                      "model.layers.2",
                                      "model.layers.2.self_attn",
                                      "model.layers.2.self_attn.q_proj",
                                      "model.layers.2.self_attn.k_proj",
                                      "model.layers.2.self_attn.v_proj",
                                      "model.layers.2.self_attn.o_proj",
                                      "model.layers.2.mlp",
                                      "model.layers.2.mlp.gate_proj",
                                      "model.layers.2.mlp.up_proj",
                                      "model.layers.2.mlp.down_proj",
                                      "model.layers.2.input_layernorm",
                                      "model.layers.10",
                                      "model.layers.10.self_attn",
                                      "model.layers.10.self_attn.q_proj",
                                      "model.layers.10.self_attn.k_proj",
                                      "model.layers.10.self_attn.v_proj",
                                      "model.layers.10.self_attn.o_proj",
                                      "model.layers.10.mlp",
                                      "model.layers.10.mlp.gate_proj",
                                      "model.layers.10.mlp.up_proj",
                                      "model.layers.10.mlp.down_proj",
                                      "model.layers.10.input_layernorm",
                                      "model.norm",
                                      "lm_head",
                                      "model.decoder.h.1.experts.2.q_proj",
                                      "encoder.1.q_proj",
                                      "a.b.é.3.q_proj"};

/* config (without peft_type) and the modules PEFT selects; NULL: PEFT raises. */
static const struct {
    const char *config, *selected;
} selections[] = {
    {"{\"target_modules\": [\"q_proj\", \"v_proj\"]}",
     "model.layers.0.self_attn.q_proj model.layers.0.self_attn.v_proj "
     "model.layers.1.self_attn.q_proj model.layers.1.self_attn.v_proj "
     "model.layers.2.self_attn.q_proj model.layers.2.self_attn.v_proj "
     "model.layers.10.self_attn.q_proj model.layers.10.self_attn.v_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"model.layers.1.self_attn.q_proj\", \"mlp.up_proj\"]}",
     "model.layers.0.mlp.up_proj model.layers.1.self_attn.q_proj model.layers.1.mlp.up_proj "
     "model.layers.2.mlp.up_proj model.layers.10.mlp.up_proj"},
    {"{\"target_modules\": [\"proj\"]}", ""},
    {"{\"target_modules\": [\"attn.q_proj\"]}", ""},
    {"{\"target_modules\": [\"lm_head\", \"embed_tokens\"]}", "model.embed_tokens lm_head"},
    {"{\"target_modules\": [\"model\"]}", "model"},
    {"{\"target_modules\": [\"self_attn\"]}", "model.layers.0.self_attn model.layers.1.self_attn "
                                              "model.layers.2.self_attn model.layers.10.self_attn"},
    {"{\"target_modules\": [\".*q_proj\"]}", ""},
    {"{\"target_modules\": [\"\"]}", ""},
    {"{\"target_modules\": []}", ""},
    {"{\"target_modules\": \".*\\\\.(q|v)_proj\"}",
     "model.layers.0.self_attn.q_proj model.layers.0.self_attn.v_proj "
     "model.layers.1.self_attn.q_proj model.layers.1.self_attn.v_proj "
     "model.layers.2.self_attn.q_proj model.layers.2.self_attn.v_proj "
     "model.layers.10.self_attn.q_proj model.layers.10.self_attn.v_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": \"q_proj\"}", ""},
    {"{\"target_modules\": \"model\\\\.layers\\\\.1\\\\..*\"}",
     "model.layers.1.self_attn model.layers.1.self_attn.q_proj model.layers.1.self_attn.k_proj "
     "model.layers.1.self_attn.v_proj model.layers.1.self_attn.o_proj model.layers.1.mlp "
     "model.layers.1.mlp.gate_proj model.layers.1.mlp.up_proj model.layers.1.mlp.down_proj "
     "model.layers.1.input_layernorm"},
    {"{\"target_modules\": \"model.layers.\\\\d.self_attn.(q_proj|k_proj)\"}",
     "model.layers.0.self_attn.q_proj model.layers.0.self_attn.k_proj "
     "model.layers.1.self_attn.q_proj model.layers.1.self_attn.k_proj "
     "model.layers.2.self_attn.q_proj model.layers.2.self_attn.k_proj"},
    {"{\"target_modules\": \"model\\\\.layers\\\\.\\\\d{2,}\\\\.mlp\\\\..*_proj\"}",
     "model.layers.10.mlp.gate_proj model.layers.10.mlp.up_proj model.layers.10.mlp.down_proj"},
    {"{\"target_modules\": \"model\\\\.layers\\\\.\\\\d{,1}\\\\.mlp\\\\.gate_proj\"}",
     "model.layers.0.mlp.gate_proj model.layers.1.mlp.gate_proj model.layers.2.mlp.gate_proj"},
    {"{\"target_modules\": \"q_proj|lm_head\"}", "lm_head"},
    {"{\"target_modules\": \"(?!.*layers\\\\.0\\\\.).*(?<!o_)(?:o|v)_proj\"}",
     "model.layers.1.self_attn.v_proj model.layers.1.self_attn.o_proj "
     "model.layers.2.self_attn.v_proj model.layers.2.self_attn.o_proj "
     "model.layers.10.self_attn.v_proj model.layers.10.self_attn.o_proj"},
    {"{\"target_modules\": "
     "\"(?:.*?(?:language|text|model).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?("
     "?:k_proj|down_proj).*?)|(?:\\\\bmodel\\\\.layers\\\\.[\\\\d]{1,}\\\\.(?:self_attn)\\\\.(?:(?:"
     "v_proj)))\"}",
     "model.layers.0.self_attn.k_proj model.layers.0.self_attn.v_proj model.layers.0.mlp.down_proj "
     "model.layers.1.self_attn.k_proj model.layers.1.self_attn.v_proj model.layers.1.mlp.down_proj "
     "model.layers.2.self_attn.k_proj model.layers.2.self_attn.v_proj model.layers.2.mlp.down_proj "
     "model.layers.10.self_attn.k_proj model.layers.10.self_attn.v_proj "
     "model.layers.10.mlp.down_proj"},
    {"{\"target_modules\": \"(?P<a>l)m_head\\\\Z\"}", "lm_head"},
    {"{\"target_modules\": \"(?i)LM_HEAD\"}", "lm_head"},
    {"{\"target_modules\": \".*[[:alpha:]]_proj\"}", ""},
    {"{\"target_modules\": \"[]l]m_head\"}", "lm_head"},
    {"{\"target_modules\": \"[^]x]m_head\"}", "lm_head"},
    {"{\"target_modules\": \"\\\\x6cm_head|model.\\\\u006eorm\"}", "model.norm lm_head"},
    {"{\"target_modules\": \"a\\\\.b\\\\.\\\\w\\\\.\\\\d\\\\.q_proj\"}", "a.b.é.3.q_proj"},
    {"{\"target_modules\": \"\"}", ""},
    {"{\"target_modules\": \"\\\\hm_head\"}", NULL},
    {"{\"target_modules\": \"lm_head\\\\N\"}", NULL},
    {"{\"target_modules\": \"(*UTF)lm_head\"}", NULL},
    {"{\"target_modules\": \"(lm_head\"}", NULL},
    {"{\"target_modules\": \"*lm_head\"}", NULL},
    {"{\"target_modules\": \"lm_head\\\\x4\"}", NULL},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": [\"layers.0.self_attn.q_proj\"]}",
     "model.layers.1.self_attn.q_proj model.layers.2.self_attn.q_proj "
     "model.layers.10.self_attn.q_proj model.decoder.h.1.experts.2.q_proj encoder.1.q_proj "
     "a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": "
     "[\"model.layers.10.self_attn.q_proj\", \"h.1.experts.2.q_proj\"]}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": [\"layers.0\"]}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": \".*layers\\\\.(0|1)\\\\..*\"}",
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": \"layers\\\\.0\"}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": []}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"exclude_modules\": \"\"}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": \".*q_proj\", \"exclude_modules\": [\"encoder.1.q_proj\"]}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"lm_head\", \"o_proj\"], \"modules_to_save\": [\"lm_head\"]}",
     "model.layers.0.self_attn.o_proj model.layers.1.self_attn.o_proj "
     "model.layers.2.self_attn.o_proj model.layers.10.self_attn.o_proj"},
    {"{\"target_modules\": [\"o_proj\", \"up_proj\"], \"modules_to_save\": [\"self_attn\"]}",
     "model.layers.0.mlp.up_proj model.layers.1.mlp.up_proj model.layers.2.mlp.up_proj "
     "model.layers.10.mlp.up_proj"},
    {"{\"target_modules\": [\"o_proj\", \"up_proj\"], \"modules_to_save\": [\"attn\", \"up\"]}",
     "model.layers.0.self_attn.o_proj model.layers.0.mlp.up_proj model.layers.1.self_attn.o_proj "
     "model.layers.1.mlp.up_proj model.layers.2.self_attn.o_proj model.layers.2.mlp.up_proj "
     "model.layers.10.self_attn.o_proj model.layers.10.mlp.up_proj"},
    {"{\"target_modules\": [\"o_proj\", \"up_proj\"], \"modules_to_save\": [\"layers.1\", "
     "\"layers.2.mlp\"]}",
     "model.layers.0.self_attn.o_proj model.layers.0.mlp.up_proj model.layers.2.self_attn.o_proj "
     "model.layers.10.self_attn.o_proj model.layers.10.mlp.up_proj"},
    {"{\"target_modules\": [\"o_proj\", \"up_proj\"], \"modules_to_save\": [\"layers.[12]\"]}",
     "model.layers.0.self_attn.o_proj model.layers.0.mlp.up_proj model.layers.10.self_attn.o_proj "
     "model.layers.10.mlp.up_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1]}",
     "model.layers.1.self_attn.q_proj model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": 1}",
     "model.layers.1.self_attn.q_proj model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [0, 10]}",
     "model.layers.0.self_attn.q_proj model.layers.10.self_attn.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [2]}",
     "model.layers.2.self_attn.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [3]}", "a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": []}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.q_proj "
     "model.layers.2.self_attn.q_proj model.layers.10.self_attn.q_proj "
     "model.decoder.h.1.experts.2.q_proj encoder.1.q_proj a.b.é.3.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [5]}", ""},
    {"{\"target_modules\": [\"q_proj\", \"lm_head\"], \"layers_to_transform\": [1]}",
     "model.layers.1.self_attn.q_proj lm_head model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"model.layers.0.self_attn.q_proj\", \"v_proj\"], "
     "\"layers_to_transform\": [1]}",
     "model.layers.0.self_attn.q_proj model.layers.1.self_attn.v_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": "
     "\"layers\"}",
     "model.layers.1.self_attn.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": "
     "[\"layers\"]}",
     "model.layers.1.self_attn.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": \"h\"}",
     "model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": [\"h\", "
     "\"layers\"]}",
     "model.layers.1.self_attn.q_proj model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [2], \"layers_pattern\": "
     "\"experts\"}",
     "model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [2, 1], \"layers_pattern\": "
     "\"h|experts\"}",
     ""},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": "
     "\"encoder\"}",
     "encoder.1.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": "
     "\"ayers\"}",
     ""},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": \"\"}",
     "model.layers.1.self_attn.q_proj model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": []}",
     "model.layers.1.self_attn.q_proj model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": [\"q_proj\"], \"layers_to_transform\": [1], \"layers_pattern\": "
     "[\"(?:layers|h)\"]}",
     "model.layers.1.self_attn.q_proj model.decoder.h.1.experts.2.q_proj"},
    {"{\"target_modules\": \".*q_proj\", \"layers_to_transform\": [1]}", NULL},
    {"{\"target_modules\": \".*q_proj\", \"layers_to_transform\": []}", NULL},
    {"{\"target_modules\": [\"q_proj\"], \"layers_pattern\": \"layers\"}", NULL},
    {"{\"target_modules\": \".*q_proj\", \"layers_pattern\": \"layers\"}", NULL},
};

/* patterns, module, value (99: the default); -1: PEFT raises. */
static const struct {
    const char *patterns, *module;
    int value;
} values[] = {
    {"{\"q_proj\": 4, \"v_proj\": 2}", "model.layers.0.self_attn.q_proj", 4},
    {"{\"q_proj\": 4, \"v_proj\": 2}", "model.layers.0.self_attn.v_proj", 2},
    {"{\"q_proj\": 4, \"v_proj\": 2}", "model.layers.0.self_attn.k_proj", 99},
    {"{\"layers.0.self_attn.q_proj\": 4, \"q_proj\": 2}", "model.layers.0.self_attn.q_proj", 4},
    {"{\"layers.0.self_attn.q_proj\": 4, \"q_proj\": 2}", "model.layers.10.self_attn.q_proj", 2},
    {"{\"q_proj\": 2, \"layers.0.self_attn.q_proj\": 4}", "model.layers.0.self_attn.q_proj", 2},
    {"{\"^model.layers.0.self_attn.q_proj\": 4, \"^q_proj\": 3}", "model.layers.0.self_attn.q_proj",
     4},
    {"{\"^model.layers.0.self_attn.q_proj\": 4, \"^q_proj\": 3}", "q_proj", 3},
    {"{\"^model.layers.0.self_attn.q_proj\": 4, \"^q_proj\": 3}", "model.layers.1.self_attn.q_proj",
     99},
    {"{\".*\\\\.0\\\\..*\": 4, \"layers\\\\.\\\\d+\\\\.mlp\\\\.(up|gate)_proj\": 3}",
     "model.layers.0.mlp.up_proj", 4},
    {"{\".*\\\\.0\\\\..*\": 4, \"layers\\\\.\\\\d+\\\\.mlp\\\\.(up|gate)_proj\": 3}",
     "model.layers.1.mlp.up_proj", 3},
    {"{\".*\\\\.0\\\\..*\": 4, \"layers\\\\.\\\\d+\\\\.mlp\\\\.(up|gate)_proj\": 3}",
     "model.layers.1.mlp.down_proj", 99},
    {"{\"proj\": 4, \"q|k_proj\": 3}", "model.layers.0.self_attn.q_proj", 99},
    {"{\"proj\": 4, \"q|k_proj\": 3}", "model.layers.0.self_attn.k_proj", 3},
    {"{\"q_proj$\": 4}", "a.q_proj", 4},
    {"{\"q_proj$\": 4}", "a.q_proj2", 99},
    {"{\"layers.1\": 4}", "model.layers.1.self_attn.q_proj", 99},
    {"{\"layers.1\": 4}", "model.layers.1", 4},
    {"{\"layers.1\": 4}", "model.layers.10", 99},
    {"{\"a.b[0]\": 4}", "a.b[0]", 4},
    {"{\"a.b[0]\": 4}", "a.b0", 4},
    {"{\"a.b[0]\": 4}", "x.a.b0", 4},
    {"{\"\": 4}", "a.", 4},
    {"{\"\": 4}", "a", 99},
    {"{\"\": 4}", "", 4},
    {"{\"q_proj\": 4}", "xq_proj", 99},
    {"{\"q_proj\": 4}", "x.q_proj", 4},
    {"{\"q_proj\": 4}", "q_proj", 4},
    {"{\"(q\": 4}", "q", -1},
};

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

static hora_status select_all(const char *config, hora_str *names) {
    hora_peft_config c;
    hora_status s = parse_lora(&c, config);
    if (s != HORA_OK)
        return s;
    for (size_t i = 0; i < HORA_COUNT(modules) && s == HORA_OK; i++) {
        bool yes;
        s = hora_peft_targets(&c, modules[i], &yes);
        if (s == HORA_OK && yes)
            hora_str_printf(names, "%s%s", names->n ? " " : "", modules[i]);
    }
    hora_peft_config_release(&c);
    return s;
}

static void selects_what_peft_selects(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(selections); i++) {
        hora_str got = {0};
        const char *want = selections[i].selected;
        hora_status s = select_all(selections[i].config, &got);
        if (!want)
            assert_fails(s, HORA_EFORMAT, "; ");
        else if (s != HORA_OK || strcmp(got.s ? got.s : "", want))
            fail_msg("%s\nselects %s\nbut in PEFT %s%s", selections[i].config, got.s ? got.s : "-",
                     want, s ? hora_errmsg() : "");
        hora_str_release(&got);
    }
}

static void values_are_pefts(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(values); i++) {
        hora_peft_config c;
        double v;
        char *rest = hora_format("\"alpha_pattern\": %s", values[i].patterns);
        assert_ok(parse_lora(&c, rest));
        hora_status s =
            hora_peft_pattern_value(c.alpha_pattern, c.n_alpha, values[i].module, 99, &v);
        if (values[i].value < 0)
            assert_fails(s, HORA_EFORMAT, "; ");
        else if (s != HORA_OK || v != values[i].value)
            fail_msg("%s of %s: %g, PEFT says %d", values[i].patterns, values[i].module, v,
                     values[i].value);
        hora_peft_config_release(&c);
        hora_free(rest);
    }
}

/* Exponential backtracking ends in an error, not in a hang. */
static void hostile_patterns_end(void **state) {
    (void)state;
    hora_peft_config c;
    bool yes;
    assert_ok(parse_lora(&c, "\"target_modules\": \"(a+)+(a+)+(a+)+b\""));
    assert_fails(hora_peft_targets(&c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacab", &yes),
                 HORA_EFORMAT, "backtracks");
    hora_peft_config_release(&c);
    hora_str deep = {0};
    hora_str_puts(&deep, "\"target_modules\": \"");
    for (int i = 0; i < 5000; i++)
        hora_str_putc(&deep, '(');
    hora_str_putc(&deep, '"');
    assert_ok(parse_lora(&c, deep.s));
    assert_fails(hora_peft_targets(&c, "a", &yes), HORA_EFORMAT, "regular expression");
    hora_peft_config_release(&c);
    hora_str_release(&deep);
}

static void all_linear(void **state) {
    (void)state;
    hora_peft_config c;
    bool yes;
    assert_ok(
        parse_lora(&c, "\"target_modules\": \"All-Linear\", \"exclude_modules\": [\"k_proj\"]"));
    assert_true(hora_peft_all_linear(&c));
    assert_ok(hora_peft_targets(&c, "model.layers.0.self_attn.q_proj", &yes));
    assert_true(yes);
    assert_ok(hora_peft_targets(&c, "model.layers.0.self_attn.k_proj", &yes));
    assert_false(yes);
    hora_peft_config_release(&c);
    assert_ok(parse_lora(&c, "\"target_modules\": \"all-linea.\""));
    assert_false(hora_peft_all_linear(&c));
    hora_peft_config_release(&c);
}

HORA_TESTS(unit_peft_select, {"selects what PEFT selects", selects_what_peft_selects, HORA_SHORT},
           {"rank and alpha patterns are PEFT's", values_are_pefts, HORA_SHORT},
           {"hostile patterns end", hostile_patterns_end, HORA_SHORT},
           {"all-linear", all_linear, HORA_SHORT});
