#ifndef HORA_TESTS_DATA_KIT_H
#define HORA_TESTS_DATA_KIT_H
/* What tests of data work with: a tokenizer of single characters, files written from text. */
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/data_impl.h"
#include "hora_test.h"
#include "task/task.h"
#include "tiny_tokenizer.h"

/* What a test works with: the tiny tokenizer, its template, a configuration without surprises. */
typedef struct kit {
    hora_tokenizer *tok;
    hora_template *tmpl;
    hora_data_config cfg;
} kit;

static inline kit set_up(void) {
    kit k = {.cfg = {.seq_len = 64}};
    k.tok = tiny_tokenizer();
    assert_ok(hora_template_open(&k.tmpl, tiny_chat, strlen(tiny_chat), "tiny chat"));
    return k;
}

static inline void take_down(kit *k) {
    hora_template_close(k->tmpl);
    hora_tokenizer_close(k->tok);
}

static inline hora_status open_bytes(hora_dataset **d, const kit *k, const char *name,
                                     const char *text, size_t n) {
    char *path = hora_path_join(hora_test_tmp(), name);
    assert_ok(hora_file_write(path, text, n));
    *d = NULL;
    hora_status s =
        hora_dataset_open(d, path, k->tok, k->tmpl, &k->cfg, &hora_objective_causal()->rule);
    hora_free(path);
    return s;
}

static inline hora_status open_text(hora_dataset **d, const kit *k, const char *name,
                                    const char *text) {
    return open_bytes(d, k, name, text, strlen(text));
}

static inline hora_dataset *opened(const kit *k, const char *name, const char *text) {
    hora_dataset *d;
    assert_ok(open_text(&d, k, name, text));
    return d;
}

/* The text of one sequence. */
static inline void sequence_is(const hora_dataset *d, const hora_tokenizer *tok, int64_t at,
                               const char *text, size_t n) {
    hora_batch b;
    hora_str got = {0};
    assert_ok(hora_batch_init(&b, 256, NULL));
    assert_ok(hora_data_fill(d, at, 1, at + 1, true, &b));
    assert_ok(hora_tokenizer_decode(tok, b.ids, (size_t)b.tokens, false, &got));
    assert_int_equal(got.n, n);
    assert_memory_equal(got.s, text, n);
    for (int64_t i = 0; i + 1 < b.tokens; i++)
        assert_int_equal(b.target[i], b.ids[i + 1]);
    assert_int_equal(b.target[b.tokens - 1], -1);
    hora_str_release(&got);
    hora_batch_release(&b);
}
#endif
