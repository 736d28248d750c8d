/*
 * Looking into files. What a directory is follows from the files in it: state.json makes a
 * checkpoint, adapter_config.json or delta_config.json an adapter, config.json a model.
 */
#include "run/inspect.h"
#include "run/open.h"

#include "base/file.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/gguf_hf.h"
#include "format/peft_config.h"
#include "format/safetensors.h"
#include "model/family.h"
#include "peft/peft.h"

static void put_int(hora_json *o, const char *key, int64_t v) {
    hora_json_set(o, key, hora_json_new_int(v));
}
static void put_text(hora_json *o, const char *key, const char *v) {
    hora_json_set(o, key, v ? hora_json_new_string(v) : hora_json_new_null());
}

/* --- safetensors ------------------------------------------------------------------------------ */
static hora_json *shape_json(const hora_shape *s) {
    hora_json *a = hora_json_new_array();
    for (int i = 0; i < s->n; i++)
        hora_json_push(a, hora_json_new_int(s->d[i]));
    return a;
}

static void put_tensors(hora_json *o, const hora_st *st) {
    int64_t numbers = 0;
    hora_json *meta = hora_json_new_object(), *list = hora_json_new_array();
    for (int i = 0; i < hora_st_meta_count(st); i++) {
        const char *key, *value;
        hora_st_meta_at(st, i, &key, &value);
        put_text(meta, key, value);
    }
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        hora_json *e = hora_json_push(list, hora_json_new_object());
        put_text(e, "name", t->name);
        put_text(e, "dtype", t->dtype_name);
        hora_json_set(e, "shape", shape_json(&t->view.shape));
        numbers += hora_elems(&t->view);
    }
    put_int(o, "count", hora_st_count(st));
    put_int(o, "numbers", numbers);
    hora_json_set(o, "metadata", meta);
    hora_json_set(o, "tensors", list);
}

static hora_status inspect_file(const char *path, hora_json *o) {
    hora_st *st;
    HORA_TRY(hora_st_open(&st, path));
    put_text(o, "kind", "safetensors");
    put_int(o, "bytes", hora_file_size(path));
    put_tensors(o, st);
    hora_st_close(st);
    return HORA_OK;
}

/* Numbers in DIR/NAME; -1 when it is not there. */
static hora_status count_file(const char *dir, const char *name, int64_t *numbers) {
    hora_st *st;
    char *path = hora_path_join(dir, name);
    *numbers = -1;
    hora_status s = HORA_OK;
    if (hora_path_exists(path)) {
        s = hora_st_open(&st, path);
        for (int i = 0; s == HORA_OK && i < hora_st_count(st); i++)
            *numbers += hora_elems(&hora_st_at(st, i)->view) + !i;
        if (s == HORA_OK)
            hora_st_close(st);
    }
    hora_free(path);
    return s;
}

/* The file as it is, under `key`: what has no line of its own is not left out. */
static hora_status put_file(hora_json *o, const char *key, const char *dir, const char *name) {
    hora_json *raw;
    char *path = hora_path_join(dir, name);
    hora_status s = hora_json_load(&raw, path);
    hora_free(path);
    if (!s)
        hora_json_set(o, key, raw);
    return s;
}

/* --- models ----------------------------------------------------------------------------------- */
static void put_dtypes(hora_json *o, const char *dir) {
    hora_st *st;
    if (hora_st_open_model(&st, dir) != HORA_OK) {
        put_text(o, "dtypes", NULL);
        put_text(o, "weights", hora_errmsg()); /* nothing is left out without a word */
        return;
    }
    hora_json *d = hora_json_new_object();
    for (int i = 0; i < hora_st_count(st); i++) {
        const char *name = hora_st_at(st, i)->dtype_name;
        int64_t n = 0;
        hora_json_int(hora_json_get(d, name), &n);
        put_int(d, name, n + 1);
    }
    hora_json_set(o, "dtypes", d);
    put_int(o, "files", hora_st_files(st));
    hora_st_close(st);
}

static bool same_site(const hora_site *a, const hora_site *b) {
    return a->kind == b->kind && a->in == b->in && a->out == b->out && a->heads == b->heads &&
           (a->bias >= 0) == (b->bias >= 0) && (a->layer < 0) == (b->layer < 0);
}

