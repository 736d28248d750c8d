/*
 * Token ids against the world: every line of the shared cases, made by Hugging Face's tokenizers
 * (cases.jsonl: ids, ids with the post-processor, decoded text) and by llama.cpp (llama_cpp/). The
 * SentencePiece file of LLaMA 2 must agree with its tokenizer.json.
 */
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "hora_test.h"
#include "token/tokenizer.h"

typedef void (*each_case)(const hora_tokenizer *t, const hora_json *o, const char *where);

/* Runs fn over the lines of a .jsonl file; returns how many there were. */
static int each_line(const char *path, const hora_tokenizer *t, each_case fn) {
    hora_str text = {0};
    int count = 0;
    assert_ok(hora_file_read(&text, path));
    for (char *s = text.s, *end = text.s + text.n; s < end; count++) {
        char *nl = memchr(s, '\n', (size_t)(end - s)), where[64];
        size_t n = nl ? (size_t)(nl - s) : (size_t)(end - s);
        hora_json *o;
        snprintf(where, sizeof where, "line %d", count + 1);
        assert_ok(hora_json_parse(&o, s, n, where));
        fn(t, o, where);
        hora_json_free(o);
        s += n + 1;
    }
    hora_str_release(&text);
    return count;
}

static void add_ids(hora_str *to, const hora_ids *v) {
    for (size_t i = 0; i < v->n; i++)
        hora_str_printf(to, " %d", (int)v->at[i]);
}

static void compare(const hora_ids *got, const hora_json *want, const char *text,
                    const char *where) {
    bool same = got->n == hora_json_len(want);
    hora_ids w = {0};
    for (size_t i = 0; i < hora_json_len(want); i++) {
        int64_t id = -1;
        assert_true(hora_json_int(hora_json_at(want, i), &id));
        hora_ids_push(&w, (int32_t)id);
        same = same && got->at[i] == id;
    }
    if (!same) {
        hora_str m = {0};
        hora_str_puts(&m, "got");
        add_ids(&m, got);
        hora_str_puts(&m, "\nwant");
        add_ids(&m, &w);
        fail_msg("%s \"%s\"\n%s", where, text, m.s);
    }
    hora_ids_release(&w);
}

/* The same ids with offsets: in order, inside of the text, none left out. */
static void check_offsets(const hora_tokenizer *t, const char *text, size_t n, bool special,
                          const hora_ids *ids, const char *where) {
    hora_ids again = {0};
    hora_offsets at = {0};
    assert_ok(hora_tokenizer_encode_offsets(t, text, n, special, &again, &at));
    assert_int_equal(again.n, ids->n);
    assert_int_equal(at.n, ids->n);
    for (size_t i = 0; i < ids->n; i++) {
        bool order = !i || at.at[i].from >= at.at[i - 1].from;
        if (again.at[i] != ids->at[i] || at.at[i].to < at.at[i].from || at.at[i].to > n || !order)
            fail_msg("%s \"%s\": id %zu comes from [%u, %u)", where, text, i, at.at[i].from,
                     at.at[i].to);
    }
    hora_ids_release(&again);
    hora_free(at.at);
}

static void check_ids(const hora_tokenizer *t, const hora_json *o, const char *key, bool special,
                      const char *where) {
    size_t n;
    const char *text = hora_json_string(hora_json_get(o, "text"), &n);
    hora_ids ids = {0};
    assert_non_null(text);
    assert_ok(hora_tokenizer_encode(t, text, n, special, &ids));
    compare(&ids, hora_json_get(o, key), text, where);
    check_offsets(t, text, n, special, &ids, where);
    hora_ids_release(&ids);
}

static void check_decoded(const hora_tokenizer *t, const hora_json *o, const char *where) {
    const hora_json *list = hora_json_get(o, "ids");
    size_t n;
    const char *want = hora_json_string(hora_json_get(o, "decoded"), &n);
    hora_ids ids = {0};
    for (size_t i = 0; i < hora_json_len(list); i++) {
        int64_t id = -1;
        hora_json_int(hora_json_at(list, i), &id);
        hora_ids_push(&ids, (int32_t)id);
    }
    hora_str got = {0}, stable = {0};
    assert_ok(hora_tokenizer_decode(t, ids.at, ids.n, true, &got));
    if (got.n != n || (n && memcmp(got.s, want, n) != 0))
        fail_msg("%s decoded \"%s\", want \"%s\"", where, got.s ? got.s : "", want);
    /* every stretch of the stream is a prefix of the whole */
    for (size_t k = 0, before = 0; k <= ids.n; k++) {
        stable.n = 0;
        assert_ok(hora_tokenizer_decode_stable(t, ids.at, k, true, &stable));
        assert_true(stable.n >= before && stable.n <= got.n);
        assert_true(stable.n == 0 || memcmp(stable.s, got.s, stable.n) == 0);
        before = stable.n;
    }
    hora_ids_release(&ids);
    hora_str_release(&got);
    hora_str_release(&stable);
}

static void check_all(const hora_tokenizer *t, const hora_json *o, const char *where) {
    check_ids(t, o, "ids", false, where);
    check_ids(t, o, "ids_special", true, where);
    check_decoded(t, o, where);
}

