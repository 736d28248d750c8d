/*
 * Can a tokenizer file or a text hurt us? Small valid files are truncated, mutated and spliced by a
 * fixed stream of random numbers. Opening must end in a tokenizer or an error with a text; what
 * opens must encode and decode, and every id must lie in its vocabulary. Under the sanitizers this
 * finds reads out of bounds, overflow and leaks.
 */
#include <stdio.h>

#include "base/file.h"
#include "hora_test.h"
#include "token/tokenizer.h"
#include "token/tokenizer_impl.h"

static uint32_t next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static const char *const jsons[] = {
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"single_word\":true,"
    "\"lstrip\":true,\"rstrip\":true,\"normalized\":false,\"special\":true}],\"normalizer\":{"
    "\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"_\"},{\"type\":"
    "\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"_\"}]},\"post_processor\":{\"type\":"
    "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{"
    "\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\","
    "\"ids\":[5]}}},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
    "\"pattern\":{\"String\":\"_\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},\"model\":{\"type\":"
    "\"BPE\",\"unk_token\":\"U\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{\"U\":0,"
    "\"_\":1,\"a\":2,\"_a\":3,\"<0x0A>\":4},\"merges\":[\"_ a\"]}}",
    "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
    "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{"
    "L}"
    "]?\\\\p{L}+|\\\\p{N}{1,3}|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false"
    "},{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":true,\"use_regex\":true}]},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,"
    "\"\\u010a\":4,\"1\":5},\"merges\":[[\"a\",\"b\"]]}}",
    "{\"added_tokens\":[{\"id\":1,\"content\":\"[S]\",\"special\":true}],\"normalizer\""
    ":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":tru"
    "e,\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"Bert"
    "PreTokenizer\"},\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[S]\","
    "1],\"sep\":[\"[S]\",1]},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"clean"
    "up\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"U\",\"continuing_subw"
    "ord_prefix\":\"##\",\"max_input_chars_per_word\":9,\"vocab\":{\"U\":0,\"[S]\":1,\""
    "a\":2,\"##b\":3,\"ab\":4,\"e\":5,\"'\":6}}}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"},{\"type\""
    ":\"Precompiled\",\"precompiled_charsmap\":\"CAAAAAEAAACAAAAAYQA=\"},{\"type\":"
    "\"NFKC\"}]},\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepe"
    "nd_scheme\":\"always\"},\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"_\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\""
    "id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"a\",\"type_id\":0}}],\"pair\":"
    "[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1"
    "}}],\"special_tokens\":{\"a\":{\"ids\":[1]}}},\"model\":{\"type\":\"Unigram\",\"unk"
    "_id\":0,\"byte_fallback\":true,\"vocab\":[[\"U\",0],[\"a\",-1.5],[\"_a\",-2],[\"ab"
    "\",-100.0],[\"_\",-3],[\"<0x0A>\",-4]]}}",
};

static const char *const texts[] = {"", "ab a\n1", " <s> a",
                                    "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80 'S",
                                    "e\xcc\x81\xcc\xa3  \t\r\n"};

/* Opens, and uses what opens. Returns whether it did. */
static bool try_one(bool json, const char *data, size_t n) {
    hora_tokenizer *t = hora_calloc(1, sizeof *t);
    t->special_map = hora_json_new_object();
    t->bos = t->eos = t->pad = -1;
    hora_status st = json ? hora_tok_load_json(t, data, n, "fuzz")
                          : hora_tok_load_sentencepiece(t, data, n, NULL, "fuzz");
    if (st != HORA_OK)
        assert_true(strchr(hora_errmsg(), ';') != NULL); /* says what to do next */
    for (size_t i = 0; st == HORA_OK && i < HORA_COUNT(texts); i++) {
        hora_ids ids = {0};
        hora_str text = {0}, stable = {0};
        if (hora_tokenizer_encode(t, texts[i], strlen(texts[i]), true, &ids) == HORA_OK) {
            for (size_t k = 0; k < ids.n; k++)
                assert_non_null(hora_tokenizer_token(t, ids.at[k]));
            assert_ok(hora_tokenizer_decode(t, ids.at, ids.n, i % 2 == 0, &text));
            assert_ok(hora_tokenizer_decode_stable(t, ids.at, ids.n, i % 2 == 0, &stable));
            assert_true(stable.n <= text.n);
        }
        const hora_text_pair both = {texts[i], strlen(texts[i]), "a b", 3};
        hora_ids pair = {0}, types = {0};
        if (hora_tokenizer_encode_pair(t, &both, 5, HORA_TRUNCATE_LONGEST, &pair, &types, NULL) ==
            HORA_OK)
            assert_true(pair.n == types.n && pair.n <= 5);
        hora_ids_release(&pair);
        hora_ids_release(&types);
        hora_ids_release(&ids);
        hora_str_release(&text);
        hora_str_release(&stable);
    }
    hora_tokenizer_close(t);
    return st == HORA_OK;
}

