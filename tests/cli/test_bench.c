/* hora bench: keys and sane values of its JSON, refusals, the machine alone, nothing left behind;
 * and the scripts of bench/ on a stand-in for the control. Nothing here looks at how fast anything
 * is. */
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

#define SMALL "--batch-size 2 --seq-len 16 --repeats 4 --settle 1"

/* A folder for TMPDIR that must be empty afterwards. */
static const char *scratch(void) {
    const char *dir = hora_test_path(hora_test_tmp(), "scratch");
    assert_ok(hora_mkdirs(dir));
    setenv("TMPDIR", dir, 1);
    return dir;
}

static void assert_nothing_left(const char *dir) {
    char **names;
    int n;
    assert_ok(hora_list_dir(dir, &names, &n));
    if (n)
        fail_msg("%s was left in TMPDIR", names[0]);
    hora_list_free(names, n);
    unsetenv("TMPDIR");
}

static void check_ops(const hora_json *r) {
    const hora_json *ops = hora_json_get(r, "ops");
    double sum = tool_number(r, "outside_ms"), all = tool_number(r, "profiled_step_ms"), flop = 0;
    assert_true(hora_json_len(ops) > 5);
    for (size_t i = 0; i < hora_json_len(ops); i++) {
        const hora_json *o = hora_json_at(ops, i);
        assert_non_null(hora_json_string(hora_json_get(o, "op"), NULL));
        assert_non_null(hora_json_string(hora_json_get(o, "phase"), NULL));
        assert_true(tool_number(o, "calls") >= 1 && tool_number(o, "mb") > 0);
        sum += tool_number(o, "ms");
        flop += tool_number(o, "gflop");
    }
    assert_true(sum > 0.999 * all && sum < 1.001 * all);
    assert_true(tool_number(r, "outside_ms") >= 0);
    /* without recomputing, what is computed is what must be */
    assert_true(flop > 0.999 * tool_number(r, "gflop") && flop < 1.001 * tool_number(r, "gflop"));
}

static void test_shape(void **state) {
    (void)state;
    static const char *const numbers[] = {"units_per_s", "step_ms",   "peak_gflops", "peak_rss_mib",
                                          "planned_mib", "load_s",    "open_s",      "prepare_s",
                                          "gflop",       "read_gb_s", "parameters",  "trainable"};
    const char *dir = scratch();
    hora_json *r = tool_json("bench --shape s260k --method lora --rank 4 --targets q+v --dtype f32 "
                             "--threads 2 --json " SMALL);
    assert_string_equal(hora_json_string(hora_json_get(r, "shape"), NULL), "s260k");
    assert_string_equal(hora_json_string(hora_json_get(r, "dtype"), NULL), "f32");
    assert_string_equal(hora_json_string(hora_json_get(r, "method"), NULL), "lora");
    for (size_t i = 0; i < HORA_COUNT(numbers); i++)
        if (hora_json_type(hora_json_get(r, numbers[i])) == HORA_JNULL ||
            tool_number(r, numbers[i]) <= 0)
            fail_msg("%s is not positive", numbers[i]);
    assert_true(tool_number(r, "mfu") > 0 && tool_number(r, "mfu") < 1.5);
    assert_int_equal((int)tool_number(r, "trainable"), 5 * 4 * (64 + 64 + 64 + 32));
    assert_int_equal((int)tool_number(r, "parameters"),
                     5 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 172 + 2 * 64) + 2 * 512 * 64 + 64);
    double tokens = tool_number(r, "units_per_s") * tool_number(r, "step_ms") / 1000;
    assert_true(tokens > 31.99 && tokens < 32.01);
    assert_true(tool_number(r, "units_per_s_worst") <= tool_number(r, "units_per_s") &&
                tool_number(r, "units_per_s") <= tool_number(r, "units_per_s_best"));
    check_ops(r);
    hora_json_free(r);
    assert_nothing_left(dir);
}

/* Weights of standard deviation 0.02 give nearly equal logits: the loss is that of guessing. */
static void test_random_model(void **state) {
    (void)state;
    const char *dir = scratch();
    hora_json *r = tool_json("bench --shape s260k --json " SMALL);
    double loss = tool_number(r, "loss"); /* ln 512 = 6.238 */
    assert_string_equal(hora_json_string(hora_json_get(r, "method"), NULL), "hora");
    assert_true(loss > 6.0 && loss < 6.5);
    hora_json_free(r);
    tool_check(0, "op, in a profiled step", "", "bench --shape s260k --recompute all " SMALL);
    tool_check(0, "s260k Q8_0", "", "bench --shape s260k --quantize q8_0 --backends cpu " SMALL);
    tool_check(2, "", "GGUF of a bert", "bench --shape minilm --quantize q8_0 " SMALL);
    assert_nothing_left(dir);
}