static void check_plain(const hora_tokenizer *t, const hora_json *o, const char *where) {
    check_ids(t, o, "ids", false, where);
}

/* The next list of `texts_of` holds the ids. */
static const hora_json *texts_of;
static size_t text_at;
static void check_listed(const hora_tokenizer *t, const hora_json *o, const char *where) {
    size_t n;
    const char *text = hora_json_string(hora_json_get(o, "text"), &n);
    hora_ids ids = {0};
    assert_ok(hora_tokenizer_encode(t, text, n, true, &ids));
    compare(&ids, hora_json_at(texts_of, text_at++), text, where);
    check_offsets(t, text, n, true, &ids, where);
    hora_ids_release(&ids);
}

static void golden(const char *name, bool llama_cpp, int at_least) {
    hora_tokenizer *t;
    char path[128];
    snprintf(path, sizeof path, "tokenizers/%s", name);
    assert_ok(hora_tokenizer_open(&t, hora_test_shared(path)));
    snprintf(path, sizeof path, "tokenizers/%s/cases.jsonl", name);
    assert_true(each_line(hora_test_shared(path), t, check_all) >= at_least);
    if (llama_cpp) {
        snprintf(path, sizeof path, "tokenizers/%s/llama_cpp/cases.jsonl", name);
        assert_true(each_line(hora_test_shared(path), t, check_plain) >= 40);
    }
    hora_tokenizer_close(t);
}

static void stories260k(void **state) {
    (void)state;
    golden("stories260k", false, 300);
}
static void gpt2(void **state) {
    (void)state;
    golden("gpt2", true, 300);
}
static void llama2(void **state) {
    (void)state;
    golden("llama2", true, 300);
}
static void split_llama3(void **state) {
    (void)state;
    golden("split_llama3", false, 300);
}
static void split_qwen(void **state) {
    (void)state;
    golden("split_qwen", false, 300);
}

static void bert(void **state) {
    (void)state;
    golden("bert", true, 300);
}
static void unigram(void **state) {
    (void)state;
    golden("unigram", false, 300);
}

/* vocab.txt by itself gives what tokenizer.json gives. */
static void vocab_txt(void **state) {
    (void)state;
    char *path = hora_path_join(hora_test_tmp(), "vocab.txt"), *dir = hora_path_dir(path);
    assert_ok(hora_copy_file(hora_test_shared("tokenizers/bert/vocab.txt"), path));
    hora_tokenizer *t;
    assert_ok(hora_tokenizer_open(&t, dir));
    assert_true(each_line(hora_test_shared("tokenizers/bert/cases.jsonl"), t, check_all) > 300);
    assert_int_equal(hora_tokenizer_pad(t), 0);
    hora_tokenizer_close(t);
    hora_free(path);
    hora_free(dir);
}

/* expected.json (or its member `key`): per model of the case a list of ids for each text. */
static void models_of(const char *name, const char *key) {
    char path[160];
    hora_json *expected;
    snprintf(path, sizeof path, "cases/%s/expected.json", name);
    assert_ok(hora_json_load(&expected, hora_test_shared(path)));
    const hora_json *all = key ? hora_json_get(expected, key) : expected;
    int models = 0;
    for (void *it = hora_json_iter(all); it; it = hora_json_next(all, it), models++) {
        hora_tokenizer *t;
        snprintf(path, sizeof path, "cases/%s/models/%s", name, hora_json_iter_key(it));
        assert_ok(hora_tokenizer_open(&t, hora_test_shared(path)));
        texts_of = hora_json_iter_value(it);
        text_at = 0;
        snprintf(path, sizeof path, "cases/%s/texts.jsonl", name);
        assert_int_equal(each_line(hora_test_shared(path), t, check_listed),
                         hora_json_len(texts_of));
        hora_tokenizer_close(t);
    }
    assert_true(models >= 6);
    hora_json_free(expected);
}
static void vocab_alone(void **state) {
    (void)state;
    models_of("text-wordpiece-vocab-alone", NULL);
}
static void config_disagrees(void **state) {
    (void)state;
    models_of("text-wordpiece-config-disagrees", "AutoTokenizer");
}

static void check_pair(const hora_tokenizer *t, const hora_json *o, const char *where) {
    static const char *const names[] = {"longest_first", "only_first", "only_second"};
    hora_text_pair text = {0};
    hora_ids ids = {0}, types = {0};
    int64_t most = -1;
    int how = 0;
    text.first = hora_json_string(hora_json_get(o, "text"), &text.nfirst);
    text.second = hora_json_string(hora_json_get(o, "pair"), &text.nsecond);
    assert_true(hora_json_int(hora_json_get(o, "max_length"), &most));
    while (strcmp(names[how], hora_json_string(hora_json_get(o, "strategy"), NULL)) != 0)
        how++;
    hora_status s =
        hora_tokenizer_encode_pair(t, &text, most, (hora_truncation)how, &ids, &types, NULL);
    if (hora_json_get(o, "refused")) {
        assert_int_equal(s, HORA_EUSAGE);
    } else {
        assert_ok(s);
        compare(&ids, hora_json_get(o, "ids"), text.first, where);
        compare(&types, hora_json_get(o, "token_type_ids"), text.first, where);
    }
    hora_ids_release(&ids);
    hora_ids_release(&types);
}
static void pair_truncation(void **state) {
    (void)state;
    hora_tokenizer *t;
    assert_ok(hora_tokenizer_open(&t, hora_test_shared("cases/text-pair-truncation/model")));
    assert_true(
        each_line(hora_test_shared("cases/text-pair-truncation/rows.jsonl"), t, check_pair) >= 30);
    hora_tokenizer_close(t);
}

