/*
 * Reading adapters: what kind of folder is it, which method and options made it, do its tensors fit
 * the base. PEFT's LoRA files become method lora; with hora_state.safetensors beside them, method
 * hora, provided that the two agree.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "peft/store.h"
#include "peft/targets.h"

static bool has(const char *dir, const char *file) {
    char *path = hora_path_join(dir, file);
    bool yes = hora_path_exists(path);
    hora_free(path);
    return yes;
}

/* --- PEFT's LoRA ------------------------------------------------------------------------------ */

static hora_status refuse(const hora_peft_config *c, const char *dir) {
    const char *what = c->use_dora                            ? "use_dora"
                       : c->lora_bias                         ? "lora_bias"
                       : c->bias && !hora_eq(c->bias, "none") ? "bias other than none"
                       : c->fan_in_fan_out                    ? "fan_in_fan_out"
                       : c->exclude_regex                     ? "exclude_modules as a regex"
                                                              : NULL;
    if (c->peft_type && !hora_eq(c->peft_type, "LORA"))
        return hora_fail(HORA_EUNSUPPORTED, "%s: peft_type %s is not read here; LORA is", dir,
                         c->peft_type);
    return what ? hora_fail(HORA_EUNSUPPORTED,
                            "%s: adapter_config.json has %s, which is not computed here; merge it "
                            "with PEFT and open the merged model",
                            dir, what)
                : HORA_OK;
}

static void put_list(hora_settings *s, const char *key, char *const *items, int n) {
    hora_str v = {0};
    for (int i = 0; i < n; i++)
        hora_str_printf(&v, "%s%s", i ? "+" : "", items[i]);
    if (n)
        hora_settings_put(s, key, v.s, "adapter");
    hora_str_release(&v);
}

static void put_patterns(hora_settings *s, const char *key, const hora_peft_pattern *p, int n) {
    hora_str v = {0};
    for (int i = 0; i < n; i++) {
        char number[40];
        hora_snprintf(number, sizeof number, "%.17g", p[i].value);
        hora_str_printf(&v, "%s%s:%s", i ? ";" : "", p[i].pattern, number);
    }
    if (n)
        hora_settings_put(s, key, v.s, "adapter");
    hora_str_release(&v);
}

static void put_real(hora_settings *s, const char *key, double v) {
    char text[40];
    hora_snprintf(text, sizeof text, "%.17g", v);
    hora_settings_put(s, key, text, "adapter");
}

static void lora_settings(const hora_peft_config *c, hora_settings *s) {
    put_real(s, "rank", (double)c->r);
    put_real(s, "alpha", c->lora_alpha);
    put_real(s, "dropout", c->lora_dropout);
    hora_settings_put(s, "rslora", c->use_rslora ? "true" : "false", "adapter");
    if (c->target_regex) {
        char *re = hora_peft_all_linear(c) ? hora_strdup("all-linear")
                                           : hora_format("re:%s", c->target_regex);
        hora_settings_put(s, "targets", re, "adapter");
        hora_free(re);
    } else if (!c->targets_unset) {
        put_list(s, "targets", c->target_modules, c->n_targets);
    }
    put_list(s, "exclude", c->exclude_modules, c->n_exclude);
    put_list(s, "modules_to_save", c->modules_to_save, c->n_save);
    put_list(s, "layers_pattern", c->layers_pattern, c->n_layers_pattern);
    put_patterns(s, "rank_pattern", c->rank_pattern, c->n_rank);
    put_patterns(s, "alpha_pattern", c->alpha_pattern, c->n_alpha);
    hora_str layers = {0};
    for (int i = 0; i < c->n_layers; i++)
        hora_str_printf(&layers, "%s%lld", i ? "+" : "", (long long)c->layers[i]);
    if (c->n_layers)
        hora_settings_put(s, "layers", layers.s, "adapter");
    hora_str_release(&layers);
}

static hora_status attach_and_read(hora_adapter **out, const hora_base *base, const char *method,
                                   hora_settings *s, const char *dir) {
    HORA_TRY(hora_peft_attach(out, base, method, s, 0));
    HORA_TRY(hora_adapter_allocate(*out));
    return hora_adapter_read(*out, dir);
}

static hora_status load_lora(hora_adapter **out, const hora_base *base, const char *dir) {
    hora_peft_config c;
    HORA_TRY(hora_peft_config_load(&c, dir));
    hora_settings s = {0};
    hora_status st = refuse(&c, dir);
    lora_settings(&c, &s);
    if (!st)
        st = attach_and_read(out, base, "lora", &s, dir);
    hora_settings_release(&s);
    hora_peft_config_release(&c);
    return st;
}

/* --- HoRA's native state ---------------------------------------------------------------------- */

/* metadata key -> option; a missing key means the default */
static const struct {
    const char *key, *option;
} native_keys[] = {{"r", "rank"},
                   {"m", "hidden"},
                   {"e", "input"},
                   {"alpha", "alpha"},
                   {"act", "act"},
                   {"targets", "targets"},
                   {"share_qv", "share_qv"},
                   {"share_heads", "share_heads"},
                   {"generator", "generator"},
                   {"dropout", "dropout"},
                   {"layers", "layers"}};

