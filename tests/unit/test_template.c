/* Templates: what is refused at open and where, what a failing rendering leaves behind, bounds of
 * steps, depth and size, prefixes of a conversation, several renderings at once. */
#include "template_kit.h"

#include <pthread.h>
#include <string.h>

#include "template/template.h"

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
        {"{% raw %}x", "endraw", HORA_EFORMAT},
        {"{% call 1 %}{% endcall %}", "the call of a macro", HORA_EFORMAT},
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
    bounded("{{ (s * 100000).replace(s * 20000 ~ 'x', '') }}", "does not come to an end");
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
        assert_ok(hora_template_render_turns(t, vars, rows[i].turns, rows[i].prompt, &out, NULL));
        assert_string_equal(out.s ? out.s : "", rows[i].want);
        hora_str_release(&out);
    }
    hora_json_free(vars);
    hora_template_close(t);
}

/* Every cut says what a rendering of its own says, or fails as that one does. */
static void cuts_equal(const char *source, const char *record, bool prompt_first) {
    hora_template *t = open_template(source);
    hora_json *vars = json(record);
    int n = 0, messages = (int)hora_json_len(hora_json_get(vars, "messages"));
    hora_cut cuts[64] = {{0}};
    hora_str whole = {0};
    for (int k = 0; k <= messages; k++)
        for (int prompt = 0; prompt < 2; prompt++)
            cuts[n++] = (hora_cut){.turns = k, .prompt = (prompt != 0) != prompt_first};
    hora_status s = hora_template_render_cuts(t, vars, &whole, NULL, cuts, n);
    for (int i = 0; i < n && !s; i++) {
        hora_str want = {0}, got = {0};
        hora_status one =
            hora_template_render_turns(t, vars, cuts[i].turns, cuts[i].prompt, &want, NULL);
        assert_true((one != HORA_OK) == (cuts[i].failed != NULL));
        if (one) {
            assert_string_equal(cuts[i].failed, hora_errmsg());
        } else {
            hora_str_puts(&got, "");
            if (cuts[i].shared)
                hora_str_add(&got, whole.s, cuts[i].shared);
            if (cuts[i].tail.n)
                hora_str_add(&got, cuts[i].tail.s, cuts[i].tail.n);
            assert_string_equal(got.s, want.s ? want.s : "");
        }
        hora_str_release(&want);
        hora_str_release(&got);
    }
    for (int i = 0; i < n; i++)
        hora_cut_release(&cuts[i]);
    hora_str_release(&whole);
    hora_json_free(vars);
    hora_template_close(t);
}

