/*
 * NF4 against bitsandbytes (../shared/gguf/nf4): codes, scales and values to the bit; the second
 * level to the bit from what is stored, our own within one code of theirs.
 */
#include <math.h>
#include <stdlib.h>

#include "format/safetensors.h"
#include "hora_test.h"
#include "tensor/blocks.h"

enum { BLOCK = 64, BYTES = 36 };

static const void *data_of(const hora_st *st, const char *name, int64_t n) {
    const hora_st_tensor *t = hora_st_find(st, name);
    if (!t)
        fail_msg("no tensor %s", name);
    assert_int_equal(hora_elems(&t->view), n);
    return t->view.data;
}

static float scale_of(const unsigned char *block) {
    float f;
    memcpy(&f, block, 4);
    return f;
}

static void same_values(const unsigned char *blocks, const hora_st *st, const char *name,
                        int64_t n) {
    const hora_st_tensor *want = hora_st_find(st, name);
    float *y = hora_malloc((size_t)hora_round_up(n, BLOCK) * sizeof *y);
    char *as = hora_malloc((size_t)n * sizeof *y);
    hora_dequantize(y, blocks, HORA_NF4, hora_round_up(n, BLOCK));
    assert_ok(hora_convert(as, want->view.dtype, y, HORA_F32, n));
    if (memcmp(as, want->view.data, (size_t)n * hora_dtype_size(want->view.dtype)) != 0)
        fail_msg("%s: other values", name);
    hora_free(y);
    hora_free(as);
}

/* The second level of theirs on our blocks. */
static void stored_level(unsigned char *blocks, const hora_st *st, int64_t count,
                         const float map[256]) {
    const uint8_t *codes = data_of(st, "absmax_bytes", count);
    const float *most = data_of(st, "absmax_of_absmax", hora_ceil_div(count, 256));
    const float offset = *(const float *)data_of(st, "offset", 1);
    for (int64_t i = 0; i < count; i++) {
        const float scale = hora_nf4_second(map, codes[i], most[i / 256], offset);
        memcpy(blocks + i * BYTES, &scale, 4);
    }
}

static void own_level(unsigned char *blocks, const hora_st *st, int64_t count) {
    const uint8_t *want = data_of(st, "absmax_bytes", count);
    uint8_t *codes = hora_calloc((size_t)count, 1);
    float *most = hora_calloc((size_t)count, sizeof *most);
    const float offset = hora_nf4_round_scales(blocks, count, codes, most);
    const float theirs = *(const float *)data_of(st, "offset", 1);
    assert_true(fabsf(offset - theirs) <= 1e-6f * fabsf(theirs));
    for (int64_t i = 0; i < count; i++)
        if (abs((int)codes[i] - (int)want[i]) > 1)
            fail_msg("scale %d: code %d, theirs is %d", (int)i, codes[i], want[i]);
    hora_free(codes);
    hora_free(most);
}

static void check(const char *name, const float map[256]) {
    hora_st *st;
    assert_ok(hora_st_open(&st, hora_test_shared(hora_test_text("gguf/nf4/%s.safetensors", name))));
    const hora_st_tensor *in = hora_st_find(st, "input");
    const int64_t n = hora_elems(&in->view), count = hora_ceil_div(n, BLOCK);
    float *x = hora_calloc((size_t)(count * BLOCK), sizeof *x); /* the last block ends in zeros */
    unsigned char *blocks = hora_calloc((size_t)count, BYTES);
    assert_ok(hora_convert(x, HORA_F32, in->view.data, in->view.dtype, n));
    assert_ok(hora_quantize(blocks, HORA_NF4, x, count * BLOCK));
    const unsigned char *codes = data_of(st, "bytes", n / 2);
    const float *scales = data_of(st, "absmax", count);
    for (int64_t i = 0; i < count; i++) {
        const int64_t bytes = hora_min(32, n / 2 - i * 32);
        if (scale_of(blocks + i * BYTES) != scales[i])
            fail_msg("%s: scale %d", name, (int)i);
        if (memcmp(blocks + i * BYTES + 4, codes + i * 32, (size_t)bytes) != 0)
            fail_msg("%s: codes of block %d", name, (int)i);
    }
    same_values(blocks, st, "dequantized", n);
    stored_level(blocks, st, count, map);
    same_values(blocks, st, "dequantized_double", n);
    assert_ok(hora_quantize(blocks, HORA_NF4, x, count * BLOCK));
    own_level(blocks, st, count);
    hora_free(x);
    hora_free(blocks);
    hora_st_close(st);
}

static void test_golden(void **state) {
    static const char *const files[] = {"f32_small", "bf16_two_levels", "f32_odd_tail",
                                        "f32_special"};
    float map[256];
    hora_st *books;
    (void)state;
    hora_nf4_dynamic_map(map);
    assert_ok(hora_st_open(&books, hora_test_shared("gguf/nf4/code_books.safetensors")));
    assert_memory_equal(map, data_of(books, "dynamic_map", 256), sizeof map);
    hora_st_close(books);
    for (size_t i = 0; i < HORA_COUNT(files); i++)
        check(files[i], map);
}

/* What bitsandbytes does is also known without its files: zeros, ties, signs, the two nibbles. */
static void test_rules(void **state) {
    float x[BLOCK] = {0}, y[BLOCK];
    unsigned char block[BYTES];
    (void)state;
    assert_ok(hora_quantize(block, HORA_NF4, x, BLOCK));
    assert_true(scale_of(block) == 0);
    assert_int_equal(block[4], 0x77);
    x[0] = -2;
    x[1] = 2;
    assert_ok(hora_quantize(block, HORA_NF4, x, BLOCK));
    assert_int_equal(block[4], 0x0f);
    hora_dequantize(y, block, HORA_NF4, BLOCK);
    assert_memory_equal(x, y, sizeof x);
    x[5] = NAN;
    assert_fails(hora_quantize(block, HORA_NF4, x, BLOCK), HORA_ENUMERIC, "nan");
}

HORA_TESTS(vectors_nf4, {"bitsandbytes' bits", test_golden, HORA_SHORT},
           {"zeros, ends, nibbles", test_rules, HORA_SHORT});
