/* The first hour at the tool: what is refused before data are read, plans, longer runs, recipes. */
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "run/run.h"
#include "tiny_model.h"
#include "tool.h"
#include "vectors/golden.h"

static const char *data_file(void) {
    hora_str s = {0};
    for (int i = 0; i < 60; i++)
        hora_str_printf(&s, "line %d of a small text; ", i);
    const char *path = tiny_file("data.txt", s.s);
    hora_str_release(&s);
    return path;
}

static const char *out_dir(const char *name) {
    return hora_test_path(hora_test_tmp(), name);
}

/* The data file is not there, which nobody finds out. */
static void test_before_data(void **state) {
    (void)state;
    const char *m = tiny_model(), *out = out_dir("out"), *there = out_dir("there");
    assert_ok(hora_mkdirs(there));
    tiny_file("there/mine.txt", "x");
    tool_check(9, "", "exists", "train --model '%s' --data NONE --out '%s'", m, there);
    tool_check(2, "", "seq_len=9999", "train --model '%s' --data NONE --out '%s' --seq-len 9999", m,
               out);
    tool_check(8, "", "NONE", "train --model '%s' --data NONE --out '%s'", m, out);
    tool_check(2, "", "give --out", "train --model '%s' --data NONE", m);
    tool_check(2, "", "no training data: give --data FILE", "train --model '%s' --out '%s'", m,
               out);
    tool_check(8, "", "no method", "train --model '%s' --data NONE --out '%s' --method xyzzyx", m,
               out);
    tool_check(8, "", "GONE",
               "train --model '%s' --data '%s' --seq-len 16 --eval-data GONE --out '%s'", m,
               data_file(), out);
    assert_false(hora_path_exists(out));
}

static void test_whose_option(void **state) {
    (void)state;
    const char *m = tiny_model(), *out = out_dir("out");
    tool_check(2, "", "--act is an option of method hora, not of lora",
               "train --model '%s' --data NONE --out '%s' --method lora --act relu", m, out);
    tool_check(2, "", "--act is an option of method hora, not of lora",
               "plan --model '%s' --method lora --act relu", m);
    tool_check(2, "", "(lora, vera, loha, ", "plan --model '%s' --method ia3 --rank 4", m);
    tool_check(2, "", "ia3 has targets, feedforward, exclude and modules_to_save",
               "plan --model '%s' --method ia3 --rank 4", m);
    tool_check(2, "", "full has no options", "plan --model '%s' --method full --alpha 4", m);
    tool_check(2, "", "--virtual-tokens is an option of method prefix, not of lora (",
               "plan --model '%s' --method lora --virtual_tokens 4", m);
    tool_check(2, "", "give --method hora; lora has rank, ",
               "plan --model '%s' --method lora --generator shared", m);
    tool_check(2, "", "q_proj+v_proj",
               "train --model '%s' --data NONE --out '%s' --method lora --targets q_proj v_proj", m,
               out);
    tool_check(2, "", "give dtype=bf16", "train --model '%s' --data NONE --out '%s' --bf16", m,
               out);
    tool_check(2, "", "quantize=nf4", "train --model '%s' --data NONE --out '%s' --load-in-4bit", m,
               out);
    tool_check(
        2, "", "no matrix of this model stays frozen",
        "train --model '%s' --data '%s' --seq-len 16 --out '%s' --method full --quantize q8_0", m,
        data_file(), out);
    static const char *const idle[][2] = {
        {"--outer-lr 0.5", "has an effect only with sync_every"},
        {"--flip 0.5", "is for pictures"},
        {"--dice 2", "is of the task segment"},
        {"--similarity-scale 5", "is of the task embedding"},
        {"--eval-every 5", "needs evaluation data"},
        {"--patience 2", "waits for evaluations while it trains"},
        {"--patience 2 --eval-split 3", "waits for evaluations while it trains"},
        {"--no-eval-start", "needs evaluation data"},
        {"--momentum 0.5", "is of optimizer=sgd"},
        {"--decay-all", "has an effect only with weight_decay"},
        {"--any-base", "has an effect only with init_adapter"},
        {"--default-task x", "is of adapters that are bound to tasks"},
        {"--image-cache 1000", "is for pictures"},
        {"--mixup 0.5", "is for pictures"},
    };
    for (size_t i = 0; i < HORA_COUNT(idle); i++)
        tool_check(2, "", idle[i][1], "train --model '%s' --data '%s' --out '%s' %s", m,
                   data_file(), out, idle[i][0]);
    tool_check(2, "", "has an effect only with temperature",
               "generate --model '%s' --prompt x --top-p 0.9", m);
    static const char *const others[][2] = {
        {"has an effect only with temperature", "generate --model '%s' --prompt x --seed 1"},
        {"has an effect only with chat", "generate --model '%s' --prompt x --chat-kwargs '{}'"},
        {"has an effect only with predictions", "eval --model '%s' --data NONE --bins 3"},
        {"has an effect only with predictions", "eval --model '%s' --data NONE --ignore 0"},
        {"is for pictures", "data --model '%s' NONE --flip 0.5"},
        {"is for pictures", "data --model '%s' NONE --sheet x.png"},
        {"has an effect only with type=ties",
         "combine --model '%s' --adapter a --adapter b --out c --density 0.5"},
        {"has an effect only with type=dare",
         "combine --model '%s' --adapter a --adapter b --out c --seed 1"},
        {"has an effect only with type=ties",
         "combine --model '%s' --adapter a --adapter b --out c --majority-sign frequency"}};
    for (size_t i = 0; i < HORA_COUNT(others); i++)
        tool_check(2, "", others[i][0], others[i][1], m);
    tool_check(2, "", "is for pictures", "eval --model '%s' --data '%s' --flip 0.5", m,
               data_file());
    char *recipe =
        hora_format("model: %s\ndata: %s\nseq_len: 16\nsteps: 1\nflip: 0.5\n", m, data_file());
    tool_check(0, "1 steps", "option flip=0.5 (recipe) is for pictures", "train '%s' --out '%s'",
               tiny_file("idle.yaml", recipe), out_dir("idle"));
    tool_check(0, NULL, "", "train --resume --out '%s' --quiet", out_dir("idle"));
    hora_free(recipe);
    tool_check(8, "",
               "there are:", "train --model '%s' --data NONE --out '%s' --method nothing-like-this",
               m, out);
}

