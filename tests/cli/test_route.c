/* One adapter per task in one training, chosen by the `task` of each record. */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "base/yaml.h"
#include "tiny_model.h"
#include "tool.h"

/* Records of two tasks, mixed; which: 0, 1, or both (2). name NULL: without `task`. */
static const char *records(const char *file, int which, const char *second) {
    hora_str s = {0};
    for (int i = 0; i < 24; i++) {
        const int k = i * 7 % 3 == 0;
        if (which < 2 && which != k)
            continue;
        hora_str_printf(&s,
                        k ? "{\"prompt\": \"up %d\", \"completion\": \" is over %d\""
                          : "{\"prompt\": \"down %d\", \"completion\": \" lies beneath %d\"",
                        i, i);
        if (!k || second)
            hora_str_printf(&s, ", \"task\": \"%s\"", k ? second : "low");
        hora_str_puts(&s, "}\n");
    }
    const char *path = tiny_file(file, s.s);
    hora_str_release(&s);
    return path;
}

static const char *recipe(const char *data, const char *methods, const char *more) {
    char *text = hora_format("model: %s\ndata: %s\nsteps: 6\nsave_every: 3\nlr: 0.02\nseq_len: 64\n"
                             "batch_size: 2\nsave_limit: 0\nmethods:\n%s%s\n",
                             tiny_model(), data, methods, more);
    const char *path = tiny_file("route.yaml", text);
    hora_free(text);
    return path;
}

static const char two[] = "- {method: lora, adapter_name: deep, adapter_task: low, rank: 2}\n"
                          "- {method: ia3, adapter_name: tall, adapter_task: high}\n";

static double loss_of(const char *adapter, const char *data, const char *task) {
    hora_json *e = tool_json("eval --model '%s' --adapter '%s' --data '%s' --seq-len 64 --json",
                             tiny_model(), adapter, data);
    const double loss = task ? tool_number(hora_json_get(hora_json_get(e, "tasks"), task), "loss")
                             : tool_number(e, "loss");
    hora_json_free(e);
    return loss;
}

static void test_train(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "tasks"),
               *again = hora_test_path(hora_test_tmp(), "again"),
               *all = records("all.jsonl", 2, "high"), *low = records("low.jsonl", 0, "high"),
               *high = records("high.jsonl", 1, "high");
    char *file = hora_strdup(recipe(all, two, hora_test_text("eval_data: %s\n", all)));
    tool_check(0, "6 steps", "low ", "train '%s' --out '%s'", file, out);
    hora_json *c;
    assert_ok(hora_json_load(&c, hora_test_path(out, "hora_adapters.json")));
    assert_string_equal(hora_json_string(hora_json_at(hora_json_get(c, "tasks"), 1), NULL), "high");
    hora_json_free(c);
    assert_ok(hora_yaml_load(&c, hora_test_path(out, "recipe.yaml")));
    assert_string_equal(
        hora_json_string(
            hora_json_get(hora_json_at(hora_json_get(c, "methods"), 0), "adapter_task"), NULL),
        "low");
    hora_json_free(c);

    /* what the records of a task get is what its adapter alone gives */
    const double whole = loss_of(out, all, NULL);
    const struct {
        const char *task, *name, *other, *data;
    } rows[] = {{"low", "deep", "tall", low}, {"high", "tall", "deep", high}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *own = hora_strdup(hora_test_path(out, rows[i].name)),
             *other = hora_strdup(hora_test_path(out, rows[i].other));
        const double mine = loss_of(own, rows[i].data, NULL);
        assert_true(fabs(mine - loss_of(out, all, rows[i].task)) < 1e-5);
        assert_true(fabs(mine - loss_of(out, rows[i].data, NULL)) < 1e-5);
        assert_true(fabs(mine - loss_of(other, rows[i].data, NULL)) > 1e-4);
        assert_true(mine != whole);
        tool_check(0, NULL, "", "generate --model '%s' --adapter '%s' --prompt up", tiny_model(),
                   own);
        hora_free(own);
        hora_free(other);
    }
    tool_check(2, "", "give one of them as --adapter",
               "generate --model '%s' --adapter '%s' --prompt up", tiny_model(), out);
    tool_check(2, "", "tasks", "merge --model '%s' --adapter '%s' --out '%s'", tiny_model(), out,
               hora_test_path(hora_test_tmp(), "merged"));
    assert_false(hora_path_exists(hora_test_path(hora_test_tmp(), "merged")));
    tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s/deep' --out '%s'", tiny_model(),
               out, hora_test_path(hora_test_tmp(), "merged"));

    /* from the middle, with the recipe as run; other tasks are another training */
    tool_check(10, NULL, "adapter_task is low there and high here",
               "train '%s' --out '%s' --resume --set methods.0.adapter_task=high "
               "--set methods.1.adapter_task=low",
               file, out);
    tool_check(0, NULL, NULL, "train '%s' --out '%s'", file, again);
    assert_ok(hora_remove_tree(hora_test_path(again, "checkpoint-6")));
    tool_check(0, NULL, NULL, "train --resume --out '%s'", again);
    hora_assert_same_file(out, again, "adapter_model.safetensors");
    hora_assert_same_file(out, again, "tall/adapter_model.safetensors");
    hora_free(file);
}

