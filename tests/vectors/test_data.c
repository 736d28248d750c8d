/*
 * The shared data sets with a real tokenizer: what is supervised in every record, read back as
 * text, is what the file says should be learned; plain text is cut as the anchors of the project
 * assume.
 */
#include "hora_test.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/data.h"

typedef struct kit {
    hora_tokenizer *tok;
    hora_template *tmpl;
    hora_data_config cfg;
} kit;

static kit set_up(const char *style) {
    kit k = {.cfg = {.seq_len = 4096}};
    char rel[80];
    hora_str source = {0};
    assert_ok(hora_tokenizer_open(&k.tok, hora_test_shared("models/stories260k")));
    snprintf(rel, sizeof rel, "templates/%s/template.jinja", style);
    assert_ok(hora_file_read(&source, hora_test_shared(rel)));
    assert_ok(hora_template_open(&k.tmpl, source.s, source.n, style));
    hora_str_release(&source);
    return k;
}

static void take_down(kit *k) {
    hora_template_close(k->tmpl);
    hora_tokenizer_close(k->tok);
}

/* Records of a file, a JSON array of all of them. */
static hora_json *records_of(const char *path) {
    hora_str text = {0};
    hora_json *all = hora_json_new_array();
    assert_ok(hora_file_read(&text, path));
    for (char *s = text.s, *end; s && *s; s = end + 1) {
        hora_json *r;
        end = strchr(s, '\n');
        assert_ok(hora_json_parse(&r, s, (size_t)(end - s), path));
        hora_json_push(all, r);
    }
    hora_str_release(&text);
    return all;
}

static const char *str(const hora_json *record, const char *key) {
    const char *s = hora_json_string(hora_json_get(record, key), NULL);
    assert_non_null(s);
    return s;
}

/* Record i as the data room shows it. */
static void shows(const hora_dataset *d, int64_t i, const hora_str *want) {
    hora_str got = {0};
    assert_ok(hora_data_show(d, i, &got));
    if (got.n != want->n || memcmp(got.s, want->s, got.n) != 0)
        fail_msg("record %lld is\n%s\nbut should be\n%s", (long long)i, got.s, want->s);
    hora_str_release(&got);
}

static void completions(void **state) {
    (void)state;
    kit k = set_up("zephyr");
    const char *path = hora_test_shared("data/instruct/prompt_completion.jsonl");
    hora_dataset *d;
    hora_json *all = records_of(path);
    assert_ok(hora_dataset_open(&d, path, k.tok, k.tmpl, &k.cfg, &hora_objective_causal()->rule));
    assert_int_equal(hora_data_about(d)->records, 200);
    assert_int_equal(hora_data_about(d)->truncated, 0);
    for (size_t i = 0; i < hora_json_len(all); i++) {
        const hora_json *r = hora_json_at(all, i);
        hora_str want = {0};
        hora_str_printf(&want, "<s> %s[[%s</s>]]", str(r, "prompt"), str(r, "completion"));
        shows(d, (int64_t)i, &want);
        hora_str_release(&want);
    }
    hora_json_free(all);
    hora_dataset_close(d);
    take_down(&k);
}

static void alpaca(void **state) {
    (void)state;
    kit k = set_up("zephyr");
    hora_dataset *lines, *array;
    assert_ok(hora_dataset_open(&lines, hora_test_shared("data/instruct/alpaca.jsonl"), k.tok,
                                k.tmpl, &k.cfg, &hora_objective_causal()->rule));
    assert_ok(hora_dataset_open(&array, hora_test_shared("data/instruct/alpaca.json"), k.tok,
                                k.tmpl, &k.cfg, &hora_objective_causal()->rule));
    hora_json *all = records_of(hora_test_shared("data/instruct/alpaca.jsonl"));
    assert_int_equal(hora_data_about(lines)->records, 200);
    assert_int_equal(hora_data_about(array)->records, 20);
    for (int64_t i = 0; i < 200; i++) {
        hora_str got = {0}, want = {0}, again = {0};
        hora_str_printf(&want, "\n\n### Response:\n[[%s</s>]]",
                        str(hora_json_at(all, (size_t)i), "output"));
        assert_ok(hora_data_show(lines, i, &got));
        assert_true(hora_ends(got.s, want.s));
        if (i < 20) {
            assert_ok(hora_data_show(array, i, &again));
            assert_string_equal(again.s, got.s);
        }
        hora_str_release(&got);
        hora_str_release(&want);
        hora_str_release(&again);
    }
    hora_json_free(all);
    hora_dataset_close(lines);
    hora_dataset_close(array);
    take_down(&k);
}

