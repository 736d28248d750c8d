/* JSON: what is refused and where, order, types, builders, printing, large objects. */
#include "hora_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

static hora_json *parse(const char *text) {
    hora_json *v = NULL;
    assert_ok(hora_json_parse(&v, text, strlen(text), "test"));
    return v;
}

static void assert_dump(const hora_json *v, int indent, bool sort, const char *want) {
    hora_str s = {0};
    hora_json_dump(v, indent, sort, &s);
    assert_string_equal(s.s, want);
    hora_str_release(&s);
}

static void refuses_with_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {{"", "line 1"},
                {"{\"a\": 1, \"a\": 2}", "duplicate"},
                {"{\"a\":\n  tru}", "line 2, column 5"},
                {"[1, 2", "test: line 1"},
                {"{} x", "column 4"},
                {"\"\xff\"", "byte 0xff"},
                {"[1e999]", "overflow"},
                {"{\"a\\u0000b\": 1}", "line 1"},
                {"[01]", "line 1"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_json *v = (hora_json *)(void *)&v;
        assert_fails(hora_json_parse(&v, rows[i].text, strlen(rows[i].text), "test"), HORA_EFORMAT,
                     rows[i].part);
        assert_null(v);
    }
}

static void depth_is_limited(void **state) {
    (void)state;
    hora_str deep = {0};
    hora_json *v;
    for (int i = 0; i < 1000000; i++)
        hora_str_putc(&deep, '[');
    assert_fails(hora_json_parse(&v, deep.s, deep.n, "deep"), HORA_EFORMAT, "depth");
    hora_str_release(&deep);
}

static void order_and_values(void **state) {
    (void)state;
    hora_json *v = parse("{\"z\": 1, \"a\": [true, null, 2.5], \"m\": {\"k\": \"v\\u0000w\"}}");
    static const char *const keys[] = {"z", "a", "m"};
    int at = 0;
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it))
        assert_string_equal(hora_json_iter_key(it), keys[at++]);
    assert_int_equal(at, 3);
    assert_int_equal(hora_json_len(v), 3);
    const hora_json *a = hora_json_get(v, "a");
    int64_t i;
    double d;
    bool b;
    size_t n;
    assert_true(hora_json_bool(hora_json_at(a, 0), &b) && b);
    assert_int_equal(hora_json_type(hora_json_at(a, 1)), HORA_JNULL);
    assert_non_null(hora_json_at(a, 1));
    assert_null(hora_json_at(a, 3));
    assert_false(hora_json_int(hora_json_at(a, 2), &i));
    assert_true(hora_json_real(hora_json_at(a, 2), &d) && d == 2.5);
    assert_true(hora_json_real(hora_json_get(v, "z"), &d) && d == 1);
    assert_memory_equal(hora_json_string(hora_json_get(hora_json_get(v, "m"), "k"), &n), "v\0w", 3);
    assert_int_equal(n, 3);
    assert_null(hora_json_get(a, "z"));
    assert_null(hora_json_get(NULL, "z"));
    assert_int_equal(hora_json_len(NULL), 0);
    hora_json_free(v);
    hora_json_free(NULL);
}

static void typed_members(void **state) {
    (void)state;
    hora_json *v = parse("{\"i\": 3, \"r\": 1.5, \"b\": true, \"s\": \"x\", \"n\": null}");
    int64_t i;
    double d;
    bool b;
    const char *s;
    assert_ok(hora_json_get_int(v, "i", 9, &i));
    assert_int_equal(i, 3);
    assert_ok(hora_json_get_int(v, "n", 9, &i));
    assert_int_equal(i, 9);
    assert_ok(hora_json_get_real(v, "i", 9, &d));
    assert_true(d == 3);
    assert_ok(hora_json_get_bool(v, "none", true, &b));
    assert_true(b);
    assert_ok(hora_json_get_string(v, "s", NULL, &s));
    assert_string_equal(s, "x");
    assert_fails(hora_json_get_int(v, "s", 0, &i), HORA_EFORMAT,
                 "key `s` should be an integer, is a string");
    assert_fails(hora_json_get_int(v, "r", 0, &i), HORA_EFORMAT, "is a number");
    assert_fails(hora_json_get_string(v, "i", NULL, &s), HORA_EFORMAT, "is an integer");
    hora_json_free(v);
}

