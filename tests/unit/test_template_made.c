/* Templates put together by chance from what templates of the hub are made of (counts and flags in
 * namespaces, searches among what follows, filters over messages, loops that break off): a cut of
 * each is what a rendering of its own is. */
#include "template_kit.h"

#include <stdio.h>
#include <string.h>

#include "template/template.h"

enum { MOST = 64, MADE = 1500 };

#define PICK(d, list) ((list)[roll((d), (int)HORA_COUNT(list))])

static const char *const conditions[] = {
    "m.role == 'user'",
    "m.role == 'assistant'",
    "ns.a % 2 == 0",
    "ns.a > 2",
    "loop.index0 > ns.a",
    "ns.a < loop.index",
    "loop.last",
    "ns.d",
    "not ns.d",
    "m == u[-1]",
    "m != u[-1]",
    "m == ns.m",
    "ns.a == 3",
    "loop.index0 == ns.a",
    "ns.a != loop.index0",
    "messages | length > 3",
    "u | length > 2",
    "ns.b is none",
    "m.content == 'yes'",
    "add_generation_prompt",
    "ns.b == m.role",
    "z.a > 1",
    "z.a == loop.index",
    "ns.a * 2 > loop.index0",
    "m in u",
    "ns.x is defined",
    "(messages | length - 1) == loop.index0",
    "loop.nextitem is defined and loop.nextitem.role == 'tool'"};
static const char *const acts[] = {"ns.a = ns.a + 1", "ns.a = ns.a - 1",  "ns.a = loop.index0",
                                   "ns.b = m.role",   "ns.b = none",      "ns.d = true",
                                   "ns.d = false",    "ns.c = m.content", "ns.l = ns.l + [m]",
                                   "ns.m = m",        "z.a = z.a + 1",    "z.a = ns.a",
                                   "ns.x = 1"};
static const char *const prints[] = {"m.content",
                                     "ns.a",
                                     "ns.b",
                                     "loop.index",
                                     "z.a",
                                     "ns.l | length",
                                     "ns.m.content if ns.m else '-'",
                                     "'.'",
                                     "u | length",
                                     "u[-1].content if u else ''",
                                     "mac(m)",
                                     "c[0] if c else ''",
                                     "'L' if loop.last else ''"};

/* A search among messages within the iteration of another loop. */
static void search(dice *d, hora_str *t) {
    static const char *const over[] = {"messages[loop.index:]", "all[loop.index0:]", "messages"};
    static const char *const when[] = {"q.role == 'assistant'", "q.content == 'yes'", "q == m"};
    static const char *const then[] = {"{% set f.x = true %}", "{% set f.x = f.x + 1 %}",
                                       "{% set ns.d = true %}", "q", "{% set f.x = q.content %}"};
    static const char *const end[] = {"", "", "{% break %}"}, *const none[] = {
                                                                  "", "",
                                                                  "{% else %}{% set f.x = 9 %}"};
    const char *o = PICK(d, over), *w = PICK(d, when), *h = PICK(d, then), *e = PICK(d, end);
    hora_str_printf(t,
                    "{%% set f = namespace(x=0) %%}{%% for q in %s %%}{%% if %s %%}%s%s{%% endif "
                    "%%}%s{%% endfor %%}{{ f.x }}",
                    o, w, h, e, PICK(d, none));
}

static void statements(dice *d, hora_str *t, int depth) {
    for (int n = 1 + roll(d, 2); n > 0; n--) {
        const int x = roll(d, 100);
        if (x < 35 && depth < 2) {
            hora_str_printf(t, "{%% if %s %%}", PICK(d, conditions));
            statements(d, t, depth + 1);
            if (!roll(d, 3)) {
                hora_str_puts(t, "{% else %}");
                statements(d, t, depth + 1);
            }
            hora_str_puts(t, "{% endif %}");
        } else if (x < 62) {
            hora_str_printf(t, "{%% set %s %%}", PICK(d, acts));
        } else if (x < 67) {
            search(d, t);
        } else if (x < 70) {
            hora_str_printf(t, "{%% if %s %%}{%% %s %%}{%% endif %%}", PICK(d, conditions),
                            roll(d, 2) ? "break" : "continue");
        } else {
            hora_str_printf(t, "{{ %s }}", PICK(d, prints));
        }
    }
}

