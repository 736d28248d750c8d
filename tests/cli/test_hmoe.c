/* `hora theory hmoe` at the tool: models with trained adapters, case files, pictures, refusals. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

static const char *prose(void) {
    return tiny_file("prose.txt",
                     "The fox and the dog went out to look at the moon. Then it rained, "
                     "and they went home again, wet as they were; the fox laughed.\n");
}

/* An adapter, trained for a few steps. */
static const char *trained(const char *model, const char *data, const char *method,
                           const char *options) {
    const char *out = hora_test_path(hora_test_tmp(), method);
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --method %s %s --steps 8 --lr 1e-2 --seq-len 32 "
               "--batch-size 4 --out '%s' --overwrite -q",
               model, data, method, options, out);
    return out;
}

/* Every layer: both formulas agree, the engine too, coupling under its bound. */
static void equal_on_all(const hora_json *r, size_t layers, double engine, bool adapted) {
    const hora_json *list = hora_json_get(r, "layers"), *checks = hora_json_get(r, "checks");
    assert_int_equal(hora_json_len(list), layers);
    assert_int_equal(hora_json_len(checks), layers * (adapted ? 3 : 2));
    for (size_t i = 0; i < layers; i++) {
        const hora_json *l = hora_json_at(list, i);
        const double y = tool_number(l, "largest_y");
        assert_true(y > 1e-3);
        assert_true(tool_number(l, "attention_mixture") <= 1e-10);
        assert_true(tool_number(l, "attention_engine") <= engine * y);
        if (adapted)
            assert_true(tool_number(l, "coupling_rank") <= tool_number(l, "coupling_bound"));
    }
}

static void adapters_of(const char *model, const char *data, size_t layers, const char *rank) {
    static const char *const how[][2] = {{"lora", ""},
                                         {"hora", ""},
                                         {"hora", "--act tanh"},
                                         {"hora", "--no-share-qv"},
                                         {"hora", "--targets q+k+v+o --no-share-heads"},
                                         {"lora", "--targets q+k+v+o+up"},
                                         {"hora", "--generator rep"}};
    for (size_t i = 0; i < HORA_COUNT(how); i++) {
        char *options = hora_format("--rank %s %s", rank, how[i][1]);
        const char *adapter = trained(model, data, how[i][0], options);
        hora_json *r = tool_json("theory hmoe --model '%s' --adapter '%s' --text '%s' --tokens 24 "
                                 "--json",
                                 model, adapter, data);
        equal_on_all(r, layers, 1e-4, true);
        const hora_json *l = hora_json_at(hora_json_get(r, "layers"), 0);
        assert_true(hora_json_len(hora_json_get(l, "head_change")) > 1);
        double moved = 0;
        hora_json_real(hora_json_at(hora_json_get(l, "head_change"), 0), &moved);
        assert_true(moved > 0); /* the adapter does something */
        const bool shared = i == 1 || i == 2 || i == 4;
        assert_int_equal(hora_json_get(l, "tied") != NULL, shared);
        hora_json_free(r);
        hora_free(options);
    }
}

static void test_tiny(void **state) {
    (void)state;
    adapters_of(tiny_model(), prose(), 2, "2");
}

static void test_stories(void **state) {
    (void)state;
    const char *model = hora_test_shared("models/stories260k");
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_shared("data/text/tinyshakespeare.txt")));
    text.s[5000] = 0;
    const char *data = tiny_file("start.txt", text.s);
    hora_str_release(&text);
    static const char *const methods[] = {"lora", "hora"};
    for (int i = 0; i < 2; i++) {
        const char *adapter = trained(model, data, methods[i], "--rank 4");
        hora_json *r = tool_json("theory hmoe --model '%s' --adapter '%s' --text '%s' --json",
                                 model, adapter, data);
        equal_on_all(r, 5, 1e-4, true);
        const hora_json *l = hora_json_at(hora_json_get(r, "layers"), 4);
        assert_true(tool_number(l, "coupling_rank") <= (i ? 8 : 16));
        hora_json_free(r);
        r = tool_json("theory hmoe --model '%s' --adapter '%s' --random 2 --dtype f64 --json",
                      model, adapter);
        equal_on_all(r, 5, 1e-10, true);
        hora_json_free(r);
    }
}

static void test_base_alone(void **state) {
    (void)state;
    hora_json *a = tool_json("theory hmoe --model '%s' --random 3 --tokens 16 --queries 16 --json",
                             tiny_model());
    equal_on_all(a, 2, 1e-4, false);
    assert_null(hora_json_get(hora_json_at(hora_json_get(a, "layers"), 0), "norm_q"));
    hora_json *b = tool_json("theory hmoe --model '%s' --random 3 --tokens 16 --layers 1 --json "
                             "--threads 1",
                             tiny_model());
    const hora_json *one = hora_json_at(hora_json_get(b, "layers"), 0);
    const hora_json *same = hora_json_at(hora_json_get(a, "layers"), 1);
    assert_true(hora_json_equal(hora_json_get(one, "gate_entropy_after"),
                                hora_json_get(same, "gate_entropy_after")));
    hora_json_free(a);
    hora_json_free(b);
}

