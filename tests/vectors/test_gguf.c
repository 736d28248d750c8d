/*
 * GGUF files of the world: every tensor of every golden file dequantizes to the bits that the gguf
 * package and ggml give, and the broken files are refused.
 */
#include "format/gguf.h"

#include "backend/device.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "hora_test.h"
#include "infer/forward.h"
#include "model/family.h"
#include "run/open.h"
#include "token/tokenizer.h"
#include "vectors/golden.h"

static void dequantized(const hora_gguf_tensor *t, const char *path) {
    const int64_t n = hora_elems(&t->view);
    float *y = hora_calloc((size_t)n + 1, sizeof *y);
    assert_ok(hora_convert(y, HORA_F32, t->view.data, t->view.dtype, n));
    assert_ok(hora_file_write(path, y, (size_t)n * sizeof *y));
    hora_free(y);
}

/* The golden hash is over f32, little-endian, row-major; sha256sum is everywhere, no library of
 * ours has it. All tensors of a file are hashed by one call. */
static void check_file(const char *path, const hora_json *tensors, const char *tmp) {
    hora_gguf *g;
    hora_str list = {0}, said = {0};
    int n = 0;
    assert_ok(hora_gguf_open(&g, path));
    assert_int_equal(hora_gguf_count(g), hora_json_len(tensors));
    for (void *it = hora_json_iter(tensors); it; it = hora_json_next(tensors, it), n++) {
        const hora_json *want = hora_json_iter_value(it), *shape = hora_json_get(want, "shape");
        const hora_gguf_tensor *t = hora_gguf_find(g, hora_json_iter_key(it));
        if (!t)
            fail_msg("%s: no tensor %s", path, hora_json_iter_key(it));
        assert_int_equal(t->view.shape.n, hora_json_len(shape));
        for (int d = 0; d < t->view.shape.n; d++) {
            int64_t size = -1;
            assert_true(hora_json_int(hora_json_at(shape, (size_t)d), &size));
            assert_int_equal(t->view.shape.d[d], size);
        }
        const char *out = hora_test_path(tmp, hora_test_text("%d", n));
        dequantized(t, out);
        hora_str_printf(&list, "%s  %s\n", hora_json_string(hora_json_get(want, "sha256"), NULL),
                        out);
    }
    const char *sums = hora_test_path(tmp, "sums");
    assert_ok(hora_file_write(sums, list.s, list.n));
    char *command = hora_format("sha256sum --check --quiet '%s'", sums);
    if (hora_test_run(command, &said, &said))
        fail_msg("%s: %s", path, said.s);
    hora_free(command);
    hora_str_release(&list);
    hora_str_release(&said);
    hora_gguf_close(g);
}

static void test_tensors(void **state) {
    static const char *const models[] = {"llama", "llama_rope3", "qwen2", "qwen3", "gemma2"};
    int files = 0;
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(models); m++) {
        const char *dir = hora_test_shared(hora_test_text("gguf/models/%s", models[m]));
        hora_json *config;
        assert_ok(hora_json_load(&config, hora_test_path(dir, "case.json")));
        const hora_json *list = hora_json_get(config, "files");
        for (void *it = hora_json_iter(list); it; it = hora_json_next(list, it), files++) {
            char *name = hora_format("%s.gguf", hora_json_iter_key(it));
            check_file(hora_test_path(dir, name),
                       hora_json_get(hora_json_iter_value(it), "tensors"), hora_test_tmp());
            hora_free(name);
        }
        hora_json_free(config);
    }
    print_message("%d files, all tensors equal to the bit\n", files);
    assert_true(files >= 20);
}

/* What breaks the container is refused by its reader; what only makes no model, where one is
 * opened. */
static hora_status open_model(const char *path) {
    hora_opened o = {0};
    const hora_open_options options = {.dtype = HORA_F32};
    hora_status s = hora_open_model(&o, path, &options);
    if (s == HORA_OK)
        s = hora_open_tokenizer(&o);
    hora_open_close(&o);
    return s;
}

/* A message speaks of what the user has in hand: a GGUF file, which has no config.json. */
static void speaks_of_gguf(const char *name, const char *text) {
    static const char *const says[][2] = {
        {"empty.gguf", "the file is empty"},
        {"magic.gguf", "it does not begin with GGUF"},
        {"heads-do-not-divide.gguf", "embedding_length is 32, which is not divided by 5 heads"},
        {"layer-missing.gguf", "9 tensors do not fit its metadata; missing"},
        {"tensor-missing.gguf", "1 tensor does not fit its metadata; missing"}};
    if (strstr(text, "safetensors") || strstr(text, "config.json"))
        fail_msg("%s is blamed on another kind of file: %s", name, text);
    for (size_t i = 0; i < HORA_COUNT(says); i++)
        if (hora_eq(name, says[i][0]) && !strstr(text, says[i][1]))
            fail_msg("%s: no \"%s\" in: %s", name, says[i][1], text);
    if (!strstr(text, "again") && !strstr(text, "fetch it") && !strstr(text, "is not known here"))
        fail_msg("%s: what to do? %s", name, text);
}

static void test_broken(void **state) {
    char **names;
    int n, refused = 0, containers = 0;
    (void)state;
    const char *dir = hora_test_shared("gguf/broken");
    assert_ok(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n; i++) {
        hora_gguf *g;
        if (!hora_ends(names[i], ".gguf"))
            continue;
        const char *path = hora_test_path(dir, names[i]);
        const hora_status s = open_model(path);
        if ((s == HORA_OK) != hora_eq(names[i], "ok.gguf"))
            fail_msg("%s: %s", names[i], s ? hora_errmsg() : "was accepted");
        if (s && !strstr(hora_errmsg(), names[i]))
            fail_msg("%s is not named: %s", names[i], hora_errmsg());
        if (s)
            speaks_of_gguf(names[i], hora_errmsg());
        refused += s != HORA_OK;
        containers += hora_gguf_open(&g, path) != HORA_OK;
        hora_gguf_close(g);
    }
    hora_list_free(names, n);
    assert_int_equal(refused, 46);
    assert_int_equal(containers, 37);
}

