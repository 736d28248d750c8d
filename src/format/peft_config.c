/*
 * adapter_config.json of PEFT, read. Owns the list of the keys of all types and of LoRA's, and what
 * each means to us. It does not decide whether hora can run DoRA, a bias or an embedding adapter:
 * such fields are reported and the caller decides. The rules for matching modules are in
 * peft_match.c, writing and the names of tensors in peft_write.c. Invariant: a config that parsed
 * without error computes in hora what it computes in PEFT, or one of its reported fields says
 * otherwise.
 */
#include "format/peft_config.h"

#include <inttypes.h>
#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

/* What becomes of a key of LoraConfig. "Set" is anything but null, false, "", [] and {}. */
typedef enum key_use {
    KEY_COMMON,   /* of every type of PEFT, goes into the struct or says nothing */
    KEY_READ,     /* goes into the struct */
    KEY_IGNORED,  /* says nothing about the result */
    KEY_TRAINING, /* steers PEFT's initialisation or backward only: warn when set */
    KEY_CHANGES   /* changes what the adapter computes: refuse when set */
} key_use;

static const struct {
    const char *name;
    key_use use;
} keys[] = {
    {"alora_invocation_tokens", KEY_CHANGES},
    {"alpha_pattern", KEY_READ},
    {"arrow_config", KEY_CHANGES},
    {"auto_mapping", KEY_COMMON},
    {"base_model_name_or_path", KEY_COMMON},
    {"bias", KEY_READ},
    {"corda_config", KEY_TRAINING},
    {"ensure_weight_tying", KEY_CHANGES},
    {"eva_config", KEY_TRAINING},
    {"exclude_modules", KEY_COMMON},
    {"fan_in_fan_out", KEY_READ},
    {"inference_mode", KEY_COMMON},
    {"init_lora_weights", KEY_READ},
    {"kasa_config", KEY_CHANGES},
    {"layer_replication", KEY_CHANGES},
    {"layers_pattern", KEY_READ},
    {"layers_to_transform", KEY_READ},
    {"loftq_config", KEY_TRAINING}, /* PEFT ignores it unless init_lora_weights is "loftq" */
    {"lora_alpha", KEY_READ},
    {"lora_bias", KEY_READ},
    {"lora_dropout", KEY_READ},
    {"lora_ga_config", KEY_TRAINING},
    {"megatron_config", KEY_TRAINING},
    {"megatron_core", KEY_IGNORED},
    {"modules_to_save", KEY_COMMON},
    {"monteclora_config", KEY_CHANGES},
    {"peft_type", KEY_COMMON},
    {"peft_version", KEY_COMMON},
    {"qalora_group_size", KEY_IGNORED},
    {"r", KEY_READ},
    {"rank_pattern", KEY_READ},
    {"revision", KEY_COMMON},
    {"runtime_config", KEY_IGNORED},
    {"target_modules", KEY_COMMON},
    {"target_parameters", KEY_CHANGES},
    {"task_type", KEY_COMMON},
    {"trainable_token_indices", KEY_READ},
    {"use_bdlora", KEY_CHANGES},
    {"use_dora", KEY_READ},
    {"use_qalora", KEY_CHANGES},
    {"use_rslora", KEY_READ},
    {"velora_config", KEY_TRAINING},
};

/* Initialisations that leave the base weights alone. The others ("pissa", "olora", "corda",
 * "loftq", "lora_ga") rewrite them when PEFT attaches the adapter, so the pair would differ. */
static const char *const plain_inits[] = {"gaussian", "eva", "orthogonal", "mica"};

static bool is_set(const hora_json *v) {
    bool b = false;
    size_t n = 0;
    switch (hora_json_type(v)) {
    case HORA_JNULL:
        return false;
    case HORA_JBOOL:
        return hora_json_bool(v, &b) && b;
    case HORA_JSTRING:
        return hora_json_string(v, &n) && n;
    case HORA_JARRAY:
    case HORA_JOBJECT:
        return hora_json_len(v) > 0;
    default:
        return true;
    }
}

