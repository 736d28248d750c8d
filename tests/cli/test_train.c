/* hora train, eval and plan at the tool: what OUT holds, keys of the logs, recipes, resuming. */
#include "base/file.h"
#include "base/text.h"
#include "base/yaml.h"
#include "tiny_model.h"
#include "tool.h"

static const char *data_file(void) {
    hora_str s = {0};
    for (int i = 0; i < 60; i++)
        hora_str_printf(&s, "line %d of a small text; ", i);
    const char *path = tiny_file("data.txt", s.s);
    hora_str_release(&s);
    return path;
}

static bool there(const char *dir, const char *name) {
    return hora_path_exists(hora_test_path(dir, name));
}

static void test_out(void **state) {
    (void)state;
    const char *m = tiny_model(), *data = data_file();
    static const char *const methods[] = {"hora", "lora", "bitfit", "head", "full"};
    static const char *const holds[] = {"adapter_model.safetensors", "adapter_model.safetensors",
                                        NULL, "delta.safetensors", "model.safetensors"};
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        if (!holds[i]) /* this model has no bias to fit */
            continue;
        const char *out = hora_test_path(hora_test_tmp(), methods[i]);
        hora_json *r = tool_json("train --model '%s' --data '%s' --method %s --out '%s' --steps 4 "
                                 "--seq-len 16 --batch-size 2 --save-every 2 --json --quiet",
                                 m, data, methods[i], out);
        assert_int_equal((int)tool_number(r, "steps"), 4);
        assert_true(tool_number(r, "trainable") > 0);
        hora_json_free(r);
        assert_true(there(out, holds[i]) && there(out, "README.md") && there(out, "log.jsonl"));
        assert_true(there(out, "checkpoint-4") && there(out, "checkpoint-2"));
        assert_true(there(out, "recipe.yaml"));
        hora_json *e = tool_json("eval --model '%s' --adapter '%s' --data '%s' --seq-len 16 --json",
                                 m, out, data);
        hora_json *b = tool_json("eval --model '%s' --data '%s' --seq-len 16 --json", m, data);
        assert_true(tool_number(e, "loss") < tool_number(b, "loss"));
        assert_true(tool_number(e, "tokens") == tool_number(b, "tokens"));
        tool_check(0, NULL, "", "generate --model '%s' --adapter '%s' --prompt li", m, out);
        tool_check(0, "\"kind\"", "", "inspect '%s' --json", out);
        tool_check(0, "checkpoint", "", "inspect '%s/checkpoint-4' --json", out);
        hora_json_free(e);
        hora_json_free(b);
    }
}

static void test_keys(void **state) {
    (void)state;
    static const char *const log_keys[] = {"step", "epoch",   "loss",       "grad_norm",
                                           "lr",   "tokens",  "supervised", "tok_per_s",
                                           "mfu",  "mem_mib", "ms"};
    static const char *const eval_keys[] = {"loss", "perplexity", "tokens", "bits_per_byte",
                                            "seconds"};
    const char *m = tiny_model(), *data = data_file();
    const char *out = hora_test_path(hora_test_tmp(), "keys");
    tool_check(0, "2 steps", NULL,
               "train --model '%s' --data '%s' --out '%s' --steps 2 --seq-len 16 --batch-size 2", m,
               data, out);
    hora_str log = {0};
    assert_ok(hora_file_read(&log, hora_test_path(out, "log.jsonl")));
    hora_json *v;
    assert_ok(hora_json_parse(&v, log.s, strcspn(log.s, "\n"), "first line of log.jsonl"));
    for (size_t i = 0; i < HORA_COUNT(log_keys); i++)
        if (!hora_json_get(v, log_keys[i]))
            fail_msg("log.jsonl lacks %s", log_keys[i]);
    hora_json_free(v);
    hora_str_release(&log);
    hora_str recipe = {0}; /* says what auto was */
    assert_ok(hora_file_read(&recipe, hora_test_path(out, "recipe.yaml")));
    assert_true(strstr(recipe.s, "dtype: f32") || strstr(recipe.s, "dtype: bf16"));
    hora_str_release(&recipe);
    v = tool_json("eval --model '%s' --data '%s' --seq-len 16 --json", m, data);
    for (size_t i = 0; i < HORA_COUNT(eval_keys); i++)
        if (!hora_json_get(v, eval_keys[i]))
            fail_msg("eval lacks %s", eval_keys[i]);
    assert_true(hora_json_len(v) == HORA_COUNT(eval_keys));
    hora_json_free(v);
}