static void test_plan_without_weights(void **state) {
    (void)state;
    const char *m = tiny_model(), *data = data_file();
    static const char how[] = "--seq-len 16 --steps 10 --json";
    hora_json *with = tool_json("plan --model '%s' --data '%s' %s", m, data, how);
    char *weights = hora_path_join(m, "model.safetensors");
    assert_int_equal(unlink(weights), 0);
    hora_json *without = tool_json("plan --model '%s' --data '%s' %s", m, data, how);
    static const char *const same[] = {"parameters", "trainable", "nodes", "flops_step"};
    for (size_t i = 0; i < HORA_COUNT(same); i++)
        assert_true(tool_number(with, same[i]) == tool_number(without, same[i]));
    const hora_json *a = hora_json_get(with, "memory"), *b = hora_json_get(without, "memory");
    assert_true(tool_number(a, "total") == tool_number(b, "total"));
    tool_check(0, "are those of config.json", NULL, "plan --model '%s' --data '%s' --seq-len 16", m,
               data);
    tool_check(0, "are those of config.json", NULL,
               "train --dry-run --model '%s' --data '%s' --seq-len 16", m, data);
    tool_check(8, "", "neither model.safetensors",
               "train --model '%s' --data '%s' --seq-len 16 --out '%s'", m, data, out_dir("out"));
    hora_json_free(with);
    hora_json_free(without);
    hora_free(weights);
}

