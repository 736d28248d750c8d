/*
 * GGUF files of the world: every tensor of every golden file dequantizes to the bits that the gguf
 * package and ggml give, and the broken files are refused.
 */
#include "format/gguf.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "hora_test.h"
#include "tensor/blocks.h"

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
        const char *out = hora_test_path(tmp, hora_format("%d", n));
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
        const char *dir = hora_test_shared(hora_format("gguf/models/%s", models[m]));
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

/* What breaks the container is refused here; what only makes no model, where a model is opened. */
static void test_broken(void **state) {
    static const char *const models[] = {"ok.gguf",
                                         "architecture-unknown.gguf",
                                         "architecture-missing.gguf",
                                         "heads-zero.gguf",
                                         "heads-do-not-divide.gguf",
                                         "layer-missing.gguf",
                                         "tensor-missing.gguf",
                                         "token-types-short.gguf",
                                         "scores-short.gguf",
                                         "eos-out-of-range.gguf"};
    char **names;
    int n, refused = 0;
    (void)state;
    const char *dir = hora_test_shared("gguf/broken");
    assert_ok(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n; i++) {
        bool whole = false;
        hora_gguf *g;
        if (!hora_ends(names[i], ".gguf"))
            continue;
        for (size_t k = 0; k < HORA_COUNT(models); k++)
            whole |= hora_eq(models[k], names[i]);
        const hora_status s = hora_gguf_open(&g, hora_test_path(dir, names[i]));
        if ((s == HORA_OK) != whole)
            fail_msg("%s: %s", names[i], s ? hora_errmsg() : "was accepted");
        if (s && !strstr(hora_errmsg(), names[i]))
            fail_msg("%s is not named: %s", names[i], hora_errmsg());
        refused += s != HORA_OK;
        hora_gguf_close(g);
    }
    hora_list_free(names, n);
    assert_int_equal(refused, 37);
}

HORA_TESTS(vectors_gguf, {"tensors dequantize to the world's bits", test_tensors, HORA_MEDIUM},
           {"broken files are refused", test_broken, HORA_SHORT});
