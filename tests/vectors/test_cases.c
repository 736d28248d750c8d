/*
 * Records and templates of the world that once went wrong (../shared/cases): each becomes the rows
 * that its case.json expects, read with the tokenizer of examples/tiny.
 */
#include "hora_test.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/data.h"

typedef struct kit {
    hora_tokenizer *tok;
    hora_template *tmpl;
    hora_dataset *d;
    hora_json *expect, *all;
} kit;

static void path_of(char *out, size_t n, const char *name, const char *file) {
    char rel[200];
    snprintf(rel, sizeof rel, "cases/%s/%s", name, file);
    snprintf(out, n, "%s", hora_test_shared(rel));
}

static kit opened(const char *name) {
    kit k = {0};
    char path[1024];
    hora_str source = {0};
    hora_data_config c = {.seq_len = 1024, .date = "2026-01-31"};
    path_of(path, sizeof path, name, "case.json");
    assert_ok(hora_json_load(&k.all, path));
    k.expect = (hora_json *)(void *)(uintptr_t)hora_json_get(k.all, "expect");
    assert_ok(hora_tokenizer_open(&k.tok, hora_test_source("examples/tiny/base")));
    path_of(path, sizeof path, name, "");
    char *file = hora_path_join(path, "chat_template.jinja");
    if (hora_path_exists(file)) {
        assert_ok(hora_file_read(&source, file));
        assert_ok(hora_template_open(&k.tmpl, source.s, source.n, name));
        assert_ok(hora_template_date(k.tmpl, c.date));
    }
    hora_free(file);
    hora_str_release(&source);
    path_of(path, sizeof path, name, "data.jsonl");
    assert_ok(hora_dataset_open(&k.d, path, k.tok, k.tmpl, &c, &hora_objective_causal()->rule));
    return k;
}

static void closed(kit *k) {
    hora_dataset_close(k->d);
    hora_template_close(k->tmpl);
    hora_tokenizer_close(k->tok);
    hora_json_free(k->all);
}

/* `text` with the pieces in [[ ]], each found behind the one before. */
static void marked(hora_str *out, const char *text, const hora_json *pieces) {
    for (size_t i = 0; i < hora_json_len(pieces); i++) {
        const char *piece = hora_json_string(hora_json_at(pieces, i), NULL),
                   *at = strstr(text, piece);
        assert_non_null(at);
        hora_str_add(out, text, (size_t)(at - text));
        hora_str_printf(out, "[[%s]]", piece);
        text = at + strlen(piece);
    }
    hora_str_puts(out, text);
}

static void row_shows(const kit *k, int64_t row, const char *want) {
    hora_str got = {0};
    assert_ok(hora_data_show(k->d, row, &got));
    assert_string_equal(got.s, want);
    hora_str_release(&got);
}

/* expect.text and expect.supervised: of one record, or lists of one per record. */
static void texts(const char *name) {
    kit k = opened(name);
    const hora_json *text = hora_json_get(k.expect, "text"),
                    *pieces = hora_json_get(k.expect, "supervised");
    bool several = hora_json_type(text) == HORA_JARRAY;
    int64_t n = several ? (int64_t)hora_json_len(text) : 1;
    assert_int_equal(hora_data_about(k.d)->records, n);
    for (int64_t i = 0; i < n; i++) {
        hora_str want = {0};
        marked(&want, hora_json_string(several ? hora_json_at(text, (size_t)i) : text, NULL),
               several ? hora_json_at(pieces, (size_t)i) : pieces);
        row_shows(&k, i, want.s);
        hora_str_release(&want);
    }
    closed(&k);
}

static void masks(void **state) {
    (void)state;
    static const char *const names[] = {"mask-assistant-speaks-first",
                                        "mask-eos-behind-last-message",
                                        "mask-generation-tags",
                                        "mask-prefilled-generation-prompt",
                                        "record-conversations-role-content",
                                        "record-message-weight-zero",
                                        "record-prompt-completion-messages",
                                        "record-sharegpt-system-key"};
    for (size_t i = 0; i < HORA_COUNT(names); i++)
        texts(names[i]);
}

/* A row per turn, each as the model sees it when it answers. */
static void thinking_dropped(void **state) {
    (void)state;
    kit k = opened("mask-earlier-thinking-dropped");
    const hora_json *turns = hora_json_get(k.expect, "turns");
    assert_int_equal(hora_data_about(k.d)->sequences, hora_json_len(turns));
    assert_int_equal(hora_data_about(k.d)->records, 1);
    for (size_t i = 0; i < hora_json_len(turns); i++) {
        const hora_json *t = hora_json_at(turns, i);
        hora_str want = {0};
        hora_str_printf(&want, "%s[[%s]]", hora_json_string(hora_json_get(t, "prompt"), NULL),
                        hora_json_string(hora_json_get(t, "completion"), NULL));
        row_shows(&k, (int64_t)i, want.s);
        hora_str_release(&want);
    }
    closed(&k);
}