/* The command line wins over the recipe; PEFT's names are the same options. */
static void test_recipe(void **state) {
    (void)state;
    const char *m = tiny_model(), *data = data_file();
    const char *out = hora_test_path(hora_test_tmp(), "recipe");
    char *text = hora_format("model: %s\ndata: %s\nout: %s\nmethod: lora\nr: 4\nsteps: 1\n"
                             "seq_len: 16\nbatch_size: 2\ntarget_modules: [q_proj, v_proj]\n",
                             m, data, out);
    const char *recipe = tiny_file("recipe.yaml", text);
    tool_check(0, NULL, NULL, "train '%s' --set rank=3 --set lora-alpha=12", recipe);
    hora_json *c;
    assert_ok(hora_json_load(&c, hora_test_path(out, "adapter_config.json")));
    assert_int_equal((int)tool_number(c, "r"), 3);
    assert_int_equal((int)tool_number(c, "lora_alpha"), 12);
    hora_json_free(c);
    hora_json *as_run;
    assert_ok(hora_yaml_load(&as_run, hora_test_path(out, "recipe.yaml")));
    assert_int_equal((int)tool_number(as_run, "rank"), 3);
    hora_json_free(as_run);
    tool_check(9, "", "--overwrite", "train '%s'", recipe);
    tool_check(0, NULL, NULL, "train '%s' --overwrite", recipe);
    hora_free(text);
    tool_check(2, "", "stepz", "train '%s' --overwrite", tiny_file("r.yaml", "stepz: 1\n"));
    tool_check(4, "", "r.yaml", "train '%s' --overwrite", tiny_file("r.yaml", "a: [\n"));
}

static void test_plan(void **state) {
    (void)state;
    const char *m = tiny_model(), *data = data_file();
    hora_json *p = tool_json("plan --model '%s' --data '%s' --method lora --rank 2 --targets q "
                             "--seq-len 16 --json",
                             m, data);
    assert_int_equal((int)tool_number(p, "trainable"), 2 * 2 * (32 + 32));
    assert_true(tool_number(hora_json_get(p, "memory"), "total") > 0);
    hora_json_free(p);
    tool_check(0, "backward attention", NULL, "plan --model '%s' --data '%s' --seq-len 16 --dump",
               m, data);
    tool_check(7, NULL, "memory",
               "plan --model '%s' --data '%s' --seq-len 96 --batch-size 100k "
               "--memory 1M",
               m, data);
}

/* Ctrl-C: the step ends, a checkpoint is there, the text says how to go on. */
static void test_interrupt(void **state) {
    (void)state;
    const char *m = tiny_model(), *data = data_file();
    const char *out = hora_test_path(hora_test_tmp(), "stopped");
    char *script =
        hora_format("%s train --model '%s' --data '%s' --out '%s' --steps 1000000 --seq-len 16 "
                    "--batch-size 2 --save-limit 1 & p=$!; "
                    "for i in $(seq 600); do [ -s '%s/log.jsonl' ] && break; sleep 0.1; done; "
                    "kill -INT $p; wait $p",
                    hora_test_tool(), m, data, out, out);
    /* a shell without job control lets background commands ignore SIGINT; the tool asks for it */
    hora_str err = {0};
    assert_int_equal(hora_test_run(script, NULL, &err), 12);
    assert_non_null(strstr(err.s, "--resume --out"));
    hora_json *log;
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_path(out, "log.jsonl")));
    text.s[--text.n] = 0;
    char *last = strrchr(text.s, '\n');
    last = last ? last + 1 : text.s;
    assert_ok(hora_json_parse(&log, last, strlen(last), "last line"));
    const int step = (int)tool_number(log, "step");
    char *name = hora_format("checkpoint-%d", step);
    assert_true(there(out, name));
    hora_free(name);
    hora_json_free(log);
    hora_str_release(&text);
    hora_str_release(&err);
    hora_free(script);
}

HORA_TESTS(cli_train, {"what OUT holds, for each method", test_out, HORA_SHORT},
           {"keys of log and evaluation", test_keys, HORA_SHORT},
           {"recipes and settings", test_recipe, HORA_SHORT}, {"plan", test_plan, HORA_SHORT},
           {"Ctrl-C", test_interrupt, HORA_SHORT});