/* --- tokenizers ------------------------------------------------------------------------------- */
static void same_ids(const hora_tokenizer *t, const hora_json *o, const char *key, bool special,
                     const char *where) {
    const hora_json *want = hora_json_get(o, key);
    size_t n;
    const char *text = hora_json_string(hora_json_get(o, "text"), &n);
    hora_ids got = {0};
    assert_ok(hora_tokenizer_encode(t, text, n, special, &got));
    bool same = got.n == hora_json_len(want);
    for (size_t i = 0; same && i < got.n; i++) {
        int64_t id = -1;
        same = hora_json_int(hora_json_at(want, i), &id) && id == got.at[i];
    }
    if (!same)
        fail_msg("%s: other ids than %s has for \"%s\"", where, key, text);
    hora_ids_release(&got);
}

static void test_tokenizers(void **state) {
    static const char *const kinds[] = {"split_llama3", "split_qwen", "stories260k"};
    (void)state;
    for (size_t k = 0; k < HORA_COUNT(kinds); k++) {
        hora_tokenizer *t;
        hora_str text = {0};
        int lines = 0;
        assert_ok(hora_tokenizer_open(
            &t, hora_test_shared(hora_test_text("gguf/tokenizers/%s.gguf", kinds[k]))));
        assert_ok(hora_file_read(
            &text, hora_test_shared(hora_test_text("gguf/tokenizers/%s.jsonl", kinds[k]))));
        for (char *s = text.s, *end = text.s + text.n; s < end; lines++) {
            char *nl = memchr(s, '\n', (size_t)(end - s));
            const size_t n = nl ? (size_t)(nl - s) : (size_t)(end - s);
            hora_json *o;
            assert_ok(hora_json_parse(&o, s, n, kinds[k]));
            same_ids(t, o, "tokenizers", false, kinds[k]);
            same_ids(t, o, "tokenizers_special", true, kinds[k]);
            hora_json_free(o);
            s += n + 1;
        }
        assert_int_equal(lines, 60);
        hora_str_release(&text);
        hora_tokenizer_close(t);
    }
}

/* --- models ----------------------------------------------------------------------------------- */
/* Logits of the prompt with the file's weights, dequantized: 1e-4 of what transformers has on the
 * gguf package's. */
static void forward(const char *path, const hora_json *prompt, const hora_st *want,
                    const char *type) {
    hora_opened o = {0};
    const hora_open_options options = {.dtype = HORA_F32};
    const int64_t t = (int64_t)hora_json_len(prompt);
    hora_forward_batch batch = {.b = 1, .t = t, .ids = hora_calloc((size_t)t, 4)};
    char *name = hora_format("%s.dequantized", type);
    for (int64_t i = 0; i < t; i++) {
        int64_t id = -1;
        assert_true(hora_json_int(hora_json_at(prompt, (size_t)i), &id));
        batch.ids[i] = (int32_t)id;
    }
    assert_ok(hora_open_model(&o, path, &options));
    hora_device *host;
    assert_ok(hora_device_open(&host, "host"));
    hora_forward f = {.base = o.base, .device = host};
    const hora_shape shape = hora_forward_logits(&f, &batch);
    f.logits = hora_calloc((size_t)hora_shape_elems(&shape), sizeof *f.logits);
    assert_ok(hora_forward_run(&f, &batch));
    golden_compare(path, f.logits, want, name, 0, 1e-4);
    hora_free(f.logits);
    hora_device_free(host);
    hora_free(name);
    hora_forward_batch_release(&batch);
    hora_open_close(&o);
}

static void each_text(const char *path, const hora_json *texts) {
    hora_tokenizer *t;
    assert_ok(hora_tokenizer_open(&t, path));
    for (size_t i = 0; i < hora_json_len(texts); i++)
        same_ids(t, hora_json_at(texts, i), "tokenizers", true, path);
    hora_tokenizer_close(t);
}

static void test_models(void **state) {
    static const char *const models[] = {"llama", "llama_rope3", "qwen2", "qwen3"};
    int files = 0;
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(models); m++) {
        const char *dir = hora_test_shared(hora_test_text("gguf/models/%s", models[m]));
        hora_json *about;
        hora_st *want;
        assert_ok(hora_json_load(&about, hora_test_path(dir, "case.json")));
        assert_ok(hora_st_open(&want, hora_test_path(dir, "logits.safetensors")));
        const hora_json *list = hora_json_get(about, "files");
        for (void *it = hora_json_iter(list); it; it = hora_json_next(list, it), files++) {
            const char *path =
                hora_test_path(dir, hora_test_text("%s.gguf", hora_json_iter_key(it)));
            forward(path, hora_json_get(about, "prompt"), want, hora_json_iter_key(it));
            each_text(path, hora_json_get(about, "texts"));
        }
        hora_st_close(want);
        hora_json_free(about);
    }
    print_message("%d files\n", files);
    assert_true(files >= 20);
}

HORA_TESTS(vectors_gguf, {"tensors dequantize to the world's bits", test_tensors, HORA_MEDIUM},
           {"broken files are refused", test_broken, HORA_SHORT},
           {"the vocabulary gives the ids of tokenizer.json", test_tokenizers, HORA_SHORT},
           {"models give the logits of their weights", test_models, HORA_SHORT});
