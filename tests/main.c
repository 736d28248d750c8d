/*
 * hora-test: the one runner. `hora-test` runs all, `hora-test unit/json grad` runs suites or rooms,
 * `--list` lists,
 * `--tier short|medium|long` (or HORA_TEST_TIER) limits. Skipped tests are counted and named at the
 * end.
 */
#include "hora_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define SUITE(room, name) extern const hora_test hora_tests_##room##_##name[];
#include "suites.def"
#undef SUITE

static const struct {
    const char *room, *name;
    const hora_test *tests;
} suites[] = {
#define SUITE(room, name) {#room, #name, hora_tests_##room##_##name},
#include "suites.def"
#undef SUITE
};

/* State of the running test: temporary folder, strings handed out, reasons of skips. */
static struct {
    char *tmp;
    char **strings;
    size_t n, cap;
    char **skips;
    size_t nskips, cskips;
    const char *test;
} run;

static const char *keep(char *own_s) {
    HORA_PUSH(run.strings, run.n, run.cap, own_s);
    return own_s;
}

static int teardown(void **state) {
    (void)state;
    if (run.tmp)
        hora_remove_tree(run.tmp);
    hora_free(run.tmp);
    run.tmp = NULL;
    for (size_t i = 0; i < run.n; i++)
        hora_free(run.strings[i]);
    run.n = 0;
    return 0;
}

const char *hora_test_source(const char *relative) {
    return keep(hora_path_join(HORA_SOURCE_DIR, relative));
}

const char *hora_test_text(const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    HORA_ASSERT(n >= 0 && n < (int)sizeof text);
    return keep(hora_strdup(text));
}

const char *hora_test_path(const char *dir, const char *name) {
    return keep(hora_path_join(dir, name));
}

const char *hora_test_shared(const char *relative) {
    const char *root = getenv("HORA_SHARED");
    const char *path = keep(hora_path_join(root ? root : HORA_SOURCE_DIR "/../shared", relative));
    if (!hora_path_exists(path))
        hora_test_skip("%s is not there (put shared/ beside the project or set HORA_SHARED)", path);
    return path;
}

const char *hora_test_tmp(void) {
    if (!run.tmp) {
        char name[] = "/tmp/hora-test-XXXXXX";
        if (!mkdtemp(name))
            fail_msg("cannot make a temporary folder");
        run.tmp = hora_strdup(name);
    }
    return run.tmp;
}

const char *hora_test_tool(void) {
    return "'" HORA_BINARY_DIR "/hora'";
}

void hora_test_skip(const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *line = hora_format("%s: %s", run.test ? run.test : "?", text);
    HORA_PUSH(run.skips, run.nskips, run.cskips, line);
    skip();
    abort();
}

static void read_all(const char *path, hora_str *out) {
    if (out && hora_file_read(out, path) != HORA_OK)
        fail_msg("%s", hora_errmsg());
    unlink(path);
}

int hora_test_run(const char *command, hora_str *out, hora_str *err) {
    const char *o = keep(hora_path_join(hora_test_tmp(), ".stdout"));
    const char *e = keep(hora_path_join(hora_test_tmp(), ".stderr"));
    char *full = hora_format("( %s ) >'%s' 2>'%s' </dev/null", command, o, e);
    int rc = system(full);
    hora_free(full);
    read_all(o, out);
    read_all(e, err);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128 + WTERMSIG(rc);
}

void hora_assert_fails(hora_status got, hora_status want, const char *part, const char *expr,
                       const char *file, int line) {
    if (got != want)
        print_error("%s:%d: %s gave status %d (%s), wanted %d\n", file, line, expr, (int)got,
                    got ? hora_errmsg() : "ok", (int)want);
    else if (part && !strstr(hora_errmsg(), part))
        print_error("%s:%d: text \"%s\" lacks \"%s\"\n", file, line, hora_errmsg(), part);
    else
        return;
    _fail(file, line);
}