static void test_own_model(void **state) {
    (void)state;
    const char *m = tiny_model();
    hora_json *r = tool_json("bench --model '%s' --method full --json " SMALL, m);
    assert_string_equal(hora_json_string(hora_json_get(r, "shape"), NULL), hora_path_base(m));
    assert_true(tool_number(r, "trainable") == tool_number(r, "parameters"));
    check_ops(r);
    hora_json_free(r);
    assert_true(hora_path_exists(hora_test_path(m, "model.safetensors")));
    tool_check(2, "", "context", "bench --model '%s' --seq-len 2000", m);
}

/* What counts is a picture; the adapters are 12 layers of q and v, the head 100 classes. */
static void test_pictures(void **state) {
    (void)state;
    const char *dir = scratch();
    hora_json *r = tool_json("bench --shape vit_t --method lora --rank 2 --backends cpu --json "
                             "--batch-size 1 --repeats 1 --settle 0");
    double images = tool_number(r, "units_per_s") * tool_number(r, "step_ms") / 1000;
    assert_string_equal(hora_json_string(hora_json_get(r, "unit"), NULL), "image");
    assert_true(images > 0.99 && images < 1.01);
    assert_int_equal((int)tool_number(r, "seq_len"), 197);
    assert_int_equal((int)tool_number(r, "trainable"), 12 * 2 * 2 * (192 + 192) + 100 * 192 + 100);
    check_ops(r);
    hora_json_free(r);
    assert_nothing_left(dir);
    tool_check(2, "", "leave --seq-len out", "bench --shape vit_t --seq-len 16");
    assert_nothing_left(dir);
}

/* Directories of both kinds of encoders, with what of the model is not the shapes'. */
static void test_own_encoders(void **state) {
    (void)state;
    static const struct {
        const char *model, *unit;
    } of[] = {{"tiny_vit", "image"},  {"tiny_dinov2_reg", "image"}, {"tiny_clip_vision", "image"},
              {"tiny_bert", "token"}, {"tiny_roberta", "token"},    {"tiny_modernbert", "token"}};
    for (size_t i = 0; i < HORA_COUNT(of); i++) {
        char *at = hora_format("vectors/%s/base", of[i].model);
        const char *dir = hora_test_shared(at);
        hora_json *r = tool_json("bench --model '%s' --method bitfit --batch-size 2 --repeats 1 "
                                 "--settle 0 %s --json",
                                 dir, of[i].unit[0] == 't' ? "--seq-len 16" : "");
        assert_string_equal(hora_json_string(hora_json_get(r, "unit"), NULL), of[i].unit);
        check_ops(r);
        hora_json_free(r);
        hora_free(at);
    }
}

static void test_peak(void **state) {
    (void)state;
    hora_json *r = tool_json("bench --peak --json");
    assert_true(tool_number(r, "threads") >= 1 && tool_number(r, "read_gb_s") > 0);
    hora_json_free(r);
    tool_check(0, "GFLOP/s in registers", "", "bench --peak --threads 1");
    setenv("HORA_ISA", "portable", 1); /* nothing is claimed where there is no loop worth it */
    r = tool_json("bench --peak --json");
    unsetenv("HORA_ISA");
    assert_int_equal(hora_json_type(hora_json_get(r, "peak_gflops_f32")), HORA_JNULL);
    hora_json_free(r);
}

static void test_refusals(void **state) {
    (void)state;
    const char *dir = scratch();
    tool_check(2, "", "one of: s260k, m15, smol135", "bench --shape xyzzy");
    tool_check(2, "", "did you mean smol135", "bench --shape smol35");
    tool_check(2, "", "exclude each other", "bench --shape s260k --model x");
    tool_check(8, "", "no model directory", "bench --model /nonexistent");
    tool_check(2, "", "dtype", "bench --shape s260k --dtype f12 " SMALL);
    tool_check(2, "", "no device `tpu`", "bench --shape s260k --device tpu " SMALL);
    tool_check(2, "", "auto", "bench --shape s260k --recompute some " SMALL);
    tool_check(2, "", "--rank", "bench --shape s260k --rnak 3");
    tool_check(8, "", "hora methods", "bench --shape s260k --method lroa " SMALL);
    tool_check(8, "", "no site", "bench --shape s260k --method lora --targets x " SMALL);
    tool_check(2, "", "--rslora", "bench --shape s260k --method hora --rslora " SMALL);
    tool_check(7, "", "memory", "bench --shape s260k --memory 1000 " SMALL);
    assert_nothing_left(dir);
    setenv("TMPDIR", "/nonexistent", 1);
    tool_check(3, "", "set TMPDIR", "bench --shape s260k " SMALL);
    unsetenv("TMPDIR");
}

