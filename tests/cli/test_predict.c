/* Generating at the tool: the expected text, cache against no cache, sampling, stopping. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char *text_of(const hora_json *o, const char *key) {
    const char *s = hora_json_string(hora_json_get(o, key), NULL);
    if (!s)
        fail_msg("`%s` is no string in the output", key);
    return s;
}

static void test_expected(void **state) {
    (void)state;
    const char *model = hora_test_shared("models/stories260k");
    hora_json *want;
    assert_ok(hora_json_load(&want, hora_test_path(model, "EXPECTED.json")));
    hora_json *got =
        tool_json("generate --model '%s' --prompt '' --max-new-tokens 200 --json", model);
    const hora_json *ids = hora_json_get(want, "greedy_token_ids");
    assert_int_equal(hora_json_len(hora_json_get(got, "ids")), 200);
    for (size_t i = 0; i < 200; i++)
        assert_true(hora_json_equal(hora_json_at(hora_json_get(got, "ids"), i),
                                    hora_json_at(ids, i + hora_json_len(ids) - 200)));
    assert_string_equal(text_of(got, "text"), text_of(want, "greedy_200_tokens_after_bos"));
    assert_string_equal(text_of(got, "finish"), "length");
    hora_str streamed = {0};
    tool_text(&streamed, "generate --model '%s' --prompt '' --max-new-tokens 200", model);
    streamed.s[--streamed.n] = 0; /* the line break behind it */
    assert_string_equal(streamed.s, text_of(got, "text"));
    hora_str_release(&streamed);
    hora_json_free(got);
    hora_json_free(want);
}

/* The same prompt with the cache, in chunks of a few rows, and without it. */
static void same_with_and_without(const char *model, const char *prompt, int tokens) {
    static const char *const how[] = {"--no-cache", "--prefill 1", "--prefill 5", "--context 90"};
    hora_json *want = tool_json("generate --model '%s' --prompt '%s' --max-new-tokens %d --json",
                                model, prompt, tokens);
    for (size_t i = 0; i < HORA_COUNT(how); i++) {
        hora_json *got = tool_json("generate --model '%s' --prompt '%s' --max-new-tokens %d %s "
                                   "--json",
                                   model, prompt, tokens, how[i]);
        assert_true(hora_json_equal(hora_json_get(got, "ids"), hora_json_get(want, "ids")));
        hora_json_free(got);
    }
    assert_true(hora_json_len(hora_json_get(want, "ids")) > 0);
    hora_json_free(want);
}

static void test_cache(void **state) {
    (void)state;
    same_with_and_without(tiny_model(), "The quick brown fox", 40);
}

static void test_cache_stories(void **state) {
    (void)state;
    same_with_and_without(hora_test_shared("models/stories260k"), "Tom and Ann went to", 60);
}

static void test_sampling(void **state) {
    (void)state;
    const char *m = tiny_model();
    const char *base = "generate --json --max-new-tokens 24 --prompt abc --model";
    hora_json *greedy = tool_json("%s '%s'", base, m);
    hora_json *one = tool_json("%s '%s' --temperature 5 --top-k 1", base, m);
    hora_json *narrow = tool_json("%s '%s' --temperature 5 --top-p 1e-9", base, m);
    hora_json *a = tool_json("%s '%s' --temperature 5 --seed 3", base, m);
    hora_json *b = tool_json("%s '%s' --temperature 5 --seed 3 --threads 1", base, m);
    hora_json *c = tool_json("%s '%s' --temperature 5 --seed 4", base, m);
    assert_string_equal(text_of(one, "text"), text_of(greedy, "text"));
    assert_string_equal(text_of(narrow, "text"), text_of(greedy, "text"));
    assert_true(hora_json_equal(hora_json_get(a, "ids"), hora_json_get(b, "ids")));
    assert_false(hora_json_equal(hora_json_get(a, "ids"), hora_json_get(c, "ids")));
    hora_json *all[] = {greedy, one, narrow, a, b, c};
    for (size_t i = 0; i < HORA_COUNT(all); i++)
        hora_json_free(all[i]);
}

static void test_stop_text(void **state) {
    (void)state;
    const char *m = hora_test_shared("models/stories260k");
    hora_json *r = tool_json("generate --model '%s' --prompt '' --stop ' Lily.' --json", m);
    assert_string_equal(text_of(r, "text"), "Once upon a time, there was a little girl named");
    assert_string_equal(text_of(r, "finish"), "stop");
    hora_json_free(r);
    hora_str streamed = {0};
    tool_text(&streamed, "generate --model '%s' --prompt '' --stop ' Lily.'", m);
    assert_string_equal(streamed.s, "Once upon a time, there was a little girl named\n");
    hora_str_release(&streamed);
}