static void cuts(void **state) {
    (void)state;
    static const char talk[] =
        "{\"messages\": [{\"role\": \"s\", \"c\": \"S\"}, {\"role\": \"u\", \"c\": \"1\"}, "
        "{\"role\": \"a\", \"c\": \"2\"}, {\"role\": \"u\", \"c\": \"3\"}, {\"role\": \"a\", "
        "\"c\": \"4\"}, {\"role\": \"t\", \"c\": \"5\"}, {\"role\": \"a\", \"c\": \"6\"}], "
        "\"add_generation_prompt\": false}";
#define G "{% if add_generation_prompt %}>{% endif %}"
#define E "{% endfor %}"
    static const char *const rows[] = {
        "{% for m in messages %}{{ m.role ~ m.c }};" E G,
        "{% for m in messages %}{{ m.c }}{{ '.' if loop.last else ',' }}" E G,
        "{% for m in messages %}{{ m.c }}{{ loop.nextitem.role }}" E G,
        "{% for m in messages %}{{ m.c }}{% if loop.index < 4 and messages[loop.index].role == 'a' "
        "%}!"
        "{% endif %}" E G,
        "{% for m in messages %}{{ m.c }}{{ (messages[loop.index0 + 2] | default({})).c }}" E G,
        "{% for m in messages %}{{ loop.length }}{{ loop.revindex }}{{ m.c }}" E G,
        "{% if messages[0].role == 's' %}{% set l = messages[1:] %}[{{ messages[0].c }}]{% else %}"
        "{% set l = messages %}{% endif %}{% for m in l %}{{ m.c }}{{ loop.index0 }}" E G,
        "{% set messages = messages[1:] %}{% for m in messages %}{{ m.c }}" E "|" G,
        "{% set l = messages[1:] if messages[0].role == 's' else messages %}{% for m in l %}{{ m.c "
        "}}{{ "
        "l[0].c }}" E G,
        "{% for m in messages if m.role != 't' %}{{ m.c }}{{ loop.last }}" E G,
        "{% for m in messages if m.role == 'a' %}{{ m.c }}{{ loop.nextitem.c }}" E G,
        "{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set "
        "ns.s = "
        "ns.s ~ m.c %}{{ ns.n }}" E "{{ ns.s }}" G,
        "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'u' %}{% set "
        "ns.last = "
        "loop.index0 %}{% endif %}" E
        "{% for m in messages %}{{ m.c if loop.index0 > ns.last else '-' }}" E G,
        "{% for m in messages[::-1] %}{{ m.c }}" E "{% for m in messages %}{{ m.c }}" E G,
        "{{ messages[-1].c }}{% for m in messages %}{{ m.c }}" E G,
        "{{ messages | length }}{% for m in messages %}{{ m.c }}" E G,
        "{% for m in messages %}{{ m.c }}{{ messages | length }}" E G,
        "{% if add_generation_prompt %}+{% endif %}{% for m in messages %}{{ m.c }}" E G,
        "{% for m in messages %}{% if add_generation_prompt and loop.last %}?{% endif %}{{ m.c }}" E
            G,
        "{% for m in messages %}{% if loop.last and add_generation_prompt %}?{% endif %}{{ m.c }}" E
            G,
        "{% for m in messages %}{% if m.role == 't' %}{% break %}{% endif %}{{ m.c }}" E G,
        "{% for m in messages %}{% if m.role == 't' %}{% continue %}{% endif %}{{ m.c }}" E "." G,
        "{% for m in messages %}{% if loop.index > 2 and m.role == 'u' %}{{ raise_exception('no') "
        "}}"
        "{% endif %}{{ m.c }}" E G,
        "{% for m in messages %}{{ m.c }}" E
        "{% if messages | length == 3 %}{{ raise_exception('three') }}"
        "{% endif %}" G,
        "{% macro f(m) %}<{{ m.c }}{{ messages | length }}>{% endmacro %}{% for m in messages %}{{ "
        "f(m) }}" E,
        "{% macro f(m) %}<{{ m.c }}>{% endmacro %}{% for m in messages %}{{ f(m) }}" E G,
        "{% macro f(l) %}{% for m in l %}{{ m.c }}" E "{% endmacro %}{{ f(messages) }}" G,
        "{% set x %}{% for m in messages %}{{ m.c }}" E "{% endset %}{{ x }}" G,
        "{% filter upper %}{% for m in messages %}{{ m.role }}" E "{% endfilter %}" G,
        "{% for k in [1, 2] %}{% for m in messages %}{{ m.c }}" E E G,
        "{% if true %}{% if true %}{% for m in messages %}{{ m.c }}" E "a{% endif %}b{% endif %}" G,
        "{% with x = 1 %}{% for m in messages %}{{ m.c }}{{ x }}" E "{{ x }}{% endwith %}" G,
        "{% set x = messages | map(attribute='c') %}{% for m in messages %}{{ m.c }}" E
        "{{ x | list }}" G,
        "{% set x = [1, 2] | map('string') %}{% for m in messages %}{{ m.c }}{% if loop.last %}{{ "
        "x | list "
        "}}{% endif %}" E G,
        "{% for m in messages %}{{ loop.changed(m.role) }}{{ loop.cycle(1, 2) }}{{ loop.previtem.c "
        "}}" E G,
        "{% for m in messages %}{{ m.c }}{% else %}none{% endfor %}" G,
        "{% for m in messages %}{% generation %}{{ m.c }}{% endgeneration %}" E G,
        "{% if messages | length == 0 %}none{% endif %}{% for m in messages %}{{ m.c }}" E G,
        "{% if messages | length > 3 %}long{% endif %}{% for m in messages %}{{ m.c }}" E G,
        "{% if 2 <= messages | length < 5 %}mid{% endif %}{% for m in messages %}{{ m.c }}" E G,
        "{% for m in messages %}{{ m.c }}{{ '.' if loop.index0 == messages | length - 1 }}" E G,
        "{% for m in messages %}{{ m.c }}{{ '.' if loop.index != (messages | length) else ';' }}" E
            G,
        "{% for m in messages %}{{ m.c }}{{ '.' if 3 - messages | length > 0 }}" E G,
        "{% set n = messages | length %}{% for m in messages %}{{ m.c }}{{ n }}" E G,
        "{% set n = messages | length %}{% for m in messages %}{{ m.c }}{{ '.' if loop.index == n "
        "}}" E G,
        "{% for m in messages %}{{ m.c }}{{ '.' if messages[1:] | length == loop.index0 }}" E G,
        "{% set l = messages[3:] %}{% if l %}more{% endif %}{% for m in messages %}{{ m.c }}" E G,
        "{% set l = messages[3:] %}{{ 'more' if l and l[0].role == 'u' }}{% for m in messages %}{{ "
        "m.c }}" E G,
        "{{ not messages[2:] }}{% for m in messages %}{{ m.c }}" E G,
        "{{ (messages or [1]) | length }}{% for m in messages %}{{ m.c }}" E G,
        "{{ messages | length ~ '' }}{{ messages | length in [3, 4] }}{% for m in messages %}{{ "
        "m.c }}" E G,
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% "
        "endif %}"
        "{% for m in messages %}{{ m.c }}" E G,
        "{% set add_generation_prompt = add_generation_prompt %}{% for m in messages %}{{ m.c }}" E
            G,
        "{% set add_generation_prompt = true %}{% for m in messages %}{{ m.c }}" E G,
        "{% for m in messages %}{{ m.c }}{{ '?' if add_generation_prompt and m.role == 'u' }}" E G,
        "{% for m in messages %}{{ m.c }}{{ '?' if not add_generation_prompt or loop.last }}" E G,
        "{% if not messages %}none{% endif %}{% for m in messages %}{{ m.c }}" E G,
        "{% for m in messages %}{% if loop.first %}{% set ns = namespace(a=messages) %}{% endif "
        "%}{{ m.c }}" E G,
        "{% for m in [messages[0]] + messages %}{{ m.c }}" E G,
        "{% for m in messages %}{% set z = m.c %}{{ z }}" E "{{ z }}" G,
        "{% for a, b in messages %}{{ a }}" E G};
#undef G
#undef E
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        cuts_equal(rows[i], talk, false);
        cuts_equal(rows[i], talk, true);
        cuts_equal(rows[i], "{\"messages\": []}", false);
    }
}