/* Index into `keys`, HORA_COUNT(keys) when there is none. */
static size_t key_named(const char *name) {
    size_t i = 0;
    while (i < HORA_COUNT(keys) && !hora_eq(keys[i].name, name))
        i++;
    return i;
}

static void warn_unknown(const char *what, const char *name) {
    hora_warn("%s: key `%.80s` is not known and is ignored; a newer PEFT may have written it", what,
              name);
}

static hora_status check_keys(const hora_json *obj, const char *what) {
    for (void *it = hora_json_iter(obj); it; it = hora_json_next(obj, it)) {
        const char *name = hora_json_iter_key(it);
        const size_t i = key_named(name);
        if (i == HORA_COUNT(keys))
            warn_unknown(what, name);
        else if (keys[i].use == KEY_TRAINING && is_set(hora_json_iter_value(it)))
            hora_warn("%s: key `%s` only matters while PEFT trains and is ignored", what, name);
        else if (keys[i].use == KEY_CHANGES && is_set(hora_json_iter_value(it)))
            return hora_fail(HORA_EUNSUPPORTED,
                             "key `%s` changes what the adapter computes and hora does not support "
                             "it; merge the adapter with PEFT (merge_and_unload) and use the model",
                             name);
    }
    return HORA_OK;
}

static hora_status check_init(const hora_json *obj) {
    const hora_json *v = hora_json_get(obj, "init_lora_weights");
    const char *s = hora_json_string(v, NULL);
    hora_jtype t = hora_json_type(v);
    if (t == HORA_JNULL || t == HORA_JBOOL)
        return HORA_OK;
    for (size_t i = 0; s && i < HORA_COUNT(plain_inits); i++)
        if (hora_eq(plain_inits[i], s))
            return HORA_OK;
    return hora_fail(HORA_EUNSUPPORTED,
                     "`init_lora_weights` = \"%.40s\": this adapter belongs to base weights that "
                     "PEFT changes while loading; save it as plain LoRA with save_pretrained(.., "
                     "path_initial_model_for_weight_conversion=..) or merge it with PEFT",
                     s ? s : "?");
}

/* null: nothing. A string: *single. An array of strings: names. */
static hora_status read_names(const hora_json *obj, const char *key, char ***names, int *n,
                              char **single) {
    const hora_json *v = hora_json_get(obj, key);
    hora_jtype t = hora_json_type(v);
    int cap = 0;
    if (t == HORA_JNULL)
        return HORA_OK;
    if (t == HORA_JSTRING && single) {
        *single = hora_strdup(hora_json_string(v, NULL));
        return HORA_OK;
    }
    for (size_t i = 0; t == HORA_JARRAY && i < hora_json_len(v); i++) {
        const char *s = hora_json_string(hora_json_at(v, i), NULL);
        if (!s) {
            t = HORA_JNULL;
            break;
        }
        HORA_PUSH(*names, *n, cap, hora_strdup(s));
    }
    if (t == HORA_JARRAY)
        return HORA_OK;
    return hora_fail(HORA_EFORMAT, "key `%s` should be %sa list of strings; correct the file", key,
                     single ? "a string or " : "");
}

static hora_status read_patterns(const hora_json *obj, const char *key, bool whole,
                                 hora_peft_pattern **out, int *n) {
    const hora_json *v = hora_json_get(obj, key);
    int cap = 0;
    if (hora_json_type(v) != HORA_JNULL && hora_json_type(v) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT, "key `%s` should be an object; correct the file", key);
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it)) {
        const hora_json *value = hora_json_iter_value(it);
        hora_peft_pattern p = {NULL, 0};
        int64_t i;
        if (whole ? !hora_json_int(value, &i) || i < 1 : !hora_json_real(value, &p.value))
            return hora_fail(HORA_EFORMAT, "key `%s`: `%.80s` should be a %s; correct the file",
                             key, hora_json_iter_key(it), whole ? "rank of 1 or more" : "number");
        if (whole)
            p.value = (double)i;
        p.pattern = hora_strdup(hora_json_iter_key(it));
        HORA_PUSH(*out, *n, cap, p);
    }
    return HORA_OK;
}

