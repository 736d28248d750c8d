#ifndef HORA_FORMAT_PEFT_CONFIG_H
#define HORA_FORMAT_PEFT_CONFIG_H
/*
 * The adapter directory of PEFT (0.21): adapter_config.json, PEFT's rules for matching modules, and
 * the names of tensors in adapter_model.safetensors. The rules are PEFT's own, quirks included,
 * because an adapter means what PEFT does with it. What all types of PEFT share is read for each
 * of them, LoRA's keys for "LORA"; the keys of other types stay in `own` for the method that knows
 * them. Keys that PEFT does not know are ignored with a warning; keys that change the computation
 * and are not supported are refused by name.
 * Source: huggingface/peft, tuners/tuners_utils.py (check_target_module_exists), utils/other.py
 * (get_pattern_key), tuners/lora/config.py, docs/source/developer_guides/checkpoint.md.
 */
#include "base/json.h"

typedef struct hora_peft_pattern {
    char *pattern;
    double value;
} hora_peft_pattern;

/* All strings and arrays are owned. Zero-initialise to build one for writing; then bias NULL means
 * "none" and peft_type NULL means "LORA". */
typedef struct hora_peft_config {
    char *peft_type;  /* "LORA", "IA3" */
    char *task_type;  /* "CAUSAL_LM" or NULL */
    char *base_model; /* base_model_name_or_path or NULL */
    char *bias;       /* "none" | "all" | "lora_only" */
    int64_t r;
    double lora_alpha, lora_dropout;
    bool use_rslora, use_dora, fan_in_fan_out, lora_bias;
    char **target_modules; /* names; n_targets = 0 when target_regex is set */
    int n_targets;
    char *target_regex; /* a string in the file: regex (full match), or "all-linear" */
    /* null in the file: PEFT's default for the family (llama: q_proj, v_proj); the caller fills
     * target_modules in */
    bool targets_unset;
    char **exclude_modules;
    int n_exclude;
    char *exclude_regex; /* a string in the file: regex (full match) */
    char **modules_to_save;
    int n_save;
    /* trainable_token_indices, and the module they belong to; NULL: the embedding */
    int64_t *tokens;
    int n_tokens;
    char *tokens_module;
    hora_peft_pattern *rank_pattern, *alpha_pattern;
    int n_rank, n_alpha;
    int64_t *layers; /* layers_to_transform; n_layers = 0: all */
    int n_layers;
    char **layers_pattern;
    int n_layers_pattern;
    /* of types other than LORA: the file's object, or the keys to write beside the common ones;
     * NULL: none */
    hora_json *own;
} hora_peft_config;

/* DIR/adapter_config.json. HORA_ENOTFOUND when it is not there, HORA_EFORMAT for wrong types and
 * values, HORA_EUNSUPPORTED for what hora would compute wrongly. Release *c only after HORA_OK. */
hora_status hora_peft_config_load(hora_peft_config *c, const char *dir);
hora_status hora_peft_config_parse(hora_peft_config *c, const hora_json *obj, const char *what);
/* Indent 2, sorted keys, every key of the minimal set PEFT writes. */
void hora_peft_config_dump(const hora_peft_config *c, hora_str *out);
void hora_peft_config_copy(hora_peft_config *to, const hora_peft_config *from); /* deep */
void hora_peft_config_release(hora_peft_config *c);
/* Types other than LORA: warns of every key of c->own that is neither common to all types nor among
 * `known` (separated by blanks). dir: for the text. */
void hora_peft_config_known(const hora_peft_config *c, const char *known, const char *dir);
/* The strings under c->own's `key` (a list, or one string), new; null or absent: none. */
hora_status hora_peft_config_names(const hora_peft_config *c, const char *key, char ***names,
                                   int *n);

void hora_peft_patterns_free(hora_peft_pattern *p, int n); /* and what they hold */
/* The patterns under c->own's `key`, new; `whole`: ranks. And an object of such. */
hora_status hora_peft_config_patterns(const hora_peft_config *c, const char *key, bool whole,
                                      hora_peft_pattern **out, int *n);
hora_json *hora_peft_patterns_json(const hora_peft_pattern *p, int n);

/*
 * PEFT's check_target_module_exists for a module path ("model.layers.0.self_attn.q_proj"). In
 * order: excluded by exclude_modules (exact name, ".name" suffix, or regex) or by being at or below
 * a module of modules_to_save; regex full match; exact name (which skips the layer rules); ".name"
 * suffix, then layers_to_transform, where the layer is the number after layers_pattern, or after
 * any second path part when there is no pattern. "all-linear" takes every module that is not
 * excluded: ask it about linear modules other than the output layer only. A regex that Python would
 * refuse, or that backtracks without end, is HORA_EFORMAT.
 */
hora_status hora_peft_targets(const hora_peft_config *c, const char *module, bool *yes);
bool hora_peft_all_linear(const hora_peft_config *c);
/* PEFT's get_pattern_key: a pattern applies when (.*\.)?(pattern)$ matches the path; the first
 * wins, then a key that is the path itself. Returns `def` when none does. */
hora_status hora_peft_pattern_value(const hora_peft_pattern *p, int n, const char *module,
                                    double def, double *out);

/* What a tensor of adapter_model.safetensors is. Key: "base_model.model." + module + suffix. */
typedef enum hora_peft_part {
    HORA_PEFT_LORA_A,      /* .lora_A.weight           [r, in]     */
    HORA_PEFT_LORA_B,      /* .lora_B.weight           [out, r]    */
    HORA_PEFT_LORA_BIAS,   /* .lora_B.bias             [out]       */
    HORA_PEFT_MAGNITUDE,   /* .lora_magnitude_vector   [out]       */
    HORA_PEFT_EMB_A,       /* .lora_embedding_A        [r, num]    */
    HORA_PEFT_EMB_B,       /* .lora_embedding_B        [dim, r]    */
    HORA_PEFT_TOKENS,      /* .token_adapter.trainable_tokens_delta [tokens, dim]: whole rows */
    HORA_PEFT_TOKENS_BASE, /* .token_adapter.base_layer.weight      the whole table beside them */
    HORA_PEFT_BASE_BIAS,   /* .base_layer.bias         [out]       */
    HORA_PEFT_BASE_WEIGHT, /* .base_layer.weight     the base's own, beside an embedding adapter */
    HORA_PEFT_WEIGHT,      /* .weight                  modules_to_save, whole */
    HORA_PEFT_BIAS,        /* .bias                    modules_to_save, or bias="all" */
    HORA_PEFT_PARTS
} hora_peft_part;
char *hora_peft_key(const char *module, hora_peft_part part); /* new string */
/* The weight of its module, all of it. */
bool hora_peft_is_whole(hora_peft_part part);
/* The reverse: *module is a new string. HORA_EFORMAT for a key of another shape. */
hora_status hora_peft_parse_key(const char *key, char **module, hora_peft_part *part);
#endif
