/* What is wrong with the input is said, with a code of its own, and nothing is written. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

/* A copy of the tiny model whose file `name` holds data[0..n). */
static const char *damaged(const char *dir, const char *name, const void *data, size_t n) {
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    const char *copy = hora_test_path(hora_test_tmp(), dir);
    assert_ok(hora_remove_tree(copy));
    assert_ok(hora_mkdirs(copy));
    for (size_t i = 0; i < HORA_COUNT(files); i++)
        assert_ok(
            hora_copy_file(hora_test_path(tiny_model(), files[i]), hora_test_path(copy, files[i])));
    if (data)
        assert_ok(hora_file_write(hora_test_path(copy, name), data, n));
    else
        assert_int_equal(unlink(hora_test_path(copy, name)), 0);
    return copy;
}

static const char *damaged_text(const char *name, const char *text) {
    return damaged("damaged", name, text, strlen(text));
}

/* `train`, `generate` and `new-style` reading of the model all refuse it alike; OUT stays away. */
static void refused(const char *model, int code, const char *text) {
    const char *data = tiny_file("data.txt", "some text to train on, some text to train on");
    const char *out = hora_test_path(hora_test_tmp(), "never");
    tool_check(code, "", text, "generate --model '%s' --prompt x", model);
    tool_check(code, "", text, "train --model '%s' --data '%s' --out '%s' --seq-len 8 --steps 1",
               model, data, out);
    assert_false(hora_path_exists(out));
}

/* A safetensors file with this header and `bytes` of data behind it. */
static const char *with_header(const char *header, size_t bytes, uint64_t claimed) {
    hora_str s = {0};
    for (int i = 0; i < 8; i++)
        hora_str_putc(&s, (char)(claimed >> (8 * i)));
    hora_str_puts(&s, header);
    for (size_t i = 0; i < bytes; i++)
        hora_str_putc(&s, 0);
    const char *model = damaged("damaged", "model.safetensors", s.s, s.n);
    hora_str_release(&s);
    return model;
}

static void test_weights(void **state) {
    (void)state;
    hora_str whole = {0};
    assert_ok(hora_file_read(&whole, hora_test_path(tiny_model(), "model.safetensors")));
    refused(damaged("cut", "model.safetensors", whole.s, whole.n - 4), 4, "model.safetensors");
    refused(damaged("cut", "model.safetensors", whole.s, 5), 4, "model.safetensors");
    refused(damaged("cut", "model.safetensors", "", 0), 4, "model.safetensors");
    hora_str longer = {0};
    hora_str_add(&longer, whole.s, whole.n);
    hora_str_puts(&longer, "more");
    refused(damaged("cut", "model.safetensors", longer.s, longer.n), 4, "model.safetensors");
    const char *overlap = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                          "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}";
    refused(with_header(overlap, 12, strlen(overlap)), 4, "model.safetensors");
    const char *huge =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}";
    refused(with_header(huge, 8, strlen(huge)), 4, "model.safetensors");
    refused(with_header("{}", 0, UINT64_MAX), 4, "model.safetensors");
    const char *other = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    refused(with_header(other, 8, strlen(other)), 6, "missing");
    refused(damaged("cut", "model.safetensors", NULL, 0), 8, "safetensors");
    hora_str_release(&whole);
    hora_str_release(&longer);
}

static void test_missing_shard(void **state) {
    (void)state;
    const char *m = damaged("shards", "model.safetensors", NULL, 0);
    const char *index = "{\"metadata\": {\"total_size\": 4}, \"weight_map\": "
                        "{\"model.norm.weight\": \"model-00001-of-00002.safetensors\"}}";
    assert_ok(
        hora_file_write(hora_test_path(m, "model.safetensors.index.json"), index, strlen(index)));
    refused(m, 8, "model-00001-of-00002.safetensors");
}

