/* The front of the tool: help, version, near names, exit codes, tables. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char *const commands[] = {"train",  "eval",    "generate", "forward", "tokenize",
                                       "plan",   "inspect", "methods",  "models",  "new",
                                       "theory", "bench",   "help",     "version"};

static void test_help(void **state) {
    (void)state;
    tool_check(2, "", "usage: hora COMMAND", "%s", "");
    for (size_t i = 0; i < HORA_COUNT(commands); i++) {
        char *line = hora_format("\n  %s ", commands[i]),
             *usage = hora_format("usage: hora %s", commands[i]);
        char *flag = hora_format("%s --help", commands[i]),
             *word = hora_format("help %s", commands[i]);
        tool_check(0, line, "", "%s", "--help");
        tool_check(0, usage, "", "%s", flag);
        if (strcmp(commands[i], "theory")) /* a group has no options of its own */
            tool_check(0, "--json", "", "%s", word);
        hora_free(line);
        hora_free(usage);
        hora_free(flag);
        hora_free(word);
    }
    tool_check(0, "(also --r", NULL, "%s", "train --help"); /* PEFT's names stand beside ours */
    tool_check(0, "--lora-alpha", NULL, "%s", "train --help");
    tool_check(0, "--target-modules", NULL, "%s", "train --help");
}

/* Steps are compared with LoRA's of the same machine alone, failed runs left out. */
static void test_times(void) {
    static const char head[] = "set,variant,status,step_ms,device,dtype,threads,cpu\n";
    static const struct {
        const char *runs, *text;
        int status;
    } rows[] = {
        {"text,lora,ok,10,host,f32,1,\"a, b\"\ntext,lora,ok,100,host,f32,2,\"a, b\"\n"
         "text,ia3,ok,15,host,f32,1,\"a, b\"\ntext,ia3,ok,150,host,f32,2,\"a, b\"\n"
         "text,ia3,failed 5,,host,f32,1,x\ntext,ia3,ok,7,cuda,f32,1,x\n",
         "a step on text took 1.50 of the time of LoRA's", 0},
        {"text,lora,ok,ten,host,f32,1,x\n", "line 2: step_ms is no time", 4},
        {"text,lora,ok,1\n", "line 2: the line has 4 fields, the header 8", 4},
        {"", "holds no run that went well", 4},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *text = hora_format("%s%s", head, rows[i].runs);
        const char *file = tiny_file("runs.csv", text);
        tool_check(rows[i].status, rows[i].status ? "" : rows[i].text,
                   rows[i].status ? rows[i].text : "", "methods ia3 --times '%s'", file);
        hora_free(text);
    }
    tool_check(4, "", "has no column `set`", "methods ia3 --times '%s'",
               tiny_file("no.csv", "a,b\n1,2\n"));
}

/* The page of what was measured is what the bench makes of the lines that are kept. */
static void test_measured(void **state) {
    static const char *const sets[] = {"text", "pictures"};
    hora_str page = {0}, out = {0}, err = {0};
    (void)state;
    assert_ok(hora_file_read(&page, hora_test_source("docs/methods/measured.md")));
    for (size_t i = 0; i < HORA_COUNT(sets); i++) {
        char *command =
            hora_format("%s --table --runs %s/methods_%s.csv %s", hora_test_source("bench/methods"),
                        hora_test_source("bench/results"), sets[i], sets[i]);
        assert_int_equal(hora_test_run(command, &out, &err), 0);
        assert_true(out.n > 1000);
        if (!strstr(page.s, out.s))
            fail_msg("docs/methods/measured.md is not what `%s` gives", command);
        hora_free(command);
    }
    hora_str_release(&page);
    hora_str_release(&out);
    hora_str_release(&err);
}

/* One method, what it trains, and the page that the table makes. */
static void test_methods(void **state) {
    (void)state;
    const char *page = hora_test_source("docs/methods/README.md");
    const char *at = hora_test_source("tests/cli/files");
    static const char *const families[] = {"llama", "latent", "bert", "modernbert", "vit", "clips"};
    char *shared = hora_format("methods --model %s/llama7b,%s/vit_b,%s/bert_b,%s/stories260k "
                               "--families ",
                               at, at, at, at);
    hora_str said = {0};
    hora_str_puts(&said, shared);
    for (size_t i = 0; i < HORA_COUNT(families); i++)
        hora_str_printf(&said, "%s%s/families/%s", i ? "," : "", at, families[i]);
    hora_str_printf(&said, " --times %s,%s --table",
                    hora_test_source("bench/results/methods_text.csv"),
                    hora_test_source("bench/results/methods_pictures.csv"));
    char *line = said.s;
    hora_str text = {0};
    tool_check(0, "y = W x + b + (alpha / r) B A x", "", "%s", "methods dora");
    tool_check(8, "", "did you mean `lora`", "%s", "methods lorra");
    assert_ok(hora_file_read(&text, page));
    const char *table = strstr(text.s, "| method |");
    assert_non_null(table);
    tool_check(0, table, "", "%s", line);
    hora_str_release(&text);
    hora_free(line);
    hora_free(shared);
    test_times();
}

