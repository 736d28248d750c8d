/*
 * Data in all their spellings, as the tool takes them: several files from flags and recipes,
 * folders with evaluation data, standard input and going on with it, options given twice.
 */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char how[] = "--seq-len 16 --batch-size 2 --method lora --steps 2 --threads 1";
static const char lines[] = "{\"prompt\": \"k d\", \"completion\": \"d k\"}\n"
                            "{\"prompt\": \"k f\", \"completion\": \"f k\"}\n"
                            "{\"prompt\": \"k g\", \"completion\": \"g k\"}\n";
static const char one[] = "{\"text\": \"abc\"}\n";

static const char *out(void) {
    return hora_test_path(hora_test_tmp(), "out");
}

/* A shell command with $H, $M and, in front of the options, a run's. */
static void shell(int code, const char *says, const char *fmt, ...) HORA_PRINTF(3, 4);
static void shell(int code, const char *says, const char *fmt, ...) {
    va_list ap;
    char text[2000];
    va_start(ap, fmt);
    hora_vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hora_str err = {0};
    char *command = hora_format("cd '%s' && H=%s; M='%s'; T=\"$H train --model $M %s\"; %s",
                                hora_test_tmp(), hora_test_tool(), tiny_model(), how, text);
    const int rc = hora_test_run(command, NULL, &err);
    if (rc != code || !strstr(err.s ? err.s : "", says))
        fail_msg("%s: exit code %d, \"%s\" (should be %d and say \"%s\")", text, rc,
                 err.s ? err.s : "", code, says);
    hora_free(command);
    hora_str_release(&err);
}

static void test_several(void **state) {
    (void)state;
    hora_str recipe = {0};
    tiny_file("a.jsonl", lines);
    tiny_file("b.jsonl", one);
    shell(0, "a.jsonl (3 records), b.jsonl (1 records, 2 times an epoch): 5 records",
          "$T --data a.jsonl --data b.jsonl:2 --out out");
    assert_ok(hora_file_read(&recipe, hora_test_path(out(), "recipe.yaml")));
    assert_non_null(strstr(recipe.s, "data: [a.jsonl, \"b.jsonl:2\"]"));
    hora_str_release(&recipe);
    shell(0, "3 times an epoch",
          "rm -r out/adapter_model* && $H train --resume --out out --steps 3 "
          "--data a.jsonl --data b.jsonl:3; [ $? = 10 ] && "
          "$H train --resume --out out --steps 3 2>&1 >/dev/null | grep "
          "'2 times' && echo 3 times an epoch >&2");
    tiny_file("r.yaml", "data:\n- a.jsonl\n- b.jsonl:2\n");
    shell(0, "5 records", "$T r.yaml --out out2");
    shell(0, "a.jsonl: 3 records", "$T r.yaml --data a.jsonl --out out3"); /* another list */
    shell(0, "a.jsonl holds the same as a.jsonl", "$T --data a.jsonl --data a.jsonl --out out4");
    shell(0, "the evaluation says nothing about new data",
          "$T --data a.jsonl --eval-data a.jsonl --out out5");
    shell(2, "belongs to training data", "$T --data a.jsonl --eval-data b.jsonl:2 --out out6");
}

static void test_folder(void **state) {
    (void)state;
    assert_ok(hora_mkdirs(hora_test_path(hora_test_tmp(), "set")));
    tiny_file("set/train.jsonl", lines);
    tiny_file("set/valid.jsonl", one);
    tiny_file("other.jsonl", one);
    shell(0, "evaluation data: set/valid.jsonl", "$T --data set --out out");
    shell(0, "set/valid.jsonl is not used: eval_data says what is",
          "$T --data set --eval-data other.jsonl --out out2");
    shell(8, "without a test.jsonl", "$H eval --model $M --data set --seq-len 16");
    tiny_file("set/test.jsonl", lines);
    shell(0, "", "$H eval --model $M --data set --seq-len 16");
}

static void test_input(void **state) {
    (void)state;
    tiny_file("a.jsonl", lines);
    shell(0, "standard input: 3 records", "$T --data - --out out < a.jsonl");
    shell(2, "they have to be given again", "$H train --resume --out out --steps 3 < a.jsonl");
    shell(10, "sequences is ",
          "head -n 1 a.jsonl | $H train --resume --out out --steps 3 --data -");
    shell(0, "3 steps",
          "cat a.jsonl | $H train --resume --out out --steps 3 --data - "
          "2>err >said; cat said >&2");
    shell(0, "5 steps",
          "$H train --resume --out out --steps 5 --data a.jsonl 2>err >said; "
          "cat said >&2"); /* the same, from a file */
    shell(2, "twice", "$T --data - --data - --out out2 < a.jsonl");
    shell(2, "can be read once only", "$T --data - --eval-data - --out out2 < a.jsonl");
    shell(0, "", "$H eval --model $M --seq-len 16 --data - < a.jsonl");
    shell(0, "", "$H data --model $M - < a.jsonl | grep -q '3 completion'");
    shell(0, "/dev/fd/", "bash -c \"$T --data <(cat a.jsonl) --out out3\"");
    shell(3, "write it to a file first", "mkfifo p; $H eval --model $M --data p");
}

