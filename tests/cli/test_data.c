/*
 * hora data: sequences with what counts, one record with its ids, the file in numbers; that a
 * conversation with tools is asked as it was trained; the date of a template.
 */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char talk[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
    "\"content\": \"b\"}]}\n";
static const char chat[] = "{{ strftime_now('%d %b') ~ ';' if dated }}{% if tools %}T{{ tools | "
                           "length }}{% endif %}{% for m in "
                           "messages %}<{{ m.role[0] }}>{{ m.content }};{% endfor %}{% if "
                           "add_generation_prompt %}<a>{% endif %}";

/* The tokenizer of examples/tiny with a chat template beside it. */
static const char *with_template(const char *source) {
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "config.json",
                                        "model.safetensors"};
    const char *dir = hora_test_path(hora_test_tmp(), "model");
    assert_ok(hora_mkdirs(dir));
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        hora_str text = {0};
        char *from = hora_path_join(hora_test_source("examples/tiny/base"), files[i]);
        assert_ok(hora_file_read(&text, from));
        assert_ok(hora_file_write(hora_test_path(dir, files[i]), text.s, text.n));
        hora_free(from);
        hora_str_release(&text);
    }
    assert_ok(hora_file_write(hora_test_path(dir, "chat_template.jinja"), source, strlen(source)));
    return dir;
}

static void test_sequences(void **state) {
    (void)state;
    const char *m = hora_test_source("examples/tiny/base");
    const char *file = tiny_file(
        "d.jsonl", "{\"prompt\": \"rotate: k d =\", \"completion\": \" d k\"}\n{\"text\": "
                   "\"k d\\u001b[31m\"}\n{\"prompt\": \"rotate: k d =\", \"completion\": \" d "
                   "k\"}\n");
    hora_str out = {0};
    tool_text(&out, "data '%s' --model '%s'", file, m);
    assert_non_null(strstr(out.s, "rotate: k d =[[ d k</s>]]"));
    assert_non_null(
        strstr(out.s, "--- 3 records (2 completion, 1 text), 3 sequences of at most 256 tokens"));
    assert_non_null(strstr(out.s, "duplicates: 1"));
    assert_null(strchr(out.s, 0x1b)); /* text never speaks to the terminal */
    out.n = 0;
    tool_text(&out, "inspect '%s' --model '%s'", file, m);
    assert_non_null(strstr(out.s, "rotate: k d =[[ d k</s>]]"));
    out.n = 0;
    tool_text(&out, "data '%s' --model '%s' --record 1", file, m);
    assert_non_null(strstr(out.s, "ids: 0 299 118 99 316 60 272 271 258 [[271 272 1]]\n"));
    assert_null(strstr(out.s, "records ("));
    hora_str_release(&out);
    tool_check(2, "", "record 9 has no sequence", "data '%s' --model '%s' --record 9", file, m);
    tool_check(2, "", "--model", "data '%s'", file);
    tool_check(2, "", "no file", "data --model '%s'", m);
}

static void test_numbers(void **state) {
    (void)state;
    const char *m = with_template(chat);
    hora_str lines = {0};
    for (int i = 0; i < 10; i++)
        hora_str_puts(&lines, talk);
    hora_json *r =
        tool_json("data '%s' --model '%s' --seq-len 9 --json", tiny_file("t.jsonl", lines.s), m);
    const hora_json *s = hora_json_get(r, "summary");
    assert_int_equal(tool_number(s, "records"), 10);
    assert_int_equal(tool_number(hora_json_get(s, "kinds"), "messages"), 10);
    assert_int_equal(tool_number(s, "duplicates"), 9);
    assert_int_equal(tool_number(s, "cut_sequences"), 10);
    assert_int_equal(hora_json_len(hora_json_get(r, "shown")), 3);
    assert_true(hora_json_len(hora_json_get(hora_json_at(hora_json_get(r, "shown"), 0), "runs")) >
                1);
    hora_json_free(r);
    hora_str_release(&lines);
}

static void test_chat_with_tools(void **state) {
    (void)state;
    const char *m = with_template(chat);
    const char *file =
        tiny_file("chat.json", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], "
                               "\"tools\": \"[{\\\"name\\\": \\\"f\\\"}]\"}");
    hora_json *r =
        tool_json("generate --model '%s' --chat '%s' --max-new-tokens 1 --json", m, file);
    assert_string_equal(hora_json_string(hora_json_get(r, "prompt"), NULL), "T1<u>a;<a>");
    hora_json_free(r);
    r = tool_json("generate --model '%s' --chat '%s' --max-new-tokens 1 --json --date 2026-01-31 "
                  "--chat-kwargs '{\"dated\": true}'",
                  m, file);
    assert_string_equal(hora_json_string(hora_json_get(r, "prompt"), NULL), "31 Jan;T1<u>a;<a>");
    hora_json_free(r);
    tool_check(2, "", "write 2026-01-31", "generate --model '%s' --chat '%s' --date tomorrow", m,
               file);
    tool_check(2, "", "should be a JSON object",
               "generate --model '%s' --chat '%s' --chat-kwargs '[1]'", m, file);
}

/* The date of a run stands in its recipe, and a resumed run keeps it. */
static void test_date_is_kept(void **state) {
    (void)state;
    const char *m = with_template(
        "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}<{{ m.role[0] "
        "}}>{{ m.content }};{% endfor %}{% if add_generation_prompt %}<a>{% endif %}");
    const char *file = tiny_file("t.jsonl", talk), *out = hora_test_path(hora_test_tmp(), "out");
    hora_str recipe = {0};
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --out '%s' --steps 1 --seq-len 64 --date 2026-01-31 "
               "--method lora",
               m, file, out);
    assert_ok(hora_file_read(&recipe, hora_test_path(out, "recipe.yaml")));
    assert_non_null(
        strstr(recipe.s, "date: \"2026-01-31\"") ? recipe.s : strstr(recipe.s, "date: 2026-01-31"));
    tool_check(0, NULL, NULL, "train --resume --out '%s'", out);
    hora_str_release(&recipe);
}

HORA_TESTS(cli_data,
           {"inspect-shows-the-mask: sequences, a record, refusals", test_sequences, HORA_SHORT},
           {"the file in numbers", test_numbers, HORA_SHORT},
           {"chat-file-with-tools: a conversation with tools, a date", test_chat_with_tools,
            HORA_SHORT},
           {"the date of a run", test_date_is_kept, HORA_SHORT});