static void test_config(void **state) {
    (void)state;
    refused(damaged_text("config.json", "{\"model_type\": \"llama\""), 4, "config.json");
    refused(damaged_text("config.json", "[]"), 4, "config.json");
    refused(damaged_text("config.json", "{}"), 4, "model_type");
    refused(damaged_text("config.json", "{\"model_type\": \"mamba\"}"), 5, "mamba");
    hora_str c = {0};
    assert_ok(hora_file_read(&c, hora_test_path(tiny_model(), "config.json")));
    char *at = strstr(c.s, "\"hidden_size\": 32");
    assert_non_null(at);
    memcpy(at, "\"hidden_size\": 64", strlen("\"hidden_size\": 64"));
    refused(damaged("damaged", "config.json", c.s, c.n), 6, "config.json makes it");
    hora_str_release(&c);
    tool_check(8, "", "nowhere", "generate --model /nowhere --prompt x");
}

static void test_tokenizer(void **state) {
    (void)state;
    hora_str t = {0};
    assert_ok(hora_file_read(&t, hora_test_path(tiny_model(), "tokenizer.json")));
    char *at = strstr(t.s, "\"BPE\"");
    assert_non_null(at);
    memcpy(at, "\"XYZ\"", 5);
    refused(damaged("damaged", "tokenizer.json", t.s, t.n), 5, "XYZ");
    refused(damaged_text("tokenizer.json", "{"), 4, "tokenizer.json");
    refused(damaged("damaged", "tokenizer.json", NULL, 0), 8, "tokenizer");
    hora_str_release(&t);
}

static void test_data(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "never");
    static const struct {
        const char *name, *text;
        int code;
        const char *says;
    } cases[] = {
        {"empty.txt", "", 4, "empty"},
        {"empty.jsonl", "\n\n", 4, "empty"},
        {"bad.jsonl", "{\"text\": \"fine\"}\n{\"text\": \n", 4, "bad.jsonl: line 2"},
        {"odd.jsonl", "{\"words\": \"what\"}\n", 4, "odd.jsonl: line 1"},
    };
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        const char *path = tiny_file(cases[i].name, cases[i].text);
        tool_check(cases[i].code, "", cases[i].says,
                   "train --model '%s' --data '%s' --out '%s' --seq-len 8 --steps 1", tiny_model(),
                   path, out);
        tool_check(cases[i].code, "", cases[i].says, "eval --model '%s' --data '%s' --seq-len 8",
                   tiny_model(), path);
        assert_false(hora_path_exists(out));
    }
    tool_check(8, "", "nothing.txt", "eval --model '%s' --data '%s/nothing.txt'", tiny_model(),
               hora_test_tmp());
    tool_check(2, "", "96 positions", "eval --model '%s' --data '%s' --seq-len 97", tiny_model(),
               tiny_file("data.txt", "text"));
}

static void test_output(void **state) {
    (void)state;
    const char *data = tiny_file("data.txt", "some text to train on, some text to train on");
    const char *file = tiny_file("a-file", "x");
    const char *full = hora_test_path(hora_test_tmp(), "full");
    assert_ok(hora_mkdirs(full));
    assert_ok(hora_file_write(hora_test_path(full, "precious"), "x", 1));
    const char *how = "--seq-len 8 --steps 1";
    tool_check(9, "", "exists", "train --model '%s' --data '%s' --out '%s' %s", tiny_model(), data,
               full, how);
    tool_check(9, "", "precious", "train --model '%s' --data '%s' --out '%s' %s --overwrite",
               tiny_model(), data, full, how);
    tool_check(9, "", NULL, "train --model '%s' --data '%s' --out '%s' %s", tiny_model(), data,
               file, how);
    assert_true(hora_path_exists(hora_test_path(full, "precious")));
    tool_check(3, "", NULL, "train --model '%s' --data '%s' --out /proc/never/out %s", tiny_model(),
               data, how);
    tool_check(3, "", NULL, "new --config '%s/config.json' --out /proc/never/out", tiny_model());
    if (geteuid() != 0) {
        const char *closed = hora_test_path(hora_test_tmp(), "closed");
        assert_ok(hora_mkdirs(closed));
        assert_int_equal(chmod(closed, 0500), 0);
        tool_check(3, "", "closed", "train --model '%s' --data '%s' --out '%s/out' %s",
                   tiny_model(), data, closed, how);
    }
    tool_check(3, NULL, "stdout", "models --json > /dev/full");
    tool_check(3, NULL, NULL, "tokenize --model '%s' --text x > /dev/full", tiny_model());
    tool_check(3, "", "stdout", "generate --model '%s' --prompt x > /dev/full", tiny_model());
}

