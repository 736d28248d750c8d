/*
 * Damaged and spliced templates: every open and every rendering ends, in text or in an error with a
 * position. Sanitizers see the rest. Seeds are the templates of ../shared (when there) and one of
 * our own that uses most of the language.
 */
#include "hora_test.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "template/template.h"

enum { ROUNDS = 3000 };

static const char own[] =
    "{#- all sorts -#}\n{% macro turn(r, c='x') -%}<{{ r | upper }}>{{ c }}{%- endmacro %}\n"
    "{% set ns = namespace(n=0, l=[1, 2.5, 'a']) %}{% set a, b = 'x', {'k': [1, none]} %}\n"
    "{% for m in messages if m.content is string and loop is undefined %}\n"
    "  {%- if loop.first or not (m.role == 'user') != (loop.index0 % 2 == 0) %}\n"
    "    {{- turn(m.role, c=m['content'][:-1] | trim ~ \"\\n\\u00e9\") -}}\n"
    "  {%- elif m.content.split(' ', 1)[0] in ['a', 'b'] %}{% continue %}{% else %}\n"
    "    {% set ns.n = ns.n + loop.length // 2 %}{% break %}{% endif %}\n{% else %}none{% endfor "
    "%}\n"
    "{{ (messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list) | "
    "tojson(indent=2) if messages else raise_exception('no') }}\n"
    "{% set t %}{{ b.items() | list | sort(reverse=true) }}{{ range(3) | join('-') }}{% endset %}"
    "{{ t[::-1] }}{{ -2 ** 3 | abs is odd }}{% generation %}{{ ns.l | last }}{% endgeneration %}";

static const char talk[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a b\"}, {\"role\": \"assistant\", "
    "\"content\": \"c\\u4f60\"}], \"add_generation_prompt\": false, \"bos_token\": \"<s>\", "
    "\"eos_token\": \"</s>\"}";

static const char *const pieces[] = {"{{",
                                     "}}",
                                     "{%",
                                     "%}",
                                     "{#",
                                     "#}",
                                     "-",
                                     "+",
                                     "|",
                                     "(",
                                     ")",
                                     "[",
                                     "]",
                                     "{",
                                     "}",
                                     "'",
                                     "\"",
                                     "\\",
                                     "if ",
                                     "endif",
                                     "for x in ",
                                     "endfor",
                                     "set a=",
                                     "endset",
                                     "macro f",
                                     " is ",
                                     " not ",
                                     " in ",
                                     "else",
                                     "**",
                                     "//",
                                     "*9999",
                                     "~",
                                     ".",
                                     ",",
                                     ":",
                                     "loop.index",
                                     "ns.n",
                                     "\xc3",
                                     "\n",
                                     "call(a) f()",
                                     "endcall",
                                     "filter upper",
                                     "endfilter",
                                     "raw",
                                     "endraw",
                                     "with a=1",
                                     "endwith",
                                     "*l",
                                     "**d",
                                     "'%s' % x",
                                     "caller()",
                                     "generation",
                                     "endgeneration",
                                     "| groupby('a')",
                                     "| map('upper')",
                                     "| tojson",
                                     "| sort",
                                     "| indent",
                                     ".split('a')",
                                     "range(9999)",
                                     "messages",
                                     "[::-1]",
                                     "| list"};

static void damage(hora_rng *r, hora_str *s) {
    for (int64_t k = hora_rng_below(r, 4); k >= 0; k--) {
        size_t at = s->n ? (size_t)hora_rng_below(r, (int64_t)s->n) : 0;
        int64_t what = hora_rng_below(r, 4);
        if (what == 0 && s->n) {
            s->s[at] = (char)hora_rng_below(r, 256);
        } else if (what == 1 && s->n) { /* cut a run out */
            size_t n = (size_t)hora_rng_below(r, 20);
            n = n > s->n - at ? s->n - at : n;
            memmove(s->s + at, s->s + at + n, s->n - at - n);
            s->n -= n;
        } else { /* put a piece of the language in */
            const char *p = pieces[hora_rng_below(r, (int64_t)HORA_COUNT(pieces))];
            size_t n = strlen(p), old = s->n;
            hora_str_puts(s, p);
            memmove(s->s + at + n, s->s + at, old - at);
            memcpy(s->s + at, p, n);
        }
    }
}

static void rounds(const char *seed, size_t n, const char *stream) {
    hora_rng r = hora_rng_new(7, stream);
    hora_json *vars;
    int rendered = 0, refused = 0;
    assert_ok(hora_json_parse(&vars, talk, strlen(talk), "vars"));
    for (int k = 0; k < ROUNDS; k++) {
        hora_str s = {0}, out = {0};
        hora_template *t = NULL;
        hora_str_add(&s, seed, n);
        damage(&r, &s);
        char *exact = hora_malloc(s.n); /* no NUL behind it */
        memcpy(exact, s.s, s.n);
        hora_status st = hora_template_open(&t, exact, s.n, "damaged");
        hora_free(exact);
        assert_true((st == HORA_OK) == (t != NULL));
        if (!st)
            st = hora_template_render(t, vars, &out);
        rendered += !st;
        refused += st != HORA_OK;
        if (st)
            assert_true(out.n == 0 && strstr(hora_errmsg(), "damaged") == hora_errmsg());
        hora_template_close(t);
        hora_str_release(&out);
        hora_str_release(&s);
    }
    hora_json_free(vars);
    assert_true(rendered > ROUNDS / 50 && refused > ROUNDS / 50);
}

static void own_template(void **state) {
    (void)state;
    rounds(own, sizeof own - 1, "own");
}

static void shared_templates(void **state) {
    (void)state;
    static const char *const names[] = {"chatml", "llama2", "llama3", "zephyr", "mistral", "gemma"};
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        char rel[64];
        hora_str source = {0};
        snprintf(rel, sizeof rel, "templates/%s/template.jinja", names[i]);
        assert_ok(hora_file_read(&source, hora_test_shared(rel)));
        rounds(source.s, source.n, names[i]);
        hora_str_release(&source);
    }
}

HORA_TESTS(fuzz_template, {"damaged template of our own", own_template, HORA_SHORT},
           {"damaged templates of model families", shared_templates, HORA_MEDIUM});