static void test_interrupt(void **state) {
    (void)state;
    const char *dir = scratch();
    char *script = hora_format("%s bench --shape s260k " SMALL " --repeats 100000 & p=$!; "
                               "sleep 0.5; kill -INT $p; wait $p",
                               hora_test_tool());
    hora_str err = {0};
    assert_int_equal(hora_test_run(script, NULL, &err), 12);
    assert_non_null(strstr(err.s, "nothing is left"));
    hora_str_release(&err);
    hora_free(script);
    assert_nothing_left(dir);
}

/* Exit code of a shell command, and that stderr holds `part`. */
static void check_script(int code, const char *part, const char *command, hora_str *out) {
    hora_str err = {0};
    int got = hora_test_run(command, out, &err);
    if (got != code || !strstr(err.s ? err.s : "", part))
        fail_msg("%s: exit code %d: %s", command, got, err.s ? err.s : "");
    hora_str_release(&err);
}

/* The control's interface, without the control. */
static const char *control(void) {
    return tiny_file("control.sh",
                     "mib=900; speed=20; [ \"$3\" = --ckpt ] && mib=300 && speed=1\n"
                     "echo \"{\\\"engine\\\": \\\"stand-in\\\", \\\"units\\\": 32, "
                     "\\\"unit_per_s_med\\\": $speed, \\\"peak_rss_mib\\\": $mib}\"\n");
}

static void test_compare(void **state) {
    (void)state;
    const char *ledger = hora_test_path(hora_test_tmp(), "ledger.csv");
    char *script =
        hora_format("LEDGER='%s' PYTHON=sh CONTROL='%s' HORA=%s RECOMPUTE=none '%s' "
                    "--rounds 2 --steps 3 --rank 2 --threads 1 --ledger s260k f32 -- "
                    "--batch-size 2 --seq-len 16",
                    ledger, control(), hora_test_tool(), hora_test_source("bench/compare"));
    hora_str out = {0}, text = {0};
    check_script(0, "", script, &out);
    assert_non_null(strstr(out.s, "| torch.eager | 20 | 20 .. 20 | 900 | | |"));
    assert_non_null(strstr(out.s, "| torch.ckpt | 1 | 1 .. 1 | 300 | | |"));
    assert_non_null(strstr(out.s, "| hora.lora.none |"));
    assert_non_null(strstr(out.s, "| hora.hora.none |"));
    assert_ok(hora_file_read(&text, ledger));
    int lines = 0;
    for (const char *p = text.s; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 1 + 2 + 3);
    assert_non_null(strstr(text.s, ",stand-in,,s260k,f32,lora,\"rank=2 targets=q+v mode=ckpt\","
                                   "1,32000,,,300,\n"));
    hora_str_release(&out);
    hora_str_release(&text);
    hora_free(script);
    script = hora_format("CONTROL=/nonexistent '%s' s260k f32", hora_test_source("bench/compare"));
    check_script(2, "no control script", script, NULL);
    hora_free(script);
}

static void test_scaling(void **state) {
    (void)state;
    char *script = hora_format("HORA=%s '%s' --rounds 1 --repeats 1 --shape s260k --dtype f32 "
                               "--tokens 256 length batch",
                               hora_test_tool(), hora_test_source("bench/scaling"));
    hora_str out = {0};
    check_script(0, "", script, &out);
    assert_non_null(strstr(out.s, "\n| 1 x 256 | "));
    assert_non_null(strstr(out.s, "\n| 16 x 16 | "));
    hora_str_release(&out);
    hora_free(script);
    script = hora_format("HORA=%s '%s' xyzzy", hora_test_tool(), hora_test_source("bench/scaling"));
    check_script(2, "no table", script, NULL);
    hora_free(script);
}

HORA_TESTS(cli_bench, {"a shape: keys and sane values", test_shape, HORA_SHORT},
           {"a random model guesses", test_random_model, HORA_SHORT},
           {"a model directory", test_own_model, HORA_SHORT},
           {"a shape of pictures", test_pictures, HORA_SHORT},
           {"directories of encoders", test_own_encoders, HORA_MEDIUM},
           {"the machine alone", test_peak, HORA_SHORT}, {"refusals", test_refusals, HORA_SHORT},
           {"Ctrl-C leaves nothing", test_interrupt, HORA_SHORT},
           {"bench/compare on a stand-in", test_compare, HORA_SHORT},
           {"bench/scaling", test_scaling, HORA_SHORT});
