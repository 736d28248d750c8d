/*
 * A list of pictures: JSONL, a JSON array or a table (CSV, TSV) of records with a path and, mostly,
 * a label (a name or a number). Paths are relative to the list's folder; Hugging Face's
 * metadata.jsonl is one such list.
 */
#include "base/text.h"
#include "data/files_impl.h"
#include "data/images_impl.h"

static const char *const path_keys[] = {"image", "file_name", "image_path", "path",
                                        "file",  "filename",  "filepath"};
static const char *const mask_keys[] = {"mask", "mask_path", "segmentation"};
static const char *const label_keys[] = {"label", "class", "class_name", "category"};

static bool is_list(const char *path) {
    static const char *const endings[] = {".jsonl", ".json", ".ndjson", ".csv", ".tsv"};
    for (size_t i = 0; i < HORA_COUNT(endings) && !hora_path_is_dir(path); i++)
        if (hora_ends(path, endings[i]))
            return true;
    return false;
}

typedef struct list {
    hora_images *s;
    char *dir;
} list;

static const hora_json *member(const hora_json *record, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const hora_json *v = hora_json_get(record, keys[i]);
        if (v && hora_json_type(v) != HORA_JNULL)
            return v;
    }
    return NULL;
}

/* The label as text into buf or borrowed; NULL: none. */
static hora_status label_of(const hora_json *record, char buf[32], const char **out) {
    const hora_json *v = member(record, label_keys, HORA_COUNT(label_keys));
    int64_t number;
    *out = v ? hora_json_string(v, NULL) : NULL;
    if (v && hora_json_int(v, &number)) {
        hora_snprintf(buf, 32, "%lld", (long long)number);
        *out = buf;
    }
    if (*out && !**out) /* an empty field of a table */
        *out = NULL;
    else if (v && !*out)
        return hora_fail(HORA_EFORMAT, "the label is a %s; it should be a name or a class number",
                         hora_json_type_name(hora_json_type(v)));
    return HORA_OK;
}

static char *full_path(const list *l, const char *path) {
    return path[0] == '/' ? hora_strdup(path) : hora_path_join(l->dir, path);
}

static hora_status add(list *l, const hora_json *record) {
    char buf[32];
    const char *label,
        *path = hora_json_string(member(record, path_keys, HORA_COUNT(path_keys)), NULL);
    if (!path)
        return hora_fail(HORA_EFORMAT, "no path of a picture; a record needs one as image, "
                                       "file_name or path, and its class as label");
    HORA_TRY(label_of(record, buf, &label));
    const char *mask = hora_json_string(member(record, mask_keys, HORA_COUNT(mask_keys)), NULL);
    char *full = full_path(l, path), *second = mask && *mask ? full_path(l, mask) : NULL;
    hora_status st = HORA_OK;
    if (hora_path_exists(full) && (!second || hora_path_exists(second))) {
        hora_images_add(l->s, full, label, -1, 0, 0);
        if (second)
            hora_images_add_mask(l->s, second);
    } else if (l->s->cfg.skip_bad)
        l->s->info.missing++;
    else
        st = hora_fail(HORA_ENOTFOUND,
                       "%s is not there; correct the path, or leave it out with skip_bad",
                       hora_path_exists(full) ? second : full);
    hora_free(full);
    hora_free(second);
    return st;
}

static hora_status take(void *arg, const hora_json *record, hora_place at) {
    list *l = arg;
    hora_status st = add(l, record);
    return st == HORA_OK ? st : hora_context(st, "%s: line %lld", l->s->path, (long long)at.line);
}

static hora_status refuse(void *arg, hora_status s) {
    (void)arg;
    return s;
}

static hora_status list_records(hora_images *s) {
    hora_bytes b;
    list l = {s, hora_path_dir(s->path)};
    const bool tabs = hora_ends(s->path, ".tsv");
    hora_status st = hora_images_read_parts(s, l.dir);
    HORA_TRY_OUT(st, st);
    HORA_TRY_OUT(st, hora_bytes_open(&b, s->path));
    if (tabs || hora_ends(s->path, ".csv"))
        st = hora_read_table(b.s, b.n, s->path, tabs, NULL, take, refuse, &l);
    else
        st = hora_read_records(b.s, b.n, s->path, take, refuse, &l);
    hora_bytes_release(&b);
out:
    hora_free(l.dir);
    return st;
}

const hora_images_kind hora_images_kind_list = {
    .name = "list", .is = is_list, .list = list_records};