/* From folders of their own: records choose among the adapters of all of them; where there are no
 * records, those that were named are on together, which is said, or cannot be. */
static void test_folders(void **state) {
    static const struct {
        const char *each[2], *refused;
    } rows[] = {{{"lora --rank 2", "ia3"}, NULL},
                {{"prompt --virtual-tokens 3", "prefix --virtual-tokens 5"}, NULL},
                {{"prompt --virtual-tokens 3", "ptuning --virtual-tokens 4"}, "both put prompts"}};
    const char *all = records("all.jsonl", 2, "high"), *low = records("low.jsonl", 0, "high"),
               *high = records("high.jsonl", 1, "high");
    const char *const data[] = {low, high}, *const tasks[] = {"low", "high"};
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(rows); m++) {
        char *out[2];
        for (int i = 0; i < 2; i++) {
            out[i] = hora_strdup(hora_test_path(hora_test_tmp(), tasks[i]));
            tool_check(
                0, NULL, NULL,
                "train --model '%s' --data '%s' --seq-len 64 --steps 4 --lr 0.05 --method %s "
                "--adapter-task %s --out '%s' --overwrite",
                tiny_model(), data[i], rows[m].each[i], tasks[i], out[i]);
        }
        char *both = hora_format("%s' --adapter '%s", out[0], out[1]);
        for (int i = 0; i < 2; i++)
            assert_true(fabs(loss_of(out[i], data[i], NULL) - loss_of(both, all, tasks[i])) < 1e-5);
        tool_check(rows[m].refused ? 2 : 0, NULL,
                   rows[m].refused ? rows[m].refused : "is for task `high`; here no record names",
                   "generate --model '%s' --adapter '%s' --no-cache --prompt up", tiny_model(),
                   both);
        hora_free(both);
        hora_free(out[0]);
        hora_free(out[1]);
    }
}

/* Rows and keys in front of records: each task its own, of any number, and none in front of those
 * of an adapter that has none. */
static void test_fronts(void **state) {
    static const char *const methods[] = {
        "- {method: prompt, adapter_name: deep, adapter_task: low, virtual_tokens: 3}\n"
        "- {method: ptuning, adapter_name: tall, adapter_task: high, virtual_tokens: 7}\n",
        "- {method: prefix, adapter_name: deep, adapter_task: low, virtual_tokens: 3}\n"
        "- {method: apt, adapter_name: tall, adapter_task: high}\n",
        "- {method: ia3, adapter_name: deep, adapter_task: low}\n"
        "- {method: prompt, adapter_name: tall, adapter_task: high, virtual_tokens: 5}\n",
    };
    const char *out = hora_test_path(hora_test_tmp(), "fronts"),
               *again = hora_test_path(hora_test_tmp(), "fronts-again"),
               *all = records("all.jsonl", 2, "high"), *low = records("low.jsonl", 0, "high"),
               *high = records("high.jsonl", 1, "high");
    const struct {
        const char *task, *name, *data;
    } rows[] = {{"low", "deep", low}, {"high", "tall", high}};
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(methods); m++) {
        char *file = hora_strdup(
            recipe(all, methods[m], hora_test_text("eval_data: %s\npacking: true\n", all)));
        tool_check(0, "6 steps", "low ", "train '%s' --out '%s' --overwrite", file, out);
        for (size_t i = 0; i < HORA_COUNT(rows); i++) {
            char *own = hora_strdup(hora_test_path(out, rows[i].name));
            const double mine = loss_of(own, rows[i].data, NULL);
            assert_true(fabs(mine - loss_of(out, all, rows[i].task)) < 1e-5);
            assert_true(fabs(mine - loss_of(out, rows[i].data, NULL)) < 1e-5);
            assert_true(fabs(mine - loss_of(out, all, NULL)) > 1e-4);
            hora_free(own);
        }
        tool_check(0, NULL, NULL, "train '%s' --out '%s' --overwrite", file, again);
        assert_ok(hora_remove_tree(hora_test_path(again, "checkpoint-6")));
        tool_check(0, NULL, NULL, "train --resume --out '%s'", again);
        hora_assert_same_file(out, again, "adapter_model.safetensors");
        hora_assert_same_file(out, again,
                              strstr(methods[m], ": apt") ? "tall/delta.safetensors"
                                                          : "tall/adapter_model.safetensors");
        hora_free(file);
    }
    tool_check(2, "", "both put prompts in front of a sample", "train '%s' --out '%s-2'",
               recipe(all,
                      "- {method: prompt, adapter_name: a, adapter_task: low}\n"
                      "- {method: ptuning, adapter_name: b, adapter_task: low}\n",
                      "default_task: low"),
               out);
    tool_check(2, "", "both give attention further keys and values", "train '%s' --out '%s-2'",
               recipe(all,
                      "- {method: prefix, adapter_name: a, adapter_task: low}\n"
                      "- {method: apt, adapter_name: b}\n",
                      "default_task: low"),
               out);
}

