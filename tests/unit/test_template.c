/* Templates: what is refused at open and where, what a failing rendering leaves behind, bounds of
 * steps, depth and size, prefixes of a conversation, several renderings at once. */
#include "hora_test.h"

#include <pthread.h>
#include <string.h>

#include "template/template.h"

static hora_template *open_template(const char *source) {
    hora_template *t = NULL;
    assert_ok(hora_template_open(&t, source, strlen(source), "chat.jinja"));
    return t;
}

static hora_json *json(const char *text) {
    hora_json *v = NULL;
    assert_ok(hora_json_parse(&v, text, strlen(text), "vars"));
    return v;
}

static void refused_at_open(void **state) {
    (void)state;
    static const struct {
        const char *source, *part;
        hora_status code;
    } rows[] = {
        {"a\n  {% include 'x' %}", "line 2, column 6: the tag `include`", HORA_EUNSUPPORTED},
        {"{{ x | nosuch }}", "line 1, column 8: the filter `nosuch`", HORA_EUNSUPPORTED},
        {"{{ x is nosuch }}", "column 9: the test `nosuch`", HORA_EUNSUPPORTED},
        {"{{ m | map('nosuch') }}", "the filter `nosuch`", HORA_EUNSUPPORTED},
        {"{{ m | selectattr('a', 'nosuch') }}", "the test `nosuch`", HORA_EUNSUPPORTED},
        {"{{ x.nosuch() }}", "the method `nosuch`", HORA_EUNSUPPORTED},
        {"\n\n{{ lipsum(3) }}", "line 3, column 10: the function `lipsum`", HORA_EUNSUPPORTED},
        {"{{ x | trim(1, 2) }}", "takes 0 to 1 arguments (chars), not 2", HORA_EFORMAT},
        {"{{ x | tojson(nosuch=1) }}", "`tojson` has no argument `nosuch`", HORA_EUNSUPPORTED},
        {"{% for a in b recursive %}{% endfor %}", "recursive", HORA_EUNSUPPORTED},
        {"{% macro f() %}{{ varargs }}{% endmacro %}", "varargs", HORA_EUNSUPPORTED},
        {"{% if a %}\nx", "ends before `endif`", HORA_EFORMAT},
        {"\xc3\xa9{{ 'open }}", "line 1, column 5: this string does not end", HORA_EFORMAT},
        {"{{ (1] }}", "column 6: this bracket closes nothing", HORA_EFORMAT},
        {"{{ a", "this tag does not end", HORA_EFORMAT},
        {"{# a", "this comment does not end", HORA_EFORMAT},
        {"\xff", "not UTF-8 at byte 0", HORA_EFORMAT}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_template *t = (hora_template *)(void *)&t;
        assert_fails(hora_template_open(&t, rows[i].source, strlen(rows[i].source), "chat.jinja"),
                     rows[i].code, rows[i].part);
        assert_null(t);
        assert_non_null(strstr(hora_errmsg(), "chat.jinja"));
    }
    hora_template *t;
    assert_fails(hora_template_open(&t, "a\0b", 3, "chat.jinja"), HORA_EFORMAT, "NUL");
}

static void failure_leaves_no_text(void **state) {
    (void)state;
    hora_template *t = open_template("text {{ messages }} {{ raise_exception('no ' ~ who) }}");
    hora_json *vars = json("{\"messages\": [1], \"who\": \"Ada\"}");
    hora_str out = {0};
    hora_str_puts(&out, "before");
    assert_fails(hora_template_render(t, vars, &out), HORA_EFORMAT, "no Ada");
    assert_string_equal(hora_errmsg() + strlen(hora_errmsg()) - 6, "no Ada");
    assert_string_equal(out.s, "before");
    hora_json_free(vars);
    hora_template_close(t);
    hora_str_release(&out);
}

static void bounded(const char *source, const char *part) {
    hora_template *t = open_template(source);
    hora_json *vars = json("{\"s\": \"0123456789\"}");
    hora_str out = {0};
    assert_fails(hora_template_render(t, vars, &out), HORA_EFORMAT, part);
    assert_int_equal(out.n, 0);
    hora_json_free(vars);
    hora_template_close(t);
    hora_str_release(&out);
}

