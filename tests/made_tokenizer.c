#include "made_tokenizer.h"

#include <string.h>

#include "base/file.h"

char *made_quoted(const char *s) {
    char *copy = hora_strdup(s);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    return copy;
}

hora_status made_open_in(hora_tokenizer **t, const char *name, const void *data, size_t n,
                         const char *config) {
    const char *dir = hora_test_tmp();
    char *path = hora_path_join(dir, name), *beside = hora_path_join(dir, "tokenizer_config.json");
    assert_ok(hora_file_write(path, data, n));
    if (config) {
        char *json = made_quoted(config);
        assert_ok(hora_file_write(beside, json, strlen(json)));
        hora_free(json);
    }
    hora_status st = hora_tokenizer_open(t, dir);
    hora_free(path);
    hora_free(beside);
    return st;
}

hora_status made_open(hora_tokenizer **t, const char *text) {
    char *json = made_quoted(text);
    hora_status st = made_open_in(t, "tokenizer.json", json, strlen(json), NULL);
    hora_free(json);
    return st;
}

hora_tokenizer *made_tokenizer(const char *text) {
    hora_tokenizer *t = NULL;
    assert_ok(made_open(&t, text));
    return t;
}

void made_tokens_are(const hora_tokenizer *t, const char *text, bool special, const char *want) {
    hora_ids ids = {0};
    hora_str got = {0};
    assert_ok(hora_tokenizer_encode(t, text, strlen(text), special, &ids));
    for (size_t i = 0; i < ids.n; i++)
        hora_str_printf(&got, "%s%s", i ? "|" : "", hora_tokenizer_token(t, ids.at[i]));
    assert_string_equal(got.s ? got.s : "", want);
    hora_ids_release(&ids);
    hora_str_release(&got);
}

void made_decodes_to(const hora_tokenizer *t, const char *const *tokens, int n, bool stable,
                     const char *want) {
    hora_ids ids = {0};
    hora_str got = {0};
    for (int i = 0; i < n; i++) {
        int32_t id = hora_tokenizer_id(t, tokens[i]);
        assert_true(id >= 0);
        hora_ids_push(&ids, id);
    }
    assert_ok(stable ? hora_tokenizer_decode_stable(t, ids.at, ids.n, true, &got)
                     : hora_tokenizer_decode(t, ids.at, ids.n, true, &got));
    assert_string_equal(got.s ? got.s : "", want);
    hora_ids_release(&ids);
    hora_str_release(&got);
}