static bool is_there(const char *dir, const char *name) {
    return hora_file_size(hora_test_path(dir, name)) > 0;
}

static void test_pictures(void **state) {
    (void)state;
    static const char *const always[] = {
        "hmoe.json",          "hmoe_heads.csv",  "hmoe_layers.csv", "hmoe_gates_0.csv",
        "hmoe_gates_0.gp",    "hmoe_bars_1.csv", "hmoe_heads_1.gp", "hmoe_pairs_0_q.csv",
        "hmoe_pairs_0_v.csv", "hmoe_pairs_0.gp", "hmoe_layers.gp"};
    static const char *const drawn[] = {"hmoe_gates_0", "hmoe_heads_1", "hmoe_pairs_0",
                                        "hmoe_layers"};
    const char *adapter = trained(tiny_model(), prose(), "hora", "--rank 2");
    const char *out = hora_test_path(hora_test_tmp(), "report");
    const char *args =
        hora_test_text("theory hmoe --model '%s' --adapter '%s' --text '%s' --tokens 12 "
                       "--out '%s'",
                       tiny_model(), adapter, prose(), out);
    tool_check(0, "coupling", NULL, "%s", args);
    /* a scale that follows rounding shows a pattern where there is none, from 1 to 1 */
    hora_str script = {0};
    assert_ok(hora_file_read(&script, hora_test_path(out, "hmoe_pairs_0.gp")));
    assert_non_null(strstr(script.s, "set cbrange [* < 0.9:1]"));
    hora_str_release(&script);
    for (size_t i = 0; i < HORA_COUNT(always); i++)
        if (!is_there(out, always[i]))
            fail_msg("no %s", always[i]);
    tool_check(9, NULL, "exists", "%s", args);
    char *command = hora_format("PATH=/nowhere %s %s --overwrite", hora_test_tool(), args);
    hora_str said = {0}, err = {0};
    assert_int_equal(hora_test_run(command, &said, &err), 0);
    assert_non_null(strstr(err.s, "gnuplot is not here"));
    assert_non_null(strstr(said.s, "no pictures without gnuplot"));
    assert_true(is_there(out, "hmoe_gates_0.gp") && is_there(out, "hmoe_gates_0.csv"));
    hora_str_release(&said);
    hora_str_release(&err);
    hora_free(command);
    if (hora_test_run("gnuplot --version", NULL, NULL))
        hora_test_skip("gnuplot is not installed");
    tool_check(0, "pictures", "", "%s --overwrite", args);
    for (size_t i = 0; i < HORA_COUNT(drawn); i++) {
        char *svg = hora_format("%s.svg", drawn[i]), *png = hora_format("%s.png", drawn[i]);
        assert_true(is_there(out, svg) && is_there(out, png));
        hora_free(svg);
        hora_free(png);
    }
}

/* --- refusals --------------------------------------------------------------------------------- */
static void test_refusals(void **state) {
    (void)state;
    const char *m = tiny_model(), *text = prose();
    tool_check(2, "", "--model DIR and --case", "theory hmoe");
    tool_check(2, "", "--model DIR and --case", "theory hmoe --model '%s' --case x", m);
    tool_check(2, "", "has to read something", "theory hmoe --model '%s'", m);
    tool_check(2, "", "has to read something", "theory hmoe --model '%s' --random 1 --text x", m);
    tool_check(2, "", "random", "theory hmoe --model '%s' --random 0", m);
    tool_check(2, "", "tokens", "theory hmoe --model '%s' --random 1 --tokens 0", m);
    tool_check(2, "", "queries", "theory hmoe --model '%s' --random 1 --queries 0", m);
    tool_check(2, "", "96 positions", "theory hmoe --model '%s' --random 1 --tokens 97", m);
    tool_check(2, "", "0 .. 1", "theory hmoe --model '%s' --random 1 --layers 2", m);
    tool_check(2, "", "is no layer", "theory hmoe --model '%s' --random 1 --layers ,", m);
    tool_check(8, "", "nothing.txt", "theory hmoe --model '%s' --text nothing.txt", m);
    tool_check(2, "", "go with --model", "theory hmoe --case x --layers 0");
    tool_check(8, "", "no-such", "theory hmoe --case no-such.safetensors");
    const char *gate = trained(m, text, "lora", "--rank 2 --targets gate+up");
    tool_check(5, "", "touches no attention head",
               "theory hmoe --model '%s' --adapter '%s' --random 1", m, gate);
    const char *head = trained(m, text, "head", "");
    tool_check(5, "", "has no heads", "theory hmoe --model '%s' --adapter '%s' --random 1", m,
               head);
    const char *full = trained(m, text, "full", "");
    tool_check(2, "", "is a whole model", "theory hmoe --model '%s' --adapter '%s' --random 1", m,
               full);
    tool_check(9, "", "is a file", "theory hmoe --model '%s' --random 1 --out '%s'", m, text);
    tool_check(3, "", "proc", "theory hmoe --model '%s' --random 1 --out /proc/hora", m);
    tool_check(3, "", "proc", "theory hmoe --model '%s' --random 1 --out /proc/x.safetensors", m);
}