static void tools_as_text(void **state) {
    (void)state;
    kit k = opened("record-tools-as-json-text");
    const char *text = hora_json_string(hora_json_get(k.expect, "text"), NULL);
    hora_str want = {0}, got = {0};
    assert_ok(hora_data_show(k.d, 0, &got));
    for (char *s = got.s; *s; s++) /* the text, whatever of it counts */
        if (strncmp(s, "[[", 2) != 0 && strncmp(s, "]]", 2) != 0)
            hora_str_putc(&want, *s);
        else
            s++;
    assert_string_equal(want.s, text);
    assert_true(hora_ends(got.s, "[[d f k<|end|>\n]]"));
    hora_str_release(&want);
    hora_str_release(&got);
    closed(&k);
}

static void one_bos(void **state) {
    (void)state;
    kit k = opened("record-text-with-bos");
    row_shows(&k, 0, "[[<s>rotate: k d = d k</s>]]");
    row_shows(&k, 1, "<s>rotate: k d =[[ d k</s>]]");
    assert_int_equal(hora_data_about(k.d)->bos, 2);
    closed(&k);
}

static void date(void **state) {
    (void)state;
    kit k = opened("jinja-strftime-now");
    hora_str got = {0};
    assert_ok(hora_data_show(k.d, 0, &got));
    assert_true(hora_starts(got.s, "Today: 31 Jan 2026\n"));
    hora_str_release(&got);
    closed(&k);
}

static void pretty_printed(void **state) {
    (void)state;
    char path[1024];
    hora_tokenizer *tok;
    hora_dataset *d;
    hora_data_config c = {.seq_len = 64};
    path_of(path, sizeof path, "record-pretty-printed", "data.jsonl");
    assert_ok(hora_tokenizer_open(&tok, hora_test_source("examples/tiny/base")));
    assert_fails(hora_dataset_open(&d, path, tok, NULL, &c, &hora_objective_causal()->rule),
                 HORA_EFORMAT, "this record goes on in the next line");
    hora_tokenizer_close(tok);
}

static void cut_off(void **state) {
    (void)state;
    char path[1024];
    hora_tokenizer *tok;
    hora_dataset *d;
    hora_data_config c = {.seq_len = 128};
    hora_str notes = {0};
    path_of(path, sizeof path, "record-answer-cut-off", "data.jsonl");
    assert_ok(hora_tokenizer_open(&tok, hora_test_source("examples/tiny/base")));
    assert_ok(hora_dataset_open(&d, path, tok, NULL, &c, &hora_objective_causal()->rule));
    hora_data_notes(d, &notes);
    assert_string_equal(notes.s,
                        "4 of 5 records were left out: what is to be learned lies behind the "
                        "first 128 tokens");
    assert_int_equal(hora_data_about(d)->skipped, 0);
    hora_str_release(&notes);
    hora_dataset_close(d);
    hora_tokenizer_close(tok);
}

/* Ids of texts.jsonl: as expected, or as expect.rows[..].also_right. */
static void added_tokens(const char *name) {
    char path[1024];
    hora_tokenizer *t;
    hora_json *all;
    int64_t eos;
    path_of(path, sizeof path, name, "case.json");
    assert_ok(hora_json_load(&all, path));
    const hora_json *expect = hora_json_get(all, "expect"), *rows = hora_json_get(expect, "rows");
    path_of(path, sizeof path, name, "model");
    assert_ok(hora_tokenizer_open(&t, path));
    for (size_t i = 0; i < hora_json_len(rows); i++) {
        const hora_json *r = hora_json_at(rows, i);
        hora_json *got = hora_json_new_array();
        hora_ids ids = {0};
        size_t n;
        const char *text = hora_json_string(hora_json_get(r, "text"), &n);
        assert_ok(hora_tokenizer_encode(t, text, n, false, &ids));
        for (size_t k = 0; k < ids.n; k++)
            hora_json_push(got, hora_json_new_int(ids.at[k]));
        assert_true(hora_json_equal(got, hora_json_get(r, "ids")) ||
                    hora_json_equal(got, hora_json_get(r, "also_right")));
        hora_json_free(got);
        hora_ids_release(&ids);
    }
    if (hora_json_int(hora_json_get(expect, "eos"), &eos))
        assert_int_equal(hora_tokenizer_eos(t), eos);
    hora_tokenizer_close(t);
    hora_json_free(all);
}

static void tokens(void **state) {
    (void)state;
    added_tokens("tokenizer-config-adds-tokens");
    added_tokens("tokenizer-model-with-added-tokens-json");
}

HORA_TESTS(vectors_cases, {"what counts", masks, HORA_SHORT},
           {"earlier thinking dropped", thinking_dropped, HORA_SHORT},
           {"tools as JSON text", tools_as_text, HORA_SHORT},
           {"text that begins with BOS", one_bos, HORA_SHORT}, {"the date", date, HORA_SHORT},
           {"records over several lines", pretty_printed, HORA_SHORT},
           {"answers cut off", cut_off, HORA_SHORT},
           {"tokens that files beside add", tokens, HORA_SHORT});