size_t hora_assert_same_file(const char *a, const char *b, const char *name) {
    hora_str x = {0}, y = {0};
    assert_ok(hora_file_read(&x, name ? hora_test_path(a, name) : a));
    assert_ok(hora_file_read(&y, name ? hora_test_path(b, name) : b));
    const size_t n = x.n;
    if (x.n != y.n || (n && memcmp(x.s, y.s, n)))
        fail_msg("%s%s%s and %s differ", name ? name : "", name ? ": " : "", a, b);
    hora_str_release(&x);
    hora_str_release(&y);
    return n;
}

void hora_assert_close(const float *a, const float *b, size_t n, double atol, const char *what) {
    double worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        d = d < 0 ? -d : d;
        if (!(d <= worst)) {
            worst = d;
            at = i;
            if (d != d)
                break;
        }
    }
    if (!(worst <= atol))
        fail_msg("%s: element %zu of %zu is %.9g, should be %.9g (off by %.3g, allowed %.3g)", what,
                 at, n, a[at], b[at], worst, atol);
}

bool hora_test_asked(const char *name) {
    const char *only = getenv("HORA_TEST_ONLY");
    if (!only || !*only)
        return true;
    for (size_t n; *only; only += n + (only[n] == ' ')) {
        n = strcspn(only, " ");
        if (n == strlen(name) && !strncmp(only, name, n))
            return true;
    }
    return false;
}

/* By room, by room and suite, or as --list prints it. */
static bool wanted(int argc, char **argv, int s, const char *test) {
    bool any = false;
    char full[128];
    snprintf(full, sizeof full, "%s/%s", suites[s].room, suites[s].name);
    for (int i = 1; i < argc; i++) {
        if (hora_starts(argv[i], "--")) {
            i += hora_eq(argv[i], "--tier");
            continue;
        }
        any = true;
        if (hora_eq(argv[i], full) || hora_eq(argv[i], suites[s].room) || hora_eq(argv[i], test))
            return true;
    }
    return !any;
}

static hora_tier tier_limit(int argc, char **argv) {
    const char *name = getenv("HORA_TEST_TIER");
    for (int i = 1; i + 1 < argc; i++)
        if (hora_eq(argv[i], "--tier"))
            name = argv[i + 1];
    return hora_eq(name, "short") ? HORA_SHORT : hora_eq(name, "medium") ? HORA_MEDIUM : HORA_LONG;
}

static int run_suite(int argc, char **argv, int s, hora_tier limit) {
    struct CMUnitTest one = {NULL, NULL, NULL, teardown, NULL};
    int failed = 0;
    for (const hora_test *t = suites[s].tests; t->name; t++) {
        if (t->tier > limit)
            continue;
        char *name = hora_format("%s/%s: %s", suites[s].room, suites[s].name, t->name);
        if (!wanted(argc, argv, s, name)) {
            hora_free(name);
            continue;
        }
        one.name = run.test = name;
        one.test_func = t->fn;
        failed += _cmocka_run_group_tests(name, &one, 1, NULL, NULL);
        run.test = NULL;
        hora_free(name);
    }
    return failed;
}

static void list_tests(void) {
    for (int s = 0; s < (int)HORA_COUNT(suites); s++)
        for (const hora_test *t = suites[s].tests; t->name; t++)
            printf("%s/%s: %s\n", suites[s].room, suites[s].name, t->name);
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc > 1 && hora_eq(argv[1], "--list")) {
        list_tests();
        return 0;
    }
    for (int s = 0; s < (int)HORA_COUNT(suites); s++)
        failed += run_suite(argc, argv, s, tier_limit(argc, argv));
    for (size_t i = 0; i < run.nskips; i++) {
        printf("SKIPPED %s\n", run.skips[i]);
        hora_free(run.skips[i]);
    }
    hora_free(run.skips);
    hora_free(run.strings);
    if (failed)
        printf("%d FAILED\n", failed);
    return failed != 0;
}