static hora_status read_layers(hora_peft_config *c, const hora_json *obj) {
    const hora_json *v = hora_json_get(obj, "layers_to_transform");
    int cap = 0;
    int64_t i;
    if (hora_json_int(v, &i)) {
        HORA_PUSH(c->layers, c->n_layers, cap, i);
    } else if (hora_json_type(v) == HORA_JARRAY) {
        for (size_t k = 0; k < hora_json_len(v); k++) {
            if (!hora_json_int(hora_json_at(v, k), &i))
                return hora_fail(HORA_EFORMAT, "key `layers_to_transform` should hold integers; "
                                               "correct the file");
            HORA_PUSH(c->layers, c->n_layers, cap, i);
        }
    } else if (hora_json_type(v) != HORA_JNULL) {
        return hora_fail(HORA_EFORMAT, "key `layers_to_transform` should be an integer or a list "
                                       "of integers; correct the file");
    }
    char *single = NULL;
    HORA_TRY(read_names(obj, "layers_pattern", &c->layers_pattern, &c->n_layers_pattern, &single));
    if (single && *single) {
        int pcap = 0;
        HORA_PUSH(c->layers_pattern, c->n_layers_pattern, pcap, single);
    } else {
        hora_free(single); /* PEFT: an empty pattern is no pattern */
    }
    /* The three combinations that PEFT's own config refuses. */
    bool given = hora_json_type(v) != HORA_JNULL;
    bool pattern = hora_json_type(hora_json_get(obj, "layers_pattern")) != HORA_JNULL;
    if (c->target_regex && (given || pattern))
        return hora_fail(HORA_EFORMAT, "`layers_to_transform` and `layers_pattern` need "
                                       "`target_modules` to be a list; put the layers into the "
                                       "regex");
    if (c->n_layers_pattern && !given)
        return hora_fail(HORA_EFORMAT, "`layers_pattern` needs `layers_to_transform`; add it or "
                                       "remove the pattern");
    return HORA_OK;
}

/* A list: tokens of the embedding. An object: lists by module, of which one is read. */
static hora_status read_tokens(hora_peft_config *c, const hora_json *obj) {
    const hora_json *v = hora_json_get(obj, "trainable_token_indices"), *list = v;
    int cap = 0;
    if (hora_json_type(v) == HORA_JOBJECT && hora_json_len(v) > 0) {
        void *it = hora_json_iter(v);
        if (hora_json_len(v) > 1)
            return hora_fail(HORA_EUNSUPPORTED,
                             "`trainable_token_indices` names %zu modules, but only tokens of the "
                             "embedding are trained here; merge the adapter with PEFT "
                             "(merge_and_unload) and use the model",
                             hora_json_len(v));
        c->tokens_module = hora_strdup(hora_json_iter_key(it));
        list = hora_json_iter_value(it);
    }
    for (size_t i = 0; i < hora_json_len(list); i++) {
        int64_t id;
        if (!hora_json_int(hora_json_at(list, i), &id))
            return hora_fail(HORA_EFORMAT,
                             "key `trainable_token_indices` should be a list of token numbers, or "
                             "such lists by module name; correct the file");
        HORA_PUSH(c->tokens, c->n_tokens, cap, id);
    }
    return HORA_OK;
}

static char *copy_of(const char *s) {
    return s ? hora_strdup(s) : NULL;
}

/* What every type of PEFT has. */
static hora_status read_common(hora_peft_config *c, const hora_json *obj) {
    const char *type, *task, *base;
    HORA_TRY(hora_json_get_string(obj, "peft_type", NULL, &type));
    HORA_TRY(hora_json_get_string(obj, "task_type", NULL, &task));
    HORA_TRY(hora_json_get_string(obj, "base_model_name_or_path", NULL, &base));
    if (!type)
        return hora_fail(HORA_EFORMAT, "key `peft_type` is missing; this is no adapter of PEFT");
    c->peft_type = hora_strdup(type);
    c->task_type = copy_of(task);
    c->base_model = copy_of(base);
    c->targets_unset = hora_json_type(hora_json_get(obj, "target_modules")) == HORA_JNULL;
    HORA_TRY(
        read_names(obj, "target_modules", &c->target_modules, &c->n_targets, &c->target_regex));
    HORA_TRY(
        read_names(obj, "exclude_modules", &c->exclude_modules, &c->n_exclude, &c->exclude_regex));
    return read_names(obj, "modules_to_save", &c->modules_to_save, &c->n_save, NULL);
}

