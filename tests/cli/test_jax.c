/* JAX checkpoints of ViT (tests/vectors/files/jax_vit): the same numbers as the Hugging Face
 * directory of the model, however NumPy wrote them; and archives that lie. */
#include "base/file.h"
#include "base/text.h"
#include "format/image.h"
#include "format/safetensors.h"
#include "model/family.h"
#include "tool.h"

static const char *file(const char *name) {
    return hora_test_path(hora_test_source("tests/vectors/files/jax_vit"), name);
}

static const char *const same_models[] = {"plain.npz", "packed.npz", "columns.npz", "trained.npz"};

static void test_tensors(void **state) {
    (void)state;
    hora_st *want, *got;
    assert_ok(hora_st_open(&want, file("model.safetensors")));
    for (size_t k = 0; k < HORA_COUNT(same_models); k++) {
        assert_ok(hora_st_open_model(&got, file(same_models[k])));
        assert_int_equal(hora_st_count(got), hora_st_count(want));
        for (int i = 0; i < hora_st_count(want); i++) {
            const hora_st_tensor *w = hora_st_at(want, i), *g = hora_st_find(got, w->name);
            if (!g || !hora_shape_equal(&g->view.shape, &w->view.shape))
                fail_msg("%s: no %s of that shape", same_models[k], w->name);
            assert_memory_equal(g->view.data, w->view.data, w->bytes);
        }
        assert_true(hora_st_hash(got) == hora_st_hash(want));
        hora_st_close(got);
    }
    hora_st_close(want);
}

/* A picture that the model reads as it is. */
static const char *picture(void) {
    unsigned char px[4 * 4 * 3];
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (unsigned char)(i * 37);
    const hora_image im = {px, 4, 4, 3};
    const char *path = hora_test_path(hora_test_tmp(), "p.png");
    assert_ok(hora_image_save_png(path, &im));
    return path;
}

static void test_tool(void **state) {
    (void)state;
    const char *base = hora_test_source("tests/vectors/files/jax_vit"), *p = picture();
    const char *a = hora_test_path(hora_test_tmp(), "a.safetensors");
    const char *b = hora_test_path(hora_test_tmp(), "b.safetensors");
    tool_check(0, NULL, NULL, "forward --model '%s' --image '%s' --out '%s'", base, p, a);
    for (size_t k = 0; k < HORA_COUNT(same_models); k++) {
        tool_check(0, NULL, NULL, "forward --model '%s' --image '%s' --out '%s' --overwrite",
                   file(same_models[k]), p, b);
        hora_assert_same_file(a, b, NULL);
    }
    tool_check(0, "model_type: vit", NULL, "inspect '%s'", file("plain.npz"));
}

/* The head of a model with pre_logits reads what is not computed: it is left out, and said. */
static void test_headless(void **state) {
    (void)state;
    tool_check(2, NULL, "pre_logits", "predict --model '%s' '%s'", file("pre_logits.npz"),
               picture());
}

/* A copy of plain.npz in which `n` bytes behind the first `mark` are others; or cut to `keep`. */
static const char *spoilt(const char *mark, size_t behind, const char *bytes, size_t n,
                          size_t keep) {
    hora_str s = {0};
    assert_ok(hora_file_read(&s, file("plain.npz")));
    char *at = NULL;
    for (size_t i = 0; mark && !at && i + strlen(mark) <= s.n; i++)
        if (!memcmp(s.s + i, mark, strlen(mark)))
            at = s.s + i;
    assert_true(!mark || at);
    if (at)
        memcpy(at + behind, bytes, n);
    const char *path = hora_test_path(hora_test_tmp(), "bad.npz");
    assert_ok(hora_file_write(path, s.s, keep ? keep : s.n));
    hora_str_release(&s);
    return path;
}

static void refused(int code, const char *path, const char *says) {
    tool_check(code, "", says, "inspect '%s'", path);
}

static void test_lies(void **state) {
    (void)state;
    refused(4, spoilt(NULL, 0, NULL, 0, 4000), "cut off");
    refused(5, spoilt("PK\1\2", 8, "\1", 1, 0), "encrypted");
    refused(5, spoilt("PK\1\2", 10, "\14", 1, 0), "packed in another way");
    refused(4, spoilt("PK\1\2", 24, "\0\0\0\1", 4, 0), "lengths differ");
    refused(4, spoilt("PK\1\2", 42, "\7", 1, 0), "does not begin where");
    refused(4, spoilt("PK\1\2", 46, "x", 1, 0), "something else");
    refused(4, spoilt("\x93NUMPY", 6, "\4", 1, 0), "version 1, 2 or 3");
    refused(4, spoilt("'<f4'", 1, ">", 1, 0), ">f4");
    refused(4, spoilt("'shape'", 1, "x", 1, 0), "none that NumPy writes");
    refused(4, spoilt("(1, 1, 8)", 7, "9", 1, 0), "what shape and type say");
    refused(4, spoilt("(1, 1, 8)", 4, "-", 1, 0), "none that NumPy writes");
    refused(4, spoilt("\x93NUMPY", 130, "\7", 1, 0), "sum differs");
}

HORA_TESTS(cli_jax, {"tensors are those of the directory", test_tensors, HORA_SHORT},
           {"the tool computes the same bits", test_tool, HORA_SHORT},
           {"a head behind pre_logits is left out", test_headless, HORA_SHORT},
           {"archives that lie", test_lies, HORA_SHORT});
