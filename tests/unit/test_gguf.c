/* GGUF: what is written is read again; damage is refused; quantizers round as told. */
#include "format/gguf.h"

#include <math.h>

#include "base/rng.h"
#include "base/text.h"
#include "hora_test.h"
#include "tensor/blocks.h"

static hora_str texts[2];

/* A file with a key of each kind and tensors f32 (2 x 3), bf16 (64) and q8_0 (2 x 32). */
static const char *small_file(const float *values) {
    const int32_t ints[] = {-1, 7};
    const float floats[] = {0.5f, -2};
    const char *path = hora_test_path(hora_test_tmp(), "small.gguf");
    hora_gguf_out *o = hora_gguf_out_new();
    for (int i = 0; i < 2; i++)
        texts[i].n = 0, hora_str_printf(&texts[i], i ? "two" : "");
    hora_gguf_put_text(o, "general.architecture", "llama");
    hora_gguf_put_int(o, "n", HORA_GGUF_U32, 4000000000);
    hora_gguf_put_int(o, "below", HORA_GGUF_I32, -5);
    hora_gguf_put_float(o, "eps", 1e-5);
    hora_gguf_put_bool(o, "flag", true);
    hora_gguf_put_texts(o, "words", texts, 2);
    hora_gguf_put_ints(o, "ints", ints, 2);
    hora_gguf_put_floats(o, "floats", floats, 2);
    hora_gguf_put_tensor(o, "a", (hora_view){(void *)values, HORA_F32, HORA_SHAPE2(2, 3)},
                         HORA_F32);
    hora_gguf_put_tensor(o, "b", (hora_view){(void *)values, HORA_F32, HORA_SHAPE1(64)}, HORA_BF16);
    hora_gguf_put_tensor(o, "c", (hora_view){(void *)values, HORA_F32, HORA_SHAPE2(2, 32)},
                         HORA_Q8_0);
    assert_ok(hora_gguf_write(o, path));
    assert_int_equal(hora_file_size(path), hora_gguf_write_size(o));
    hora_gguf_out_free(o);
    for (int i = 0; i < 2; i++)
        hora_str_release(&texts[i]);
    return path;
}

static void draw(float *x, int n) {
    hora_rng r = hora_rng_new(1, "gguf");
    for (int i = 0; i < n; i++)
        x[i] = (float)hora_rng_normal(&r);
}

static void test_round_trip(void **state) {
    float values[64], back[64];
    hora_gguf *g;
    int64_t n;
    double eps;
    char *text;
    size_t length;
    (void)state;
    draw(values, 64);
    assert_ok(hora_gguf_open(&g, small_file(values)));
    assert_ok(hora_gguf_get_int(g, "n", true, 0, &n));
    assert_int_equal(n, 4000000000);
    assert_ok(hora_gguf_get_int(g, "below", true, 0, &n));
    assert_int_equal(n, -5);
    assert_ok(hora_gguf_get_int(g, "not there", false, 9, &n));
    assert_int_equal(n, 9);
    assert_fails(hora_gguf_get_int(g, "not there", true, 9, &n), HORA_EFORMAT, "`not there`");
    assert_fails(hora_gguf_get_int(g, "eps", true, 9, &n), HORA_EFORMAT, "should be an integer");
    assert_ok(hora_gguf_get_float(g, "eps", true, 0, &eps));
    assert_true((float)eps == 1e-5f);
    assert_ok(hora_gguf_get_text(g, "general.architecture", true, &text));
    assert_string_equal(text, "llama");
    hora_free(text);
    const hora_gguf_value *words = hora_gguf_get(g, "words");
    assert_true(words && words->array && words->n == 2);
    assert_non_null(hora_gguf_text(words, 0, &length));
    assert_int_equal(length, 0);
    assert_memory_equal(hora_gguf_text(words, 1, &length), "two", 3);
    assert_int_equal(length, 3);
    assert_true(hora_gguf_int(hora_gguf_get(g, "ints"), 0, &n));
    assert_int_equal(n, -1);
    assert_true(hora_gguf_float(hora_gguf_get(g, "floats"), 1, &eps));
    assert_true(eps == -2);
    const hora_gguf_tensor *a = hora_gguf_find(g, "a"), *b = hora_gguf_find(g, "b"),
                           *c = hora_gguf_find(g, "c");
    assert_true(a && b && c && !hora_gguf_find(g, "d"));
    assert_int_equal(a->view.shape.d[0], 2);
    assert_int_equal(a->view.shape.d[1], 3);
    assert_memory_equal(a->view.data, values, 24);
    assert_ok(hora_convert(back, HORA_F32, b->view.data, b->view.dtype, 64));
    for (int i = 0; i < 64; i++)
        assert_true(back[i] == hora_bf16_to_f32(hora_f32_to_bf16(values[i])));
    assert_ok(hora_convert(back, HORA_F32, c->view.data, c->view.dtype, 64));
    hora_assert_close(back, values, 64, 0.02, "q8_0");
    hora_gguf_close(g);
}

