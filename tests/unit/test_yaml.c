/* YAML: the core schema, refusals with line and column, printing that reads back to the same tree.
 */
#include "hora_test.h"

#include <string.h>

#include "base/json.h"
#include "base/yaml.h"

static void assert_reads(const char *yaml, const char *json) {
    hora_json *got = NULL, *want = NULL;
    hora_str s = {0};
    assert_ok(hora_yaml_parse(&got, yaml, strlen(yaml), "test"));
    assert_ok(hora_json_parse(&want, json, strlen(json), "test"));
    hora_json_dump(got, 0, false, &s);
    if (!hora_json_equal(got, want))
        fail_msg("%s\nreads as %s\nnot %s", yaml, s.s, json);
    hora_str_release(&s);
    hora_json_free(got);
    hora_json_free(want);
}

static void core_schema(void **state) {
    (void)state;
    assert_reads("", "null");
    assert_reads("# nothing\n", "null");
    assert_reads("a: ~\nb: null\nc:\nd: NULL", "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}");
    assert_reads("[true, False, yes, no, on, TrUe]",
                 "[true, false, \"yes\", \"no\", \"on\", \"TrUe\"]");
    assert_reads("[0, -12, +7, 0o17, 0x1F, 0x7fffffffffffffff, 012]",
                 "[0, -12, 7, 15, 31, 9223372036854775807, 12]");
    assert_reads("[1.5, .5, 1., 1e3, -2E-4, 6.02e+23]",
                 "[1.5, 0.5, 1.0, 1000.0, -0.0002, 6.02e23]");
    assert_reads("[10k, 1_000, 0x, 0o8, 1e, 1e5x, -, +, '5', \"6\", .e5]",
                 "[\"10k\", \"1_000\", \"0x\", \"0o8\", \"1e\", \"1e5x\", \"-\", \"+\", \"5\", "
                 "\"6\", \".e5\"]");
    assert_reads("9223372036854775808", "9223372036854775808");
    assert_reads("a: !!str 12", "{\"a\": \"12\"}");
    assert_reads("a: {b: [q, v], c: {}}\nd:\n- x\n- - 1\n  - []\n",
                 "{\"a\": {\"b\": [\"q\", \"v\"], \"c\": {}}, \"d\": [\"x\", [1, []]]}");
    assert_reads("a: |\n  two\n  lines\n", "{\"a\": \"two\\nlines\\n\"}");
    assert_reads("1: x", "{\"1\": \"x\"}");
    assert_reads("---\na: 1\n...\n", "{\"a\": 1}");
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {{"a: 1\nb: 2\na: 3", "line 3, column 1: this key is there twice"},
                {"a: &x 1\nb: *x", "anchors"},
                {"b: *x", "line 1, column 4: aliases"},
                {"a: !!int 3", "tags"},
                {"a: !thing {}", "tags"},
                {"? [1]\n: 2", "a key should be plain text"},
                {"a: 1\n---\nb: 2", "line 2, column 1: a second document"},
                {"a: .inf", "line 1, column 4: not a finite number"},
                {"a: -.Inf", "not a finite number"},
                {"a: .nan", "not a finite number"},
                {"a: [1, 2", "line 2, column 1"},
                {"a: b: c", "line 1, column 5"},
                {"\ta: 1", "line 1"},
                {"a: \"\xff\"", "UTF-8"},
                {"a: \x01", "test: byte"},
                {"\"a\\0b\": 1", "NUL"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_json *v = NULL;
        assert_fails(hora_yaml_parse(&v, rows[i].text, strlen(rows[i].text), "test"), HORA_EFORMAT,
                     rows[i].part);
        assert_null(v);
    }
}

static void depth_is_limited(void **state) {
    (void)state;
    hora_str deep = {0};
    hora_json *v;
    for (int i = 0; i < 5000; i++)
        hora_str_putc(&deep, '[');
    assert_fails(hora_yaml_parse(&v, deep.s, deep.n, "deep"), HORA_EFORMAT, "too deep");
    hora_str_release(&deep);
}

static void reads_back(const char *json) {
    hora_json *v = NULL, *back = NULL;
    hora_str s = {0};
    assert_ok(hora_json_parse(&v, json, strlen(json), "test"));
    hora_yaml_dump(v, &s);
    if (hora_yaml_parse(&back, s.s, s.n, "printed") != HORA_OK || !hora_json_equal(v, back))
        fail_msg("%s\nwas printed as\n%s\n%s", json, s.s, hora_errmsg());
    hora_str_release(&s);
    hora_json_free(v);
    hora_json_free(back);
}

static void prints_what_reads_back(void **state) {
    (void)state;
    reads_back("null");
    reads_back("[]");
    reads_back("{}");
    reads_back("\"plain\"");
    reads_back("{\"a\": 1, \"b\": 1.0, \"c\": 1e-30, \"d\": true, \"e\": null, \"f\": \"true\"}");
    reads_back("[\"yes\", \"No\", \"~\", \"\", \"-\", \"- a\", \"a: b\", \"#x\", \"1e5\", \"0x1\", "
               "\".inf\"]");
    reads_back(
        "[\"\\u0000\", \"\\n\", \"\\t\", \"\\u007f\", \"\\u0085\", \"\\u2028\", \"\\ufeff\", "
        "\"\\uffff\", \"\\ud83d\\ude42\", \"\\\"\\\\\", \" lead\", \"trail \"]");
    reads_back("{\"k: v\": {\"\": [[[]], {\"x\": [{}, {\"y\": []}]}]}, \"z\": [[1, 2], [3]]}");
    reads_back("{\"targets\": [\"q\", \"v\"], \"method\": {\"name\": \"hora\", \"rank\": 8}}");
    hora_str s = {0};
    hora_json *v = hora_json_new_object();
    for (int i = 0; i < 300; i++)
        hora_str_puts(&s, "long key ");
    hora_json_set(v, s.s, hora_json_new_string(s.s)); /* longer than a simple key may be */
    hora_str text = {0};
    hora_json_dump(v, 0, false, &text);
    reads_back(text.s);
    hora_str_release(&text);
    hora_str_release(&s);
    hora_json_free(v);
}

static void prints_for_people(void **state) {
    (void)state;
    const char *json =
        "{\"targets\": [\"q\", \"v\"], \"method\": {\"name\": \"hora\", \"lr\": 0.0001},"
        " \"out\": \"runs/a b\"}";
    hora_json *v = NULL;
    hora_str s = {0};
    assert_ok(hora_json_parse(&v, json, strlen(json), "test"));
    hora_yaml_dump(v, &s);
    assert_string_equal(s.s, "targets: [q, v]\nmethod:\n  name: hora\n  lr: 0.0001\n"
                             "out: \"runs/a b\"\n");
    hora_str_release(&s);
    hora_json_free(v);
}

HORA_TESTS(unit_yaml, {"core schema", core_schema, HORA_SHORT},
           {"refuses with line and column", refuses, HORA_SHORT},
           {"depth is limited", depth_is_limited, HORA_SHORT},
           {"what is printed reads back", prints_what_reads_back, HORA_SHORT},
           {"prints for people", prints_for_people, HORA_SHORT});
