#include "peft/identity.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "format/safetensors.h"

#define FILE_NAME "hora_base.json"

static const struct {
    const char *key;
    size_t offset;
} dimensions[] = {
    {"hidden", offsetof(hora_base, hidden)},
    {"intermediate", offsetof(hora_base, intermediate)},
    {"layers", offsetof(hora_base, layers)},
    {"heads", offsetof(hora_base, heads)},
    {"kv_heads", offsetof(hora_base, kv_heads)},
    {"head_dim", offsetof(hora_base, head_dim)},
    {"vocab", offsetof(hora_base, vocab)},
};

static int64_t dimension(const hora_base *b, size_t i) {
    return *(const int64_t *)((const char *)b + dimensions[i].offset);
}

/* "F32 0123456789abcdef" */
static void describe(char text[64], const char *dtype, uint64_t hash) {
    hora_snprintf(text, 64, "%.40s %016llx", dtype, (unsigned long long)hash);
}

hora_status hora_identity_write(const hora_base *b, const char *dir) {
    char text[64];
    hora_str out = {0};
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "model_type", hora_json_new_string(b->model_type));
    for (size_t i = 0; i < HORA_COUNT(dimensions); i++)
        hora_json_set(o, dimensions[i].key, hora_json_new_int(dimension(b, i)));
    if (b->files) {
        const uint64_t *hash = hora_st_hashes(b->files);
        hora_json *all = hora_json_set(o, "tensors", hora_json_new_object());
        for (int i = 0; i < hora_st_count(b->files); i++) {
            const hora_st_tensor *t = hora_st_at(b->files, i);
            describe(text, t->dtype_name, hash[i]);
            hora_json_set(all, t->name, hora_json_new_string(text));
        }
    }
    hora_json_dump(o, 1, false, &out);
    hora_str_puts(&out, "\n");
    char *path = hora_path_join(dir, FILE_NAME);
    const hora_status s = hora_file_write(path, out.s, out.n);
    hora_free(path);
    hora_str_release(&out);
    hora_json_free(o);
    return s;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* The first dimension that differs, as text; false: none does. */
static bool other_dimensions(const hora_base *b, const hora_json *o, hora_str *out) {
    const char *type = hora_json_string(hora_json_get(o, "model_type"), NULL);
    if (type && !hora_eq(type, b->model_type)) {
        hora_str_printf(out, "model_type is %s, was %.40s", b->model_type, type);
        return true;
    }
    for (size_t i = 0; i < HORA_COUNT(dimensions); i++) {
        int64_t was;
        if (hora_json_get_int(o, dimensions[i].key, dimension(b, i), &was) ||
            was == dimension(b, i))
            continue;
        hora_str_printf(out, "%s is %lld, was %lld", dimensions[i].key, (long long)dimension(b, i),
                        (long long)was);
        return true;
    }
    return false;
}

/* A copy in a wider dtype holds the same numbers (bf16 or f16 stored as f32): rounded back they are
 * what was trained on, or another base. From a narrower one nothing can be told. */
static bool widened(const hora_st_tensor *t, const char *was, size_t n, hora_dtype *as) {
    static const hora_dtype narrow[] = {HORA_BF16, HORA_F16};
    for (size_t i = 0; i < HORA_COUNT(narrow) && t->view.dtype == HORA_F32 && !t->parts; i++) {
        const char *name = hora_dtype_name(narrow[i]);
        *as = narrow[i];
        if (strlen(name) == n && !memcmp(name, was, n))
            return true;
    }
    return false;
}

/* The first tensor that differs although both have it in one dtype, or here in a wider one.
 * *compared: how many matrices both have so; vectors alone tell nothing, as files in other blocks
 * have them in F32 alike. */
static bool other_tensors(const hora_base *b, const hora_json *all, int *compared, hora_str *out) {
    const uint64_t *hash = b->files && all ? hora_st_hashes(b->files) : NULL;
    char text[64];
    *compared = 0;
    for (int i = 0; hash && i < hora_st_count(b->files); i++) {
        const hora_st_tensor *t = hora_st_at(b->files, i);
        const char *was = hora_json_string(hora_json_get(all, t->name), NULL);
        const char *space = was ? strchr(was, ' ') : NULL;
        const size_t n = strlen(t->dtype_name);
        const bool same = space && (size_t)(space - was) == n && !memcmp(was, t->dtype_name, n);
        hora_dtype as = t->view.dtype;
        if (!space || (!same && !widened(t, was, (size_t)(space - was), &as)))
            continue;
        *compared += t->view.shape.n > 1;
        describe(text, same ? t->dtype_name : hora_dtype_name(as),
                 same ? hash[i] : hora_st_hash_as(b->files, t, as));
        if (hora_eq(text, was))
            continue;
        hora_str_printf(out, "%s has other values", t->name);
        return true;
    }
    return false;
}

static hora_status compare(const hora_base *b, const char *dir, const hora_json *o) {
    const hora_json *all = hora_json_get(o, "tensors");
    hora_str what = {0};
    int compared = 1;
    hora_status s = HORA_OK;
    const bool differs = other_dimensions(b, o, &what) || other_tensors(b, all, &compared, &what);
    if (differs && !b->any_base)
        s = hora_fail(
            HORA_EMISMATCH,
            "%s was trained on another base than %s: %s. Give the base that it was "
            "trained on; with any_base (--any-base) it is tried here all the same, as on a "
            "fine-tuned relative",
            dir, b->dir, what.s);
    else if (differs)
        hora_warn("%s was trained on another base than %s: %s; it is used all the same", dir,
                  b->dir, what.s);
    else if (all && b->files && !compared)
        hora_warn("%s: whether %s is the base that it was trained on cannot be told, because its "
                  "weights lie there in another dtype or under other names",
                  dir, b->dir);
    hora_str_release(&what);
    return s;
}

hora_status hora_identity_check(const hora_base *b, const char *dir) {
    char *path = hora_path_join(dir, FILE_NAME);
    hora_json *o = NULL;
    hora_status s = hora_path_exists(path) ? hora_json_load(&o, path) : HORA_DONE;
    if (!s)
        s = compare(b, dir, o);
    hora_json_free(o);
    hora_free(path);
    return s == HORA_DONE ? HORA_OK : s;
}