static hora_status read_lora(hora_peft_config *c, const hora_json *obj) {
    const char *bias;
    HORA_TRY(hora_json_get_string(obj, "bias", "none", &bias));
    if (!hora_eq(bias, "none") && !hora_eq(bias, "all") && !hora_eq(bias, "lora_only"))
        return hora_fail(HORA_EFORMAT, "`bias` is \"%.40s\"; it should be none, all or lora_only",
                         bias);
    c->bias = hora_strdup(bias);
    HORA_TRY(hora_json_get_int(obj, "r", 8, &c->r));
    HORA_TRY(hora_json_get_real(obj, "lora_alpha", 8, &c->lora_alpha));
    HORA_TRY(hora_json_get_real(obj, "lora_dropout", 0, &c->lora_dropout));
    HORA_TRY(hora_json_get_bool(obj, "use_rslora", false, &c->use_rslora));
    HORA_TRY(hora_json_get_bool(obj, "use_dora", false, &c->use_dora));
    HORA_TRY(hora_json_get_bool(obj, "fan_in_fan_out", false, &c->fan_in_fan_out));
    HORA_TRY(hora_json_get_bool(obj, "lora_bias", false, &c->lora_bias));
    if (c->r < 1)
        return hora_fail(HORA_EFORMAT, "`r` is %" PRId64 "; it should be 1 or more", c->r);
    if (!(c->lora_dropout >= 0 && c->lora_dropout < 1))
        return hora_fail(HORA_EFORMAT, "`lora_dropout` is %g; it should be in [0, 1)",
                         c->lora_dropout);
    if (c->lora_bias && c->use_dora)
        return hora_fail(HORA_EFORMAT,
                         "`lora_bias` and `use_dora` exclude each other; PEFT refuses "
                         "the pair too");
    return HORA_OK;
}

static hora_status read_config(hora_peft_config *c, const hora_json *obj, const char *what) {
    if (hora_json_type(obj) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT, "should be an object; this is no adapter_config.json");
    HORA_TRY(read_common(c, obj));
    if (!hora_eq(c->peft_type, "LORA")) {
        c->own = hora_json_copy(obj);
        return read_layers(c, obj);
    }
    HORA_TRY(read_lora(c, obj));
    HORA_TRY(check_keys(obj, what));
    HORA_TRY(check_init(obj));
    HORA_TRY(read_tokens(c, obj));
    HORA_TRY(read_patterns(obj, "rank_pattern", true, &c->rank_pattern, &c->n_rank));
    HORA_TRY(read_patterns(obj, "alpha_pattern", false, &c->alpha_pattern, &c->n_alpha));
    return read_layers(c, obj);
}

hora_status hora_peft_config_parse(hora_peft_config *c, const hora_json *obj, const char *what) {
    *c = (hora_peft_config){0};
    hora_status s = read_config(c, obj, what);
    if (s == HORA_OK)
        return HORA_OK;
    hora_peft_config_release(c);
    return hora_context(s, "%s", what);
}

hora_status hora_peft_config_load(hora_peft_config *c, const char *dir) {
    hora_json *root = NULL;
    hora_status s;
    *c = (hora_peft_config){0};
    char *path = hora_path_join(dir, "adapter_config.json");
    if (!hora_path_exists(path))
        s = hora_fail(HORA_ENOTFOUND, "%s is not there; name the folder of an adapter", path);
    else if ((s = hora_json_load(&root, path)) == HORA_OK)
        s = hora_peft_config_parse(c, root, path);
    hora_json_free(root);
    hora_free(path);
    return s;
}

/* --- other types ------------------------------------------------------------------------------ */

/* A word of a list separated by blanks. */
static bool is_word(const char *list, const char *name) {
    const char *word;
    size_t n;
    while (hora_list_next(&list, " ", &word, &n))
        if (n == strlen(name) && !strncmp(word, name, n))
            return true;
    return false;
}

