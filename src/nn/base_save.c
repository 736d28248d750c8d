/* An opened base as a Hugging Face model directory: in one file and one dtype, or as its
 * source is. */
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "format/gguf_hf.h"
#include "format/safetensors.h"
#include "nn/base.h"

/* A tied head becomes a matrix of its own. */
static bool comes_apart(const hora_base *b, float *const *replace) {
    return b->tied && b->weights[b->head].tied && replace && replace[b->head];
}

static void say_apart(const hora_base *b, float *const *replace) {
    if (comes_apart(b, replace))
        hora_info("head and embedding were one matrix and have changed apart: lm_head.weight is "
                  "written, tie_word_embeddings is false");
}

static bool is_whole(const hora_base *b) {
    return b->whole_type && b->bare && b->head >= 0;
}

/* The config.json of a part becomes that of a whole with the part in it, which takes over what is
 * of the head. Returns one or the other; c is used up. */
static hora_json *whole_config(const hora_base *b, hora_json *c) {
    static const char *const moved[] = {
        "architectures", "id2label", "label2id", "num_labels",      "problem_type",
        "segment_head",  "dice",     "frames",   "frame_attention", "transformers_version"};
    if (!is_whole(b))
        return c;
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "model_type", hora_json_new_string(b->whole_type));
    for (size_t i = 0; i < HORA_COUNT(moved); i++)
        if (hora_json_get(c, moved[i])) {
            hora_json_set(o, moved[i], hora_json_copy(hora_json_get(c, moved[i])));
            hora_json_remove(c, moved[i]);
        }
    static const char *const both[] = {"dtype", "torch_dtype"};
    for (size_t i = 0; i < HORA_COUNT(both); i++)
        if (hora_json_get(c, both[i]))
            hora_json_set(o, both[i], hora_json_copy(hora_json_get(c, both[i])));
    hora_json_set(o, b->whole_key, c);
    return o;
}

static hora_status save_config(const hora_base *b, const char *dir, hora_dtype dtype, bool apart) {
    hora_json *c = hora_json_copy(b->config);
    const char *name = dtype == HORA_BF16 ? "bfloat16" : dtype == HORA_F16 ? "float16" : "float32";
    hora_json_set(c, "torch_dtype", hora_json_new_string(name));
    hora_json_remove(c, "quantization_config"); /* it is plain now */
    if (apart)
        hora_json_set(c, "tie_word_embeddings", hora_json_new_bool(false));
    c = whole_config(b, c);
    hora_status s = hora_json_save(c, 2, true, dir, "config.json");
    hora_json_free(c);
    return s;
}

/* Weight i as it is to be saved. */
static hora_view value_of(const hora_base *b, int i, float *const *replace) {
    hora_view v = b->weights[i].view;
    if (replace && replace[i])
        v = (hora_view){replace[i], HORA_F32, v.shape};
    return v;
}

/* The tensor that weight i belongs to: its own, as files have it; or one that is put together from
 * all who share it, in *own. */
static hora_status tensor_of(const hora_base *b, int i, float *const *replace, hora_dtype dtype,
                             hora_view *v, void **own) {
    const hora_spelling s = hora_weight_spelling(&b->weights[i]);
    *v = value_of(b, i, replace);
    *own = NULL;
    v->shape = hora_weight_disk(&b->weights[i]);
    if (!s.rows)
        return HORA_OK;
    const int64_t row = hora_row_elems(&v->shape);
    const size_t size = hora_dtype_size(dtype);
    v->shape.d[0] = s.rows;
    v->dtype = dtype;
    v->data = *own = hora_calloc((size_t)(s.rows * row), size);
    for (int k = 0; k < b->nweights; k++) {
        const hora_spelling other = hora_weight_spelling(&b->weights[k]);
        const hora_view part = value_of(b, k, replace);
        if (other.rows && hora_eq(other.name, s.name))
            HORA_TRY(hora_convert((char *)*own + (size_t)(other.from * row) * size, dtype,
                                  part.data, part.dtype, hora_elems(&part)));
    }
    return HORA_OK;
}