/* A record without a task, by the option; the field by another name. */
static void test_default(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "default"),
               *named = hora_test_path(hora_test_tmp(), "named");
    char *file = hora_strdup(recipe(records("some.jsonl", 2, NULL), two, ""));
    tool_check(4, "", "line 1: the record has no `task`", "train '%s' --out '%s'", file, out);
    assert_false(hora_path_exists(out));
    tool_check(2, "", "default_task=hihg: no adapter is for that task; give `high`",
               "train '%s' --default-task hihg --out '%s'", file, out);
    tool_check(0, NULL, NULL, "train '%s' --default-task high --out '%s'", file, out);
    hora_free(file);
    file = hora_strdup(recipe(records("all.jsonl", 2, "high"), two, ""));
    tool_check(0, NULL, NULL, "train '%s' --out '%s'", file, named);
    hora_assert_same_file(out, named, "adapter_model.safetensors");
    hora_assert_same_file(out, named, "tall/adapter_model.safetensors");
    tool_check(4, "",
               "line 1: no adapter is for task `hihg`, did you mean `high`?; there are `low`, "
               "`high`",
               "train '%s' --data '%s' --out '%s'", file, records("odd.jsonl", 2, "hihg"),
               hora_test_path(hora_test_tmp(), "odd"));
    tool_check(0, NULL, "task `high` has no training records", "train '%s' --data '%s' --out '%s'",
               file, records("low.jsonl", 0, "high"), hora_test_path(hora_test_tmp(), "one"));
    hora_free(file);
}

/* The adapter NAME of `several` has the values of the one in `alone`. */
static void assert_same_as(const char *several, const char *name, const char *alone) {
    char *sub = hora_path_join(several, name);
    hora_assert_same_file(sub, alone, "adapter_model.safetensors");
    hora_free(sub);
}

/* What is on for all records comes with each of the tasks, and counts once where two are named. */
static void test_common(void **state) {
    (void)state;
    static const char methods[] =
        "- {method: lora, adapter_name: deep, adapter_task: low, rank: 2}\n"
        "- {method: lora, adapter_name: tall, adapter_task: high, rank: 1}\n"
        "- {method: lora, adapter_name: both, rank: 1}\n";
    const char *out = hora_test_path(hora_test_tmp(), "common"),
               *sum = hora_test_path(hora_test_tmp(), "sum"), *all = records("c.jsonl", 2, "high");
    char *file = hora_strdup(recipe(all, methods, ""));
    tool_check(0, NULL, NULL, "train '%s' --out '%s'", file, out);
    tool_check(2, "", "give one of them as --adapter",
               "combine --model '%s' --adapter '%s' --out '%s'", tiny_model(), out, sum);
    tool_check(11, "", "no finite number any more; give smaller weights",
               "combine --model '%s' --adapter '%s/deep:1e300' --adapter '%s/tall' --out '%s'",
               tiny_model(), out, out, sum);
    assert_false(hora_path_exists(sum));
    tool_check(0, "1 deep + 1 both + 1 tall, cat", NULL,
               "combine --model '%s' --adapter '%s/deep' --adapter '%s/tall' --type cat --out '%s'",
               tiny_model(), out, out, sum);
    hora_json *e = tool_json("eval --model '%s' --adapter '%s/deep' --adapter '%s/tall' --data "
                             "'%s' --seq-len 64 --dtype f32 --json",
                             tiny_model(), out, out, all);
    const double together = tool_number(e, "loss");
    hora_json_free(e);
    e = tool_json("eval --model '%s' --adapter '%s' --data '%s' --seq-len 64 --dtype f32 --json",
                  tiny_model(), sum, all);
    assert_true(fabs(together - tool_number(e, "loss")) < 1e-5);
    hora_json_free(e);
    hora_free(file);
}