/* Every prefix of a file is refused, and every byte of its header may be anything. */
static void test_damage(void **state) {
    float values[64];
    hora_str whole = {0};
    hora_gguf *g;
    (void)state;
    draw(values, 64);
    const char *path = small_file(values);
    assert_ok(hora_file_read(&whole, path));
    for (size_t n = 0; n < whole.n; n += n < 700 ? 1 : 13) {
        assert_ok(hora_file_write(path, whole.s, n));
        /* the padding behind the last tensor may be missing */
        if (hora_gguf_open(&g, path) == HORA_OK && n + 32 <= whole.n)
            fail_msg("cut to %zu of %zu bytes and accepted", n, whole.n);
        hora_gguf_close(g);
    }
    hora_rng r = hora_rng_new(2, "damage");
    for (int i = 0; i < 3000; i++) {
        const size_t at = (size_t)hora_rng_below(&r, whole.n);
        const char was = whole.s[at];
        whole.s[at] = (char)hora_rng_below(&r, 256);
        assert_ok(hora_file_write(path, whole.s, whole.n));
        if (hora_gguf_open(&g, path) == HORA_OK)
            for (int k = 0; k < hora_gguf_count(g); k++) { /* readable to the last byte */
                const hora_view *v = &hora_gguf_at(g, k)->view;
                assert_true(hora_hash64(v->data, hora_view_bytes(v), 0) != 1);
            }
        hora_gguf_close(g);
        whole.s[at] = was;
    }
    hora_str_release(&whole);
}

static void test_writer_refuses(void **state) {
    static float values[64];
    const char *path = hora_test_path(hora_test_tmp(), "no.gguf");
    const struct {
        const char *a, *b;
        hora_dtype dtype;
        int64_t width;
        const char *says;
    } bad[] = {{"x", "x", HORA_F32, 8, "twice"},
               {"x",
                "a name of more than sixty-three bytes, which the format has no room for at all",
                HORA_F32, 8, "longer"},
               {"x", "y", HORA_Q8_0, 8, "whole blocks"},
               {"x", "y", HORA_U64, 8, "no type"}};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        const hora_view v = {values, HORA_F32, HORA_SHAPE1(bad[i].width)};
        hora_gguf_out *o = hora_gguf_out_new();
        hora_gguf_put_tensor(o, bad[i].a, v, HORA_F32);
        hora_gguf_put_tensor(o, bad[i].b, v, bad[i].dtype);
        assert_fails(hora_gguf_write(o, path), HORA_EUSAGE, bad[i].says);
        assert_false(hora_path_exists(path));
        hora_gguf_out_free(o);
    }
}

/* Part `no` of two, with one tensor. */
static const char *write_part(int no, const float *values) {
    const char *path =
        hora_test_path(hora_test_tmp(), hora_test_text("m-0000%d-of-00002.gguf", no + 1));
    hora_gguf_out *o = hora_gguf_out_new();
    hora_gguf_put_int(o, "split.no", HORA_GGUF_U16, no);
    hora_gguf_put_int(o, "split.count", HORA_GGUF_U16, 2);
    hora_gguf_put_int(o, "split.tensors.count", HORA_GGUF_I32, 2);
    hora_gguf_put_tensor(o, no ? "second" : "first",
                         (hora_view){(void *)(values + 32 * no), HORA_F32, HORA_SHAPE1(32)},
                         HORA_F32);
    assert_ok(hora_gguf_write(o, path));
    hora_gguf_out_free(o);
    return path;
}

static void test_split(void **state) {
    float values[64];
    hora_gguf *g;
    (void)state;
    draw(values, 64);
    const char *one = write_part(0, values), *two = write_part(1, values);
    assert_ok(hora_gguf_open(&g, one));
    assert_int_equal(hora_gguf_parts(g), 2);
    const hora_gguf_tensor *a = hora_gguf_find(g, "first"), *b = hora_gguf_find(g, "second");
    assert_true(a && b && a->file == 0 && b->file == 1);
    assert_memory_equal(a->view.data, values, 128);
    assert_memory_equal(b->view.data, values + 32, 128);
    hora_gguf_close(g);
    assert_fails(hora_gguf_open(&g, two), HORA_EFORMAT, "name the first");
    assert_ok(hora_remove_tree(two));
    assert_fails(hora_gguf_open(&g, one), HORA_ENOTFOUND, "part 2 of 2 is missing");
}

/* Root mean square error of a quantizer on normal numbers, against their deviation. */
static double error_of(hora_dtype type, const float *x, int n) {
    unsigned char y[4096];
    float back[1024];
    double sum = 0, square = 0;
    assert_ok(hora_quantize(y, type, x, n));
    hora_dequantize(back, y, type, n);
    for (int i = 0; i < n; i++) {
        sum += pow((double)(back[i] - x[i]), 2);
        square += pow((double)x[i], 2);
    }
    return sqrt(sum / square);
}

static void test_quantizers(void **state) {
    float x[1024], half[1024];
    unsigned char y[4096];
    (void)state;
    draw(x, 1024);
    assert_in_range((int)(1e5 * error_of(HORA_Q8_0, x, 1024)), 1, 700);
    assert_in_range((int)(1e5 * error_of(HORA_Q4_0, x, 1024)), 1, 10000);
    assert_true(error_of(HORA_Q4_K, x, 1024) < error_of(HORA_Q4_0, x, 1024));
    for (int i = 0; i < 1024; i++) /* all above zero: the minimum cannot lift */
        half[i] = 3 + x[i] / 10;
    assert_true(error_of(HORA_Q4_K, half, 1024) < 0.07);
    memset(half, 0, sizeof half);
    for (int i = 0; i < 256; i++) /* constant and zero blocks are exact or nearly so */
        half[i] = -1;
    assert_true(error_of(HORA_Q4_K, half, 512) < 1e-3);
    half[3] = NAN;
    assert_fails(hora_quantize(y, HORA_Q4_K, half, 256), HORA_ENUMERIC, "nan");
    assert_fails(hora_quantize(y, HORA_Q6_K, x, 256), HORA_EUNSUPPORTED, "Q6_K");
}

HORA_TESTS(unit_gguf, {"what is written is read", test_round_trip, HORA_SHORT},
           {"damage is refused", test_damage, HORA_SHORT},
           {"a model in parts", test_split, HORA_SHORT},
           {"the writer refuses what no reader takes", test_writer_refuses, HORA_SHORT},
           {"quantizers", test_quantizers, HORA_SHORT});
