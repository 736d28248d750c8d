/* adapter_config.json of PEFT, written, and the names of the tensors beside it. */
#include <math.h>

#include "base/text.h"
#include "format/peft_config.h"

/* --- the configuration ------------------------------------------------------------------------ */

static hora_json *string_or_null(const char *s) {
    return s ? hora_json_new_string(s) : hora_json_new_null();
}

/* PEFT writes 16, not 16.0. */
static hora_json *number(double v) {
    bool whole = v == floor(v) && fabs(v) < 1e15;
    return whole ? hora_json_new_int((int64_t)v) : hora_json_new_real(v);
}

static void set_names(hora_json *obj, const char *key, char *const *names, int n, bool null) {
    if (!n && null) {
        hora_json_set(obj, key, hora_json_new_null());
        return;
    }
    hora_json *list = hora_json_set(obj, key, hora_json_new_array());
    for (int i = 0; i < n; i++)
        hora_json_push(list, hora_json_new_string(names[i]));
}

hora_json *hora_peft_patterns_json(const hora_peft_pattern *p, int n) {
    hora_json *map = hora_json_new_object();
    for (int i = 0; i < n; i++)
        hora_json_set(map, p[i].pattern, number(p[i].value));
    return map;
}

static void set_targets(hora_json *obj, const hora_peft_config *c) {
    if (c->target_regex)
        hora_json_set(obj, "target_modules", hora_json_new_string(c->target_regex));
    else
        set_names(obj, "target_modules", c->target_modules, c->n_targets, c->targets_unset);
    if (c->exclude_regex)
        hora_json_set(obj, "exclude_modules", hora_json_new_string(c->exclude_regex));
    else if (c->n_exclude || !c->own) /* not every type has the key (VERA), and unknown ones warn */
        set_names(obj, "exclude_modules", c->exclude_modules, c->n_exclude, true);
}

static void set_layers(hora_json *obj, const hora_peft_config *c) {
    /* a pattern without layers says nothing, and PEFT refuses to load it */
    set_names(obj, "layers_pattern", c->layers_pattern, c->n_layers ? c->n_layers_pattern : 0,
              true);
    if (!c->n_layers) {
        hora_json_set(obj, "layers_to_transform", hora_json_new_null());
        return;
    }
    hora_json *list = hora_json_set(obj, "layers_to_transform", hora_json_new_array());
    for (int i = 0; i < c->n_layers; i++)
        hora_json_push(list, hora_json_new_int(c->layers[i]));
}

static void set_tokens(hora_json *obj, const hora_peft_config *c) {
    hora_json *list = c->n_tokens ? hora_json_new_array() : hora_json_new_null();
    for (int i = 0; i < c->n_tokens; i++)
        hora_json_push(list, hora_json_new_int(c->tokens[i]));
    if (c->tokens_module && c->n_tokens)
        obj = hora_json_set(obj, "trainable_token_indices", hora_json_new_object());
    hora_json_set(
        obj, c->tokens_module && c->n_tokens ? c->tokens_module : "trainable_token_indices", list);
}

static void set_lora(hora_json *obj, const hora_peft_config *c) {
    hora_json_set(obj, "bias", hora_json_new_string(c->bias ? c->bias : "none"));
    hora_json_set(obj, "fan_in_fan_out", hora_json_new_bool(c->fan_in_fan_out));
    hora_json_set(obj, "init_lora_weights", hora_json_new_bool(true));
    hora_json_set(obj, "lora_alpha", number(c->lora_alpha));
    hora_json_set(obj, "lora_bias", hora_json_new_bool(c->lora_bias));
    hora_json_set(obj, "lora_dropout", hora_json_new_real(c->lora_dropout));
    hora_json_set(obj, "r", hora_json_new_int(c->r));
    hora_json_set(obj, "use_dora", hora_json_new_bool(c->use_dora));
    hora_json_set(obj, "use_rslora", hora_json_new_bool(c->use_rslora));
    hora_json_set(obj, "alpha_pattern", hora_peft_patterns_json(c->alpha_pattern, c->n_alpha));
    hora_json_set(obj, "rank_pattern", hora_peft_patterns_json(c->rank_pattern, c->n_rank));
    set_layers(obj, c);
    set_tokens(obj, c);
}

