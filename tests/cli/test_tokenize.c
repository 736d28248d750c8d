/* hora tokenize: ids of the reference library, line by line; decoding; refusals. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char *const folders[] = {"stories260k", "gpt2", "llama2", "split_llama3",
                                      "split_qwen"};

/* cases.jsonl holds {"text", "ids", "ids_special", "decoded"}: --jsonl reads `text` of it. */
static void folder_case(const char *name) {
    char *relative = hora_format("tokenizers/%s", name);
    const char *dir = hora_test_shared(relative);
    const char *cases = hora_test_path(dir, "cases.jsonl");
    hora_str want = {0}, special = {0}, plain = {0}, decoded = {0};
    assert_ok(hora_file_read(&want, cases));
    tool_text(&special, "tokenize --model '%s' --jsonl '%s'", dir, cases);
    tool_text(&plain, "tokenize --model '%s' --jsonl '%s' --no-special", dir, cases);
    tool_text(&decoded, "tokenize --model '%s' --jsonl '%s' --decode --json", dir, cases);
    char *line = want.s, *s = special.s, *p = plain.s, *d = decoded.s;
    int n = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1, n++) {
        hora_json *c, *got;
        char *streams[] = {s, p, d};
        static const char *const keys[] = {"ids_special", "ids", "decoded"};
        assert_ok(hora_json_parse(&c, line, (size_t)(end - line), cases));
        for (int k = 0; k < 3; k++) {
            char *stop = strchr(streams[k], '\n');
            assert_non_null(stop);
            assert_ok(hora_json_parse(&got, streams[k], (size_t)(stop - streams[k]), "output"));
            if (!hora_json_equal(got, hora_json_get(c, keys[k])))
                fail_msg("%s line %d: %s differ: %.*s", name, n + 1, keys[k],
                         (int)(stop - streams[k]), streams[k]);
            hora_json_free(got);
            streams[k] = stop + 1;
        }
        s = streams[0];
        p = streams[1];
        d = streams[2];
        hora_json_free(c);
    }
    assert_true(n > 300);
    hora_str_release(&want);
    hora_str_release(&special);
    hora_str_release(&plain);
    hora_str_release(&decoded);
    hora_free(relative);
}

static void test_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(folders); i++)
        folder_case(folders[i]);
}

static void test_forms(void **state) {
    (void)state;
    const char *m = tiny_model();
    const char *file = tiny_file("t.txt", "a\nb");
    tool_check(0, "[0, 68, 2, 69]\n", "", "tokenize --model '%s' --text 'a b'", m);
    tool_check(0, "[0, 68, 3, 69]\n", "", "tokenize --model '%s' --file '%s'", m, file);
    tool_check(0, "[68, 3, 69]\n", "", "tokenize --model '%s' --file '%s' --no-special", m, file);
    tool_check(0, "a b\n", "", "tokenize --model '%s' --decode --text '[0, 68, 2, 69]'", m);
    tool_check(0, "<s>a\n", "", "tokenize --model '%s' --decode --keep-special --text '[0, 68]'",
               m);
    tool_check(0, "\"a\\nb\"\n", "", "tokenize --model '%s' --decode --json --text '[68, 3, 69]'",
               m);
    tool_check(0, "a\nb\n", "", "tokenize --model '%s' --decode --file '%s'", m,
               tiny_file("ids.jsonl", "[68]\n\n[69]\n"));
}

static void test_refusals(void **state) {
    (void)state;
    const char *m = tiny_model();
    tool_check(4, "", "ids.jsonl:2", "tokenize --model '%s' --decode --file '%s'", m,
               tiny_file("ids.jsonl", "[68]\n[100000]\n"));
    tool_check(4, "", "no string `text`", "tokenize --model '%s' --jsonl '%s'", m,
               tiny_file("x.jsonl", "{\"txt\": 1}\n"));
    tool_check(4, "", "is empty", "tokenize --model '%s' --jsonl '%s'", m,
               tiny_file("e.jsonl", ""));
    tool_check(8, "", "tokenizer", "tokenize --model '%s' --text x", hora_test_tmp());
    tool_check(4, "", "UTF-8", "tokenize --model '%s' --file '%s'", m, tiny_file("b.txt", "a\xff"));
}

HORA_TESTS(cli_tokenize, {"ids of the reference library", test_reference, HORA_MEDIUM},
           {"text, file, lines, decoding", test_forms, HORA_SHORT},
           {"refusals", test_refusals, HORA_SHORT});