/* Somebody in front of weight i belongs to the same tensor. */
static bool stands_already(const hora_base *b, int i) {
    const hora_spelling s = hora_weight_spelling(&b->weights[i]);
    return s.rows && s.from > 0;
}

hora_status hora_base_save(const hora_base *b, const char *dir, float *const *replace,
                           hora_dtype dtype) {
    hora_st_entry *e = hora_calloc((size_t)b->nweights, sizeof *e);
    void **own = hora_calloc((size_t)b->nweights, sizeof *own);
    hora_status s = HORA_OK;
    int n = 0;
    for (int i = 0; i < b->nweights && !s; i++) {
        if (stands_already(b, i) || (b->weights[i].tied && !comes_apart(b, replace)))
            continue;
        e[n] =
            (hora_st_entry){hora_weight_spelling(&b->weights[i]).name, b->weights[i].view, dtype};
        s = tensor_of(b, i, replace, dtype, &e[n].view, &own[n]);
        n++;
    }
    char *path = hora_path_join(dir, "model.safetensors");
    if (!s)
        s = hora_st_write(path, e, n, NULL, 0);
    for (int i = 0; i < n; i++)
        hora_free(own[i]);
    hora_free(own);
    hora_free(path);
    hora_free(e);
    say_apart(b, replace);
    return s ? s : save_config(b, dir, dtype, comes_apart(b, replace));
}

/* What config.json says of a task's head. */
static void copy_task(const hora_base *b, hora_json *to) {
    static const char *const keys[] = {"problem_type", "id2label", "label2id",       "segment_head",
                                       "dice",         "frames",   "frame_attention"};
    for (size_t i = 0; i < HORA_COUNT(keys); i++)
        if (hora_json_get(b->config, keys[i]))
            hora_json_set(to, keys[i], hora_json_copy(hora_json_get(b->config, keys[i])));
}

hora_status hora_base_save_task(const hora_base *b, const char *dir) {
    if (!b->task_type)
        return HORA_OK;
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "task_type", hora_json_new_string(b->task_type));
    copy_task(b, o);
    hora_status s = hora_json_save(o, 2, false, dir, "task.json");
    hora_json_free(o);
    return s;
}

hora_status hora_copy_companions(const char *from, const char *to) {
    static const char *const files[] = {"tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "generation_config.json",
                                        "chat_template.jinja",
                                        "added_tokens.json",
                                        "chat_template.json",
                                        "vocab.json",
                                        "vocab.txt",
                                        "merges.txt",
                                        "preprocessor_config.json",
                                        "processor_config.json"};
    hora_status s = HORA_OK;
    if (hora_gguf_is(from))
        hora_warn("%s holds the tokenizer, which was not written: put the tokenizer.json and "
                  "tokenizer_config.json of that model into %s",
                  from, to);
    for (size_t i = 0; i < HORA_COUNT(files) && s == HORA_OK; i++) {
        char *a = hora_path_join(from, files[i]), *b = hora_path_join(to, files[i]);
        if (hora_path_exists(a))
            s = hora_copy_file(a, b);
        hora_free(a);
        hora_free(b);
    }
    return s;
}

/* --- as the source ---------------------------------------------------------------------------- */

/* What a tensor of the source becomes: the base's weight of that name (a bare backbone's lacks the
 * prefix), the first of those that share it, a tied head the embedding it repeats, unless it has
 * new values of its own, anything else itself. */
static int weight_of(const hora_base *b, const char *name, float *const *replace) {
    for (int i = 0; i < b->nweights; i++) {
        const char *own = hora_weight_spelling(&b->weights[i]).name;
        const bool bare = b->prefix && hora_starts(own, b->prefix);
        if (hora_eq(own, name) || (bare && hora_eq(own + strlen(b->prefix), name)))
            return b->weights[i].tied && !comes_apart(b, replace) ? b->embed : i;
    }
    return -1;
}

/* Weight w or another part of its tensor has a new value. */
static bool is_new(const hora_base *b, int w, float *const *replace) {
    bool yes = false;
    for (int i = 0; replace && i < b->nweights; i++)
        yes |= replace[i] && (i == w || hora_eq(hora_weight_spelling(&b->weights[i]).name,
                                                hora_weight_spelling(&b->weights[w]).name));
    return yes;
}

