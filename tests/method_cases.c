#include "method_cases.h"

#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "vectors/golden.h"

static const method_case rows[] = {
#define CASE(method, options, golden) {#method, options, golden},
#include "methods.def"
#undef CASE
};

int method_case_count(void) {
    return (int)HORA_COUNT(rows);
}

const method_case *method_case_at(int i) {
    return &rows[i];
}

bool method_case_of_text(const method_case *m) {
    return !hora_eq(m->method, "vpt") && !hora_eq(m->method, "st_adapter");
}

/* Is the model of the kind whose vectors are read here, and opened by this build? */
static bool opens(const char *root, const char *model) {
    char *note = hora_format("%s/%s/base/case.json", root, model);
    hora_json *o = NULL;
    bool yes = hora_path_exists(note) && hora_json_load(&o, note) == HORA_OK;
    const char *kind = hora_json_string(hora_json_get(o, "kind"), NULL);
    const bool pictures = hora_eq(kind, "image");
    yes &= pictures || hora_eq(kind, "causal");
    hora_json_free(o);
    hora_free(note);
    if (!yes)
        return false;
    char *dir = hora_eq(model, "stories260k") ? hora_strdup(hora_test_shared("models/stories260k"))
                                              : hora_format("%s/%s/base", root, model);
    hora_base *b = NULL;
    hora_status s = hora_base_open(
        &b, dir, &(hora_base_options){.dtype = HORA_F32, .headers_only = true, .bare = pictures});
    if (s != HORA_OK && s != HORA_EUNSUPPORTED)
        fail_msg("%s: %s", dir, hora_errmsg());
    hora_base_close(b);
    hora_free(dir);
    return s == HORA_OK;
}

static bool at_home(const char *path) {
    char *own = hora_format("tests/vectors/files/%s/case.json", path);
    const bool yes = hora_path_exists(hora_test_source(own));
    hora_free(own);
    return yes;
}

/* The n-th name of a row's golden cases; NULL past the last. */
static char *name_at(const method_case *row, int n) {
    const char *p = row->golden + strspn(row->golden, " ");
    for (; n > 0 && *p; n--) {
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    return *p ? hora_strndup(p, strcspn(p, " ")) : NULL;
}

static int each_of_model(const char *root, const char *model, bool own, bool *met,
                         void (*fn)(const char *, const method_case *)) {
    int seen = 0, k = 0;
    char *name;
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        for (int n = 0; (name = name_at(&rows[i], n)); n++, k++) {
            char *path = hora_format("%s/%s", model, name);
            char *there = hora_format("%s/%s/case.json", root, path);
            const bool found = hora_path_exists(there);
            met[k] |= found || at_home(path);
            if (found && own == at_home(path)) {
                if (hora_test_asked(rows[i].method))
                    fn(path, &rows[i]);
                seen++;
            }
            hora_free(there);
            hora_free(path);
            hora_free(name);
        }
    return seen;
}

int method_golden_each(bool own, void (*fn)(const char *path, const method_case *row)) {
    const char *root = own ? hora_test_source("tests/vectors/files") : hora_test_shared("vectors");
    bool met[256] = {false};
    char **models, *name;
    int n, seen = 0, k = 0;
    assert_ok(hora_list_dir(root, &models, &n));
    for (int i = 0; i < n; i++)
        if (opens(root, models[i]))
            seen += each_of_model(root, models[i], own, met, fn);
    hora_list_free(models, n);
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        for (int c = 0; (name = name_at(&rows[i], c)); c++, k++) {
            assert_true(k < (int)HORA_COUNT(met));
            if (!own && !met[k])
                fail_msg("methods.def: no model of ../shared/vectors or of our own has a case `%s`",
                         name);
            hora_free(name);
        }
    return seen;
}
