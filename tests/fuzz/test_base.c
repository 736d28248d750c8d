/*
 * Damaged text against the parsers of base. Each round changes or cuts bytes of a valid
 * text; whatever still parses is printed, read again and must be equal. Sanitizers see the rest.
 * Copies are exactly as long as the text, so reading past the end is seen.
 */
#include "hora_test.h"

#include <string.h>

#include "base/json.h"
#include "base/options.h"
#include "base/rng.h"
#include "base/yaml.h"

enum { ROUNDS = 20000 };

/* A damaged copy of `seed`, *n bytes, NUL behind them. */
static char *damaged(hora_rng *r, const char *seed, size_t *n) {
    static const char hostile[] = "{}[]:,\"\\-=\n .e9&*!#?|>'%@\t\x01\xff";
    char *copy = hora_strdup(seed);
    *n = strlen(seed);
    for (int64_t k = hora_rng_below(r, 4); k >= 0; k--) {
        bool any = hora_rng_below(r, 2);
        int64_t at = hora_rng_below(r, (int64_t)*n);
        copy[at] = any ? (char)hora_rng_below(r, 256)
                       : hostile[hora_rng_below(r, (int64_t)sizeof hostile - 1)];
    }
    if (!hora_rng_below(r, 3))
        *n = (size_t)hora_rng_below(r, (int64_t)*n + 1);
    char *exact = hora_malloc(*n + 1);
    memcpy(exact, copy, *n);
    exact[*n] = 0;
    hora_free(copy);
    return exact;
}

typedef hora_status (*parser)(hora_json **out, const char *text, size_t n, const char *what);

static void print_json(const hora_json *v, hora_str *out) {
    hora_json_dump(v, 2, false, out);
}

/* Runs the rounds; at least a few damaged texts must still parse, or the test shows nothing. */
static void rounds(const char *seed, parser parse, void (*print)(const hora_json *, hora_str *)) {
    hora_rng r = hora_rng_new(1, "damage");
    int parsed = 0;
    for (int k = 0; k < ROUNDS; k++) {
        size_t n;
        char *text = damaged(&r, seed, &n), *exact = hora_malloc(n);
        hora_json *v = NULL, *again = NULL;
        hora_str s = {0};
        memcpy(exact, text, n);
        if (parse(&v, exact, n, "damaged") == HORA_OK) {
            parsed++;
            print(v, &s);
            if (parse(&again, s.s, s.n, "printed") != HORA_OK || !hora_json_equal(v, again))
                fail_msg("%s\nis printed as\n%s", text, s.s);
        } else {
            assert_null(v);
            assert_true(strstr(hora_errmsg(), "damaged: ") == hora_errmsg());
        }
        hora_json_free(v);
        hora_json_free(again);
        hora_str_release(&s);
        hora_free(exact);
        hora_free(text);
    }
    assert_in_range(parsed, 100, ROUNDS - 100);
}

static void json(void **state) {
    (void)state;
    rounds("{\"a\": [1, 2.5e10, 99999999999999999999999, \"x\\\\\\\"9999999999999999999999\"],"
           " \"b\": {\"c\": null, \"\xc3\xbc\": true}}",
           hora_json_parse, print_json);
}

static void yaml(void **state) {
    (void)state;
    rounds("a: {b: [q, v], c: {}}\nd:\n- x\n- - 1\n  - []\nt: \"\\u00e9 \\\"\"\nl: |\n  two\n  "
           "lines\n",
           hora_yaml_parse, hora_yaml_dump);
}

static void option_text(void **state) {
    (void)state;
    hora_rng r = hora_rng_new(2, "damage");
    int parsed = 0;
    for (int k = 0; k < ROUNDS; k++) {
        size_t n;
        char *text = damaged(&r, "rank=16, alpha=\"3,\\\"2\\\"\",flag , x=-1e5", &n);
        hora_settings s = {0};
        if (hora_settings_parse(&s, text, "test") == HORA_OK)
            parsed++;
        else
            assert_true(strstr(hora_errmsg(), "option text") == hora_errmsg());
        for (int i = 0; i < s.n; i++)
            assert_true(*s.at[i].key && !strchr(s.at[i].key, ',') && !strchr(s.at[i].key, '='));
        hora_settings_release(&s);
        hora_free(text);
    }
    assert_in_range(parsed, 100, ROUNDS - 100);
}

HORA_TESTS(fuzz_base, {"damaged JSON", json, HORA_SHORT}, {"damaged YAML", yaml, HORA_SHORT},
           {"damaged option text", option_text, HORA_SHORT});