/* The tokenizer puts a blank behind every special token, so `</s>` is followed by one. */
static void chat(void **state) {
    (void)state;
    kit k = set_up("zephyr");
    const char *path = hora_test_shared("data/instruct/chat.jsonl");
    hora_dataset *d;
    hora_json *all = records_of(path);
    assert_ok(hora_dataset_open(&d, path, k.tok, k.tmpl, &k.cfg, &hora_objective_causal()->rule));
    assert_int_equal(hora_data_about(d)->records, 200);
    for (size_t i = 0; i < hora_json_len(all); i++) {
        const hora_json *messages = hora_json_get(hora_json_at(all, i), "messages");
        hora_str want = {0};
        for (size_t m = 0; m < hora_json_len(messages); m++) {
            const char *role = str(hora_json_at(messages, m), "role");
            bool bot = hora_eq(role, "assistant");
            hora_str_printf(&want, "<|%s|>\n%s%s</s> \n%s", role, bot ? "[[" : "",
                            str(hora_json_at(messages, m), "content"), bot ? "]]" : "");
        }
        shows(d, (int64_t)i, &want);
        hora_str_release(&want);
    }
    hora_json_free(all);
    hora_dataset_close(d);
    take_down(&k);
}

static void shakespeare(void **state) {
    (void)state;
    kit k = set_up("zephyr");
    const char *path = hora_test_shared("data/text/tinyshakespeare.txt");
    hora_dataset *d, *e;
    hora_str text = {0};
    hora_ids ids = {0};
    hora_batch b;
    k.cfg.seq_len = 128;
    k.cfg.eval_split = 64;
    k.cfg.shuffle = true;
    assert_ok(hora_dataset_open(&d, path, k.tok, NULL, &k.cfg, &hora_objective_causal()->rule));
    assert_ok(hora_data_split(d, &e));
    assert_ok(hora_file_read(&text, path));
    assert_ok(hora_tokenizer_encode(k.tok, text.s, text.n, false, &ids));
    assert_int_equal(hora_data_about(e)->tokens, 8192);
    assert_int_equal(hora_data_about(e)->supervised, 64 * 127);
    assert_int_equal(hora_data_about(d)->tokens, ids.n - 8192);
    assert_ok(hora_batch_init(&b, 8192, NULL));
    assert_ok(hora_data_fill(e, 0, 64, 64, true, &b));
    assert_int_equal(b.rows, 8192);
    assert_memory_equal(b.ids, ids.at + ids.n - 8192, 8192 * sizeof *b.ids);
    for (int64_t i = 0; i < 8192; i++)
        assert_int_equal(b.target[i], i % 128 == 127 ? -1 : b.ids[i + 1]);
    hora_batch_release(&b);
    hora_ids_release(&ids);
    hora_str_release(&text);
    hora_dataset_close(d);
    hora_dataset_close(e);
    take_down(&k);
}

/* Packing changes the rows, not what is learned. */
static void packing(void **state) {
    (void)state;
    kit k = set_up("zephyr");
    static const char *const files[] = {"chat", "alpaca", "prompt_completion"};
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        char rel[80];
        hora_dataset *d, *p;
        snprintf(rel, sizeof rel, "data/instruct/%s.jsonl", files[i]);
        const char *path = hora_test_shared(rel);
        k.cfg.packing = false;
        assert_ok(
            hora_dataset_open(&d, path, k.tok, k.tmpl, &k.cfg, &hora_objective_causal()->rule));
        k.cfg.packing = true;
        assert_ok(
            hora_dataset_open(&p, path, k.tok, k.tmpl, &k.cfg, &hora_objective_causal()->rule));
        const hora_data_info *one = hora_data_about(d), *all = hora_data_about(p);
        assert_int_equal(one->sequences, 200);
        assert_true(all->sequences < 60);
        assert_int_equal(one->tokens, all->tokens);
        assert_int_equal(one->supervised, all->supervised);
        assert_int_equal(one->bytes, all->bytes);
        assert_int_equal(hora_data_supervised(p, 0, all->sequences, all->sequences, false),
                         all->supervised);
        hora_dataset_close(d);
        hora_dataset_close(p);
    }
    take_down(&k);
}

HORA_TESTS(vectors_data, {"completions are what is learned", completions, HORA_MEDIUM},
           {"alpaca, as lines and as an array", alpaca, HORA_MEDIUM},
           {"the assistant's turns are what is learned", chat, HORA_MEDIUM},
           {"the last windows of tinyshakespeare", shakespeare, HORA_MEDIUM},
           {"packing changes no target", packing, HORA_MEDIUM});