static void test_longer(void **state) {
    (void)state;
    const char *m = tiny_model(), *out = out_dir("out");
    tool_check(0, "20 steps", NULL,
               "train --model '%s' --data '%s' --seq-len 16 --steps 20 --save-every 10 --out '%s'",
               m, data_file(), out);
    tool_check(10, "", "has taken 20 steps already", "train --resume --steps 7 --out '%s'", out);
    tool_check(0, "40 steps", "steps: 20 there, 40 here", "train --resume --steps 40 --out '%s'",
               out);
    assert_true(hora_path_exists(hora_test_path(out, "checkpoint-40")));
    tool_check(0, "40 steps, all taken before: nothing was trained", NULL,
               "train --resume --steps 40 --out '%s'", out);
    tool_check(2, "", "has no effect beside steps=40", "train --resume --epochs 9 --out '%s'", out);
    hora_str log = {0};
    assert_ok(hora_file_read(&log, hora_test_path(out, "log.jsonl")));
    int lines = 0;
    for (size_t i = 0; i < log.n; i++)
        lines += log.s[i] == '\n';
    assert_int_equal(lines, 40);
    hora_str_release(&log);
}

static void test_means(void **state) {
    (void)state;
    const char *out = out_dir("out");
    tool_check(0, "(means of 3 steps)", NULL,
               "train --model '%s' --data '%s' --seq-len 16 --steps 30 --out '%s'", tiny_model(),
               data_file(), out);
    hora_json *r = tool_json("train --model '%s' --data '%s' --seq-len 16 --steps 20 --out '%s' "
                             "--overwrite --json",
                             tiny_model(), data_file(), out);
    assert_int_equal((int)tool_number(r, "averaged"), 2);
    hora_str log = {0};
    double sum = 0;
    assert_ok(hora_file_read(&log, hora_test_path(out, "log.jsonl")));
    char *line = strtok(log.s, "\n");
    for (int i = 0; i < 2; i++, line = strtok(NULL, "\n")) {
        hora_json *v;
        assert_ok(hora_json_parse(&v, line, strlen(line), "a line"));
        sum += tool_number(v, "loss") / 2;
        hora_json_free(v);
    }
    assert_true(tool_number(r, "first_mean") > sum - 1e-9 &&
                tool_number(r, "first_mean") < sum + 1e-9);
    hora_str_release(&log);
    hora_json_free(r);
}

static void test_mark(void **state) {
    (void)state;
    char *text = hora_format(
        "\xef\xbb\xbf# a comment\n\xef\xbb\xbfmodel: %s\ndata: %s\nseq_len: 16\nsteps: 1\n",
        tiny_model(), data_file());
    tool_check(0, "1 steps", NULL, "train '%s' --out '%s'", tiny_file("r.yaml", text),
               out_dir("out"));
    hora_free(text);
}

/* A length that nobody gave is at most the model's context, 96 here. */
static void test_length(void **state) {
    (void)state;
    tool_check(0, "1 steps", "sequences of 96 tokens",
               "train --model '%s' --data '%s' --steps 1 --out '%s'", tiny_model(), data_file(),
               out_dir("length"));
}

static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";

static void test_not_the_file(void **state) {
    (void)state;
    const char *m = tiny_model(), *out = out_dir("out");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --seq-len 16 --steps 1 --method lora --out '%s'", m,
               data_file(), out);
    assert_ok(hora_rename(hora_test_path(out, "adapter_model.safetensors"),
                          hora_test_path(out, "adapter_model.bin")));
    tool_check(5, "", "save_file", "generate --model '%s' --adapter '%s' --prompt x", m, out);
    static const char *const files[] = {"tokenizer.json", "model.safetensors", "config.json"};
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        assert_ok(hora_file_write(hora_test_path(m, files[i]), pointer, sizeof pointer - 1));
        tool_check(4, "", "git lfs pull", "generate --model '%s' --prompt x", m);
    }
    assert_ok(hora_remove_tree(m));
    tool_check(4, "", "git lfs pull", "data --model '%s' '%s'", tiny_model(),
               tiny_file("p.txt", pointer));
}

/* Logits of a case of ../shared/cases, from its model, or from its base with its adapter. */
static void logits_of_case(const char *name, bool adapter, const char *err) {
    const char *dir = hora_test_shared(hora_test_text("cases/%s", name)),
               *out = out_dir("logits.safetensors");
    char *with = adapter ? hora_format("--model '%s/base' --adapter '%s/adapter'", dir, dir)
                         : hora_format("--model '%s/model'", dir);
    hora_st *got, *want;
    tool_check(0, NULL, err, "forward %s --batch '%s/batch.json' --out '%s' --overwrite", with, dir,
               out);
    assert_ok(hora_st_open(&got, out));
    assert_ok(hora_st_open(&want, hora_test_path(dir, "expected.safetensors")));
    golden_compare(name, hora_st_find(got, "logits")->view.data, want, "logits", 0, 1e-3);
    hora_st_close(got);
    hora_st_close(want);
    hora_free(with);
}

