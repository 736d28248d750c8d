/*
 * The index of ../shared/vectors against what the suites walk: a case whose method is built and
 * that no suite opens is an error, so that none is forgotten. Counts them by method.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "vectors/golden.h"

enum { MOST = 1024 };
static char *walked[MOST]; /* MODEL/CASE, as vectors/causal walks them */
static int nwalked;

static void mark(const char *path, const method_case *row) {
    (void)row;
    assert_true(nwalked < MOST);
    walked[nwalked++] = hora_strdup(path);
}

/* The row of methods.def that names a case; NULL: none. */
static const method_case *row_of(const char *name) {
    for (int i = 0; i < method_case_count(); i++) {
        const char *p = method_case_at(i)->golden, *one;
        size_t n;
        while (hora_list_next(&p, " ", &one, &n))
            if (n == strlen(name) && !memcmp(one, name, n))
                return method_case_at(i);
    }
    return NULL;
}

/* vectors/tasks walks all cases of its models that a row names. */
static bool of_tasks(const char *path) {
    static const char *const models[] = {GOLDEN_TASK_MODELS};
    const char *name = strchr(path, '/') + 1;
    for (size_t i = 0; i < HORA_COUNT(models); i++)
        if (hora_starts(path, models[i]) && path[strlen(models[i])] == '/')
            return hora_eq(name, "base") || row_of(name);
    return false;
}

/* vectors/causal: the cases that it met, and the base of each of their models. */
static bool of_causal(const char *path) {
    const size_t model = (size_t)(strchr(path, '/') - path) + 1;
    const bool base = hora_eq(path + model, "base");
    for (int i = 0; i < nwalked; i++)
        if (base ? !strncmp(walked[i], path, model) : hora_eq(walked[i], path))
            return true;
    return false;
}

/* Of a family that this build does not have. */
static bool not_built(const char *path) {
    char *model = hora_strndup(path, (size_t)(strchr(path, '/') - path));
    char *dir = hora_format("%s/%s/base", hora_test_shared("vectors"), model);
    hora_base *b = NULL;
    const hora_status s =
        hora_base_open(&b, dir, &(hora_base_options){.dtype = HORA_F32, .headers_only = true});
    hora_base_close(b);
    hora_free(dir);
    hora_free(model);
    return s == HORA_EUNSUPPORTED;
}

static void check(const char *path, int *of_method) {
    assert_non_null(strchr(path, '/'));
    const char *name = strchr(path, '/') + 1;
    const method_case *row = row_of(name);
    if (!hora_eq(name, "base") && !row)
        fail_msg("%s: no row of tests/methods.def names this case; give it to its method's", path);
    const bool seen = of_tasks(path) || of_causal(path);
    if (!seen && !not_built(path))
        fail_msg("%s: no suite walks it; its model is in no list of vectors/causal or tasks", path);
    if (!seen)
        print_message("%s: of a family that this build lacks\n", path);
    for (int i = 0; seen && row && i < hora_method_count(); i++)
        of_method[i] += hora_eq(hora_method_at(i)->name, row->method);
}

static void every_case(void **state) {
    (void)state;
    int of_method[256] = {0}, cases = 0;
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_path(hora_test_shared("vectors"), "index.jsonl")));
    if (getenv("HORA_TEST_ONLY"))
        skip(); /* the walk below would leave methods out */
    method_golden_each(true, mark);
    method_golden_each(false, mark);
    const char *p = text.s, *line;
    size_t n;
    for (; hora_list_next(&p, "\n", &line, &n); cases++) {
        hora_json *o;
        assert_ok(hora_json_parse(&o, line, n, "index.jsonl"));
        check(hora_json_string(hora_json_get(o, "path"), NULL), of_method);
        hora_json_free(o);
    }
    assert_true(cases > 200);
    for (int i = 0; i < hora_method_count(); i++)
        if (of_method[i])
            print_message("%s: %d cases\n", hora_method_at(i)->name, of_method[i]);
    for (int i = 0; i < nwalked; i++)
        hora_free(walked[i]);
    nwalked = 0;
    hora_str_release(&text);
}

HORA_TESTS(vectors_index, {"every case of the index is walked", every_case, HORA_MEDIUM});