typedef struct shards { /* what goes into the shard that is being filled */
    hora_st_entry *e;
    int n;
    bool *written; /* per weight of the base */
    void **own;    /* per entry: tensors that were put together; NULL: none */
    bool prefixed; /* a whole is made of a part: its names get the prefix */
    char **names;  /* owned; of those */
    int nnames;
    hora_json *map;
    uint64_t bytes;
} shards;

/* The source is a part whose names lack the prefix, and what is made of it has them. */
static bool is_prefixed(const hora_base *b, const hora_st *st) {
    bool bare = false;
    for (int i = 0; i < b->nweights && is_whole(b) && b->prefix && !bare; i++) {
        const char *own = hora_weight_spelling(&b->weights[i]).name;
        bare = hora_starts(own, b->prefix) && !hora_st_find(st, own) &&
               hora_st_find(st, own + strlen(b->prefix));
    }
    return bare;
}

/* What the source calls `name`; w: its weight, -1: none. */
static const char *name_of(shards *s, const hora_base *b, const char *name, int w) {
    const char *own = w < 0 ? NULL : hora_weight_spelling(&b->weights[w]).name;
    if (!s->prefixed || hora_starts(name, b->prefix) || (own && !hora_starts(own, b->prefix)))
        return name;
    return s->names[s->nnames++] = hora_format("%s%s", b->prefix, name);
}

static void add_entry(shards *s, const char *name, hora_view view, hora_dtype dtype,
                      const char *file) {
    s->e[s->n++] = (hora_st_entry){name, view, dtype};
    s->bytes += (uint64_t)hora_elems(&view) * hora_dtype_size(dtype);
    hora_json_set(s->map, name, hora_json_new_string(file));
}

/* Entries of shard `file`; the last one takes what the source has not (a head of its own). */
static hora_status fill_shard(shards *s, const hora_base *b, const hora_st *st, int file,
                              float *const *replace) {
    const char *path = hora_path_base(hora_st_file_path(st, file));
    hora_dtype last = HORA_F32;
    for (int i = 0; i < s->n; i++) {
        hora_free(s->own[i]);
        s->own[i] = NULL;
    }
    s->n = 0;
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        const int w = weight_of(b, t->name, replace);
        const bool new_value = w >= 0 && is_new(b, w, replace);
        const bool shared = w >= 0 && hora_weight_spelling(&b->weights[w]).rows;
        const hora_shape disk = w >= 0 ? hora_weight_disk(&b->weights[w]) : t->view.shape;
        if (t->file != file || (!shared && !new_value && !hora_shape_equal(&t->view.shape, &disk)))
            continue;
        if (t->view.dtype == HORA_DTYPE_OTHER)
            return hora_fail(HORA_EUNSUPPORTED, "%s: %s has dtype %s, which cannot be copied",
                             hora_st_file_path(st, file), t->name, t->dtype_name);
        hora_view view = t->view;
        if (new_value)
            HORA_TRY(tensor_of(b, w, replace, HORA_F32, &view, &s->own[s->n]));
        last = t->view.dtype;
        add_entry(s, name_of(s, b, t->name, w), view, last, path);
        for (int i = 0; w >= 0 && i < b->nweights; i++)
            s->written[i] |= hora_eq(hora_weight_spelling(&b->weights[i]).name,
                                     hora_weight_spelling(&b->weights[w]).name);
    }
    for (int w = 0; file == hora_st_files(st) - 1 && w < b->nweights; w++) {
        if (s->written[w] || (b->weights[w].tied && !comes_apart(b, replace)))
            continue;
        add_entry(s, b->weights[w].name, value_of(b, w, replace),
                  hora_dtype_is_float(last) ? last : HORA_F32, path);
    }
    return HORA_OK;
}

static hora_status write_shards(shards *s, const hora_base *b, const hora_st *st, const char *dir,
                                float *const *replace) {
    for (int f = 0; f < hora_st_files(st); f++) {
        HORA_TRY(fill_shard(s, b, st, f, replace));
        char *path = hora_path_join(dir, hora_path_base(hora_st_file_path(st, f)));
        const hora_status bad = hora_st_write(path, s->e, s->n, NULL, 0);
        hora_free(path);
        HORA_TRY(bad);
    }
    return HORA_OK;
}