static void test_chat(void **state) {
    (void)state;
    const char *m = tiny_model();
    const char *chat = tiny_file("chat.json", "[{\"role\": \"user\", \"content\": \"Hi\"}]");
    const char *object =
        tiny_file("object.json", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}");
    hora_json *a =
        tool_json("generate --model '%s' --chat '%s' --max-new-tokens 8 --json", m, chat);
    hora_json *b =
        tool_json("generate --model '%s' --chat '%s' --max-new-tokens 8 --json", m, object);
    /* <s>user\nHi</s><s>assistant\n: 1 + 5 + 2 + 1 + 1 + 10 tokens */
    assert_int_equal((int)tool_number(a, "prompt_tokens"), 20);
    assert_true(hora_json_equal(hora_json_get(a, "ids"), hora_json_get(b, "ids")));
    hora_json_free(a);
    hora_json_free(b);
    tool_check(4, "", "messages", "generate --model '%s' --chat '%s'", m,
               tiny_file("e.json", "[]"));
    tool_check(4, "", "line 1", "generate --model '%s' --chat '%s'", m, tiny_file("t.json", "[{"));
}

static void test_too_long(void **state) {
    (void)state;
    const char *m = tiny_model();
    char text[TINY_POSITIONS + 1];
    memset(text, 'x', TINY_POSITIONS);
    text[TINY_POSITIONS] = 0; /* with <s> one more than there are positions */
    tool_check(2, "", "97 tokens", "generate --model '%s' --prompt %s", m, text);
    tool_check(2, "", "96 positions", "generate --model '%s' --prompt x --context 97", m);
    hora_json *r =
        tool_json("generate --model '%s' --prompt %s --max-new-tokens 50 --json", m, text + 6);
    assert_true(tool_number(r, "tokens") <= 6); /* 91 + 5 fill the context; one more is predicted */
    assert_true(hora_eq(text_of(r, "finish"), "context") || hora_eq(text_of(r, "finish"), "eos"));
    hora_json_free(r);
    tool_check(2, "", "give one of --prompt", "generate --model '%s'", m);
    tool_check(2, "", "give one of --prompt", "generate --model '%s' --prompt x --chat y", m);
}

/* An adapter whose keys have no place in a cache answers all the same, and says what that costs. */
static void test_without_cache(void **state) {
    (void)state;
    static const char *const methods[] = {"prefix", "apt", "isomorphic", "tiny_attention"};
    const char *text =
        tiny_file("t.jsonl", "{\"text\": \"a cat sat on a mat and sang to the moon\"}\n");
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        const char *out = hora_test_path(hora_test_tmp(), methods[i]);
        tool_check(
            0, NULL, NULL,
            "train --model '%s' --data '%s' --seq-len 16 --batch-size 2 --steps 2 --method %s "
            "--out '%s' --quiet",
            tiny_model(), text, methods[i], out);
        tool_check(0, NULL, "computes all before it anew",
                   "generate --model '%s' --adapter '%s' --prompt x --max-new-tokens 4",
                   tiny_model(), out);
        hora_json *kept = tool_json("generate --model '%s' --adapter '%s' --prompt x "
                                    "--max-new-tokens 4 --json",
                                    tiny_model(), out);
        hora_json *anew = tool_json("generate --model '%s' --adapter '%s' --prompt x "
                                    "--max-new-tokens 4 --json --no-cache",
                                    tiny_model(), out);
        assert_true(hora_json_equal(hora_json_get(kept, "ids"), hora_json_get(anew, "ids")));
        hora_json_free(kept);
        hora_json_free(anew);
    }
}

HORA_TESTS(cli_predict, {"greedy text of stories260k", test_expected, HORA_SHORT},
           {"cache equals no cache", test_cache, HORA_SHORT},
           {"adapters that keys in a cache do not suit", test_without_cache, HORA_SHORT},
           {"cache equals no cache on real weights", test_cache_stories, HORA_MEDIUM},
           {"sampling follows its options and seed", test_sampling, HORA_SHORT},
           {"stop text", test_stop_text, HORA_SHORT}, {"conversations", test_chat, HORA_SHORT},
           {"what does not fit is refused", test_too_long, HORA_SHORT});