/* Templates that look ahead are noted and played (template_replay.c); W is the loop that looks. */
static void played(void **state) {
    (void)state;
    static const char talk[] =
        "{\"messages\": [{\"role\": \"s\", \"c\": \"S\"}, {\"role\": \"u\", \"c\": \"1\"}, "
        "{\"role\": \"a\", \"c\": \"2\"}, {\"role\": \"u\", \"c\": \"3\"}, {\"role\": \"a\", "
        "\"c\": \"4\"}, {\"role\": \"t\", \"c\": \"5\"}, {\"role\": \"a\", \"c\": \"6\"}, "
        "{\"role\": \"u\", \"c\": \"1\"}, {\"role\": \"a\", \"c\": \"2\"}], "
        "\"add_generation_prompt\": false, \"tools\": [{\"name\": \"f\"}, {\"name\": \"g\"}]}";
#define G "{% if add_generation_prompt %}>{% endif %}"
#define E "{% endfor %}"
#define W                                                                                          \
    "{% set ns = namespace(u=-1, n=0, s='', d=none) %}{% for m in messages %}{% if m.role == 'u' " \
    "%}{% set ns.u = loop.index0 %}{% set ns.s = ns.s ~ m.c %}{% set ns.d = m %}{% endif %}{% "    \
    "set ns.n = ns.n + 1 %}" E
#define M "{% for m in messages %}"
    static const char *const rows[] = {
        W M "{{ m.c }}{{ '!' if loop.index0 > ns.u }}" E G,
        W M "{{ m.c }}{{ '!' if ns.u <= loop.index0 }}{{ ns.u }}" E G,
        W M "{{ ns.u }}{{ m.c }}{{ '!' if ns.u == loop.index0 }}" E G,
        W M "{{ m.c }}{{ '!' if ns.u + 1 == loop.index0 }}{{ ns.u - loop.index0 > 2 }}" E G,
        W M "{{ m.c }}{{ '!' if m == ns.d }}{{ '?' if ns.d != m }}" E G,
        W M "{{ m.c }}{{ '!' if ns.s == '13' }}{{ '?' if ns.s > '12' }}" E G,
        W M "{{ m.c }}{{ '!' if ns.u < ns.n }}" E G,
        W M "{{ m.c }}{{ ns.what is defined }}{% if m.role == 't' %}{% set ns.what = 1 %}{% endif "
            "%}" E G,
        W "{% set two = namespace(k=0) %}" M "{% if m.role == 'u' %}{% set two.k = two.k + 1 %}{% "
          "endif %}{{ two.k }}{{ m.c }}{{ ns.u > 3 }}" E "{{ two.k }}" G,
        W "{% set same = ns %}" M "{% set same.n = same.n + 1 %}{{ ns.n }}{{ m.c }}" E G,
        W M "{% set q = ns %}{% set q.n = q.n + 1 %}{{ ns.n }}{{ m.c }}" E G,
        W M "{% set ns.n = 5 %}{{ ns.n }}{% set ns.n = ns.n + loop.index0 %}{{ m.c }}" E "{{ ns.n "
            "}}" G,
        W "{% macro f(x) %}<{{ x }}{{ ns.u }}>{% endmacro %}" M "{{ f(m.c) }}" E G,
        W "{% macro f(x) %}{{ x }}{% if ns.n > 4 %}*{% endif %}{% set ns.n = 1 %}{% endmacro %}" M
          "{{ f(m.c) }}{{ ns.n }}" E G,
        W "{% macro f(x) %}{{ x.u }}{% endmacro %}" M "{{ f(ns) }}{{ m.c }}" E G,
        W "{% with ns = namespace(u=2) %}" M "{{ ns.u }}{{ m.c }}" E "{% endwith %}{{ ns.u }}" G,
        W "{% macro f() %}{{ u }}{% endmacro %}{% set u = ns.u %}{% with u = 9 %}" M
          "{{ f() }}{{ u }}" E "{% endwith %}" G,
        W "{% macro f() %}{{ tools[0].name }}{% endmacro %}{% with tools = [{'name': ns.u}] %}" M
          "{{ f() }}{{ tools }}" E "{% endwith %}" G,
        W "{% set u = ns.u %}" M "{{ m.c if u < loop.index0 else '-' }}" E "{{ u }}" G,
        W "{% set n = messages | length %}" M "{{ m.c }}{{ n }}" E G,
        W "{% set l = messages[1:] %}{% for m in l %}{{ m.c }}{{ l[0].c }}{{ l[loop.index0].role "
          "}}" E G,
        W "{% if messages | length > 3 %}{% set l = messages[2:] %}{% else %}{% set l = messages "
          "%}{% endif %}{% for m in l %}{{ m.c }}{{ l[0].c }}" E G,
        W "{% set us = messages | selectattr('role', 'equalto', 'u') | list %}" M
          "{{ m.c }}{{ '!' if us and m == us[-1] }}{{ '0' if us and us[0] == m }}" E G,
        W "{% set us = messages | selectattr('role', 'equalto', 'u') | list %}" M
          "{{ m.c }}{{ us | length }}" E G,
        W "{% set us = messages | map(attribute='c') %}" M "{{ m.c }}{% if loop.index == 2 %}{{ us "
          "| list }}{% endif %}" E G,
        W "{% set d = {'x': ns} %}" M "{% set q = d.x %}{% set q.n = 1 %}{{ d.x.n }}{{ m.c }}" E G,
        W M "{{ m.c }}{{ loop.changed(m.role) }}" E G,
        W M "{% if m.role == 'a' %}{{ loop.changed(m.c) }}{% endif %}{{ m.c }}" E G,
        W M "{{ m.c }}{{ loop.last }}{{ loop.previtem.c }}{{ loop.nextitem.c }}" E G,
        W M "{{ m.c }}{% if loop.last and add_generation_prompt %}?{% endif %}" E G,
        W M "{{ m.c }}{% if add_generation_prompt and ns.u == 3 %}?{% endif %}" E G,
        W M "{% if m.role == 't' and ns.u > 3 %}{% break %}{% endif %}{{ m.c }}" E "." G,
        W M "{% if m.role == 't' and ns.u > 3 %}{% continue %}{% endif %}{{ m.c }}" E "." G,
        W M
        "{% if loop.index0 == ns.u and ns.u == 3 %}{{ raise_exception('no') }}{% endif %}{{ m.c "
        "}}" E G,
        W "{% for m in messages if loop.index0 > 1 or m.role != 's' %}{{ m.c }}" E G,
        W "{% for m in messages if m.role != 't' %}{{ m.c }}{{ loop.index0 > ns.u }}{{ loop.last "
          "}}" E G,
        W "{% for t in tools %}{{ t.name }}" E M "{{ m.c }}{% for t in tools %}{{ t.name }}" E E G,
        W "{% if tools %}" M "{{ m.c }}" E "{{ ns.u }}{% endif %}" M "{{ m.c }}" E G,
        W M "{{ m.c }}{% for n in messages %}{{ n.c }}" E E G,
        W "{% set x %}{{ ns.u }}{% endset %}" M "{{ m.c }}{{ x }}" E G,
        W "{% set tools = tools[1:] %}" M "{{ m.c }}{{ tools }}" E G,
        W M "{% generation %}{{ m.c }}{{ ns.u }}{% endgeneration %}" E G,
        W M "{{ m.c }}{% set ns.d = [ns.d] %}" E "{{ ns.d }}" G,
        W M "{{ m.c }}{% set ns.d = namespace(u=m.c) %}" E "{{ ns.d.u }}" G,
        W "{% for m in messages[::-1] %}{{ m.c }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}" E
            G,
        "{% set ns = namespace(on=true, u=messages | length - 1) %}{% for m in messages[::-1] "
        "%}{% set i = (messages | length - 1) - loop.index0 %}{% if ns.on and m.role == 'u' %}{% "
        "set ns.on = false %}{% set ns.u = i %}{% endif %}" E M
        "{{ m.c if loop.index0 > ns.u and (loop.last or m.role == 'a') else '-' }}" E G,
        "{% set ns = namespace(u=0) %}{% for m in messages | reverse %}{% if m.role == 'u' %}{% "
        "set ns.u = loop.index %}{% break %}{% endif %}" E M "{{ m.c }}{{ ns.u }}" E G,
        "{% set r = messages | reverse | list %}{% for m in r %}{{ m.c }}" E M "{{ r[0].c }}" E G,
        "{% for m in messages | list %}{{ m.c }}" E M "{{ m.c }}{{ loop.index }}" E G,
        "{% for m in (messages | list)[1:] %}{{ m.c }}" E M "{{ m.c }}" E G,
        "{% for m in messages[1:][::-1] %}{{ m.c }}{{ messages | length - loop.index }}" E M
        "{{ m.c }}" E G,
        "{{ messages[::-1][0].c }}{{ messages[::-1] | length }}" M "{{ m.c }}" E M "." E G,
        "{{ (messages | reverse | list)[0].c }}{{ 'y' if messages | reverse }}" M "." E M "." E G,
        "{% set messages = messages[1:] %}" M "{{ m.c }}" E M "{{ m.c }}{{ loop.last }}" E G,
        "{% if add_generation_prompt %}{% set x = 1 %}{% endif %}" M "{{ m.c }}" E M
        "{{ x }}{{ m.c "
        "}}" E G,
        "{% set add_generation_prompt = add_generation_prompt %}" M "." E M "{{ "
        "add_generation_prompt }}" E G};
#undef G
#undef E
#undef W
#undef M
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        cuts_equal(rows[i], talk, false);
        cuts_equal(rows[i], talk, true);
    }
}

