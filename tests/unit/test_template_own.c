/* Templates: what those of models have and Jinja has not: generation blocks, from_json, the date of
 * strftime_now. */
#include "template_kit.h"

#include <string.h>

#include "template/template.h"

static const char talk[] =
    "{\"messages\": [{\"role\": \"you\", \"text\": \"a\"}, {\"role\": \"bot\", "
    "\"text\": \"b\"}], \"add_generation_prompt\": true}";

static void spoken(const char *source, const char *want) {
    hora_template *t = open_template(source);
    hora_json *vars = json(talk);
    hora_str out = {0}, got = {0};
    hora_spans at = {0};
    assert_true(hora_template_generates(t));
    assert_ok(hora_template_render_turns(t, vars, -1, -1, &out, &at));
    for (int i = 0; i < at.n; i++) {
        hora_str_puts(&got, i ? "|" : "");
        hora_str_add(&got, out.s + at.at[i].from, at.at[i].to - at.at[i].from);
    }
    assert_string_equal(got.s ? got.s : "", want);
    hora_free(at.at);
    hora_str_release(&out);
    hora_str_release(&got);
    hora_json_free(vars);
    hora_template_close(t);
}

static void generation_blocks(void **state) {
    (void)state;
#define SAY "{% generation %}{{ m.text }}.{% endgeneration %}"
    spoken("{% for m in messages %}<{{ m.role }}>" SAY "{% endfor %}", "a.|b.");
    spoken("{% macro say(m) %}[" SAY
           "]{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
           "a.|b.");
    spoken("{% set x %}{% for m in messages %}" SAY "{% endfor %}{% endset %}--{{ x }}", "a.|b.");
    spoken("{% for m in messages %}{% generation %}{% endgeneration %}{% endfor %}", "");
    spoken("{% filter upper %}{% for m in messages %}" SAY "{% endfor %}{% endfilter %}", "A.|B.");
    /* what a block says is taken apart afterwards: nobody knows where it stands */
    static const char *const lost[] = {
        "{% set x %}{% for m in messages %}" SAY "{% endfor %}{% endset %}{{ x | length }}",
        "{% set x %}{% for m in messages %}" SAY "{% endfor %}{% endset %}{{ x[:-1] }}",
        "{% set x %}{% for m in messages %}" SAY "{% endfor %}{% endset %}{{ x | reverse }}"};
    for (size_t i = 0; i < HORA_COUNT(lost); i++) {
        hora_template *t = open_template(lost[i]);
        hora_json *vars = json(talk);
        hora_str out = {0};
        hora_spans at = {0};
        assert_fails(hora_template_render_turns(t, vars, -1, -1, &out, &at), HORA_EUNSUPPORTED,
                     "put {% generation %} around what is printed");
        hora_free(at.at);
        hora_str_release(&out);
        hora_json_free(vars);
        hora_template_close(t);
    }
#undef SAY
}

/* Not Jinja's; some templates ask for it. */
static void from_json(void **state) {
    (void)state;
    hora_template *t =
        open_template("{% for m in messages %}{% set a = m.args | from_json %}{{ a.x }}{{ a.y[1] "
                      "}}{{ loop.last }};{% endfor %}{{ 5 | from_json }}");
    hora_json *vars =
        json("{\"messages\": [{\"args\": \"{\\\"x\\\": 18446744073709551616, \\\"y\\\": [1, "
             "\\\"b\\\"]}\"}, {\"args\": {\"x\": 1, \"y\": [0, 2]}}]}");
    hora_str out = {0};
    hora_cut cuts[2] = {{.turns = 1, .prompt = true}, {.turns = 2, .prompt = true}};
    assert_ok(hora_template_render_cuts(t, vars, &out, NULL, cuts, 2));
    assert_string_equal(out.s, "18446744073709551616bFalse;12True;5");
    assert_string_equal(cuts[0].tail.s, "18446744073709551616bTrue;5");
    hora_cut_release(&cuts[0]);
    hora_cut_release(&cuts[1]);
    hora_json_free(vars);
    vars = json("{\"messages\": [{\"args\": \"{x\"}]}");
    assert_fails(hora_template_render(t, vars, &out), HORA_EFORMAT, "from_json: line 1");
    hora_json_free(vars);
    hora_str_release(&out);
    hora_template_close(t);
}

static void dates(void **state) {
    (void)state;
    hora_template *t = open_template("{{ strftime_now('%d %b %Y %H:%M') }}");
    hora_str out = {0};
    assert_true(hora_template_dated(t));
    static const char *const bad[] = {
        "",          "2026",        "2026-02-30",          "2026-13-01",
        "31.1.2026", "2026-01-31x", "2026-01-31T25:00:00", "2026-01-31T10:00"};
    for (size_t i = 0; i < HORA_COUNT(bad); i++)
        assert_fails(hora_template_date(t, bad[i]), HORA_EUSAGE, "write 2026-01-31");
    assert_ok(hora_template_date(t, "2026-01-31"));
    assert_ok(hora_template_render(t, NULL, &out));
    assert_ok(hora_template_date(t, "2024-02-29T23:59:58"));
    assert_ok(hora_template_render(t, NULL, &out));
    assert_string_equal(out.s, "31 Jan 2026 00:0029 Feb 2024 23:59");
    hora_str_release(&out);
    hora_template_close(t);
}

HORA_TESTS(unit_template_own, {"generation blocks", generation_blocks, HORA_SHORT},
           {"from_json", from_json, HORA_SHORT}, {"the date of strftime_now", dates, HORA_SHORT});
