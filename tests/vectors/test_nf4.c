/*
 * NF4 against bitsandbytes (../shared/gguf/nf4): codes, scales and values to the bit; the second
 * level to the bit from what is stored, our own within one code of theirs.
 */
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "format/bnb.h"
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

/* --- checkpoints ------------------------------------------------------------------------------ */
typedef struct stored { /* a matrix as bitsandbytes stores it; parts that are NULL are left out */
    const char *state;
    hora_view codes, absmax, map, most, nested_map;
} stored;

static hora_view view_of(const void *data, hora_dtype t, int64_t n) {
    return (hora_view){(void *)(uintptr_t)data, t, HORA_SHAPE1(n)};
}

/* A folder with that matrix as `w`. */
static const char *write_stored(const char *name, const stored *m) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    const struct {
        const char *name;
        hora_view view;
    } parts[] = {
        {"w", m->codes},
        {"w.absmax", m->absmax},
        {"w.quant_map", m->map},
        {"w.nested_absmax", m->most},
        {"w.nested_quant_map", m->nested_map},
        {"w.quant_state.bitsandbytes__nf4", view_of(m->state, HORA_U8, (int64_t)strlen(m->state))}};
    hora_st_entry e[HORA_COUNT(parts)];
    int n = 0;
    for (size_t i = 0; i < HORA_COUNT(parts); i++)
        if (parts[i].view.data)
            e[n++] = (hora_st_entry){parts[i].name, parts[i].view, parts[i].view.dtype};
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_st_write(hora_test_path(dir, "model.safetensors"), e, n, NULL, 0));
    return dir;
}

/* What is read from the folder are the values that bitsandbytes makes of it. */
static void taken(const char *dir, const hora_st *from, const char *name, hora_dtype as) {
    const hora_st_tensor *want = hora_st_find(from, name);
    const int64_t n = hora_elems(&want->view);
    hora_st *st;
    assert_ok(hora_st_open_model(&st, dir));
    const hora_st_tensor *t = hora_st_find(st, "w");
    assert_non_null(t->parts);
    assert_int_equal(t->view.dtype, as);
    assert_int_equal(hora_elems(&t->view), n);
    assert_true(hora_st_find(st, "w.quant_map")->beside && !t->beside);
    char *y = hora_malloc(hora_view_bytes(&t->view));
    assert_ok(hora_bnb_take(t, y));
    if (as == HORA_NF4)
        same_values((unsigned char *)y, from, name, n);
    else
        assert_memory_equal(y, want->view.data, hora_view_bytes(&t->view));
    hora_free(y);
    hora_st_close(st);
}

static void fails(const char *name, const stored *m, hora_status code, const char *says) {
    hora_st *st;
    assert_fails(hora_st_open_model(&st, write_stored(name, m)), code, says);
}

static void test_checkpoints(void **state) {
    hora_st *books, *st, *odd;
    (void)state;
    assert_ok(hora_st_open(&books, hora_test_shared("gguf/nf4/code_books.safetensors")));
    assert_ok(hora_st_open(&st, hora_test_shared("gguf/nf4/bf16_two_levels.safetensors")));
    assert_ok(hora_st_open(&odd, hora_test_shared("gguf/nf4/f32_odd_tail.safetensors")));
    stored m = {
        .state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", "
                 "\"shape\": [160, 128]}",
        .codes = view_of(data_of(st, "bytes", 10240), HORA_U8, 10240),
        .absmax = view_of(data_of(st, "absmax", 320), HORA_F32, 320),
        .map = view_of(data_of(books, "nf4", 16), HORA_F32, 16),
    };
    taken(write_stored("one", &m), st, "dequantized", HORA_NF4);

    stored two = m;
    char nested[256];
    hora_snprintf(nested, sizeof nested,
                  "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", "
                  "\"shape\": [160, 128], \"nested_blocksize\": 256, \"nested_dtype\": "
                  "\"float32\", \"nested_offset\": %.17g}",
                  (double)*(const float *)data_of(st, "offset", 1));
    two.state = nested;
    two.absmax = view_of(data_of(st, "absmax_bytes", 320), HORA_U8, 320);
    two.most = view_of(data_of(st, "absmax_of_absmax", 2), HORA_F32, 2);
    two.nested_map = view_of(data_of(books, "dynamic_map", 256), HORA_F32, 256);
    taken(write_stored("two", &two), st, "dequantized_double", HORA_NF4);

    stored tail = m; /* rows are no whole blocks: plain values */
    tail.state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                 "\"shape\": [3, 96]}";
    tail.codes = view_of(data_of(odd, "bytes", 144), HORA_U8, 144);
    tail.absmax = view_of(data_of(odd, "absmax", 5), HORA_F32, 5);
    taken(write_stored("tail", &tail), odd, "dequantized", HORA_F32);

    stored bad = m;
    bad.map = view_of(NULL, HORA_F32, 0);
    fails("no-map", &bad, HORA_EFORMAT, "w.quant_map is missing");
    bad.map = m.absmax;
    bad.map.shape.d[0] = 16;
    fails("other-map", &bad, HORA_EFORMAT, "not that of nf4");
    bad = m;
    bad.absmax.shape.d[0] = 319;
    fails("few-scales", &bad, HORA_EFORMAT, "w.absmax should be 320 numbers");
    bad = m;
    bad.state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [160, 64]}";
    fails("shape", &bad, HORA_EFORMAT, "another number of values");
    bad.state = "{\"quant_type\": \"nf4\", \"blocksize\": 32, \"shape\": [160, 128]}";
    fails("block", &bad, HORA_EUNSUPPORTED, "multiples of 64");
    bad.state = "{\"quant_type\": \"fp4\", \"blocksize\": 64, \"shape\": [160, 128]}";
    fails("fp4", &bad, HORA_EUNSUPPORTED, "fp4");
    bad.state = "{\"quant_type\"";
    fails("text", &bad, HORA_EFORMAT, "quant_state");
    bad = two;
    bad.most.shape.d[0] = 1;
    fails("few-most", &bad, HORA_EFORMAT, "w.nested_absmax should be 2 numbers");
    bad = m;
    bad.codes = view_of(NULL, HORA_U8, 0);
    fails("no-codes", &bad, HORA_EFORMAT, "is there without w");
    hora_st_close(books);
    hora_st_close(st);
    hora_st_close(odd);
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
           {"bitsandbytes' checkpoints", test_checkpoints, HORA_SHORT},
           {"zeros, ends, nibbles", test_rules, HORA_SHORT});