/* What cannot be on for some records alone is refused by name, before anything is written. */
static void test_refusals(void **state) {
    static const struct {
        const char *methods, *text;
    } rows[] = {
        {"- {method: full, adapter_task: low}\n- {method: lora, adapter_task: high}\n",
         "method full cannot be on for some records alone"},
        {"- {method: lora, adapter_task: low}\n- {method: head_mix, adapter_task: high}\n",
         "adapter `head_mix` is for task `high`, but method head_mix cannot"},
        {"- {method: lora, adapter_task: low, modules_to_save: lm_head}\n",
         "which all tasks share"},
        {"- {method: dyt, adapter_task: low}\n", "method dyt cannot"},
        {"- {method: lora, adapter_task: low, targets: lm_head, lora_bias: true}\n",
         "changes the output layer itself"},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        const char *out = hora_test_path(hora_test_tmp(), "refused");
        char *file = hora_strdup(
            recipe(records("all.jsonl", 2, "high"), rows[i].methods, "default_task: low"));
        tool_check(5, "", rows[i].text, "train '%s' --data '%s' --out '%s'", file,
                   records("low.jsonl", 0, "high"), out);
        assert_false(hora_path_exists(out));
        hora_free(file);
    }
    tool_check(2, "", "`methods.0.adapter_task` takes one value, not a list of 2",
               "train '%s' --out '%s'",
               recipe(records("all.jsonl", 2, "high"),
                      "- {method: lora, adapter_task: [low, high]}\n", ""),
               hora_test_path(hora_test_tmp(), "refused"));
}

/* Adapters of one folder, by their names: what a training, an answer or a report takes. */
static void test_names(void **state) {
    static const char methods[] = "- {method: lora, adapter_name: deep, rank: 2}\n"
                                  "- {method: ia3, adapter_name: tall}\n";
    (void)state;
    const char *all = records("all.jsonl", 2, "high");
    char *plain = hora_strdup(hora_test_path(hora_test_tmp(), "plain")),
         *out = hora_strdup(hora_test_path(hora_test_tmp(), "from")),
         *file = hora_strdup(recipe(all, methods, "")),
         *one = hora_format("train --model '%s' --data '%s' --seq-len 64 --steps 1 --out '%s'",
                            tiny_model(), all, out);
    tool_check(0, NULL, NULL, "train '%s' --out '%s'", file, plain);
    tool_check(0, NULL, NULL, "generate --model '%s' --adapter '%s/deep' --prompt up", tiny_model(),
               plain);
    tool_check(0, "deep", NULL, "inspect '%s/deep'", plain);
    tool_check(2, "", "holds 2 adapters, of which one is wanted here; give it by name: ",
               "%s --method lora --rank 2 --init-adapter '%s'", one, plain);
    assert_false(hora_path_exists(out));
    tool_check(0, NULL, NULL, "%s --method lora --rank 2 --init-adapter '%s/deep'", one, plain);
    hora_assert_same_file(plain, out, "adapter_model.safetensors");
    tool_check(0, NULL, NULL, "%s --overwrite --method ia3 --adapter-name tall --init-adapter '%s'",
               one, plain);
    assert_same_as(plain, "tall", out);
    tool_check(0, NULL, NULL, "%s --overwrite --method ia3 --init-adapter '%s/tall'", one, plain);
    assert_same_as(plain, "tall", out);
    /* a list: by name, in any order */
    char *turned = hora_strdup(recipe(all,
                                      "- {method: ia3, adapter_name: tall}\n"
                                      "- {method: lora, adapter_name: deep, rank: 2}\n",
                                      ""));
    tool_check(0, NULL, NULL, "train '%s' --out '%s' --overwrite --steps 1 --init-adapter '%s'",
               turned, out, plain);
    assert_same_as(plain, "tall", out);
    tool_check(2, "", "holds no adapter `toll`, there are",
               "train '%s' --out '%s' --overwrite --set methods.0.adapter_name=toll "
               "--init-adapter '%s'",
               turned, out, plain);
    tool_check(2, "", "is one adapter, and methods has 2",
               "train '%s' --out '%s' --overwrite --init-adapter '%s/deep'", turned, out, plain);
    tool_check(9, "", "is or holds the adapter",
               "train '%s' --out '%s' --overwrite --init-adapter '%s/deep'", file, plain, plain);
    hora_free(turned);
    hora_free(one);
    hora_free(file);
    hora_free(plain);
    hora_free(out);
}

