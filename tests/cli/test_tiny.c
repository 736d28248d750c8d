/* The embedded model in examples/tiny: its files are what the generator writes, and it knows its
 * language. */
#include "hora_test.h"

#include "base/file.h"
#include "base/text.h"

/* Byte for byte: what stands in the source tree, what the generator wrote. */
static void assert_same(const char *committed, const char *fresh) {
    hora_str a = {0}, b = {0};
    assert_ok(hora_file_read(&a, committed));
    assert_ok(hora_file_read(&b, fresh));
    if (a.n != b.n || memcmp(a.s, b.s, a.n) != 0)
        fail_msg("%s is not what examples/tiny/generate.c writes; run make tiny-base", committed);
    hora_str_release(&a);
    hora_str_release(&b);
}

static void test_files(void **state) {
    (void)state;
    static const char *const files[][2] = {{"base/config.json", "config.json"},
                                           {"base/tokenizer.json", "tokenizer.json"},
                                           {"base/tokenizer_config.json", "tokenizer_config.json"},
                                           {"train.jsonl", "train.jsonl"},
                                           {"test.jsonl", "test.jsonl"}};
    char *command =
        hora_format("'%s/examples/tiny-generate' '%s'", HORA_BINARY_DIR, hora_test_tmp());
    assert_int_equal(hora_test_run(command, NULL, NULL), 0);
    hora_free(command);
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        char *fresh = hora_path_join(hora_test_tmp(), files[i][1]);
        char *committed = hora_path_join(hora_test_source("examples/tiny"), files[i][0]);
        assert_same(committed, fresh);
        hora_free(fresh);
        hora_free(committed);
    }
}

/* Answers of the base, the newline of the tool cut off. */
static void check_answer(const char *prompt, const char *want) {
    hora_str out = {0}, err = {0};
    char *command = hora_format("%s generate --model '%s' --prompt '%s' --max-new-tokens 16",
                                hora_test_tool(), hora_test_source("examples/tiny/base"), prompt);
    if (hora_test_run(command, &out, &err) != 0)
        fail_msg("%s: %s", command, err.s);
    hora_free(command);
    if (!out.s || !strstr(out.s, want))
        fail_msg("%s gave `%s`, wanted `%s`", prompt, out.s ? out.s : "", want);
    hora_str_release(&out);
    hora_str_release(&err);
}

static void test_language(void **state) {
    (void)state;
    check_answer("reverse: k d f a =", " a f d k");
    check_answer("translate: sun moon =", " miro talu");
    check_answer("last: p t j n x =", " x");
}

/* Questions are answered one by one: the second does not see the first. */
static void test_chat(void **state) {
    (void)state;
    hora_str out = {0}, err = {0};
    char *command =
        hora_format("printf 'reverse: k d f a =\\nspell: bird =\\n' | %s chat --model '%s'",
                    hora_test_tool(), hora_test_source("examples/tiny/base"));
    if (hora_test_run(command, &out, &err) != 0)
        fail_msg("%s: %s", command, err.s);
    if (!out.s || !strstr(out.s, " a f d k\n") || !strstr(out.s, " b i r d\n"))
        fail_msg("%s gave `%s`", command, out.s ? out.s : "");
    hora_free(command);
    hora_str_release(&out);
    hora_str_release(&err);
}

/* The demo to its end, in a few steps; what it reaches in full is in examples/tiny/README.md. */
static void test_demo(void **state) {
    (void)state;
    hora_str out = {0}, err = {0};
    char *command = hora_format("'%s/examples/demo' '%s' 3", HORA_BINARY_DIR,
                                hora_test_source("examples/tiny"));
    if (hora_test_run(command, &out, &err) != 0)
        fail_msg("%s: %s", command, err.s);
    hora_free(command);
    static const char *const parts[] = {"\n(base) ", "\nhora ", "\nlora ",
                                        "\nfull ",   "17664",   "10752"};
    for (size_t i = 0; i < HORA_COUNT(parts); i++)
        if (!strstr(out.s, parts[i]))
            fail_msg("the demo's table lacks `%s`: %s", parts[i], out.s);
    hora_str_release(&out);
    hora_str_release(&err);
}

HORA_TESTS(cli_tiny, {"files are the generator's", test_files, HORA_SHORT},
           {"the base knows its language", test_language, HORA_SHORT},
           {"one can talk with it", test_chat, HORA_SHORT},
           {"the demo runs to its end", test_demo, HORA_SHORT});