static hora_status native_settings(const hora_st *st, const char *dir, hora_settings *s) {
    const char *magnitude = hora_st_meta(st, "magnitude"), *method = hora_st_meta(st, "method");
    if (method && !hora_eq(method, "hora"))
        return hora_fail(HORA_EFORMAT,
                         "%s: hora_state.safetensors says method %s; it should be hora", dir,
                         method);
    if (magnitude && !hora_eq(magnitude, "off"))
        return hora_fail(HORA_EUNSUPPORTED, "%s: HoRA with magnitude=%s is not computed here yet",
                         dir, magnitude);
    for (size_t i = 0; i < HORA_COUNT(native_keys); i++) {
        const char *v = hora_st_meta(st, native_keys[i].key);
        if (v && *v)
            hora_settings_put(s, native_keys[i].option, v, "hora_state.safetensors");
    }
    return HORA_OK;
}

/* The generator and the factors beside it must tell the same story: by hash where one is stored,
 * else by value. */
static hora_status compare(hora_adapter *a, const hora_st *native, const char *dir) {
    hora_st *st = NULL;
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_open(&st, path);
    hora_free(path);
    const char *stored = hora_st_meta(native, "factors_hash");
    uint64_t hash = 0;
    double distance = 0;
    bool same = false;
    if (!s && stored) {
        s = hora_file_factors_hash(a, st, &hash);
        same = hash == strtoull(stored, NULL, 16);
    }
    if (!s && !stored) {
        s = hora_file_factors_distance(a, st, &distance);
        same = distance <= 1e-4;
    }
    hora_st_close(st);
    if (!s && !same)
        s = hora_fail(HORA_EMISMATCH,
                      "%s: hora_state.safetensors and adapter_model.safetensors disagree; one of "
                      "them was changed. Say which is meant: prefer=native (the generator) or "
                      "prefer=materialised (the factors, as plain LoRA)",
                      dir);
    return s;
}

static hora_status load_hora(hora_adapter **out, const hora_base *base, const char *dir,
                             bool check) {
    hora_st *st = NULL;
    hora_settings s = {0};
    char *path = hora_path_join(dir, "hora_state.safetensors");
    hora_peft_config c = {0};
    bool peft = has(dir, "adapter_config.json");
    hora_status r = hora_st_open(&st, path);
    if (!r)
        r = native_settings(st, dir, &s);
    if (!r && peft && !(r = hora_peft_config_load(&c, dir))) {
        put_list(&s, "modules_to_save", c.modules_to_save, c.n_save);
        hora_peft_config_release(&c);
    }
    if (!r)
        r = attach_and_read(out, base, "hora", &s, dir);
    if (!r)
        r = hora_adapter_materialise(*out);
    if (!r && check && has(dir, "adapter_model.safetensors"))
        r = compare(*out, st, dir);
    hora_st_close(st);
    hora_settings_release(&s);
    hora_free(path);
    return r;
}

/* --- any folder ------------------------------------------------------------------------------- */

static hora_status load_delta(hora_adapter **out, const hora_base *base, const char *dir) {
    hora_json *c = NULL;
    char *path = hora_path_join(dir, "delta_config.json");
    hora_settings none = {0};
    const char *method = NULL;
    hora_status s = hora_json_load(&c, path);
    if (!s)
        s = hora_json_get_string(c, "method", "", &method);
    if (!s &&
        !(hora_method_named(method) && hora_method_named(method)->traits & HORA_TRAIT_WEIGHTS))
        s = hora_fail(HORA_EFORMAT,
                      "%s: method `%s` is none that writes delta.safetensors (bitfit, head)", path,
                      method);
    if (!s)
        s = attach_and_read(out, base, method, &none, dir);
    hora_json_free(c);
    hora_free(path);
    return s;
}

hora_status hora_peft_load(hora_adapter **out, const hora_base *base, const char *dir,
                           const char *prefer) {
    *out = NULL;
    hora_status s;
    hora_settings none = {0};
    if (prefer && !hora_eq(prefer, "native") && !hora_eq(prefer, "materialised"))
        return hora_fail(HORA_EUSAGE, "prefer is native or materialised, not `%s`", prefer);
    if (has(dir, "hora_state.safetensors") && !hora_eq(prefer, "materialised"))
        s = load_hora(out, base, dir, !prefer);
    else if (has(dir, "adapter_config.json"))
        s = load_lora(out, base, dir);
    else if (has(dir, "delta_config.json"))
        s = load_delta(out, base, dir);
    else if (has(dir, "config.json"))
        s = attach_and_read(out, base, "full", &none, dir);
    else
        s = hora_fail(HORA_ENOTFOUND,
                      "%s is no adapter folder: it should hold adapter_config.json (PEFT), "
                      "delta_config.json or a model",
                      dir);
    if (s) {
        hora_peft_detach(*out);
        *out = NULL;
    }
    return s;
}

hora_status hora_adapter_read(hora_adapter *a, const char *dir) {
    unsigned t = a->method->traits;
    if (t & HORA_TRAIT_MODEL)
        return hora_params_read(a, dir, "model.safetensors", "");
    if (t & HORA_TRAIT_WEIGHTS)
        return hora_params_read(a, dir, "delta.safetensors", "");
    if (!a->method->load_native)
        return hora_params_read(a, dir, "adapter_model.safetensors", "");
    if (!has(dir, "hora_state.safetensors"))
        return hora_fail(HORA_ENOTFOUND,
                         "%s has no hora_state.safetensors, which method %s continues from; a "
                         "plain LoRA can be continued with method lora",
                         dir, a->method->name);
    HORA_TRY(a->method->load_native(a, dir));
    return a->replaces
               ? hora_params_read(a, dir, "adapter_model.safetensors", "base_model.model.lm_head")
               : HORA_OK;
}
