/*
 * Templates against Jinja 3.1.6: the conversations of ../shared/templates (each renders exactly, or
 * fails with the message of the template), and tests/vectors/template/features.jsonl, a case per
 * feature, made by tools/make-template-vectors.py. hora may refuse what Jinja renders only where a
 * line of `refused` below says so.
 */
#include "hora_test.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "template/template.h"

typedef void (*record_fn)(const hora_json *record, void *arg, size_t line);

static size_t each_line(const char *path, record_fn fn, void *arg) {
    hora_str text = {0};
    assert_ok(hora_file_read(&text, path));
    size_t line = 0;
    for (char *s = text.s, *end; s && *s; s = end + 1) {
        hora_json *record;
        end = strchr(s, '\n');
        assert_ok(hora_json_parse(&record, s, (size_t)(end - s), path));
        fn(record, arg, ++line);
        hora_json_free(record);
    }
    hora_str_release(&text);
    return line;
}

static bool same(const hora_str *got, const hora_json *want) {
    size_t n;
    const char *s = hora_json_string(want, &n);
    return s && n == got->n && (!n || !memcmp(s, got->s, n));
}

/* ---- conversations ---- */
typedef struct style {
    hora_template *t;
    const hora_json *tokens;
    const char *name;
    size_t rendered, refused;
} style;

static void conversation(const hora_json *record, void *arg, size_t line) {
    style *st = arg;
    hora_json *vars = hora_json_copy(st->tokens);
    hora_str got = {0};
    const hora_json *extra = hora_json_get(record, "variables"), *want;
    for (void *it = hora_json_iter(extra); it; it = hora_json_next(extra, it))
        hora_json_set(vars, hora_json_iter_key(it), hora_json_copy(hora_json_iter_value(it)));
    hora_json_set(vars, "messages", hora_json_copy(hora_json_get(record, "messages")));
    hora_json_set(vars, "add_generation_prompt",
                  hora_json_copy(hora_json_get(record, "add_generation_prompt")));
    hora_status s = hora_template_render(st->t, vars, &got);
    if ((want = hora_json_get(record, "rendered")) != NULL) {
        if (s)
            fail_msg("%s line %zu: %s", st->name, line, hora_errmsg());
        if (!same(&got, want))
            fail_msg("%s line %zu is\n[%s]\nbut should be\n[%s]", st->name, line, got.s,
                     hora_json_string(want, NULL));
        st->rendered++;
    } else {
        const char *text = hora_json_string(hora_json_get(record, "error"), NULL);
        if (s != HORA_EFORMAT || got.n)
            fail_msg("%s line %zu: status %d, %zu bytes, should be refused: %s", st->name, line,
                     (int)s, got.n, text);
        if (hora_eq(hora_json_string(hora_json_get(record, "by"), NULL), "template") &&
            !hora_ends(hora_errmsg(), text))
            fail_msg("%s line %zu: \"%s\" should end in \"%s\"", st->name, line, hora_errmsg(),
                     text);
        st->refused++;
    }
    hora_json_free(vars);
    hora_str_release(&got);
}

static void style_renders(const char *name) {
    char rel[128];
    style st = {.name = name};
    hora_json *tokens;
    hora_str source = {0};
    snprintf(rel, sizeof rel, "templates/%s", name);
    const char *dir = hora_test_shared(rel);
    char *path = hora_path_join(dir, "template.jinja");
    assert_ok(hora_file_read(&source, path));
    assert_ok(hora_template_open(&st.t, source.s, source.n, path));
    hora_free(path);
    path = hora_path_join(dir, "tokens.json");
    assert_ok(hora_json_load(&tokens, path));
    hora_free(path);
    st.tokens = tokens;
    path = hora_path_join(dir, "cases.jsonl");
    assert_true(each_line(path, conversation, &st) > 50);
    hora_free(path);
    assert_true(st.rendered > 20);
    assert_true(st.refused > 0);
    hora_json_free(tokens);
    hora_template_close(st.t);
    hora_str_release(&source);
}

#define STYLE(name)                                                                                \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        style_renders(#name);                                                                      \
    }
STYLE(chatml)
STYLE(llama2)
STYLE(llama3)
STYLE(zephyr)
STYLE(mistral)
STYLE(gemma)

/* ---- features ---- */
/* Jinja renders these, hora refuses on purpose: a wrong text would be silent. */
static const char *const refused[] = {
    "d.items() }}",  "0x10",           "recursive", "set loop", "{% block",
    "{% autoescape", "{{ \xc3\xa9 }}", "huge + 1",  "dict([(",  NULL};

static bool is_refused(const char *source) {
    for (size_t i = 0; refused[i]; i++)
        if (strstr(source, refused[i]))
            return true;
    return false;
}

static void feature(const hora_json *record, void *arg, size_t line) {
    size_t n, *bad = arg;
    const char *source = hora_json_string(hora_json_get(record, "template"), &n);
    const hora_json *want = hora_json_get(record, "rendered");
    const char *error = hora_json_string(hora_json_get(record, "error"), NULL);
    hora_template *t = NULL;
    hora_str got = {0};
    hora_status s = hora_template_open(&t, source, n, "case");
    bool opened = !s;
    if (!s)
        s = hora_template_date(t, "2026-01-31T18:05:09");
    if (!s)
        s = hora_template_render(t, hora_json_get(record, "vars"), &got);
    const char *text = got.s ? got.s : "";
    if (s && !strstr(hora_errmsg(), "case, line ")) {
        print_error("line %zu: %s\n  no position in: %s\n", line, source, hora_errmsg());
        ++*bad;
    }
    if (is_refused(source) ? s == HORA_OK : want ? s || !same(&got, want) : !s) {
        print_error("line %zu: %s\n  gives [%s]\n  wanted [%s]\n", line, source,
                    s ? hora_errmsg() : text, want ? hora_json_string(want, NULL) : "an error");
        ++*bad;
    }
    if (error && *error && (!opened || !hora_ends(hora_errmsg(), error))) {
        print_error("line %zu: %s\n  fails with %s\n", line, source, hora_errmsg());
        ++*bad;
    }
    hora_template_close(t);
    hora_str_release(&got);
}

static void features(void **state) {
    (void)state;
    size_t bad = 0;
    each_line(hora_test_source("tests/vectors/template/features.jsonl"), feature, &bad);
    assert_int_equal(bad, 0);
}

/* What templates of the hub use and once was refused, or rendered wrongly. */
static void shared_cases(void **state) {
    (void)state;
    static const char *const names[] = {"filters-on-none", "integers-above-63-bits",
                                        "more-constructs", "safe-and-tilde"};
    size_t bad = 0;
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        char rel[128];
        snprintf(rel, sizeof rel, "cases/jinja-%s/features.jsonl", names[i]);
        each_line(hora_test_shared(rel), feature, &bad);
    }
    assert_int_equal(bad, 0);
}

HORA_TESTS(vectors_template, {"chatml", chatml, HORA_SHORT}, {"llama2", llama2, HORA_SHORT},
           {"llama3", llama3, HORA_SHORT}, {"zephyr", zephyr, HORA_SHORT},
           {"mistral", mistral, HORA_SHORT}, {"gemma", gemma, HORA_SHORT},
           {"features against Jinja", features, HORA_SHORT},
           {"constructs of templates on the hub", shared_cases, HORA_SHORT});