/* A damaged list is believed in no part. */
static void test_damaged(void **state) {
    static const struct {
        const char *list, *text;
    } rows[] = {
        {"[]", "it is no object"},
        {"{\"adapters\": []}", "`adapters` is no list of names"},
        {"{\"tasks\": [null]}", "`adapters` is no list of names"},
        {"{\"adapters\": [\"deep\", 2]}", "adapter 2 has no proper name"},
        {"{\"adapters\": [\"deep\", \"../tall\"]}", "adapter 2 has no proper name"},
        {"{\"adapters\": [\"deep\", \"deep\"]}", "are both called `deep`"},
        {"{\"adapters\": [\"deep\", \"tall\"], \"tasks\": [\"low\"]}", "is no list of 2"},
        {"{\"adapters\": [\"deep\", \"tall\"], \"tasks\": [\"low\", 1]}",
         "task 2 is neither a name nor null"},
        {"{\"adapters\": [\"deep\", \"tall\"], \"task\": [\"low\", \"high\"]}",
         "`task` is no key of it"},
        {"{\"adapters\": [\"deep\"", "line 1"},
    };
    (void)state;
    char *out = hora_strdup(hora_test_path(hora_test_tmp(), "damaged"));
    char *file = hora_strdup(recipe(records("all.jsonl", 2, "high"), two, ""));
    tool_check(0, NULL, NULL, "train '%s' --out '%s' --steps 1", file, out);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        assert_ok(hora_file_write(hora_test_path(out, "hora_adapters.json"), rows[i].list,
                                  strlen(rows[i].list)));
        for (int k = 0; k < 3; k++)
            tool_check(4, "", rows[i].text, "generate --model '%s' --adapter '%s%s' --prompt up",
                       tiny_model(), out,
                       k == 0   ? ""
                       : k == 1 ? "/deep"
                                : "/tall");
        tool_check(4, "", rows[i].text, "train '%s' --out '%s-2' --init-adapter '%s'", file, out,
                   out);
    }
    assert_ok(hora_remove_tree(hora_test_path(out, "hora_adapters.json")));
    tool_check(0, NULL, "tall hold adapters too",
               "generate --model '%s' --adapter '%s' --prompt up", tiny_model(), out);
    hora_free(file);
    hora_free(out);
}

/* Without adapter_task a `task` in the data says nothing: not a bit changes. */
static void test_unrouted(void **state) {
    (void)state;
    const char *a = hora_test_path(hora_test_tmp(), "with"),
               *b = hora_test_path(hora_test_tmp(), "without");
    static const char one[] = "- {method: lora, adapter_name: deep, rank: 2}\n";
    hora_str bare = {0};
    hora_str text = {0};
    assert_ok(hora_file_read(&text, records("all.jsonl", 2, "high")));
    for (const char *p = text.s; *p; p++) { /* the same records without the field */
        const char *field = hora_starts(p, ", \"task\"") ? strchr(p, '}') : NULL;
        p = field ? field : p;
        hora_str_add(&bare, p, 1);
    }
    const char *plain = tiny_file("bare.jsonl", bare.s);
    tool_check(0, NULL, NULL, "train '%s' --out '%s'",
               recipe(records("all.jsonl", 2, "high"), one, ""), a);
    tool_check(0, NULL, NULL, "train '%s' --out '%s'", recipe(plain, one, ""), b);
    hora_assert_same_file(a, b, "adapter_model.safetensors");
    hora_str_release(&bare);
    hora_str_release(&text);
}

HORA_TESTS(cli_route, {"trained, evaluated, taken apart", test_train, HORA_SHORT},
           {"from several folders", test_folders, HORA_SHORT},
           {"rows and keys in front of records", test_fronts, HORA_SHORT},
           {"what is on for all tasks", test_common, HORA_SHORT},
           {"records without a task", test_default, HORA_SHORT},
           {"refusals", test_refusals, HORA_SHORT},
           {"one of several by its name", test_names, HORA_SHORT},
           {"damaged lists", test_damaged, HORA_SHORT},
           {"no adapter_task, nothing changes", test_unrouted, HORA_SHORT});
