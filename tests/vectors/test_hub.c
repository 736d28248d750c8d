/*
 * Chat templates built as those of the hub are (tests/vectors/template/hub, our own; ../shared):
 * they render what Jinja renders, their cuts are what renderings of their own are, and of
 * conversations of each kind the masks hold what the assistant says and nothing of what others say.
 * Prints the table of docs/formats/data.md.
 */
#include "task/task.h"
#include "template_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/data.h"

enum { KINDS = 4, MOST = 512 };
static const char *const kinds[KINDS] = {"one exchange", "three exchanges", "with tool calls",
                                         "assistant first"};
typedef struct table {
    int all[KINDS], usable[KINDS];
} table;

static hora_json *lines_of(const char *name) {
    hora_str text = {0};
    hora_json *all = hora_json_new_array();
    char *path = hora_path_join(hora_test_source("tests/vectors/template/hub"), name);
    assert_ok(hora_file_read(&text, path));
    for (char *s = text.s, *end; s && *s; s = end + 1) {
        hora_json *r;
        end = strchr(s, '\n');
        assert_ok(hora_json_parse(&r, s, (size_t)(end - s), name));
        hora_json_push(all, r);
    }
    hora_free(path);
    hora_str_release(&text);
    return all;
}

static const char *str(const hora_json *o, const char *key) {
    return hora_json_string(hora_json_get(o, key), NULL);
}
static int64_t num(const hora_json *o, const char *key) {
    int64_t v = -1;
    hora_json_int(hora_json_get(o, key), &v);
    return v;
}

static hora_template *open_file(const char *path) {
    hora_str source = {0};
    hora_template *t;
    assert_ok(hora_file_read(&source, path));
    assert_ok(hora_template_open(&t, source.s, source.n, path));
    assert_ok(hora_template_date(t, "2026-01-31T18:05:09"));
    hora_str_release(&source);
    return t;
}

static hora_template *open_own(const char *name) {
    char rel[200];
    snprintf(rel, sizeof rel, "tests/vectors/template/hub/%s.jinja", name);
    return open_file(hora_test_source(rel));
}

static hora_json *variables(const hora_json *conversation, bool prompt) {
    hora_json *vars = hora_json_new_object();
    static const char *const keys[] = {"messages", "tools", "documents"};
    for (size_t i = 0; i < HORA_COUNT(keys); i++) {
        const hora_json *v = hora_json_get(conversation, keys[i]);
        hora_json_set(vars, keys[i], v ? hora_json_copy(v) : hora_json_new_null());
    }
    hora_json_set(vars, "add_generation_prompt", hora_json_new_bool(prompt));
    hora_json_set(vars, "bos_token", hora_json_new_string("<s>"));
    hora_json_set(vars, "eos_token", hora_json_new_string("</s>"));
    return vars;
}

/* ---- text ---- */
static void renderings(void **state) {
    (void)state;
    hora_json *talks = lines_of("conversations.jsonl"), *want = lines_of("rendered.jsonl");
    size_t bad = 0, rendered = 0;
    for (size_t i = 0; i < hora_json_len(want); i++) {
        const hora_json *r = hora_json_at(want, i);
        const char *text = str(r, "rendered");
        bool prompt = false;
        hora_json_bool(hora_json_get(r, "prompt"), &prompt);
        hora_template *t = open_own(str(r, "template"));
        hora_json *vars = variables(hora_json_at(talks, (size_t)num(r, "conversation")), prompt);
        hora_str got = {0};
        hora_status s = hora_template_render(t, vars, &got);
        if (text ? s || strcmp(got.s, text) != 0 : !s) {
            print_error("%s, conversation %d: %s\n wanted %s\n", str(r, "template"),
                        (int)num(r, "conversation"), s ? hora_errmsg() : got.s,
                        text ? text : "an error");
            bad++;
        }
        rendered += text != NULL;
        hora_str_release(&got);
        hora_json_free(vars);
        hora_template_close(t);
    }
    assert_int_equal(bad, 0);
    assert_true(rendered > 800);
    hora_json_free(talks);
    hora_json_free(want);
}

/* ---- cuts ---- */
static void cuts_of(const char *name, const hora_json *conversation) {
    hora_template *t = open_own(name);
    hora_json *vars = variables(conversation, false);
    int n = 0, messages = (int)hora_json_len(hora_json_get(vars, "messages"));
    hora_cut cuts[MOST] = {{0}};
    hora_str whole = {0};
    for (int k = 0; k <= messages; k++)
        for (int prompt = 1; prompt >= 0; prompt--)
            cuts[n++] = (hora_cut){.turns = k, .prompt = prompt};
    if (hora_template_render_cuts(t, vars, &whole, NULL, cuts, n) == HORA_OK)
        for (int i = 0; i < n; i++) {
            hora_str text = {0};
            hora_status s =
                hora_template_render_turns(t, vars, cuts[i].turns, cuts[i].prompt, &text, NULL);
            size_t shared = cuts[i].shared, tail = cuts[i].tail.n;
            bool same = s ? cuts[i].failed != NULL
                          : !cuts[i].failed && text.n == shared + tail &&
                                !memcmp(text.s, whole.s, shared) &&
                                (!tail || !memcmp(text.s + shared, cuts[i].tail.s, tail));
            if (!same)
                fail_msg("%s: the cut of %d messages (prompt %d) differs", name, (int)cuts[i].turns,
                         cuts[i].prompt);
            hora_str_release(&text);
        }
    for (int i = 0; i < n; i++)
        hora_cut_release(&cuts[i]);
    hora_str_release(&whole);
    hora_json_free(vars);
    hora_template_close(t);
}