/* model_max_length of many published tokenizers is 10^30. */
static void huge_integers_become_reals(void **state) {
    (void)state;
    hora_json *v = parse("{\"1000000000000000000000\": 1, \"a\": 1000000000000000019884624838656,"
                         " \"b\": [-99999999999999999999, 5], \"s\": \"\\\"99999999999999999999\","
                         " \"e\": 1e19, \"f\": 12345678901234567890.5, \"i\": 123456789012345678}");
    int64_t i;
    double d;
    assert_false(hora_json_int(hora_json_get(v, "a"), &i));
    assert_true(hora_json_real(hora_json_get(v, "a"), &d) && d == 1e30);
    assert_true(hora_json_real(hora_json_at(hora_json_get(v, "b"), 0), &d) && d == -1e20);
    assert_true(hora_json_int(hora_json_at(hora_json_get(v, "b"), 1), &i) && i == 5);
    assert_string_equal(hora_json_string(hora_json_get(v, "s"), NULL), "\"99999999999999999999");
    assert_true(hora_json_real(hora_json_get(v, "e"), &d) && d == 1e19);
    assert_true(hora_json_int(hora_json_get(v, "i"), &i) && i == 123456789012345678);
    assert_non_null(hora_json_get(v, "1000000000000000000000"));
    hora_json_free(v);
}

/* However many digits: RFC 8259, section 6. */
static void no_zeros_in_front(void **state) {
    (void)state;
    static const char *const texts[] = {"[00]", "[01]", "[-01]", "[00000000000000000000000]",
                                        "[-018446744073709551616]"};
    for (size_t i = 0; i < HORA_COUNT(texts); i++) {
        hora_json *v;
        assert_int_equal(hora_json_parse(&v, texts[i], strlen(texts[i]), "x"), HORA_EFORMAT);
    }
}

/* They keep their digits; no string can pass for one, whatever it begins with. */
static void long_integers(void **state) {
    (void)state;
    static const char text[] =
        "{\"a\": [18446744073709551616, -9223372036854775809, 9223372036854775807, "
        "-9223372036854775808], \"s\": \"\\u0000#1\", \"t\": \"\\u0000##2\", \"u\": "
        "\"18446744073709551616\"}";
    hora_json *v = parse(text), *copy = hora_json_copy(v);
    const hora_json *a = hora_json_get(v, "a");
    hora_str out = {0};
    size_t n;
    const char *digits = hora_json_digits(hora_json_at(a, 0), &n);
    assert_non_null(digits);
    assert_int_equal(n, 20);
    assert_memory_equal(digits, "18446744073709551616", n);
    assert_null(hora_json_string(hora_json_at(a, 0), NULL));
    assert_int_equal(hora_json_type(hora_json_at(a, 1)), HORA_JREAL);
    assert_int_equal(hora_json_type(hora_json_at(a, 2)), HORA_JINT);
    assert_int_equal(hora_json_type(hora_json_at(a, 3)), HORA_JINT);
    assert_null(hora_json_digits(hora_json_get(v, "u"), &n));
    assert_null(hora_json_digits(hora_json_get(v, "s"), &n));
    assert_non_null(hora_json_string(hora_json_get(v, "t"), &n));
    assert_int_equal(n, 4);
    hora_json_dump(copy, 0, false, &out);
    assert_string_equal(out.s, text);
    hora_str_release(&out);
    hora_json_free(copy);
    hora_json_free(v);
}

