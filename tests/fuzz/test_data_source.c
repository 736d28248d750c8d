/*
 * Damaged data files of every kind: opening ends in rows or in an error; what opens fills batches
 * that keep their promises. Sanitizers see the rest.
 */
#include "hora_test.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "data/data.h"
#include "tiny_tokenizer.h"

enum { ROUNDS = 1200 };

static const struct {
    const char *name, *text;
} seeds[] = {
    {"a.jsonl", "{\"text\": \"hello \\u00e9\"}\n{\"text\": \"ab\\nabc\"}\n{\"text\": \"\"}\n"},
    {"a.jsonl", "{\"prompt\": \"-xy\", \"completion\": \"z\"}\n{\"prompt\": \"a\", \"completion\": "
                "\"bc</s>\"}\n{\"instruction\": \"i\", \"input\": null, \"output\": \"o\"}\n"},
    {"a.jsonl",
     "{\"messages\": [{\"role\": \"user\", \"content\": \"h\"}, {\"role\": \"assistant\", "
     "\"content\": \"y\"}]}\n{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, "
     "{\"from\": \"gpt\", \"value\": \"r\"}], \"tools\": [1]}\n"},
    {"a.json", "[{\"text\": \"a]b\"}, {\"prompt\": \"p\", \"completion\": \"c\"},\n {\"text\": "
               "\"\\\"\"}]\n"},
    {"a.txt", "some <|u|>text abc</s>\nxyz \xc3\xa9\n"}};

static char *damaged(hora_rng *r, const char *seed, size_t *n) {
    static const char hostile[] = "{}[]:,\"\\- \n.e9<|>/\x01\xff\xc3";
    *n = strlen(seed);
    char *copy = hora_strdup(seed);
    for (int64_t k = hora_rng_below(r, 4); k > 0; k--) {
        int64_t at = hora_rng_below(r, (int64_t)*n);
        copy[at] = hora_rng_below(r, 2) ? (char)hora_rng_below(r, 256)
                                        : hostile[hora_rng_below(r, (int64_t)sizeof hostile - 1)];
    }
    if (!hora_rng_below(r, 5))
        *n = (size_t)hora_rng_below(r, (int64_t)*n + 1);
    return copy;
}

static void promises(const hora_dataset *d, const hora_tokenizer *tok) {
    const hora_data_info *info = hora_data_about(d);
    int64_t supervised = 0, tokens = 0;
    hora_batch b;
    assert_true(info->sequences > 0 && info->supervised > 0);
    assert_ok(hora_batch_init(&b, 64, NULL));
    for (int64_t row = 0; row < info->sequences; row++) {
        assert_ok(hora_data_fill(d, row, 1, info->sequences, false, &b));
        assert_int_equal(b.supervised, hora_data_supervised(d, row, 1, info->sequences, false));
        for (int64_t i = 0; i < b.rows; i++) {
            bool real = i < b.tokens;
            assert_true(b.ids[i] >= 0 && b.ids[i] < hora_tokenizer_size(tok));
            assert_true(real ? b.lo[i] <= i && b.hi[i] == i + 1 && b.pos[i] == i - b.lo[i]
                             : !b.lo[i] && !b.hi[i]);
            assert_true((b.target[i] >= 0) == (b.weight[i] == 1));
            if (b.target[i] >= 0)
                assert_true(i + 1 < b.tokens && b.lo[i + 1] == b.lo[i] &&
                            b.target[i] == b.ids[i + 1]);
        }
        supervised += b.supervised;
        tokens += b.tokens;
    }
    assert_int_equal(supervised, info->supervised);
    assert_int_equal(tokens, info->tokens);
    hora_batch_release(&b);
    for (int64_t i = 0; i < info->records; i++) {
        hora_str s = {0};
        assert_ok(hora_data_show(d, i, &s));
        hora_str_release(&s);
    }
}

static void damaged_files(void **state) {
    (void)state;
    hora_rng r = hora_rng_new(3, "files");
    hora_tokenizer *tok = tiny_tokenizer();
    hora_template *tmpl;
    int opened = 0, refused = 0;
    assert_ok(hora_template_open(&tmpl, tiny_chat, strlen(tiny_chat), "tiny chat"));
    for (int k = 0; k < ROUNDS; k++) {
        size_t n, i = (size_t)hora_rng_below(&r, (int64_t)HORA_COUNT(seeds));
        char *path = hora_path_join(hora_test_tmp(), seeds[i].name);
        char *text = damaged(&r, seeds[i].text, &n);
        FILE *f = fopen(path, "wb"); /* no fsync, 1200 times */
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, n, f), n);
        fclose(f);
        hora_data_config cfg = {.seq_len = 2 + hora_rng_below(&r, 60),
                                .packing = hora_rng_below(&r, 2),
                                .shuffle = hora_rng_below(&r, 2),
                                .train_on_prompt = hora_rng_below(&r, 2),
                                .add_bos = hora_rng_below(&r, 2),
                                .eval_split = hora_rng_below(&r, 2)};
        hora_dataset *d = NULL, *e = NULL;
        hora_status s =
            hora_dataset_open(&d, path, tok, tmpl, &cfg, &hora_objective_causal()->rule);
        assert_true((s == HORA_OK) == (d != NULL));
        if (d) {
            opened++;
            promises(d, tok);
            if (hora_data_split(d, &e) == HORA_OK && e) {
                promises(d, tok);
                promises(e, tok);
            }
        } else {
            refused++;
            assert_non_null(strstr(hora_errmsg(), seeds[i].name));
        }
        hora_dataset_close(d);
        hora_dataset_close(e);
        hora_free(text);
        hora_free(path);
    }
    assert_true(opened > ROUNDS / 10 && refused > ROUNDS / 10);
    hora_template_close(tmpl);
    hora_tokenizer_close(tok);
}

HORA_TESTS(fuzz_data_source, {"damaged files of every kind", damaged_files, HORA_SHORT});
