/* The worked example of docs/guide/add-a-method.md is the method itself: its code is peft_ia3.c's,
 * which is built and passes every check of a row, and its test row is the one that runs. */
#include "base/file.h"
#include "base/text.h"
#include "hora_test.h"

/* Without blanks and comments. */
static char *bare(const char *s) {
    hora_str out = {0};
    for (; *s; s++) {
        if (s[0] == '/' && s[1] == '*') {
            s = strstr(s, "*/");
            assert_non_null(s);
            s++;
        } else if (!strchr(" \t\r\n", *s)) {
            hora_str_putc(&out, *s);
        }
    }
    return out.s;
}

static char *file(const char *path) {
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_source(path)));
    return text.s;
}

/* The indented lines from the one that holds `first` on. */
static char *block_of(const char *page, const char *first) {
    const char *at = strstr(page, first);
    assert_non_null(at);
    while (at > page && at[-1] != '\n')
        at--;
    const char *end = at;
    while (strncmp(end, "      ", 6) == 0 || *end == '\n')
        end = strchr(end, '\n') + 1;
    return hora_strndup(at, (size_t)(end - at));
}

static void test_example(void **state) {
    char *page = file("docs/guide/add-a-method.md"), *source = file("src/peft/peft_ia3.c"),
         *tests = file("tests/methods.def");
    char *block = block_of(page, "static hora_t linear("), *want = bare(block),
         *have = bare(source);
    (void)state;
    assert_true(strlen(want) > 200);
    if (!strstr(have, want))
        fail_msg("the guide's example is not what peft_ia3.c says:\n%s", block);
    static const char row[] = "CASE(ia3, \"targets=k+v+up+down,feedforward=down+up\", \"ia3\")";
    assert_non_null(strstr(page, row));
    assert_non_null(strstr(tests, row));
    hora_free(block);
    hora_free(want);
    hora_free(have);
    hora_free(page);
    hora_free(source);
    hora_free(tests);
}

HORA_TESTS(unit_guide, {"the example of adding a method", test_example, HORA_SHORT});
