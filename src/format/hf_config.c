/*
 * Hugging Face's config.json in one spelling, whichever version of transformers wrote it. Owns the
 * renamings and nothing of their meaning. Invariant: an older file and a newer file of the same
 * model load to trees with the same values under the same keys. Rules: hf_config.h.
 */
#include "format/hf_config.h"

#include "base/file.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/gguf_hf.h"
#include "format/jax_vit.h"

/* Keys that transformers 5 moved into rope_parameters. */
static const char *const moved[] = {"rope_theta", "partial_rotary_factor"};

static bool is_moved(const char *key) {
    for (size_t i = 0; i < HORA_COUNT(moved); i++)
        if (hora_eq(moved[i], key))
            return true;
    return false;
}

static bool is_given(const hora_json *v) {
    return hora_json_type(v) != HORA_JNULL;
}

/* A copy of rope_scaling or rope_parameters without the moved keys and with rope_type; JSON null
 * when plain rotary embedding is meant. */
static hora_status scaling_of(hora_json **out, const hora_json *rope) {
    const char *type;
    *out = NULL;
    if (hora_json_type(rope) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT,
                         "rope_scaling or rope_parameters should be an object; correct the file");
    for (void *it = hora_json_iter(rope); it; it = hora_json_next(rope, it))
        if (hora_json_type(hora_json_iter_value(it)) == HORA_JOBJECT)
            return hora_fail(HORA_EUNSUPPORTED,
                             "rope_parameters: `%.40s` has its own set; models whose layers differ "
                             "in rotary embedding are not supported",
                             hora_json_iter_key(it));
    HORA_TRY(hora_json_get_string(rope, "type", "default", &type));
    HORA_TRY(hora_json_get_string(rope, "rope_type", type, &type));
    if (hora_eq(type, "default")) {
        *out = hora_json_new_null();
        return HORA_OK;
    }
    *out = hora_json_new_object();
    hora_json_set(*out, "rope_type", hora_json_new_string(type));
    for (void *it = hora_json_iter(rope); it; it = hora_json_next(rope, it)) {
        const char *key = hora_json_iter_key(it);
        if (!hora_eq(key, "type") && !hora_eq(key, "rope_type") && !is_moved(key))
            hora_json_set(*out, key, hora_json_copy(hora_json_iter_value(it)));
    }
    return HORA_OK;
}

/* timm's file in Hugging Face's words: model_type, class, names of classes. Its own keys stay. */
static void take_timm(hora_json *root) {
    const hora_json *names = hora_json_get(root, "label_names");
    int64_t classes = 0;
    if (hora_json_get(root, "model_type") || !hora_json_get(root, "architecture"))
        return;
    hora_json_set(root, "model_type", hora_json_new_string("timm"));
    hora_json_int(hora_json_get(root, "num_classes"), &classes);
    if (classes < 1 || hora_json_get(root, "architectures"))
        return;
    hora_json *list = hora_json_new_array();
    hora_json_push(list, hora_json_new_string("TimmForImageClassification"));
    hora_json_set(root, "architectures", list);
    hora_json_set(root, "num_labels", hora_json_new_int(classes));
    if ((int64_t)hora_json_len(names) != classes)
        return;
    hora_json *ids = hora_json_set(root, "id2label", hora_json_new_object());
    for (int64_t i = 0; i < classes; i++) {
        char key[24];
        hora_snprintf(key, sizeof key, "%lld", (long long)i);
        hora_json_set(ids, key, hora_json_copy(hora_json_at(names, (size_t)i)));
    }
}

/* {"full_attention": {..}, "sliding_attention": {..}}: the first is what all have; of the second its
 * theta becomes rope_local_base_freq, as transformers 4 calls it. */
static hora_status per_kind(hora_json *root, const hora_json **rope) {
    const hora_json *full = hora_json_get(*rope, "full_attention");
    const hora_json *local = hora_json_get(*rope, "sliding_attention");
    const char *type;
    if (hora_json_type(full) != HORA_JOBJECT || hora_json_len(*rope) != 1 + (local != NULL))
        return HORA_OK;
    *rope = full;
    HORA_TRY(hora_json_get_string(local, "rope_type", "default", &type));
    if (!hora_eq(type, "default"))
        return hora_fail(
            HORA_EUNSUPPORTED,
            "rope_parameters: sliding_attention has rope_type `%.40s`; only default is "
            "computed there",
            type);
    if (is_given(hora_json_get(local, "rope_theta")))
        hora_json_set(root, "rope_local_base_freq",
                      hora_json_copy(hora_json_get(local, "rope_theta")));
    return HORA_OK;
}

/* A length that stands beside rope_scaling (Phi-3 writes it there) counts before the one in it, for
 * the types that transformers reads one for. */
static void old_length(hora_json *scaling, const hora_json *config) {
    static const char *const key = "original_max_position_embeddings";
    static const char *const types[] = {"llama3", "yarn", "longrope"};
    const hora_json *beside = hora_json_get(config, key);
    const char *type = hora_json_string(hora_json_get(scaling, "rope_type"), NULL);
    for (size_t i = 0; is_given(beside) && type && i < HORA_COUNT(types); i++)
        if (hora_eq(type, types[i]))
            hora_json_set(scaling, key, hora_json_copy(beside));
}