/* A small case with one thing wrong: `drop` (NULL: none) is left out, `bend` gets another shape. */
static const char *broken_case(const char *drop, const char *bend, const char *key,
                               const char *value, double poison) {
    static const struct {
        const char *name;
        hora_shape shape;
    } tensors[] = {{"x", {3, {1, 3, 4}}},     {"wq", {2, {4, 4}}},       {"wk", {2, {2, 4}}},
                   {"wv", {2, {2, 4}}},       {"wo", {2, {4, 4}}},       {"lora_a_q", {2, {1, 4}}},
                   {"lora_b_q", {2, {4, 1}}}, {"lora_a_v", {2, {1, 4}}}, {"lora_b_v", {2, {2, 1}}},
                   {"bias_o", {1, {4}}}};
    static const char *const keys[][2] = {
        {"H", "2"},     {"G", "1"},      {"dh", "2"},           {"r", "1"},
        {"alpha", "2"}, {"causal", "1"}, {"rope_theta", "100"}, {"kind", "lora"}};
    double data[32];
    hora_st_entry e[16];
    hora_pair meta[16];
    int n = 0, nmeta = 0;
    for (int i = 0; i < 32; i++)
        data[i] = 0.1 * (i % 7) - 0.2;
    data[1] += poison;
    for (size_t i = 0; i < HORA_COUNT(tensors); i++) {
        if (hora_eq(tensors[i].name, drop))
            continue;
        e[n] = (hora_st_entry){tensors[i].name, {data, HORA_F64, tensors[i].shape}, HORA_F64};
        if (hora_eq(tensors[i].name, bend))
            e[n].view.shape.d[0]++;
        n++;
    }
    for (size_t i = 0; i < HORA_COUNT(keys); i++)
        if (!hora_eq(keys[i][0], key) || value)
            meta[nmeta++] = (hora_pair){keys[i][0], hora_eq(keys[i][0], key) ? value : keys[i][1]};
    const char *path = hora_test_path(hora_test_tmp(), "case.safetensors");
    assert_ok(hora_st_write(path, e, n, meta, nmeta));
    return path;
}

static void test_bad_cases(void **state) {
    (void)state;
    static const char *const needed[] = {"x", "wq", "wk", "wv", "wo", "lora_a_q", "lora_b_v"};
    static const char *const bent[] = {"wq", "wo", "bias_o", "lora_b_q", "lora_a_v"};
    static const char *const metadata[] = {"H",     "G",      "dh",         "r",
                                           "alpha", "causal", "rope_theta", "kind"};
    tool_check(0, "coupling", "", "theory hmoe --case '%s'",
               broken_case(NULL, NULL, NULL, NULL, 0));
    const char *out = hora_test_path(hora_test_tmp(), "of a case");
    tool_check(0, "hmoe.json", NULL, "theory hmoe --case '%s' --out '%s'",
               broken_case(NULL, NULL, NULL, NULL, 0), out);
    assert_true(is_there(out, "hmoe_gates_case.gp") && is_there(out, "hmoe_layers.csv"));
    for (size_t i = 0; i < HORA_COUNT(needed); i++)
        tool_check(4, "", needed[i], "theory hmoe --case '%s'",
                   broken_case(needed[i], NULL, NULL, NULL, 0));
    for (size_t i = 0; i < HORA_COUNT(bent); i++)
        tool_check(4, "", bent[i], "theory hmoe --case '%s'",
                   broken_case(NULL, bent[i], NULL, NULL, 0));
    for (size_t i = 0; i < HORA_COUNT(metadata); i++)
        tool_check(4, "", metadata[i], "theory hmoe --case '%s'",
                   broken_case(NULL, NULL, metadata[i], NULL, 0));
    tool_check(4, "", "no multiple", "theory hmoe --case '%s'",
               broken_case(NULL, NULL, "G", "3", 0));
    tool_check(4, "", "`kind`", "theory hmoe --case '%s'",
               broken_case(NULL, NULL, "kind", "dora", 0));
    tool_check(4, "", "`r`", "theory hmoe --case '%s'", broken_case(NULL, NULL, "r", "0", 0));
    tool_check(4, "", "not finite", "theory hmoe --case '%s'",
               broken_case(NULL, NULL, NULL, NULL, INFINITY));
    tool_check(0, NULL, "are not read", "theory hmoe --case '%s'",
               broken_case(NULL, NULL, "kind", "none", 0));
    tool_check(4, "", "", "theory hmoe --case '%s'", prose());
}

HORA_TESTS(cli_hmoe, {"a tiny model and every kind of adapter", test_tiny, HORA_SHORT},
           {"stories260k with lora and hora", test_stories, HORA_MEDIUM},
           {"a model without an adapter", test_base_alone, HORA_SHORT},
           {"report, data, scripts and pictures", test_pictures, HORA_SHORT},
           {"refusals", test_refusals, HORA_SHORT}, {"bad cases", test_bad_cases, HORA_SHORT});