static void printing(void **state) {
    (void)state;
    hora_json *v = hora_json_new_object();
    hora_json *list = hora_json_set(v, "list", hora_json_new_array());
    hora_json_push(list, hora_json_new_int(-1));
    hora_json_push(list, hora_json_new_real(2));
    hora_json_push(list, hora_json_new_real(1e-5));
    hora_json_push(list, hora_json_new_real(INFINITY));
    hora_json_set(v, "b", hora_json_new_bool(false));
    hora_json_set(v, "a", hora_json_new_string("\xc3\xbc\"\\\n\x01"));
    hora_json_set(v, "e", hora_json_new_object());
    assert_dump(v, 0, false,
                "{\"list\": [-1, 2.0, 1e-05, null], \"b\": false, "
                "\"a\": \"\xc3\xbc\\\"\\\\\\n\\u0001\", \"e\": {}}");
    assert_dump(v, 2, true,
                "{\n  \"a\": \"\xc3\xbc\\\"\\\\\\n\\u0001\",\n  \"b\": false,\n  \"e\": {},\n"
                "  \"list\": [\n    -1,\n    2.0,\n    1e-05,\n    null\n  ]\n}");
    hora_str s = {0};
    hora_json_dump(v, 1, false, &s);
    hora_json *back = parse(s.s), *copy = hora_json_copy(v);
    assert_true(hora_json_equal(v, back));
    hora_json_set(copy, "b", hora_json_new_bool(true));
    assert_false(hora_json_equal(v, copy));
    hora_str_release(&s);
    hora_json_free(back);
    hora_json_free(copy);
    hora_json_free(v);
    v = hora_json_new_string("x\xffy"); /* a path may be no UTF-8; what we print must be */
    assert_dump(v, 0, false, "\"x\xef\xbf\xbdy\"");
    hora_json_free(v);
    v = hora_json_new_object(); /* nor need the name of a file or of a token */
    hora_json_set(v, "k\xff", hora_json_new_int(1));
    assert_dump(v, 0, false, "{\"k\xef\xbf\xbd\": 1}");
    hora_json_free(v);
}

static void large_objects(void **state) {
    (void)state;
    enum { N = 130000 };
    hora_str s = {0};
    hora_str_putc(&s, '{');
    for (int i = 0; i < N; i++)
        hora_str_printf(&s, "%s\"token%d\": %d", i ? ", " : "", i, i);
    hora_str_putc(&s, '}');
    hora_json *v = parse(s.s);
    hora_str_release(&s);
    assert_int_equal(hora_json_len(v), N);
    int64_t at = 0, value;
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it), at++)
        if (!hora_json_int(hora_json_iter_value(it), &value) || value != at)
            fail_msg("member %lld is out of order", (long long)at);
    for (int i = 0; i < N; i += 1009) {
        char key[32];
        snprintf(key, sizeof key, "token%d", i);
        assert_true(hora_json_int(hora_json_get(v, key), &value) && value == i);
    }
    hora_json_free(v);
}

static void loads_files(void **state) {
    (void)state;
    char *path = hora_path_join(hora_test_tmp(), "x.json");
    hora_json *v;
    assert_fails(hora_json_load(&v, path), HORA_ENOTFOUND, path);
    assert_ok(hora_file_write(path, "[1,]", 4));
    assert_fails(hora_json_load(&v, path), HORA_EFORMAT, path);
    assert_ok(hora_file_write(path, "[1]", 3));
    assert_ok(hora_json_load(&v, path));
    hora_json_free(v);
    hora_free(path);
}

HORA_TESTS(unit_json, {"refuses with line and column", refuses_with_a_place, HORA_SHORT},
           {"depth is limited", depth_is_limited, HORA_SHORT},
           {"order and values", order_and_values, HORA_SHORT},
           {"typed members", typed_members, HORA_SHORT},
           {"integers beyond 64 bits as reals", huge_integers_become_reals, HORA_SHORT},
           {"integers beyond 64 bits keep their digits", long_integers, HORA_SHORT},
           {"no zeros in front", no_zeros_in_front, HORA_SHORT},
           {"builders and printing", printing, HORA_SHORT},
           {"large objects", large_objects, HORA_SHORT}, {"files", loads_files, HORA_SHORT});