static void make(dice *d, hora_str *t) {
    static const char *const over[] = {"messages",
                                       "messages",
                                       "all",
                                       "messages[::-1]",
                                       "messages | reverse",
                                       "messages[1:]",
                                       "messages if m.role != 'tool'",
                                       "u"};
    static const char *const between[] = {
        "{{ ns.a }}",
        "{{ ns.b }}",
        "{% if ns.d %}D{% endif %}",
        "{{ u | length }}",
        "{% set ns.a = 0 %}",
        "{% set ns.d = not ns.d %}",
        "{% set ns.m = u[-1] %}",
        "{% if messages[0].role == 'system' %}{% set all = messages[1:] %}{% endif %}",
        "{% set ns.a = (messages | length) - ns.a %}"};
    t->n = 0;
    hora_str_puts(t, "{% macro mac(m) %}{{ m.role[0] }}{{ ns.a if ns is defined }}{% endmacro %}"
                     "{% set ns = namespace(a=0, b=none, c='', d=false, l=[], m=none) %}"
                     "{% set z = namespace(a=0) %}{% set all = messages %}"
                     "{% set u = messages | selectattr('role', 'equalto', 'user') | list %}"
                     "{% set c = messages | map(attribute='content') | list %}");
    for (int n = 2 + roll(d, 2); n > 0; n--) {
        if (!roll(d, 3)) {
            hora_str_puts(t, PICK(d, between));
            continue;
        }
        hora_str_printf(t, "{%% for m in %s %%}", PICK(d, over));
        statements(d, t, 0);
        hora_str_puts(t, roll(d, 10) ? "{% endfor %}" : "{% else %}E{% endfor %}");
    }
    hora_str_puts(t, "{% if add_generation_prompt %}P{{ ns.a }}{% endif %}");
}

static hora_json *conversation(dice *d, int messages) {
    static const char *const roles[] = {"user", "assistant", "user", "assistant", "tool"};
    static const char *const words[] = {"yes", "no", "yes", ""};
    hora_json *vars = hora_json_new_object();
    hora_json *all = hora_json_set(vars, "messages", hora_json_new_array());
    for (int i = 0; i < messages; i++) {
        hora_json *m = hora_json_push(all, hora_json_new_object());
        char number[8];
        snprintf(number, sizeof number, "%d", i);
        const char *word = PICK(d, words);
        hora_json_set(m, "role", hora_json_new_string(PICK(d, roles)));
        hora_json_set(m, "content", hora_json_new_string(*word ? word : number));
    }
    return vars;
}

static void same(const hora_template *t, const hora_json *vars, const char *source,
                 const hora_str *whole, const hora_cut *c) {
    hora_str want = {0};
    const hora_status s = hora_template_render_turns(t, vars, c->turns, c->prompt, &want, NULL);
    const bool equal = s ? c->failed != NULL
                         : !c->failed && want.n == c->shared + c->tail.n &&
                               (!c->shared || !memcmp(want.s, whole->s, c->shared)) &&
                               (!c->tail.n || !memcmp(want.s + c->shared, c->tail.s, c->tail.n));
    if (!equal)
        fail_msg("the cut of %d messages (prompt %d) differs of\n%s", (int)c->turns, c->prompt,
                 source);
    hora_str_release(&want);
}

static void cuts(void **state) {
    (void)state;
    dice d = {12};
    hora_str source = {0};
    for (int i = 0; i < MADE; i++) {
        hora_template *t;
        hora_cut at[MOST] = {{0}};
        hora_str whole = {0};
        const int messages = 2 + roll(&d, 18);
        int n = 0;
        make(&d, &source);
        hora_json *vars = conversation(&d, messages);
        assert_ok(hora_template_open(&t, source.s, source.n, "made"));
        for (int k = 0; k <= messages; k++)
            for (int prompt = 1; prompt >= 0; prompt--)
                at[n++] = (hora_cut){.turns = k, .prompt = prompt};
        if (hora_template_render_cuts(t, vars, &whole, NULL, at, n) == HORA_OK)
            for (int k = 0; k < n; k++)
                same(t, vars, source.s, &whole, &at[k]);
        for (int k = 0; k < n; k++)
            hora_cut_release(&at[k]);
        hora_str_release(&whole);
        hora_json_free(vars);
        hora_template_close(t);
    }
    hora_str_release(&source);
}

HORA_TESTS(unit_template_made, {"cuts of templates put together by chance", cuts, HORA_SHORT});