/* A folder that holds tokenizer.model and nothing else. */
static void sentencepiece(void **state) {
    (void)state;
    const char *model = hora_test_shared("tokenizers/llama2/tokenizer.model");
    char *path = hora_path_join(hora_test_tmp(), "tokenizer.model"), *dir = hora_path_dir(path);
    assert_ok(hora_copy_file(model, path));
    hora_tokenizer *t, *json;
    assert_ok(hora_tokenizer_open(&t, dir));
    assert_ok(hora_tokenizer_open(&json, hora_test_shared("tokenizers/llama2")));
    assert_int_equal(hora_tokenizer_size(t), 32000);
    assert_int_equal(hora_tokenizer_bos(t), 1);
    assert_int_equal(hora_tokenizer_eos(t), 2);
    assert_int_equal(hora_tokenizer_pad(t), -1);
    for (int32_t id = 0; id < 32000; id++) {
        assert_string_equal(hora_tokenizer_token(t, id), hora_tokenizer_token(json, id));
        assert_int_equal(hora_tokenizer_bytes(t, id), hora_tokenizer_bytes(json, id));
        assert_int_equal(hora_tokenizer_is_special(t, id), hora_tokenizer_is_special(json, id));
    }
    assert_true(each_line(hora_test_shared("tokenizers/llama2/cases.jsonl"), t, check_all) >= 300);
    each_line(hora_test_shared("tokenizers/llama2/llama_cpp/cases.jsonl"), t, check_plain);
    hora_tokenizer_close(t);
    hora_tokenizer_close(json);
    hora_free(path);
    hora_free(dir);
}

/* The bytes of a text's tokens add up to the text: the basis of bits per byte. */
static void bytes_add_up(void **state) {
    (void)state;
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_shared("data/text/tinyshakespeare.txt")));
    static const char *const names[] = {"gpt2", "llama2", "split_qwen"};
    for (size_t k = 0; k < HORA_COUNT(names); k++) {
        char path[64];
        snprintf(path, sizeof path, "tokenizers/%s", names[k]);
        hora_tokenizer *t;
        hora_ids ids = {0};
        hora_str back = {0};
        assert_ok(hora_tokenizer_open(&t, hora_test_shared(path)));
        assert_ok(hora_tokenizer_encode(t, text.s, text.n, false, &ids));
        size_t sum = 0;
        for (size_t i = 0; i < ids.n; i++)
            sum += (size_t)hora_tokenizer_bytes(t, ids.at[i]);
        assert_int_equal(sum, text.n + (k == 1)); /* llama's first token has a space in front */
        assert_ok(hora_tokenizer_decode(t, ids.at, ids.n, true, &back));
        assert_int_equal(back.n, text.n);
        assert_memory_equal(back.s, text.s, text.n);
        hora_ids_release(&ids);
        hora_str_release(&back);
        hora_tokenizer_close(t);
    }
    hora_str_release(&text);
}

static void config_beside(void **state) {
    (void)state;
    hora_tokenizer *t;
    assert_ok(hora_tokenizer_open(&t, hora_test_shared("models/stories260k")));
    assert_int_equal(hora_tokenizer_bos(t), 1);
    assert_int_equal(hora_tokenizer_eos(t), 2);
    assert_string_equal(hora_tokenizer_token(t, hora_tokenizer_bos(t)), "<s>");
    hora_tokenizer_close(t);
}

HORA_TESTS(vectors_tokenizer, {"stories260k: byte fallback", stories260k, HORA_SHORT},
           {"gpt2: byte level", gpt2, HORA_SHORT},
           {"llama2: byte fallback, 32,000 pieces", llama2, HORA_SHORT},
           {"llama3: split, ignore_merges", split_llama3, HORA_SHORT},
           {"qwen: split, NFC, added tokens", split_qwen, HORA_SHORT},
           {"bert: WordPiece", bert, HORA_SHORT}, {"Unigram", unigram, HORA_SHORT},
           {"bert's vocab.txt", vocab_txt, HORA_SHORT},
           {"vocab.txt and tokenizer_config.json", vocab_alone, HORA_SHORT},
           {"tokenizer_config.json against tokenizer.json", config_disagrees, HORA_SHORT},
           {"pairs cut to a length", pair_truncation, HORA_SHORT},
           {"llama2's tokenizer.model", sentencepiece, HORA_SHORT},
           {"bytes of tokens add up to the text", bytes_add_up, HORA_SHORT},
           {"special tokens from the config", config_beside, HORA_SHORT});