/* Keys in byte order, as PEFT has them, but patterns as given: the first that matches counts. */
static void dump_in_order(const hora_json *obj, hora_str *out) {
    static const char *const patterns[] = {"rank_pattern", "alpha_pattern"};
    hora_str text = {0};
    hora_json *sorted = NULL;
    hora_json_dump(obj, 2, true, &text);
    if (hora_json_parse(&sorted, text.s, text.n, "adapter_config.json") == HORA_OK) {
        for (size_t i = 0; i < HORA_COUNT(patterns); i++)
            if (hora_json_get(obj, patterns[i]))
                hora_json_set(sorted, patterns[i], hora_json_copy(hora_json_get(obj, patterns[i])));
        hora_json_dump(sorted, 2, false, out);
    } else { /* a name that is no text: as it is */
        hora_str_add(out, text.s, text.n);
    }
    hora_json_free(sorted);
    hora_str_release(&text);
}

void hora_peft_config_dump(const hora_peft_config *c, hora_str *out) {
    hora_json *obj = hora_json_new_object();
    const char *type = c->peft_type ? c->peft_type : "LORA";
    hora_json_set(obj, "base_model_name_or_path", string_or_null(c->base_model));
    hora_json_set(obj, "inference_mode", hora_json_new_bool(true));
    hora_json_set(obj, "peft_type", hora_json_new_string(type));
    hora_json_set(obj, "revision", hora_json_new_null());
    hora_json_set(obj, "task_type", string_or_null(c->task_type));
    if (!hora_json_get(c->own, "num_virtual_tokens")) /* prompts have no targets */
        set_targets(obj, c);
    set_names(obj, "modules_to_save", c->modules_to_save, c->n_save, true);
    if (hora_eq(type, "LORA"))
        set_lora(obj, c);
    else if (hora_json_get(c->own, "layers_to_transform")) /* not every type has them */
        set_layers(obj, c);
    for (void *it = c->own ? hora_json_iter(c->own) : NULL; it; it = hora_json_next(c->own, it))
        if (!hora_json_get(obj, hora_json_iter_key(it)))
            hora_json_set(obj, hora_json_iter_key(it), hora_json_copy(hora_json_iter_value(it)));
    dump_in_order(obj, out);
    hora_json_free(obj);
}

/* --- names of tensors ------------------------------------------------------------------------- */

#define KEY_PREFIX "base_model.model."

/* `.weight` and `.bias` stand last: the longer suffixes end in them. */
static const char *const suffixes[HORA_PEFT_PARTS] = {
    [HORA_PEFT_LORA_A] = ".lora_A.weight",
    [HORA_PEFT_LORA_B] = ".lora_B.weight",
    [HORA_PEFT_LORA_BIAS] = ".lora_B.bias",
    [HORA_PEFT_MAGNITUDE] = ".lora_magnitude_vector",
    [HORA_PEFT_EMB_A] = ".lora_embedding_A",
    [HORA_PEFT_EMB_B] = ".lora_embedding_B",
    [HORA_PEFT_TOKENS] = ".token_adapter.trainable_tokens_delta",
    [HORA_PEFT_TOKENS_BASE] = ".token_adapter.base_layer.weight",
    [HORA_PEFT_BASE_BIAS] = ".base_layer.bias",
    [HORA_PEFT_BASE_WEIGHT] = ".base_layer.weight",
    [HORA_PEFT_WEIGHT] = ".weight",
    [HORA_PEFT_BIAS] = ".bias",
};

char *hora_peft_key(const char *module, hora_peft_part part) {
    return hora_format(KEY_PREFIX "%s%s", module, suffixes[part]);
}

bool hora_peft_is_whole(hora_peft_part part) {
    return part == HORA_PEFT_WEIGHT || part == HORA_PEFT_BASE_WEIGHT ||
           part == HORA_PEFT_TOKENS_BASE;
}

hora_status hora_peft_parse_key(const char *key, char **module, hora_peft_part *part) {
    size_t skip = strlen(KEY_PREFIX);
    *module = NULL;
    for (int i = 0; hora_starts(key, KEY_PREFIX) && i < HORA_PEFT_PARTS; i++) {
        size_t n = strlen(key), tail = strlen(suffixes[i]);
        if (n <= skip + tail || !hora_ends(key, suffixes[i]))
            continue;
        *module = hora_strndup(key + skip, n - skip - tail);
        *part = (hora_peft_part)i;
        return HORA_OK;
    }
    return hora_fail(HORA_EFORMAT,
                     "`%.120s` is no tensor of a PEFT adapter: " KEY_PREFIX
                     "MODULE.lora_A.weight and the like are; save the adapter with save_pretrained",
                     key);
}