hora_status hora_hf_config_normalize(hora_json **out, const hora_json *config) {
    *out = NULL;
    if (hora_json_type(config) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT, "should be an object; this is no config.json of a model");
    const hora_json *params = hora_json_get(config, "rope_parameters");
    const hora_json *scaling = hora_json_get(config, "rope_scaling");
    const hora_json *rope = is_given(scaling) ? scaling : params; /* as transformers prefers */
    const hora_json *dtype = hora_json_get(config, "dtype");
    hora_json *root = hora_json_new_object(), *plain = NULL;
    for (void *it = hora_json_iter(config); it; it = hora_json_next(config, it)) {
        const char *key = hora_json_iter_key(it);
        bool renamed = hora_eq(key, "rope_parameters") || hora_eq(key, "dtype") ||
                       (hora_eq(key, "torch_dtype") && is_given(dtype));
        if (!renamed)
            hora_json_set(root, key, hora_json_copy(hora_json_iter_value(it)));
    }
    if (is_given(dtype))
        hora_json_set(root, "torch_dtype", hora_json_copy(dtype));
    if (is_given(rope)) {
        hora_status s = per_kind(root, &rope);
        if (s == HORA_OK)
            s = scaling_of(&plain, rope);
        if (s != HORA_OK) {
            hora_json_free(root);
            return s;
        }
        old_length(plain, config);
        hora_json_set(root, "rope_scaling", plain);
        for (size_t i = 0; i < HORA_COUNT(moved); i++)
            if (is_given(hora_json_get(rope, moved[i])))
                hora_json_set(root, moved[i], hora_json_copy(hora_json_get(rope, moved[i])));
    }
    take_timm(root);
    *out = root;
    return HORA_OK;
}

static hora_status load_gguf(hora_json **out, const char *path) {
    hora_gguf *g = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    hora_status s = hora_gguf_config(out, g);
    hora_gguf_close(g);
    return s;
}

hora_status hora_hf_config_load(hora_json **out, const char *dir_or_file) {
    hora_json *raw = NULL;
    hora_status s;
    bool folder;
    *out = NULL;
    if (hora_gguf_is(dir_or_file))
        return load_gguf(out, dir_or_file);
    if (hora_npz_is(dir_or_file))
        return hora_jax_vit_config(out, dir_or_file);
    HORA_TRY(hora_path_is_folder(dir_or_file, &folder));
    char *path = folder ? hora_path_join(dir_or_file, "config.json") : hora_strdup(dir_or_file);
    if (!hora_path_exists(path)) {
        s = hora_fail(HORA_ENOTFOUND, "%s is not there; name the folder of a Hugging Face model",
                      path);
        s = folder ? hora_outdir_missing(dir_or_file, s) : s;
    } else if ((s = hora_json_load(&raw, path)) == HORA_OK) {
        s = hora_hf_config_normalize(out, raw);
        if (s != HORA_OK)
            hora_context(s, "%s", path);
    }
    hora_json_free(raw);
    hora_free(path);
    return s;
}

static hora_status add_id(const hora_json *v, int32_t *ids, int cap, int *n) {
    int64_t id;
    if (!hora_json_int(v, &id) || id < 0 || id > INT32_MAX)
        return hora_fail(HORA_EFORMAT,
                         "eos_token_id should be a token id or a list of them; correct the file");
    if (*n == cap)
        return hora_fail(HORA_EUNSUPPORTED, "eos_token_id lists more than %d ids; shorten the list",
                         cap);
    ids[(*n)++] = (int32_t)id;
    return HORA_OK;
}

static hora_status add_ids(const hora_json *v, int32_t *ids, int cap, int *n) {
    if (!is_given(v))
        return HORA_OK;
    if (hora_json_type(v) != HORA_JARRAY)
        return add_id(v, ids, cap, n);
    for (size_t i = 0; i < hora_json_len(v); i++)
        HORA_TRY(add_id(hora_json_at(v, i), ids, cap, n));
    return HORA_OK;
}

/* The end of a text and, where it is another token, of a turn. */
static hora_status gguf_eos_ids(const char *path, int32_t *ids, int cap, int *n) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    hora_gguf *g = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    hora_status s = HORA_OK;
    for (size_t i = 0; i < HORA_COUNT(keys) && s == HORA_OK; i++) {
        int64_t id;
        s = hora_gguf_get_int(g, keys[i], false, -1, &id);
        if (s == HORA_OK && id >= 0 && id <= INT32_MAX && *n < cap && (!*n || ids[*n - 1] != id))
            ids[(*n)++] = (int32_t)id;
    }
    hora_gguf_close(g);
    return s;
}

hora_status hora_hf_eos_ids(const char *dir, int32_t *ids, int cap, int *n) {
    static const char *const files[] = {"generation_config.json", "config.json"};
    hora_status s = HORA_OK;
    *n = 0;
    if (hora_gguf_is(dir))
        return gguf_eos_ids(dir, ids, cap, n);
    for (size_t i = 0; i < HORA_COUNT(files) && s == HORA_OK && !*n; i++) {
        hora_json *root = NULL;
        char *path = hora_path_join(dir, files[i]);
        if (hora_path_exists(path))
            s = hora_json_load(&root, path);
        if (s == HORA_OK) {
            s = add_ids(hora_json_get(root, "eos_token_id"), ids, cap, n);
            if (s != HORA_OK)
                hora_context(s, "%s", path);
        }
        hora_json_free(root);
        hora_free(path);
    }
    return s;
}
