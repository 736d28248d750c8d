/*
 * Adapters whose base got more tokens (files/resized, made by
 * tools/oracle/make_resized_vectors.py): read onto the base as it is, as PEFT saves them with and
 * without modules_to_save; written again, merged, refused.
 */
#include "vectors/golden.h"

#include <string.h>

#include "base/file.h"
#include "base/text.h"

#define CASE   "tests/vectors/files/resized"
#define FOLDER CASE "/adapter"
#define BASE   "tests/vectors/files/tiny_llama/base"
enum { OLD = 97, NEW = 104 };

static hora_base *base_with(const char *dir, const char *adapter) {
    const hora_base_options o = {.dtype = HORA_F32, .adapter = adapter};
    hora_base *b;
    assert_ok(hora_base_open(&b, dir, &o));
    return b;
}

/* Logits of the golden batch of files/`dir` are PEFT's. */
static void logits_of(const char *dir, hora_base *b, hora_adapter *a, const char *what) {
    golden_run r;
    golden_open(&r, b, &a, a ? 1 : 0, hora_test_text("%s/batch.safetensors", dir),
                &(golden_options){0});
    hora_st *want = golden_file(hora_test_text("%s/expect.safetensors", dir));
    assert_int_equal(b->vocab, NEW);
    hora_assert_close(golden_logits(&r), hora_st_find(want, "logits")->view.data,
                      (size_t)(r.batch * r.length * NEW), 1e-4, what);
    hora_st_close(want);
    golden_close(&r);
}

static void check_logits(hora_base *b, hora_adapter *a, const char *what) {
    logits_of("resized", b, a, what);
}

static char *fresh_folder(const char *name) {
    char *dir = hora_path_join(hora_test_tmp(), name);
    assert_ok(hora_mkdirs(dir));
    return dir;
}

/* The golden adapter; `saved`: with modules_to_save and both halves of PEFT's wrapper of each;
 * without the tensor `left_out`. */
static char *variant(const char *name, bool saved, const char *left_out) {
    static const char *const halves[] = {"modules_to_save", "original_module"};
    static const char *const modules[] = {"lm_head", "model.embed_tokens"};
    char *dir = fresh_folder(name), *names[4] = {0};
    char *file = hora_path_join(dir, "adapter_model.safetensors");
    hora_json *c;
    hora_st *st = golden_file("resized/adapter/adapter_model.safetensors");
    hora_st_entry e[32];
    int n = 0;
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        if (!left_out || !strstr(t->name, left_out))
            e[n++] = (hora_st_entry){t->name, t->view, t->view.dtype};
    }
    for (int i = 0; saved && i < 4; i++) {
        char *plain = hora_format("base_model.model.%s.weight", modules[i / 2]);
        names[i] = hora_format("base_model.model.%s.%s.weight", modules[i / 2], halves[i % 2]);
        e[n++] = (hora_st_entry){names[i], hora_st_find(st, plain)->view, HORA_F32};
        hora_free(plain);
    }
    assert_ok(hora_st_write(file, e, n, NULL, 0));
    assert_ok(hora_json_load(&c, hora_test_source(FOLDER "/adapter_config.json")));
    if (saved) {
        hora_json *list = hora_json_set(c, "modules_to_save", hora_json_new_array());
        hora_json_push(list, hora_json_new_string("embed_tokens"));
        hora_json_push(list, hora_json_new_string("lm_head"));
    }
    assert_ok(hora_json_save(c, 2, true, dir, "adapter_config.json"));
    hora_json_free(c);
    hora_st_close(st);
    for (int i = 0; i < 4; i++)
        hora_free(names[i]);
    hora_free(file);
    return dir;
}

/* Merged as its source is, it needs no adapter: config.json says the new size. */
static void check_merged(hora_base *b, hora_adapter *a, const char *name) {
    char *dir = fresh_folder(name);
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    assert_ok(hora_peft_merge(&a, 1, w));
    assert_ok(hora_base_save_like(b, dir, w));
    hora_base *merged = base_with(dir, NULL);
    assert_int_equal(merged->file_vocab, 0);
    check_logits(merged, NULL, "merged");
    hora_base_close(merged);
    hora_base_free_merged(b, w);
    hora_free(dir);
}