/* The flag says tied, the file holds two tensors: what is computed is what the file says. */
static void test_tied(void **state) {
    (void)state;
    logits_of_case("model-tied-but-head-differs", false, "the head counts");
    logits_of_case("model-rope-yarn", false, NULL);
}

/* As PEFT wrote them for somebody. */
static void test_adapters_of_peft(void **state) {
    (void)state;
    static const char *const cases[] = {"adapter-dora", "adapter-embed-and-head-saved",
                                        "adapter-excluded-target", "adapter-lora-on-head",
                                        "adapter-names-that-match-nothing"};
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        logits_of_case(cases[i], true, NULL);
}

static void test_width(void **state) {
    (void)state;
    static const char whole[] =
        "step 1234/9999  loss 5.1234  lr 0.0002  1.2M tok/s  mfu 33.1 %  eta 1:02:03  345 MiB";
    for (size_t columns = 2; columns < 100; columns++) {
        char line[200];
        hora_snprintf(line, sizeof line, "%s", whole);
        hora_progress_fit(line, columns);
        assert_true(strlen(line) < columns);
        if (columns > strlen(whole))
            assert_string_equal(line, whole);
        if (columns >= 40)
            assert_true(hora_starts(line, "step 1234/9999  loss 5.1234"));
    }
}

/* The plan, mapped and packed, and the lines of evaluations with all their digits. */
static void test_lines(void **state) {
    (void)state;
    const char *ways[] = {"", "--pack both", "--dtype bf16"};
    hora_train_report r = {.steps = 1};
    hora_str plan = {0}, err = {0};
    for (size_t i = 0; i < HORA_COUNT(ways); i++) {
        char *command = hora_format("%s plan --model '%s' --data '%s' --seq-len 16 %s",
                                    hora_test_tool(), tiny_model(), data_file(), ways[i]);
        assert_int_equal(hora_test_run(command, &plan, NULL), 0);
        hora_free(command);
    }
    hora_train_report_text(&r, &plan); /* neither packed nor copied */
    char *command =
        hora_format("%s train --model '%s' --data '%s' --seq-len 16 --steps 2 "
                    "--eval-data '%s' --eval-every 1 --out '%s'",
                    hora_test_tool(), tiny_model(), data_file(), data_file(), out_dir("lines"));
    assert_int_equal(hora_test_run(command, NULL, &err), 0);
    hora_free(command);
    assert_non_null(strstr(err.s, "evaluation loss"));
    for (char *line = strtok(err.s, "\n"); line; line = strtok(NULL, "\n"))
        if (hora_starts(line, "step "))
            hora_str_printf(&plan, "%s\n", line);
    for (char *line = strtok(plan.s, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 80)
            fail_msg("%zu columns: %s", strlen(line), line);
    hora_str_release(&plan);
    hora_str_release(&err);
}

HORA_TESTS(cli_first,
           {"refuse-before-reading-data, train-without-data: refused first", test_before_data,
            HORA_SHORT},
           {"option-of-another-method: it is named", test_whose_option, HORA_SHORT},
           {"plan-without-weights: from config.json alone", test_plan_without_weights, HORA_SHORT},
           {"resume-with-more-steps: a finished run made longer", test_longer, HORA_SHORT},
           {"the last line gives means", test_means, HORA_SHORT},
           {"recipe-with-byte-order-mark: it trains", test_mark, HORA_SHORT},
           {"a length that nobody gave", test_length, HORA_SHORT},
           {"files that stand for others", test_not_the_file, HORA_SHORT},
           {"models that say one thing and hold another", test_tied, HORA_SHORT},
           {"adapters of PEFT", test_adapters_of_peft, HORA_SHORT},
           {"terminal-80-columns: progress fits", test_width, HORA_SHORT},
           {"terminal-80-columns: plans and evaluations fit", test_lines, HORA_SHORT});