static void cuts(void **state) {
    (void)state;
    hora_json *talks = lines_of("conversations.jsonl"), *want = lines_of("rendered.jsonl");
    for (size_t i = 0; i < hora_json_len(want); i += 2) /* with and without prompt */
        cuts_of(str(hora_json_at(want, i), "template"),
                hora_json_at(talks, (size_t)num(hora_json_at(want, i), "conversation")));
    hora_json_free(talks);
    hora_json_free(want);
}

/* ---- cuts of long conversations ---- */

static hora_json *say(hora_json *messages, const char *role, const char *content) {
    hora_json *m = hora_json_push(messages, hora_json_new_object());
    hora_json_set(m, "role", hora_json_new_string(role));
    hora_json_set(m, "content", hora_json_new_string(content));
    return m;
}

/* Few words, so that messages are equal now and then; calls, results, thinking, null. */
static hora_json *long_talk(dice *d, int turns, bool tools) {
    static const char *const words[] = {"yes", "no", "<think>\nw\n</think>\n\nok", "one two", ""};
    hora_json *talk = hora_json_new_object();
    hora_json *messages = hora_json_set(talk, "messages", hora_json_new_array());
    if (roll(d, 2))
        say(messages, "system", "be kind");
    for (int i = 0; i < turns; i++) {
        hora_json *m;
        say(messages, "user", words[roll(d, 2)]);
        for (int calls = tools ? roll(d, 3) : 0; calls > 0; calls--) {
            static const char one[] =
                "[{\"id\": \"abcde1234\", \"type\": \"function\", \"function\": {\"name\": "
                "\"rotate\", \"arguments\": {\"letters\": \"kdf\"}}}]";
            hora_json *list;
            m = say(messages, "assistant", "");
            assert_ok(hora_json_parse(&list, one, sizeof one - 1, "calls"));
            hora_json_set(m, "tool_calls", list);
            m = say(messages, "tool", words[roll(d, 2)]);
            hora_json_set(m, "tool_call_id", hora_json_new_string("abcde1234"));
        }
        m = say(messages, "assistant", words[roll(d, 5)]);
        if (!roll(d, 4))
            hora_json_set(m, "reasoning_content", hora_json_new_string("why"));
    }
    static const char tool[] =
        "[{\"type\": \"function\", \"function\": {\"name\": \"rotate\", \"description\": "
        "\"turns\", "
        "\"parameters\": {\"type\": \"object\", \"properties\": {\"letters\": {\"type\": "
        "\"string\"}}}}}]";
    hora_json *list;
    assert_ok(hora_json_parse(&list, tool, sizeof tool - 1, "tools"));
    if (tools)
        hora_json_set(talk, "tools", list);
    else
        hora_json_free(list);
    return talk;
}

static void long_cuts(void **state) {
    (void)state;
    hora_json *want = lines_of("rendered.jsonl");
    dice d = {7};
    const char *last = "";
    for (size_t i = 0; i < hora_json_len(want); i++) {
        const char *name = str(hora_json_at(want, i), "template");
        for (int k = 0; k < 6 && strcmp(name, last) != 0; k++) {
            hora_json *talk = long_talk(&d, 3 + 5 * k, k % 2);
            cuts_of(name, talk);
            hora_json_free(talk);
        }
        last = name;
    }
    hora_json_free(want);
}

/* ---- masks ---- */
/* What counts in row i, and all of its text. */
static void row_text(const hora_dataset *d, int64_t row, hora_str *counts, hora_str *all) {
    hora_json *j;
    assert_ok(hora_data_sequence_json(d, row, &j));
    const hora_json *runs = hora_json_get(j, "runs");
    for (size_t i = 0; i < hora_json_len(runs); i++) {
        bool on = false;
        const char *s = str(hora_json_at(runs, i), "text");
        hora_json_bool(hora_json_get(hora_json_at(runs, i), "supervised"), &on);
        hora_str_puts(all, s);
        hora_str_puts(counts, on ? s : "|");
    }
    hora_json_free(j);
}

/* The word of capitals and a digit that a message says. */
static bool word_of(const hora_json *message, char *word, size_t n) {
    const char *s = str(message, "content");
    const char *end = s ? strstr(s, "</think>") : NULL; /* what was thought may be dropped */
    s = end ? end : s;
    while (s && *s && !(*s >= 'A' && *s <= 'Z'))
        s++;
    size_t k = s ? strcspn(s, " \n") : 0;
    if (!s || !k || k >= n)
        return false;
    memcpy(word, s, k);
    word[k] = 0;
    return true;
}