/* Written last: a folder with an index is whole. */
static hora_status write_index(shards *s, const char *dir) {
    hora_json *index = hora_json_new_object();
    hora_json *meta = hora_json_set(index, "metadata", hora_json_new_object());
    hora_json_set(meta, "total_size", hora_json_new_int((int64_t)s->bytes));
    hora_json_set(index, "weight_map", hora_json_copy(s->map));
    const hora_status st = hora_json_save(index, 2, true, dir, HORA_ST_INDEX_FILE);
    hora_json_free(index);
    return st;
}

/* What of the head config.json says: a task's is its own business, one that came apart is no longer
 * tied, one of another vocabulary has another number of rows. */
static void tell_head(const hora_base *b, hora_json *c, bool apart) {
    const hora_json *made = hora_json_get(b->config, "architectures");
    if (b->file_vocab)
        hora_json_set(c, "vocab_size", hora_json_new_int(b->vocab));
    if (!b->bare && apart)
        hora_json_set(c, "tie_word_embeddings", hora_json_new_bool(false));
    if (b->bare && made)
        hora_json_set(c, "architectures", hora_json_copy(made));
    if (b->bare)
        copy_task(b, c);
}

/* config.json to the byte, but for another head or vocabulary. */
static hora_status copy_config(const hora_base *b, const char *dir, bool apart) {
    hora_json *c = NULL;
    bool tied = false;
    char *from = hora_path_join(b->dir, "config.json"), *to = hora_path_join(dir, "config.json");
    hora_status s = hora_json_load(&c, from);
    hora_json_bool(hora_json_get(c, "tie_word_embeddings"), &tied);
    apart = tied && (apart || !b->tied);
    if (s == HORA_OK && !b->bare && !apart && !b->file_vocab) {
        s = hora_copy_file(from, to);
    } else if (s == HORA_OK) {
        tell_head(b, c, apart);
        c = whole_config(b, c);
        s = hora_json_save(c, 2, true, dir, "config.json");
    }
    hora_json_free(c);
    hora_free(from);
    hora_free(to);
    return s;
}

hora_status hora_base_save_like(const hora_base *b, const char *dir, float *const *replace) {
    hora_st *st = NULL;
    if (hora_model_file(b->dir))
        return hora_fail(HORA_EUSAGE,
                         "%s is a model in one file: a directory has other dtypes than its own; "
                         "give --dtype bf16 or f32",
                         b->dir);
    HORA_TRY(hora_st_open_model(&st, b->dir));
    for (int i = 0; i < hora_st_count(st); i++)
        if (hora_st_at(st, i)->parts) {
            hora_st_close(st);
            return hora_fail(HORA_EUSAGE,
                             "%s is in four bits, which do not hold a merged weight: give --dtype "
                             "bf16 or f32",
                             b->dir);
        }
    say_apart(b, replace);
    const size_t most = (size_t)(hora_st_count(st) + b->nweights);
    shards s = {
        .e = hora_calloc(most, sizeof *s.e),
        .own = hora_calloc(most, sizeof *s.own),
        .written = hora_calloc((size_t)b->nweights, sizeof *s.written),
        .map = hora_json_new_object(),
        .prefixed = is_prefixed(b, st),
        .names = hora_calloc(most, sizeof *s.names),
    };
    hora_status bad = write_shards(&s, b, st, dir, replace);
    if (bad == HORA_OK && hora_st_files(st) > 1)
        bad = write_index(&s, dir);
    if (bad == HORA_OK)
        bad = copy_config(b, dir, comes_apart(b, replace));
    for (size_t i = 0; i < most; i++)
        hora_free(s.own[i]);
    for (int i = 0; i < s.nnames; i++)
        hora_free(s.names[i]);
    hora_free(s.names);
    hora_free(s.own);
    hora_json_free(s.map);
    hora_free(s.written);
    hora_free(s.e);
    hora_st_close(st);
    return bad;
}