/* What a decoder keeps of a token. */
static void put_cache(hora_json *o, const hora_base *b) {
    hora_json *c = hora_json_set(o, "cache", hora_json_new_object());
    const int64_t n = hora_base_cache_row(b), plain = 2 * b->layers * b->kv_heads * b->head_dim;
    put_int(c, "numbers_per_token", n);
    put_int(c, "bytes_per_token_f32", n * (int64_t)sizeof(float));
    put_int(c, "numbers_as_keys_and_values", plain);
    hora_json_set(c, "share", hora_json_new_real((double)n / (double)plain));
}

/* Each sort of site once, by its first module; `layers` says how many there are of it. */
static void put_sites(hora_json *o, const hora_base *b) {
    hora_json *sites = hora_json_set(o, "sites", hora_json_new_array());
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        int before = 0, same = 0;
        for (int k = 0; k < b->nsites; k++) {
            same += same_site(s, &b->sites[k]);
            before += k < i && same_site(s, &b->sites[k]);
        }
        if (before)
            continue;
        hora_json *e = hora_json_push(sites, hora_json_new_object());
        put_text(e, "target", hora_site_short(s->kind));
        put_text(e, "module", s->module);
        put_int(e, "layers", same);
        put_int(e, "in", s->in);
        put_int(e, "out", s->out);
        put_int(e, "heads", s->heads);
        hora_json_set(e, "bias", hora_json_new_bool(s->bias >= 0));
    }
}

static hora_status inspect_model(const char *dir, hora_json *o) {
    const hora_open_options oo = {.dtype = HORA_F32, .headers_only = true};
    hora_opened opened = {0};
    hora_status s = hora_open_model(&opened, dir, &oo);
    if (!s)
        s = hora_open_settle(&opened, NULL, NULL, false, 0);
    /* without a head and data its classes are not known, which is no fault of a model */
    if (s && !(s == HORA_EUSAGE && opened.base && !opened.objective.classes)) {
        hora_open_close(&opened);
        return s;
    }
    const hora_base *b = opened.base;
    put_text(o, "kind", "model");
    put_text(o, "task", opened.objective.task->name);
    put_text(o, "model_type", b->model_type);
    put_text(o, "family", b->family->name);
    put_int(o, "parameters", hora_base_parameters(b));
    put_int(o, "hidden", b->hidden);
    put_int(o, "intermediate", b->intermediate);
    put_int(o, "layers", b->layers);
    put_int(o, "heads", b->heads);
    put_int(o, "kv_heads", b->kv_heads);
    put_int(o, "head_dim", b->head_dim);
    put_int(o, "vocab", b->vocab);
    put_int(o, "max_positions", b->max_positions);
    hora_json_set(o, "tied", hora_json_new_bool(b->tied));
    if (!b->vision && !b->encoder && !b->bare)
        put_cache(o, b);
    put_dtypes(o, dir);
    put_sites(o, b);
    s = hora_model_file(dir) ? HORA_OK : put_file(o, "config", dir, "config.json");
    hora_open_close(&opened);
    return s;
}

/* --- adapters --------------------------------------------------------------------------------- */
static void put_list(hora_json *o, const char *key, char *const *at, int n) {
    hora_json *l = n ? hora_json_set(o, key, hora_json_new_array()) : NULL;
    for (int i = 0; i < n; i++)
        hora_json_push(l, hora_json_new_string(at[i]));
}

static void put_patterns(hora_json *o, const char *key, const hora_peft_pattern *at, int n) {
    hora_json *l = n ? hora_json_set(o, key, hora_json_new_object()) : NULL;
    for (int i = 0; i < n; i++)
        hora_json_set(l, at[i].pattern, hora_json_new_real(at[i].value));
}

static void put_peft(hora_json *o, const hora_peft_config *c) {
    put_text(o, "peft_type", c->peft_type);
    put_int(o, "rank", c->r);
    hora_json_set(o, "alpha", hora_json_new_real(c->lora_alpha));
    hora_json_set(o, "dropout", hora_json_new_real(c->lora_dropout));
    hora_json_set(o, "rslora", hora_json_new_bool(c->use_rslora));
    put_text(o, "base", c->base_model);
    if (c->target_regex)
        put_text(o, "targets", c->target_regex);
    else {
        hora_json *t = hora_json_set(o, "targets", hora_json_new_array());
        for (int i = 0; i < c->n_targets; i++)
            hora_json_push(t, hora_json_new_string(c->target_modules[i]));
    }
    put_list(o, "exclude_modules", c->exclude_modules, c->n_exclude);
    put_list(o, "modules_to_save", c->modules_to_save, c->n_save);
    put_list(o, "layers_pattern", c->layers_pattern, c->n_layers_pattern);
    put_patterns(o, "rank_pattern", c->rank_pattern, c->n_rank);
    put_patterns(o, "alpha_pattern", c->alpha_pattern, c->n_alpha);
    if (c->n_layers) {
        hora_json *l = hora_json_set(o, "layers_to_transform", hora_json_new_array());
        for (int i = 0; i < c->n_layers; i++)
            hora_json_push(l, hora_json_new_int(c->layers[i]));
    }
}