static void bounds(void **state) {
    (void)state;
    bounded("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply");
    bounded("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
            "too");
    bounded("{{ s * 1000000000 }}", "too long");
    bounded("{{ s * 9223372036854775807 }}", "too long");
    bounded("{% set ns = namespace(s=s) %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
            "{% endfor %}",
            "too");
    bounded("{% for a in range(100000) %}{{ s * 10000 }}{% endfor %}", "too");
    bounded("{% set ns = namespace(v=[]) %}{% for a in range(9999) %}{% set ns.v = [ns.v] %}"
            "{% endfor %}{{ ns.v }}",
            "nested too deeply");
    bounded("{% set ns = namespace(v=[1]) %}{% for a in range(60) %}{% set ns.v = [ns.v, ns.v] %}"
            "{% endfor %}{{ ns.v | tojson }}",
            "does not come to an end");
    bounded("{{ range(100001) | list }}", "more than 100000");
    bounded("{{ 'a'.replace('', s * 1000).replace('', s * 1000).replace('', s * 1000) }}", "too");
}

static void nesting_is_refused_at_open(void **state) {
    (void)state;
    static const char *const parts[] = {"(", "[", "not ", "-", "{% if a %}", "{% for a in b %}"};
    for (size_t i = 0; i < HORA_COUNT(parts); i++) {
        hora_str s = {0};
        hora_template *t;
        hora_str_puts(&s, i < 4 ? "{{ " : "");
        for (int k = 0; k < 5000; k++)
            hora_str_puts(&s, parts[i]);
        hora_str_puts(&s, i < 4 ? "x }}" : "");
        assert_fails(hora_template_open(&t, s.s, s.n, "deep"), HORA_EUNSUPPORTED, "");
        hora_str_release(&s);
    }
    hora_str s = {0};
    hora_template *t;
    for (int k = 0; k < 3000; k++)
        hora_str_printf(&s, "{{ v%d }}", k);
    assert_fails(hora_template_open(&t, s.s, s.n, "names"), HORA_EUNSUPPORTED, "names");
    hora_str_release(&s);
}

static const char chat[] = "{% for m in messages %}<{{ m.role }}>{{ m.text }}{% endfor %}"
                           "{% if add_generation_prompt %}<bot>{% endif %}";
static const char talk[] =
    "{\"messages\": [{\"role\": \"you\", \"text\": \"a\"}, {\"role\": \"bot\", "
    "\"text\": \"b\"}], \"add_generation_prompt\": true}";

static void prefixes(void **state) {
    (void)state;
    static const struct {
        int64_t turns;
        int prompt;
        const char *want;
    } rows[] = {{-1, -1, "<you>a<bot>b<bot>"},
                {1, 1, "<you>a<bot>"},
                {1, 0, "<you>a"},
                {2, 0, "<you>a<bot>b"},
                {0, 0, ""},
                {99, -1, "<you>a<bot>b<bot>"}};
    hora_template *t = open_template(chat);
    hora_json *vars = json(talk);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_str out = {0};
        assert_ok(hora_template_render_turns(t, vars, rows[i].turns, rows[i].prompt, &out));
        assert_string_equal(out.s ? out.s : "", rows[i].want);
        hora_str_release(&out);
    }
    hora_json_free(vars);
    hora_template_close(t);
}

static void no_variables_at_all(void **state) {
    (void)state;
    hora_template *t = open_template("a{{ x }}b{{ messages is defined }}");
    hora_str out = {0};
    assert_ok(hora_template_render(t, NULL, &out));
    assert_string_equal(out.s, "abFalse");
    hora_str_release(&out);
    hora_template_close(t);
}

typedef struct job {
    const hora_template *t;
    const hora_json *vars;
    int wrong;
} job;

static void *render_often(void *arg) {
    job *j = arg;
    for (int k = 0; k < 200; k++) {
        hora_str out = {0};
        if (hora_template_render(j->t, j->vars, &out) != HORA_OK ||
            strcmp(out.s, "<you>a<bot>b<bot>") != 0)
            j->wrong++;
        hora_str_release(&out);
    }
    return NULL;
}

static void several_threads(void **state) {
    (void)state;
    hora_template *t = open_template(chat);
    hora_json *vars = json(talk);
    pthread_t id[3];
    job jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (job){t, vars, 0};
        assert_int_equal(pthread_create(&id[i], NULL, render_often, &jobs[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(id[i], NULL);
        assert_int_equal(jobs[i].wrong, 0);
    }
    hora_json_free(vars);
    hora_template_close(t);
}

HORA_TESTS(unit_template, {"refused at open, with the place", refused_at_open, HORA_SHORT},
           {"a failing rendering leaves no text", failure_leaves_no_text, HORA_SHORT},
           {"steps, depth and size are bounded", bounds, HORA_SHORT},
           {"nesting is refused at open", nesting_is_refused_at_open, HORA_SHORT},
           {"prefixes of a conversation", prefixes, HORA_SHORT},
           {"no variables at all", no_variables_at_all, HORA_SHORT},
           {"several threads render", several_threads, HORA_SHORT});