/* Long conversations, whose iterations are played in stretches: what only an end of one, or only
 * something in the middle, reads in another way has to be found. */
static void chains(void **state) {
    (void)state;
    hora_str talk = {0};
    hora_str_puts(&talk, "{\"messages\": [");
    for (int i = 0; i < 24; i++)
        hora_str_printf(&talk, "%s{\"role\": \"%c\", \"c\": \"%d\"}", i ? ", " : "",
                        i % 7 == 6 ? 't'
                        : i % 2    ? 'a'
                                   : 'u',
                        i);
    hora_str_puts(&talk, "], \"add_generation_prompt\": false}");
#define G "{% if add_generation_prompt %}>{% endif %}"
#define E "{% endfor %}"
#define W                                                                                          \
    "{% set ns = namespace(on=true, u=-1, n=0) %}{% for m in messages[::-1] %}{% set i = "         \
    "(messages | length - 1) - loop.index0 %}{% set ns.n = ns.n + 1 %}{% if ns.on and m.role == "  \
    "'u' %}{% set ns.on = false %}{% set ns.u = i %}{% endif %}" E
#define M "{% for m in messages %}"
    static const char *const rows[] = {
        W M "{{ m.c }}{{ '!' if loop.index0 > ns.u }}" E G,
        W M "{{ m.c }}{{ '!' if m.role == 'a' and loop.index0 >= ns.u }}" E G,
        W M "{{ m.c }}{{ '!' if ns.n - ns.u < 3 }}{{ '?' if 20 - loop.index0 < ns.u }}" E G,
        W M "{{ m.c }}{{ '!' if (loop.index0 - 9) * (loop.index0 - 9) > ns.u }}" E G,
        W M "{{ m.c }}{{ '!' if loop.index0 % 5 < ns.n }}{{ '?' if ns.u < loop.index0 % 11 }}" E G,
        W M "{{ m.c }}{{ '!' if loop.index0 == ns.u }}{{ '?' if ns.n != loop.index }}" E G,
        W M "{{ m.c }}{% if m.role == 't' %}{{ ns.u }}{% endif %}" E G,
        W M
        "{{ m.c }}{% if m.role == 't' and add_generation_prompt %}{{ ns.u > 8 }}{% endif %}" E G,
        W M "{{ m.c }}{% if loop.index == 9 %}{{ messages[loop.index0 + 3].c }}{% endif %}" E G,
        W M "{{ m.c }}{% if loop.nextitem is defined %}{{ loop.nextitem.c }}{% endif %}" E G,
        W M "{% if loop.index0 > ns.u + 1 %}{% break %}{% endif %}{{ m.c }}" E "{{ ns.n }}" G,
        W M "{% if loop.index0 > ns.u %}{% continue %}{% endif %}{{ m.c }}" E G,
        W "{% for m in messages if m.role != 't' %}{{ m.c }}{{ '!' if loop.index > ns.u }}" E G,
        W "{% for m in messages if m.c | int != ns.u %}{{ m.c }}{{ ns.n > 12 }}" E G,
        W "{% set a, b, c, d, e, f, g, h, k = 1, 2, 3, 4, 5, 6, 7, 8, ns.u %}" M
          "{{ m.c }}{{ a + b + c + d + e + f + g + h }}{{ '!' if loop.index0 > k }}" E G,
        "{% macro f(x) %}<{{ x }}>{% endmacro %}" W M "{{ f(m.c) }}{{ loop.index0 > ns.u }}" E G,
        "{{ 'begin' }}" W "{{ ns.u }}" M "{{ m.c }}{{ loop.index0 > ns.u }}" E M "{{ m.c }}" E G,
        W M
        "{{ m.c }}{% if m.role == 't' %}{% set ns.u = loop.index0 %}{% endif %}{{ loop.index0 > "
        "ns.u }}" E "{{ ns.u }}" G,
        W "{% set ns.n = 25 - ns.u %}" M "{{ m.c }}{{ '!' if ns.n % 4 == 1 }}" E G,
        W M "{{ m.c }}{% for q in messages[loop.index:] %}{% if q.role == 't' %}{% set ns.on = 5 "
            "%}{% endif %}{% endfor %}" E "{{ ns.on }}" G,
    };
#undef G
#undef E
#undef W
#undef M
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        for (int k = 0; k < 2; k++)
            cuts_equal(rows[i], talk.s, k != 0);
    hora_str_release(&talk);
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
           {"cuts equal renderings of their own", cuts, HORA_SHORT},
           {"cuts of templates that look ahead", played, HORA_SHORT},
           {"stretches of long conversations", chains, HORA_SHORT},
           {"a failing rendering leaves no text", failure_leaves_no_text, HORA_SHORT},
           {"steps, depth and size are bounded", bounds, HORA_SHORT},
           {"nesting is refused at open", nesting_is_refused_at_open, HORA_SHORT},
           {"prefixes of a conversation", prefixes, HORA_SHORT},
           {"no variables at all", no_variables_at_all, HORA_SHORT},
           {"several threads render", several_threads, HORA_SHORT});