/* The generator's hyper-parameters, and its size beside the LoRA that it makes. */
static hora_status put_native(hora_json *o, const char *dir, int64_t lora) {
    hora_st *st;
    int64_t native = 0;
    char *path = hora_path_join(dir, "hora_state.safetensors");
    hora_status s = hora_st_open(&st, path);
    hora_free(path);
    HORA_TRY(s);
    hora_json *meta = hora_json_set(o, "native", hora_json_new_object());
    for (int i = 0; i < hora_st_meta_count(st); i++) {
        const char *key, *value;
        hora_st_meta_at(st, i, &key, &value);
        put_text(meta, key, value);
    }
    for (int i = 0; i < hora_st_count(st); i++)
        native += hora_elems(&hora_st_at(st, i)->view);
    hora_st_close(st);
    put_int(o, "trainable", native);
    put_int(o, "lora_of_same_rank", lora);
    hora_json_set(o, "ratio", hora_json_new_real(lora > 0 ? (double)native / (double)lora : 0));
    return HORA_OK;
}

static hora_status put_heads(hora_json *o, const char *dir, const char *base_dir,
                             const char *named) {
    const hora_open_options oo = {.dtype = HORA_F32, .headers_only = true, .adapter = dir};
    const char *from = base_dir ? base_dir : named;
    hora_opened b = {0};
    hora_adapter *a;
    hora_json *heads;
    if (!from || !hora_model_path(from))
        return hora_fail(HORA_ENOTFOUND,
                         "%s: heads need the base's configuration, and `%s` is no directory here; "
                         "give --model DIR",
                         dir, from ? from : "");
    hora_status s;
    HORA_TRY_OUT(s, hora_open_model(&b, from, &oo));
    HORA_TRY_OUT(s, hora_open_settle(&b, NULL, NULL, false, 0));
    HORA_TRY_OUT(s, hora_peft_load(&a, b.base, dir, NULL));
    if (!(s = hora_inspect_heads(a, &heads)))
        hora_json_set(o, "heads", heads);
    hora_peft_detach(a);
out:
    hora_open_close(&b);
    return s;
}

static hora_status inspect_adapter(const char *dir, const char *base_dir, bool heads,
                                   hora_json *o) {
    hora_peft_config c;
    int64_t numbers;
    HORA_TRY(hora_peft_config_load(&c, dir));
    const bool native = hora_path_has(dir, "hora_state.safetensors");
    const hora_method *m = NULL;
    hora_status s = hora_peft_whose(&m, dir);
    put_text(o, "kind", "adapter");
    put_text(o, "method", m ? m->name : NULL);
    put_peft(o, &c);
    if (s == HORA_OK)
        s = count_file(dir, "adapter_model.safetensors", &numbers);
    if (s == HORA_OK && numbers < 0)
        s = hora_fail(HORA_ENOTFOUND,
                      "%s: has adapter_config.json, but no adapter_model.safetensors; copy it too",
                      dir);
    if (s == HORA_OK && native)
        s = put_native(o, dir, numbers);
    else if (s == HORA_OK)
        put_int(o, "trainable", numbers);
    if (s == HORA_OK && heads)
        s = put_heads(o, dir, base_dir, c.base_model);
    if (s == HORA_OK)
        s = put_file(o, "adapter_config", dir, "adapter_config.json");
    hora_peft_config_release(&c);
    return s;
}

static hora_status inspect_delta(const char *dir, hora_json *o) {
    int64_t numbers;
    hora_json *config;
    char *path = hora_path_join(dir, "delta_config.json");
    hora_status s = hora_json_load(&config, path);
    hora_free(path);
    HORA_TRY(s);
    put_text(o, "kind", "delta");
    hora_json_set(o, "config", config);
    HORA_TRY(count_file(dir, "delta.safetensors", &numbers));
    put_int(o, "trainable", numbers);
    return HORA_OK;
}

