#ifndef HORA_FORMAT_PEFT_CONFIG_H
#define HORA_FORMAT_PEFT_CONFIG_H
/*
 * adapter_config.json of PEFT (0.21): reading, writing, and PEFT's rules for matching modules.
 * Keys we do not know are ignored with a warning, keys that change the computation and are not
 * supported are refused by name.
 */
#include "base/json.h"

typedef struct hora_peft_pattern {
    char *pattern;
    double value;
} hora_peft_pattern;

typedef struct hora_peft_config {
    char *peft_type;  /* "LORA" */
    char *task_type;  /* "CAUSAL_LM" or NULL */
    char *base_model; /* base_model_name_or_path or NULL */
    char *bias;       /* "none" | "all" | "lora_only" */
    int64_t r;
    double lora_alpha, lora_dropout;
    bool use_rslora, use_dora, fan_in_fan_out, lora_bias;
    char **target_modules; /* names; n_targets = 0 when target_regex is set */
    int n_targets;
    char *target_regex; /* a string in the file: regex (full match), or "all-linear" */
    char **exclude_modules;
    int n_exclude;
    char **modules_to_save;
    int n_save;
    hora_peft_pattern *rank_pattern, *alpha_pattern;
    int n_rank, n_alpha;
    int64_t *layers; /* layers_to_transform; n_layers = 0: all */
    int n_layers;
    char **layers_pattern;
    int n_layers_pattern;
} hora_peft_config;

hora_status hora_peft_config_load(hora_peft_config *c, const char *dir);
hora_status hora_peft_config_parse(hora_peft_config *c, const hora_json *obj, const char *what);
/* Indent 2, sorted keys, every key of the minimal set PEFT writes. */
void hora_peft_config_dump(const hora_peft_config *c, hora_str *out);
void hora_peft_config_release(hora_peft_config *c);

/* PEFT's check_target_module_exists for a module path ("model.layers.0.self_attn.q_proj"): exact
 * name, ".name" suffix, or regex full match; then exclude_modules, layers_to_transform and
 * layers_pattern. Sets *yes. "all-linear" is the caller's business. */
hora_status hora_peft_targets(const hora_peft_config *c, const char *module, bool *yes);
/* PEFT's get_pattern_key: a pattern applies when (.*\.)?(pattern)$ matches the path; the first
 * wins. Returns `def` when none does. */
hora_status hora_peft_pattern_value(const hora_peft_pattern *p, int n, const char *module,
                                    double def, double *out);
#endif
