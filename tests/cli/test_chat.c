/* A conversation through a pipe: history, commands, what is shown. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

/* Answers, an element each, to the lines in `says`. */
static hora_json *talk(const char *says, const char *options) {
    char *command = hora_format("printf '%s' | %s chat --model '%s' --max-new-tokens 6 --json %s",
                                says, hora_test_tool(), tiny_model(), options);
    hora_str out = {0}, err = {0};
    hora_json *list = hora_json_new_array();
    if (hora_test_run(command, &out, &err))
        fail_msg("%s: %s", command, err.s ? err.s : "");
    for (char *line = strtok(out.s ? out.s : (char[]){""}, "\n"); line; line = strtok(NULL, "\n")) {
        hora_json *v;
        assert_ok(hora_json_parse(&v, line, strlen(line), "an answer"));
        hora_json_push(list, v);
    }
    hora_str_release(&out);
    hora_str_release(&err);
    hora_free(command);
    return list;
}

static const char *text_at(const hora_json *list, size_t i) {
    return hora_json_string(hora_json_get(hora_json_at(list, i), "text"), NULL);
}

/* The same conversation as a file for generate. */
static const char *generated(hora_json **own, const char *messages) {
    *own = tool_json("generate --model '%s' --chat '%s' --max-new-tokens 6 --json", tiny_model(),
                     tiny_file("talk.json", messages));
    return hora_json_string(hora_json_get(*own, "text"), NULL);
}

static void test_history(void **state) {
    (void)state;
    hora_json *one, *two, *all = talk("Hi\\nAnd?\\n\\n/reset\\nHi\\n", "");
    assert_int_equal((int)hora_json_len(all), 3);
    assert_string_equal(text_at(all, 0),
                        generated(&one, "[{\"role\": \"user\", \"content\": \"Hi\"}]"));
    hora_json *m = hora_json_new_array();
    static const char *const roles[] = {"user", "assistant", "user"};
    const char *said[] = {"Hi", text_at(all, 0), "And?"};
    for (size_t i = 0; i < 3; i++) {
        hora_json *o = hora_json_push(m, hora_json_new_object());
        hora_json_set(o, "role", hora_json_new_string(roles[i]));
        hora_json_set(o, "content", hora_json_new_string(said[i]));
    }
    hora_str text = {0};
    hora_json_dump(m, 0, false, &text);
    assert_string_equal(text_at(all, 1), generated(&two, text.s));
    assert_string_equal(text_at(all, 2), text_at(all, 0));
    hora_str_release(&text);
    hora_json *owned[] = {one, two, all, m};
    for (size_t i = 0; i < HORA_COUNT(owned); i++)
        hora_json_free(owned[i]);
}

static void test_adapter(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "adapter");
    tool_check(
        0, NULL, NULL,
        "train --model '%s' --data '%s' --out '%s' --method lora --steps 8 --lr 0.1 --seq-len 16",
        tiny_model(), tiny_file("x.txt", "zzzz zzzz zzzz zzzz zzzz zzzz zzzz zzzz"), out);
    char *with = hora_format("--adapter '%s'", out);
    hora_json *base = talk("Hi\\n", "");
    hora_json *both = talk("Hi\\n/adapter off\\n/reset\\nHi\\n/adapter on\\n/reset\\nHi\\n", with);
    assert_int_equal((int)hora_json_len(both), 3);
    assert_string_equal(text_at(both, 1), text_at(base, 0));
    assert_string_not_equal(text_at(both, 0), text_at(base, 0));
    assert_string_equal(text_at(both, 2), text_at(both, 0));
    /* with itself taken off again, which is called by its folder and a number */
    char *twice = hora_format("--adapter '%s' --adapter '%s:-1'", out, out);
    hora_json *two =
        talk("Hi\\n/adapter adapter-2 off\\n/reset\\nHi\\n/adapter adapter 0\\n/reset\\nHi"
             "\\n/adapter nobody on\\n/adapter adapter 1\\n/reset\\nHi\\n",
             twice);
    assert_string_equal(text_at(two, 0), text_at(base, 0));
    assert_string_equal(text_at(two, 1), text_at(both, 0));
    assert_string_equal(text_at(two, 2), text_at(base, 0));
    assert_string_equal(text_at(two, 3), text_at(both, 0));
    hora_json_free(two);
    hora_free(twice);
    hora_json_free(base);
    hora_json_free(both);
    hora_free(with);
}

static void test_lines(void **state) {
    (void)state;
    hora_json *joined = talk("a\\\\\\nb\\n", ""), *none = talk("/quit\\nHi\\n", "");
    assert_int_equal((int)hora_json_len(joined), 1);
    assert_int_equal((int)hora_json_len(none), 0);
    hora_json *want;
    assert_string_equal(text_at(joined, 0),
                        generated(&want, "[{\"role\": \"user\", \"content\": \"a\\nb\"}]"));
    char *pipe =
        hora_format("printf '/what\\n/help\\nHi' | %s chat --model '%s' --max-new-tokens 3",
                    hora_test_tool(), tiny_model());
    hora_str out = {0}, err = {0};
    assert_int_equal(hora_test_run(pipe, &out, &err), 0);
    assert_non_null(strstr(err.s, "no command /what"));
    assert_non_null(strstr(err.s, "/adapter"));
    assert_true(out.n > 0 && out.s[out.n - 1] == '\n' && !strstr(out.s, "> "));
    hora_free(pipe);
    hora_str_release(&out);
    hora_str_release(&err);
    hora_json_free(joined);
    hora_json_free(none);
    hora_json_free(want);
}

/* What does not fit is taken back; the conversation goes on. */
static void test_too_long(void **state) {
    (void)state;
    char says[TINY_POSITIONS + 20];
    memset(says, 'x', TINY_POSITIONS);
    memcpy(says + TINY_POSITIONS, "\\nHi\\n", 7);
    hora_json *long_one = talk(says, ""), *plain = talk("Hi\\n", "");
    assert_int_equal((int)hora_json_len(long_one), 1);
    assert_string_equal(text_at(long_one, 0), text_at(plain, 0));
    hora_json_free(long_one);
    hora_json_free(plain);
}

static void test_refused(void **state) {
    (void)state;
    const char *m = tiny_model();
    tool_check(2, "", "--model is missing", "chat </dev/null");
    assert_ok(hora_file_write(hora_test_path(m, "tokenizer_config.json"), "{}", 2));
    tool_check(8, "", "no chat template", "chat --model '%s' </dev/null", m);
}

HORA_TESTS(cli_chat, {"history, reset", test_history, HORA_SHORT},
           {"the adapter on and off", test_adapter, HORA_SHORT},
           {"lines and commands", test_lines, HORA_SHORT},
           {"what is too long is taken back", test_too_long, HORA_SHORT},
           {"refusals", test_refused, HORA_SHORT});