static hora_status inspect_dir(const char *dir, const char *base_dir, bool heads, hora_json *o);

/* The task of adapter i of a folder, where it has one. */
static void put_task(hora_json *o, const char *dir, int i) {
    char *task = hora_adapters_task(dir, i);
    if (task)
        put_text(o, "task", task);
    hora_free(task);
}

/* Several adapters in one folder: each as if it lay alone. */
static hora_status inspect_several(const char *dir, const char *base_dir, bool heads,
                                   hora_json *o) {
    char **names;
    int n;
    HORA_TRY(hora_adapters_list(&names, &n, dir));
    hora_json *list = n ? hora_json_set(o, "adapters", hora_json_new_array()) : NULL;
    hora_status s = HORA_OK;
    for (int i = 1; i < n && s == HORA_OK; i++) {
        hora_json *one = hora_json_push(list, hora_json_new_object());
        char *sub = hora_path_join(dir, names[i]);
        put_text(one, "name", names[i]);
        put_task(one, dir, i);
        s = inspect_dir(sub, base_dir, heads, one);
        hora_free(sub);
    }
    if (n)
        put_text(o, "name", names[0]);
    if (n)
        put_task(o, dir, 0);
    hora_list_free(names, n);
    return s;
}

/* What an adapter directory of either sort holds, added to `o`. */
static hora_status inspect_dir(const char *dir, const char *base_dir, bool heads, hora_json *o) {
    HORA_TRY(inspect_several(dir, base_dir, heads, o));
    if (hora_path_has(dir, "adapter_config.json"))
        return inspect_adapter(dir, base_dir, heads, o);
    if (hora_path_has(dir, "delta_config.json"))
        return inspect_delta(dir, o);
    if (hora_path_has(dir, "config.json"))
        return inspect_model(dir, o);
    return hora_outdir_missing(
        dir, hora_fail(HORA_EFORMAT,
                       "%s: is no model, adapter or checkpoint (no config.json, "
                       "adapter_config.json, delta_config.json or state.json); give another path",
                       dir));
}

static hora_status inspect_checkpoint(const char *dir, const char *base_dir, bool heads,
                                      hora_json *o) {
    hora_json *state;
    int64_t numbers;
    char *path = hora_path_join(dir, "state.json");
    hora_status s = hora_json_load(&state, path);
    hora_free(path);
    HORA_TRY(s);
    put_text(o, "kind", "checkpoint");
    hora_json_set(o, "state", state);
    HORA_TRY(count_file(dir, "state.safetensors", &numbers));
    put_int(o, "state_numbers", numbers);
    hora_json *inside = hora_json_set(o, "contents", hora_json_new_object());
    return inspect_dir(dir, base_dir, heads, inside);
}

/* OUT/NAME, whose files lie in OUT itself: NAME without the others. */
static hora_status inspect_first(const char *path, const char *base_dir, bool heads,
                                 hora_json **out) {
    char *home, *name;
    HORA_TRY(hora_adapters_home(path, &home, &name));
    hora_json *o = hora_json_new_object();
    put_text(o, "path", path);
    put_text(o, "name", name);
    hora_status s = !name ? hora_fail(HORA_ENOTFOUND, "%s: is not there; check the path", path)
                    : hora_path_has(home, "adapter_config.json")
                        ? inspect_adapter(home, base_dir, heads, o)
                        : inspect_delta(home, o);
    if (s)
        hora_json_free(o);
    else
        *out = o;
    hora_free(home);
    hora_free(name);
    return s;
}

hora_status hora_inspect(const char *path, const char *base_dir, bool heads, hora_json **out) {
    bool folder;
    HORA_TRY(hora_path_is_folder(path, &folder));
    if (!folder && !hora_path_exists(path))
        return inspect_first(path, base_dir, heads, out);
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "path", hora_json_new_string(path));
    hora_status s = hora_model_file(path) ? inspect_model(path, o)
                    : !folder             ? inspect_file(path, o)
                    : hora_path_has(path, "state.json")
                        ? inspect_checkpoint(path, base_dir, heads, o)
                        : inspect_dir(path, base_dir, heads, o);
    if (s != HORA_OK)
        hora_json_free(o);
    else
        *out = o;
    return s;
}