static void test_packed(void **state) {
    (void)state;
#if defined(HORA_HAVE_GZIP) && defined(HORA_HAVE_ZSTD)
    tiny_file("a.jsonl", lines);
    shell(0, "a.csv.gz: 1 records",
          "printf 'prompt,completion\\nk,l\\n' | gzip > a.csv.gz; $T --data a.csv.gz --out out");
    shell(0, "a.jsonl.gz: 6 records",
          "(gzip < a.jsonl; sed s/k/m/ a.jsonl | gzip) > a.jsonl.gz; $T --data a.jsonl.gz "
          "--out out2");
    shell(4, "cut off", "head -c 50 a.jsonl.gz > c.jsonl.gz; $T --data c.jsonl.gz --out out3");
#else
    hora_test_skip("built without zlib or libzstd");
#endif
}

static void test_given_twice(void **state) {
    (void)state;
    tiny_file("a.jsonl", lines);
    shell(0, "lr is given as 1e-3 and as 2e-3; the last one counts",
          "$T --data a.jsonl --out out --lr 1e-3 --lr 2e-3");
    shell(0, "learning_rate is given as 1e-3 and as 2e-3", /* by another name */
          "$T --data a.jsonl --out out2 --lr 1e-3 --learning-rate 2e-3");
    shell(0, "trainable",
          "$T --data a.jsonl --out out3 --targets q --targets k 2>err; "
          "grep -q given err && exit 1; cat err >&2; "
          "grep -q 'q+k' out3/recipe.yaml");
}

/* What can be refused is refused before data are read: these would be. */
static void test_before_data(void **state) {
    (void)state;
    tiny_file("bad.jsonl", "{\"nothing\": 1}\n");
    tiny_file("a.jsonl", lines);
    shell(8, "there.jsonl: there is no such file",
          "$T --data bad.jsonl --data there.jsonl --out out");
    shell(8, "there is no such file", "$T --data bad.jsonl --eval-data there --out out");
    shell(2, "did you mean `prompt`?", "$T --data bad.jsonl --columns promt=x --out out");
    shell(2, "no backend named", "$T --data bad.jsonl --backends cpuu --out out");
    shell(2, "", "$T --data bad.jsonl --recompute some --out out");
    shell(2, "write 2026-01-31", "$T --data bad.jsonl --date tomorrow --out out");
    shell(2, "chat_kwargs", "$T --data bad.jsonl --chat-kwargs '[]' --out out");
    shell(2, "format", "$T --data bad.jsonl --format xml --out out");
    shell(8, "nowhere", "$T --data bad.jsonl --init-adapter nowhere --out out");
}

/* Windows editors write marks into everything; none is a part of a text. */
static void test_marks(void **state) {
    (void)state;
    shell(0, "",
          "m() { printf '\\357\\273\\277%%s\\n' \"$1\"; }; cp -r $M x; "
          "m \"$(cat $M/tokenizer_config.json)\" > x/tokenizer_config.json; "
          "m '{%% for m in messages %%}{{ m.content }};{%% endfor %%}' > "
          "x/chat_template.jinja; "
          "m '{\"messages\": [{\"role\": \"user\", \"content\": \"k\"}, "
          "{\"role\": \"assistant\", \"content\": \"l\"}]}' > c.jsonl; "
          "$H data --model x c.jsonl | grep -qx 'k;\\[\\[l;\\]\\]' && "
          "m '{\"text\": \"k\"}' > t.jsonl && "
          "[ \"$($H tokenize --model x --jsonl t.jsonl)\" = "
          "\"$($H tokenize --model x --text k)\" ]");
}

HORA_TESTS(cli_data_files, {"byte order marks", test_marks, HORA_SHORT},
           {"data-given-twice: several files", test_several, HORA_SHORT},
           {"folders", test_folder, HORA_SHORT}, {"standard input", test_input, HORA_SHORT},
           {"compressed files", test_packed, HORA_SHORT},
           {"options given twice", test_given_twice, HORA_SHORT},
           {"refused before data are read", test_before_data, HORA_SHORT});