static void test_adapters(void **state) {
    (void)state;
    const char *a = hora_test_path(hora_test_tmp(), "adapter");
    assert_ok(hora_mkdirs(a));
    tool_check(8, "", "adapter_config.json", "generate --model '%s' --adapter '%s' --prompt x",
               tiny_model(), a);
    const char *config = "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, "
                         "\"target_modules\": [\"q_proj\"], \"task_type\": \"CAUSAL_LM\"}";
    assert_ok(hora_file_write(hora_test_path(a, "adapter_config.json"), config, strlen(config)));
    tool_check(8, "", "adapter_model.safetensors",
               "generate --model '%s' --adapter '%s' --prompt x", tiny_model(), a);
    assert_ok(hora_file_write(hora_test_path(a, "adapter_config.json"), "{\"r\": ", 6));
    tool_check(4, "", "adapter_config.json", "generate --model '%s' --adapter '%s' --prompt x",
               tiny_model(), a);
}

/* A tokenizer with more tokens than the model has rows: said before anything is read past the end.
 */
static void test_foreign_tokenizer(void **state) {
    (void)state;
    const char *data = tiny_file("text.txt", "zzzz zzzz zzzz zzzz zzzz");
    const char *out = hora_test_path(hora_test_tmp(), "never");
    const char *model =
        tool_new("small",
                 "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":8,"
                 "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"vocab_size\":20}",
                 "--seed 1");
    assert_ok(hora_copy_file(hora_test_path(tiny_model(), "tokenizer.json"),
                             hora_test_path(model, "tokenizer.json")));
    tool_check(10, "", "another model's",
               "train --model '%s' --data '%s' --out '%s' --seq-len 8 --steps 1", model, data, out);
    tool_check(10, "", "another model's", "eval --model '%s' --data '%s' --seq-len 8", model, data);
    assert_false(hora_path_exists(out));
}

/* A NaN, and an infinity, among the base's weights: neither trained on, nor merged into, nor
 * written to another file. */
static void test_not_finite(void **state) {
    (void)state;
    static const float wrong[] = {NAN, -INFINITY};
    const char *data = tiny_file("data.txt", "some text to train on, some text to train on");
    const char *own = hora_test_path(hora_test_tmp(), "own"),
               *out = hora_test_path(hora_test_tmp(), "never");
    const char *train = "train --model '%s' --data '%s' --out '%s' --seq-len 8 --steps 1";
    tool_check(0, NULL, NULL, train, tiny_model(), data, own);
    hora_str file = {0};
    assert_ok(hora_file_read(&file, hora_test_path(tiny_model(), "model.safetensors")));
    for (size_t i = 0; i < HORA_COUNT(wrong); i++) {
        memcpy(file.s + file.n - sizeof *wrong, &wrong[i], sizeof *wrong); /* in the last tensor */
        const char *model = damaged("damaged", "model.safetensors", file.s, file.n);
        const char *says = "holds a number that is not finite";
        tool_check(11, NULL, says, train, model, data, out);
        tool_check(11, "", says, "merge --model '%s' --adapter '%s' --any-base --out '%s'", model,
                   own, out);
        tool_check(11, "", says, "export --model '%s' --to gguf --out '%s'", model, out);
        tool_check(11, "", says, "quantize --model '%s' --type q8_0 --out '%s'", model, out);
        assert_false(hora_path_exists(out));
    }
    hora_str_release(&file);
}

HORA_TESTS(cli_bad_input, {"weights that are no numbers", test_not_finite, HORA_SHORT},
           {"weights", test_weights, HORA_SHORT},
           {"a shard that is missing", test_missing_shard, HORA_SHORT},
           {"configurations", test_config, HORA_SHORT}, {"tokenizers", test_tokenizer, HORA_SHORT},
           {"data", test_data, HORA_SHORT}, {"places to write", test_output, HORA_SHORT},
           {"adapters", test_adapters, HORA_SHORT},
           {"a tokenizer of another model", test_foreign_tokenizer, HORA_SHORT});
