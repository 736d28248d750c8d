/* A GGUF file as --model at the tool, from the golden files: everything that a folder can do. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static void test_commands(void **state) {
    const char *model = hora_test_shared("gguf/models/llama/q4_k.gguf"), *tmp = hora_test_tmp();
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    const char *out = hora_test_path(tmp, "out"), *whole = hora_test_path(tmp, "whole");
    (void)state;
    tool_check(0, "Q4_K", NULL, "inspect '%s' --json", model);
    tool_check(0, "403", NULL, "tokenize --model '%s' --text 'Once upon'", model);
    tool_check(0, NULL, NULL, "plan --model '%s' --data '%s' --seq-len 16", model, data);
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --seq-len 16 --method hora --steps 2 --out '%s' -q",
               model, data, out);
    tool_check(0, "loss", NULL, "eval --model '%s' --adapter '%s' --data '%s' --seq-len 16", model,
               out, data);
    tool_check(0, NULL, NULL, "generate --model '%s' --adapter '%s' --prompt Once --max-tokens 4",
               model, out);
    tool_check(2, NULL, "--dtype", "merge --model '%s' --adapter '%s' --out '%s'", model, out,
               whole);
    assert_false(hora_path_exists(whole));
    tool_check(0, NULL, "tokenizer", "merge --model '%s' --adapter '%s' --out '%s' --dtype f32",
               model, out, whole);
    tool_check(8, NULL, "GGUF file", "train --model '%s/none.gguf' --data '%s' --out '%s/x'", tmp,
               data, tmp);
}

/* The cpu backend takes every block type itself: with it alone, nothing is left to ref. */
static void test_backend(void **state) {
    static const char *const types[] = {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1",  "q2_k",
                                        "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"};
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(types); i++) {
        const char *model = hora_test_shared(hora_test_text("gguf/models/llama/%s.gguf", types[i]));
        const char *dtypes[] = {"f32", "bf16"};
        for (int k = 0; k < 2; k++)
            tool_check(0, NULL, NULL,
                       "train --model '%s' --data '%s' --seq-len 16 --method lora --targets "
                       "all-linear --steps 1 --backends cpu --dtype %s --out '%s/%s-%s' -q",
                       model, data, dtypes[k], hora_test_tmp(), types[i], dtypes[k]);
    }
}

/* A token at a time, with few rows in every product, is the whole text at once. */
static void test_decoding(void **state) {
    const char *tmp = hora_test_tmp(), *files[] = {"llama/q4_k", "llama/q8_0", "qwen3/q5_0"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        hora_str cached = {0}, whole = {0};
        const char *model = hora_test_shared(hora_test_text("gguf/models/%s.gguf", files[i]));
        tool_check(0, NULL, NULL,
                   "generate --model '%s' --prompt 'Once upon a' --max-tokens 12 --temperature 0 "
                   "> '%s/cached'",
                   model, tmp);
        tool_check(0, NULL, NULL,
                   "generate --model '%s' --prompt 'Once upon a' --max-tokens 12 --temperature 0 "
                   "--no-cache > '%s/whole'",
                   model, tmp);
        assert_ok(hora_file_read(&cached, hora_test_path(tmp, "cached")));
        assert_ok(hora_file_read(&whole, hora_test_path(tmp, "whole")));
        assert_true(cached.n > 4);
        assert_string_equal(cached.s, whole.s);
        hora_str_release(&cached);
        hora_str_release(&whole);
    }
}

HORA_TESTS(cli_gguf, {"commands take a GGUF file as the model", test_commands, HORA_SHORT},
           {"blocks are the cpu backend's own", test_backend, HORA_SHORT},
           {"decoding on blocks", test_decoding, HORA_SHORT});