static void test_read(void **state) {
    (void)state;
    for (int saved = 0; saved < 2; saved++) {
        char *dir = variant(saved ? "saved" : "plain", saved, NULL);
        hora_base *b = base_with(hora_test_source(BASE), dir);
        hora_adapter *a;
        assert_int_equal(b->file_vocab, OLD);
        assert_null(b->words); /* there is no tokenizer in the folder */
        assert_ok(hora_peft_load(&a, b, dir, NULL));
        check_logits(b, a, dir);
        check_merged(b, a, saved ? "merged-saved" : "merged-plain");
        hora_peft_detach(a);
        hora_base_close(b);
        hora_free(dir);
    }
}

/* The added tokens as rows of their own, on a tied model: PEFT names embedding and head after the
 * wrapper of the rows, and writes the rows twice. */
static void test_tokens(void **state) {
    (void)state;
    const char *dir = hora_test_source(CASE "/tokens/adapter");
    hora_base *b = base_with(hora_test_source("tests/vectors/files/tiny_qwen3/base"), dir);
    hora_adapter *a;
    assert_int_equal(b->file_vocab, OLD);
    assert_ok(hora_peft_load(&a, b, dir, NULL));
    logits_of("resized/tokens", b, a, "tokens");
    char *merged_dir = fresh_folder("merged-tokens");
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    assert_ok(hora_peft_merge(&a, 1, w));
    assert_ok(hora_base_save_like(b, merged_dir, w));
    hora_base *merged = base_with(merged_dir, NULL);
    logits_of("resized/tokens", merged, NULL, "tokens, merged");
    hora_base_close(merged);
    hora_base_free_merged(b, w);
    hora_peft_detach(a);
    hora_base_close(b);
    hora_free(merged_dir);
}

/* What was trained on is an adapter of that kind again, with its tokenizer. */
static void test_written_again(void **state) {
    (void)state;
    char *dir = variant("before", true, NULL), *out = fresh_folder("after");
    char *tokens = hora_path_join(dir, "tokenizer.json");
    assert_ok(hora_file_write(tokens, "{}", 2));
    hora_base *b = base_with(hora_test_source(BASE), dir);
    hora_adapter *a;
    assert_string_equal(hora_base_words(b), dir);
    assert_ok(hora_peft_load(&a, b, dir, NULL));
    assert_ok(hora_adapters_save(&a, 1, out, NULL));
    hora_peft_detach(a);
    hora_base_close(b);
    b = base_with(hora_test_source(BASE), out);
    assert_string_equal(hora_base_words(b), out);
    assert_ok(hora_peft_load(&a, b, out, NULL));
    check_logits(b, a, "written again");
    hora_peft_detach(a);
    hora_base_close(b);
    hora_free(tokens);
    hora_free(dir);
    hora_free(out);
}

static void test_refused(void **state) {
    (void)state;
    char *dir = variant("half", false, "lm_head");
    const hora_base_options o = {.dtype = HORA_F32, .adapter = dir};
    hora_base *b;
    assert_fails(hora_base_open(&b, hora_test_source(BASE), &o), HORA_EMISMATCH,
                 "save_embedding_layers=True");
    assert_null(b);
    hora_free(dir);
    /* an adapter of the base's own vocabulary changes nothing */
    b = base_with(hora_test_source(BASE), hora_test_source(CASE "/../combine/a"));
    assert_int_equal(b->vocab, OLD);
    assert_int_equal(b->file_vocab, 0);
    hora_base_close(b);
}

HORA_TESTS(vectors_resized, {"read and merged as PEFT does", test_read, HORA_SHORT},
           {"trained tokens among them", test_tokens, HORA_SHORT},
           {"written again", test_written_again, HORA_SHORT},
           {"refused by name", test_refused, HORA_SHORT});