/* Letters stand in front of the flag they mean, and mean it at every place. */
static void test_letters(void **state) {
    (void)state;
    tool_check(0, "\n  -h, --help ", NULL, "%s", "new --help");
    tool_check(0, "\n  -q, --quiet ", NULL, "%s", "new -h");
    tool_check(0, "\n  -v, --verbose ", NULL, "%s", "help new");
    tool_check(0, "usage: hora COMMAND", "", "%s", "-h");
    tool_check(0, "usage: hora theory COMMAND", "", "%s", "theory -h");
    tool_check(0, "usage: hora theory rates", "", "%s", "theory rates -h");
    tool_check(0, "\"name\"", "", "%s", "models -q --json");
    tool_check(2, "", "one argument too many", "%s", "new -x");
    /* a value that looks like one is a value */
    tool_check(8, "", "neither tokenizer.json", "%s", "tokenize --model nowhere --text -h");
    /* behind -- nothing is a flag */
    tool_check(8, "", "-h", "%s", "inspect -- -h");
}

/* `hora theory x` is a command behind a word. */
static void test_group(void **state) {
    (void)state;
    tool_check(2, "", "usage: hora theory COMMAND", "%s", "theory");
    tool_check(0, "usage: hora theory COMMAND", "", "%s", "theory --help");
    tool_check(2, "", "`hora theory --help` lists them", "%s", "theory xyzzy");
    tool_check(2, "", "`hora theory --help` lists them", "%s", "help theory xyzzy");
    tool_check(0, "usage: hora theory hmoe", "", "%s", "help theory hmoe");
    tool_check(2, "", "usage: hora COMMAND", "%s", "--json");
}

static void test_near_names(void **state) {
    (void)state;
    tool_check(2, "", "did you mean `generate`?", "%s", "genrate");
    tool_check(2, "", "`hora --help` lists them", "%s", "xyzzy");
    tool_check(2, "", "did you mean `--model`?", "%s", "generate --modle x");
    tool_check(2, "", "did you mean `--rank`?", "%s", "train --rnak 8");
    tool_check(2, "", "did you mean `--lr`?", "%s", "train --set lr_=1");
    tool_check(2, "", "write --set key=value", "%s", "train --set rank");
    tool_check(2, "", "needs a value", "%s", "eval --batch-size");
    tool_check(2, "", "a whole number", "%s", "eval --batch-size none");
    tool_check(2, "", "one argument too many", "%s", "inspect a b");
}

static void test_required(void **state) {
    (void)state;
    tool_check(2, "", "--model", "%s", "train");
    tool_check(2, "", "--model", "%s", "plan");
    tool_check(2, "", "--model", "%s", "eval");
    tool_check(2, "", "--model is missing", "%s", "generate --prompt x");
    tool_check(2, "", "give either --batch", "%s", "forward");
    tool_check(2, "", "--model is missing", "%s", "tokenize --text x");
    tool_check(2, "", "give one of --text", "%s", "tokenize --model x --text x --file y");
    tool_check(2, "", "--config is missing", "%s", "new");
    tool_check(2, "", "nothing to inspect", "%s", "inspect");
}

static void test_version(void **state) {
    (void)state;
    hora_str o = {0};
    hora_json *v;
    char *command = hora_format("%s --version --json", hora_test_tool());
    static const char *const keys[] = {"version",  "commit", "compiler",
                                       "backends", "cpu",    "cpu_features"};
    assert_int_equal(hora_test_run(command, &o, NULL), 0);
    assert_ok(hora_json_parse(&v, o.s, o.n, "version"));
    for (size_t i = 0; i < HORA_COUNT(keys); i++)
        assert_non_null(hora_json_string(hora_json_get(v, keys[i]), NULL));
    assert_string_equal(hora_json_string(hora_json_get(v, "version"), NULL), HORA_VERSION);
    assert_non_null(strstr(hora_json_string(hora_json_get(v, "backends"), NULL), "ref"));
    hora_json_free(v);
    hora_free(command);
    hora_str_release(&o);
    tool_check(0, "hora " HORA_VERSION, "", "%s", "--version");
    tool_check(0, "hora " HORA_VERSION, "", "%s", "version");
}

static void test_tables(void **state) {
    (void)state;
    tool_check(0, "hora: ", "", "%s", "methods");
    tool_check(0, "2510.04295", "", "%s", "methods");
    tool_check(0, "also dora: with use_dora=true", "", "%s", "methods");
    tool_check(0, "default learning rate 0.0001", "", "%s", "methods");
    tool_check(0, "default learning rate 0.0002", "", "%s", "methods");
    tool_check(0, "{\"name\": \"lora\"", "", "%s", "methods --json");
    tool_check(0, "qwen3", "", "%s", "models");
    tool_check(0, "\"model_types\"", "", "%s", "models --json");
}

HORA_TESTS(cli_front, {"what was measured is on its page", test_measured, HORA_SHORT},
           {"help of every command comes from its tables", test_help, HORA_SHORT},
           {"-h, -q and -v", test_letters, HORA_SHORT},
           {"commands in a group", test_group, HORA_SHORT},
           {"unknown commands and options name the nearest", test_near_names, HORA_SHORT},
           {"what is missing is named", test_required, HORA_SHORT},
           {"version, commit, compiler, backends, cpu", test_version, HORA_SHORT},
           {"methods and models", test_tables, HORA_SHORT},
           {"one method, and the page of all", test_methods, HORA_SHORT});