/* Some changes of bytes, deletions, repeats and swapped numbers. */
static void mutate(hora_str *s, uint64_t *seed) {
    static const char *const likely[] = {"-1",  "99999999999", "null", "\"\"",    "[",
                                         "{",   "}",           "true", "\\u0000", "\xff",
                                         "1e9", "\"type\"",    "(",    "+",       "\\\\p{L}"};
    for (uint32_t k = 1 + next(seed) % 4; k > 0 && s->n > 8; k--) {
        size_t at = next(seed) % s->n, len = 1 + next(seed) % 8;
        switch (next(seed) % 4) {
        case 0:
            s->s[at] = (char)next(seed);
            break;
        case 1:
            len = len < s->n - at ? len : s->n - at;
            memmove(s->s + at, s->s + at + len, s->n - at - len);
            s->n -= len;
            break;
        case 2: {
            const char *put = likely[next(seed) % HORA_COUNT(likely)];
            hora_str copy = {0};
            hora_str_add(&copy, s->s, at);
            hora_str_puts(&copy, put);
            hora_str_add(&copy, s->s + at, s->n - at);
            hora_str_release(s);
            *s = copy;
            break;
        }
        default:
            s->s[at] ^= (char)(1 << next(seed) % 8);
        }
    }
}

static void truncated_and_mutated(bool json, const char *data, size_t n, int rounds) {
    uint64_t seed = n;
    int opened = 0;
    assert_true(try_one(json, data, n));
    for (size_t k = 0; k < n; k += 1 + n / 200) {
        char *exact = hora_malloc(k + 1); /* a copy, so that reading past its end is seen */
        memcpy(exact, data, k);
        opened += try_one(json, exact, k);
        hora_free(exact);
    }
    assert_int_equal(opened, 0);
    for (int i = 0; i < rounds; i++) {
        hora_str s = {0};
        hora_str_add(&s, data, n);
        mutate(&s, &seed);
        char *exact = hora_malloc(s.n + 1);
        memcpy(exact, s.s, s.n);
        opened += try_one(json, exact, s.n);
        hora_free(exact);
        hora_str_release(&s);
    }
    assert_true(opened > 0 && opened < rounds); /* both outcomes are met */
}

static void json_files(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(jsons); i++)
        truncated_and_mutated(true, jsons[i], strlen(jsons[i]), 1500);
}

static void put(hora_str *m, const char *text, float score, int type) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    hora_str_printf(m, "\x0a%c\x0a%c%s\x15", (char)(strlen(text) + 9), (char)strlen(text), text);
    for (int i = 0; i < 4; i++)
        hora_str_putc(m, (char)(bits >> (8 * i)));
    hora_str_putc(m, 0x18);
    hora_str_putc(m, (char)type);
}

static void sentencepiece_files(void **state) {
    (void)state;
    static const char specs[] = {0x12, 5, 0x18, 2, (char)0x98, 0x02, 1, 0x1a, 4, 0x18, 1, 0x20, 0};
    hora_str m = {0};
    put(&m, "<unk>", 0, 2);
    put(&m, "<s>", 0, 3);
    put(&m, "</s>", 0, 3);
    put(&m, "<0x0A>", 0, 6);
    put(&m, "\xe2\x96\x81", -3, 1);
    put(&m, "a", -3, 1);
    put(&m,
        "\xe2\x96\x81"
        "a",
        -1, 1);
    put(&m, "aa", -1, 1);
    put(&m, "<u>", 0, 4);
    hora_str_add(&m, specs, sizeof specs);
    truncated_and_mutated(false, m.s, m.n, 4000);
    hora_str_release(&m);
}

/* Text from any bytes: refused with an offset, or encoded. */
static void texts_of_any_bytes(void **state) {
    (void)state;
    uint64_t seed = 5;
    hora_tokenizer *t = hora_calloc(1, sizeof *t);
    t->special_map = hora_json_new_object();
    assert_ok(hora_tok_load_json(t, jsons[1], strlen(jsons[1]), "fuzz"));
    int good = 0;
    for (int i = 0; i < 3000; i++) {
        size_t n = next(&seed) % 24, bad;
        char *s = hora_malloc(n + 1);
        for (size_t k = 0; k < n; k++)
            s[k] = (char)(next(&seed) % (i % 2 ? 256 : 128));
        hora_ids ids = {0};
        bool valid = hora_utf8_valid(s, n, &bad);
        assert_int_equal(hora_tokenizer_encode(t, s, n, true, &ids) == HORA_OK, valid);
        good += valid;
        hora_ids_release(&ids);
        hora_free(s);
    }
    assert_true(good > 0 && good < 3000);
    hora_tokenizer_close(t);
}

HORA_TESTS(fuzz_tokenizer, {"tokenizer.json cut and mutated", json_files, HORA_SHORT},
           {"tokenizer.model cut and mutated", sentencepiece_files, HORA_SHORT},
           {"text of any bytes", texts_of_any_bytes, HORA_SHORT});