void hora_peft_config_known(const hora_peft_config *c, const char *known, const char *dir) {
    for (void *it = c->own ? hora_json_iter(c->own) : NULL; it; it = hora_json_next(c->own, it)) {
        const char *name = hora_json_iter_key(it);
        const size_t i = key_named(name);
        if ((i == HORA_COUNT(keys) || keys[i].use != KEY_COMMON) && !is_word(known, name))
            warn_unknown(dir, name);
    }
}

hora_status hora_peft_config_patterns(const hora_peft_config *c, const char *key, bool whole,
                                      hora_peft_pattern **out, int *n) {
    return read_patterns(c->own, key, whole, out, n);
}

hora_status hora_peft_config_names(const hora_peft_config *c, const char *key, char ***names,
                                   int *n) {
    char *single = NULL;
    int cap = 0;
    *names = NULL;
    *n = 0;
    HORA_TRY(read_names(c->own, key, names, n, &single));
    if (single)
        HORA_PUSH(*names, *n, cap, single);
    return HORA_OK;
}

/* --- life ------------------------------------------------------------------------------------- */

static char **copy_names(char *const *names, int n) {
    char **out = n ? hora_malloc((size_t)n * sizeof *out) : NULL;
    for (int i = 0; i < n; i++)
        out[i] = hora_strdup(names[i]);
    return out;
}

static hora_peft_pattern *copy_patterns(const hora_peft_pattern *p, int n) {
    hora_peft_pattern *out = n ? hora_malloc((size_t)n * sizeof *out) : NULL;
    for (int i = 0; i < n; i++)
        out[i] = (hora_peft_pattern){hora_strdup(p[i].pattern), p[i].value};
    return out;
}

static int64_t *copy_ints(const int64_t *v, int n) {
    int64_t *out = n ? hora_malloc((size_t)n * sizeof *out) : NULL;
    if (n)
        memcpy(out, v, (size_t)n * sizeof *out);
    return out;
}

void hora_peft_config_copy(hora_peft_config *to, const hora_peft_config *c) {
    *to = *c;
    to->peft_type = copy_of(c->peft_type);
    to->task_type = copy_of(c->task_type);
    to->base_model = copy_of(c->base_model);
    to->bias = copy_of(c->bias);
    to->target_regex = copy_of(c->target_regex);
    to->exclude_regex = copy_of(c->exclude_regex);
    to->target_modules = copy_names(c->target_modules, c->n_targets);
    to->exclude_modules = copy_names(c->exclude_modules, c->n_exclude);
    to->modules_to_save = copy_names(c->modules_to_save, c->n_save);
    to->layers_pattern = copy_names(c->layers_pattern, c->n_layers_pattern);
    to->rank_pattern = copy_patterns(c->rank_pattern, c->n_rank);
    to->alpha_pattern = copy_patterns(c->alpha_pattern, c->n_alpha);
    to->layers = copy_ints(c->layers, c->n_layers);
    to->tokens = copy_ints(c->tokens, c->n_tokens);
    to->tokens_module = copy_of(c->tokens_module);
    to->own = c->own ? hora_json_copy(c->own) : NULL;
}

void hora_peft_patterns_free(hora_peft_pattern *p, int n) {
    for (int i = 0; i < n; i++)
        hora_free(p[i].pattern);
    hora_free(p);
}

void hora_peft_config_release(hora_peft_config *c) {
    hora_free(c->peft_type);
    hora_free(c->task_type);
    hora_free(c->base_model);
    hora_free(c->bias);
    hora_free(c->target_regex);
    hora_free(c->exclude_regex);
    hora_free(c->layers);
    hora_free(c->tokens);
    hora_free(c->tokens_module);
    hora_list_free(c->target_modules, c->n_targets);
    hora_list_free(c->exclude_modules, c->n_exclude);
    hora_list_free(c->modules_to_save, c->n_save);
    hora_list_free(c->layers_pattern, c->n_layers_pattern);
    hora_peft_patterns_free(c->rank_pattern, c->n_rank);
    hora_peft_patterns_free(c->alpha_pattern, c->n_alpha);
    hora_json_free(c->own);
    *c = (hora_peft_config){0};
}