/* Nothing of others counts; the last answer does, and every other whose turn is no context. */
static void check_masks(const hora_dataset *d, const hora_json *messages, const char *what) {
    hora_str every = {0};
    char word[64];
    for (int64_t i = 0; i < hora_data_about(d)->sequences; i++) {
        hora_str counts = {0}, all = {0};
        row_text(d, i, &counts, &all);
        static const char *const others[] = {"QUESTION", "SYSTEM", "RESULT"};
        for (size_t k = 0; k < HORA_COUNT(others); k++)
            if (strstr(counts.s, others[k]))
                fail_msg("%s: %s counts in\n%s\n%s", what, others[k], counts.s, all.s);
        hora_str_puts(&every, counts.s);
        hora_str_release(&counts);
        hora_str_release(&all);
    }
    int64_t context = hora_data_about(d)->told.context;
    for (size_t i = hora_json_len(messages); i-- > 0;) {
        const hora_json *m = hora_json_at(messages, i);
        if (strcmp(str(m, "role"), "assistant") != 0 || !word_of(m, word, sizeof word) ||
            strstr(every.s, word))
            continue;
        if (context-- <= 0)
            fail_msg("%s: %s does not count in\n%s", what, word, every.s);
    }
    hora_str_release(&every);
}

static int kind_of(const hora_json *conversation) {
    int k = 0;
    while (strcmp(kinds[k], str(conversation, "kind")) != 0)
        k++;
    return k;
}

static void use(const hora_tokenizer *tok, const hora_template *t, const char *name,
                const hora_json *talks, table *sum) {
    for (size_t i = 0; i < hora_json_len(talks); i++) {
        const hora_json *talk = hora_json_at(talks, i);
        hora_json *vars = variables(talk, false);
        hora_str text = {0}, line = {0};
        hora_status s = hora_template_render(t, vars, &text);
        hora_json_free(vars);
        hora_str_release(&text);
        if (s)
            continue; /* the template has no words for such a conversation */
        int k = kind_of(talk);
        sum->all[k]++;
        hora_json_dump(talk, 0, false, &line);
        char *path = hora_path_join(hora_test_tmp(), "one.jsonl");
        assert_ok(hora_file_write(path, line.s, line.n));
        hora_data_config c = {.seq_len = 4096};
        hora_dataset *d;
        s = hora_dataset_open(&d, path, tok, t, &c, &hora_objective_causal()->rule);
        if (!s) {
            char what[200];
            snprintf(what, sizeof what, "%s, conversation %zu", name, i);
            check_masks(d, hora_json_get(talk, "messages"), what);
            sum->usable[k]++;
            hora_dataset_close(d);
        } else {
            print_message("%s, conversation %zu: %s\n", name, i, hora_errmsg());
        }
        hora_free(path);
        hora_str_release(&line);
    }
}

static void print_table(const char *what, const table *t) {
    print_message("%s:", what);
    for (int k = 0; k < KINDS; k++)
        print_message("  %s %d of %d (%.0f %%)", kinds[k], t->usable[k], t->all[k],
                      t->all[k] ? 100.0 * t->usable[k] / t->all[k] : 0);
    print_message("\n");
    for (int k = 0; k < KINDS; k++)
        assert_true(100 * t->usable[k] >= 97 * t->all[k]);
}

static void own_masks(void **state) {
    (void)state;
    hora_json *talks = lines_of("conversations.jsonl"), *want = lines_of("rendered.jsonl");
    hora_tokenizer *tok;
    table sum = {{0}, {0}};
    const char *last = "";
    assert_ok(hora_tokenizer_open(&tok, hora_test_source("examples/tiny/base")));
    for (size_t i = 0; i < hora_json_len(want); i++) {
        const char *name = str(hora_json_at(want, i), "template");
        if (!strcmp(name, last))
            continue;
        last = name;
        hora_template *t = open_own(name);
        use(tok, t, name, talks, &sum);
        hora_template_close(t);
    }
    print_table("templates of the project", &sum);
    hora_tokenizer_close(tok);
    hora_json_free(talks);
    hora_json_free(want);
}

static void shared_masks(void **state) {
    (void)state;
    static const char *const names[] = {"chatml", "llama2", "llama3", "zephyr", "mistral", "gemma"};
    hora_json *talks = lines_of("conversations.jsonl");
    hora_tokenizer *tok;
    table sum = {{0}, {0}};
    assert_ok(hora_tokenizer_open(&tok, hora_test_source("examples/tiny/base")));
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        char rel[100];
        snprintf(rel, sizeof rel, "templates/%s/template.jinja", names[i]);
        hora_template *t = open_file(hora_test_shared(rel));
        use(tok, t, names[i], talks, &sum);
        hora_template_close(t);
    }
    print_table("templates of ../shared", &sum);
    hora_tokenizer_close(tok);
    hora_json_free(talks);
}

HORA_TESTS(vectors_hub, {"templates built as those of the hub", renderings, HORA_SHORT},
           {"their cuts", cuts, HORA_SHORT},
           {"their cuts of long conversations", long_cuts, HORA_SHORT},
           {"their masks", own_masks, HORA_SHORT},
           {"masks of ../shared/templates", shared_masks, HORA_SHORT});
