/*
 * Lists of files as people give them: FILE, FILE:2 (twice an epoch), FILE:0.1 (a tenth of it), `-`,
 * folders with train.jsonl, valid.jsonl and test.jsonl as MLX-LM has them. A file that is there
 * under the whole name wins over what its end could mean.
 */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "data/files_impl.h"

static const char between[] = "\n";

/* ---- one of a list ---- */
static bool is_there(const char *path) {
    return hora_eq(path, "-") || hora_path_exists(path);
}

static hora_status not_there(const char *path) {
    return hora_fail(HORA_ENOTFOUND, "%s: there is no such file; check the spelling of the path",
                     path);
}

static hora_status parse_one(const char *text, hora_data_file *out) {
    const char *colon = strrchr(text, ':');
    double times = 1;
    const bool whole = is_there(text) || !colon || colon == text;
    if (!whole && !hora_parse_double(colon + 1, &times))
        return not_there(text);
    *out = (hora_data_file){whole ? hora_strdup(text) : hora_strndup(text, (size_t)(colon - text)),
                            times};
    if (!is_there(out->path))
        return not_there(out->path);
    if (!(times > 0 && times <= 1e6))
        return hora_fail(HORA_EUSAGE,
                         "%s: behind the colon stands how often an epoch has the data, a number "
                         "above 0 and up to a million; leave a file out that is not wanted",
                         text);
    return HORA_OK;
}

hora_status hora_data_files_parse(hora_data_files *f, const char *list) {
    hora_status s = HORA_OK;
    int inputs = 0;
    *f = (hora_data_files){0};
    if (list && *list && hora_path_exists(list)) { /* whatever stands in its name */
        const hora_data_file one = {hora_strdup(list), 1};
        HORA_PUSH(f->at, f->n, f->cap, one);
        return HORA_OK;
    }
    for (char *word; !s && (word = hora_list_word(&list, between)); hora_free(word)) {
        hora_data_file one = {0};
        s = parse_one(word, &one);
        if (one.path)
            HORA_PUSH(f->at, f->n, f->cap, one);
        inputs += hora_eq(one.path, "-");
    }
    if (!s && inputs > 1)
        s = hora_fail(HORA_EUSAGE, "standard input (-) is given twice, but can be read once only; "
                                   "write the data to a file, or give -:2");
    if (!s && !f->n)
        s = hora_fail(HORA_EUSAGE, "no data: the name of the file is empty");
    return s;
}

void hora_data_files_release(hora_data_files *f) {
    for (int i = 0; i < f->n; i++)
        hora_free(f->at[i].path);
    hora_free(f->at);
    *f = (hora_data_files){0};
}

/* ---- folders ---- */
static const char *const role_names[][4] = {
    {"train"}, {"valid", "validation", "val", "dev"}, {"test"}};
static const char *const endings[] = {".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".txt"};
static const char *const packings[] = {"", ".gz", ".zst"};

static bool has_role(const char *name, hora_data_role role) {
    for (size_t k = 0; k < HORA_COUNT(role_names[role]) && role_names[role][k]; k++) {
        const char *stem = role_names[role][k];
        for (size_t e = 0; hora_starts(name, stem) && e < HORA_COUNT(endings); e++)
            for (size_t p = 0; p < HORA_COUNT(packings); p++) {
                char *want = hora_format("%s%s%s", stem, endings[e], packings[p]);
                const bool is = hora_eq(want, name);
                hora_free(want);
                if (is)
                    return true;
            }
    }
    return false;
}

/* The one file of a folder for that role; *out NULL: there is none. */
static hora_status find_role(const char *dir, hora_data_role role, char **out) {
    char **names;
    int n;
    hora_status s = HORA_OK;
    *out = NULL;
    HORA_TRY(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n && !s; i++) {
        if (!has_role(names[i], role))
            continue;
        if (*out)
            s = hora_fail(HORA_EUSAGE, "%s holds %s and %s; name the one that is meant", dir,
                          hora_path_base(*out), names[i]);
        else
            *out = hora_path_join(dir, names[i]);
    }
    hora_list_free(names, n);
    if (s) {
        hora_free(*out);
        *out = NULL;
    }
    return s;
}

static hora_status no_role(const char *dir, hora_data_role role) {
    hora_str other = {0};
    for (int k = HORA_DATA_TRAIN; k <= HORA_DATA_TEST; k++) {
        char *path = NULL;
        if (k != (int)role && !find_role(dir, (hora_data_role)k, &path) && path)
            hora_str_printf(&other, "%s%s", other.n ? " and " : ", but has ", hora_path_base(path));
        hora_free(path);
    }
    hora_status s =
        hora_fail(HORA_ENOTFOUND,
                  "%s is a folder without a %s.jsonl (or .json, .csv, .tsv, .txt)%s; name a "
                  "file",
                  dir, role_names[role][0], other.n ? other.s : "");
    hora_str_release(&other);
    return s;
}

/* ---- the list ---- */
static void put(hora_str *out, const char *path, double times) {
    char number[32];
    hora_str_printf(out, "%s%s", out->n ? between : "", path);
    if (times != 1)
        hora_str_printf(out, ":%s", hora_format_real(number, times));
}

static hora_status resolve_one(const hora_data_file *f, hora_data_role role, bool folders_only,
                               hora_str *out) {
    char *inside = NULL;
    if (f->times != 1 && role != HORA_DATA_TRAIN && !folders_only)
        return hora_fail(HORA_EUSAGE,
                         "%s:%g: how often an epoch has a file belongs to training data; give the "
                         "file alone",
                         f->path, f->times);
    if (!hora_path_is_dir(f->path)) {
        if (!folders_only)
            put(out, f->path, f->times);
        return HORA_OK;
    }
    HORA_TRY(find_role(f->path, role, &inside));
    if (inside)
        put(out, inside, folders_only ? 1 : f->times);
    hora_free(inside);
    return inside || folders_only ? HORA_OK : no_role(f->path, role);
}

hora_status hora_data_resolve(char **out, const char *list, hora_data_role role,
                              bool folders_only) {
    hora_data_files f;
    hora_str text = {0};
    *out = NULL;
    hora_status s = hora_data_files_parse(&f, list);
    for (int i = 0; i < f.n && !s; i++)
        s = resolve_one(&f.at[i], role, folders_only, &text);
    if (!s && text.n)
        *out = hora_strdup(text.s);
    hora_str_release(&text);
    hora_data_files_release(&f);
    return s;
}

hora_status hora_data_paths(const char *list, char ***paths, int *n) {
    hora_data_files f;
    *paths = NULL;
    *n = 0;
    int cap = 0;
    const hora_status s = hora_data_files_parse(&f, list);
    for (int i = 0; i < f.n && !s; i++)
        if (!hora_eq(f.at[i].path, "-"))
            HORA_PUSH(*paths, *n, cap, hora_strdup(f.at[i].path));
    hora_data_files_release(&f);
    return s;
}

bool hora_data_reads_input(const char *list) {
    const char *word;
    size_t n;
    while (hora_list_next(&list, between, &word, &n))
        if (*word == '-' && (n == 1 || word[1] == ':'))
            return true;
    return false;
}
