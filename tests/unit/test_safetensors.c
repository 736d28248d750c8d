/* safetensors: what a right file holds, what the writer promises, shards, alignment, hash. */
#include "base/file.h"
#include "format/safetensors.h"
#include "st_bytes.h"

static const float numbers[6] = {1, -2, 3.5f, 0, 1e-3f, 65504};

/* b [2, 3] f32, a [6] f32 as bf16, c scalar i64, d [0, 4] f16, e [3] u8, f [2] bool. */
static int sample_entries(hora_st_entry e[6]) {
    static const int64_t scalar = -7;
    static const uint8_t bytes[3] = {1, 2, 255};
    static const bool flags[2] = {true, false};
    e[0] = (hora_st_entry){"b", {(void *)numbers, HORA_F32, HORA_SHAPE2(2, 3)}, HORA_F32};
    e[1] = (hora_st_entry){"a", {(void *)numbers, HORA_F32, HORA_SHAPE1(6)}, HORA_BF16};
    e[2] = (hora_st_entry){"c", {(void *)&scalar, HORA_I64, {.n = 0}}, HORA_I64};
    e[3] = (hora_st_entry){"d", {NULL, HORA_F16, HORA_SHAPE2(0, 4)}, HORA_F16};
    e[4] = (hora_st_entry){"e", {(void *)bytes, HORA_U8, HORA_SHAPE1(3)}, HORA_U8};
    e[5] = (hora_st_entry){"f", {(void *)flags, HORA_BOOL, HORA_SHAPE1(2)}, HORA_BOOL};
    return 6;
}

static char *in_tmp(const char *name) {
    return hora_path_join(hora_test_tmp(), name);
}

static void writes_and_reads(void **state) {
    (void)state;
    hora_st_entry e[6];
    hora_pair meta[] = {{"note", "caf\xc3\xa9 \"x\""}};
    hora_st *st;
    char *path = in_tmp("a.safetensors");
    int n = sample_entries(e);
    assert_ok(hora_st_write(path, e, n, meta, 1));
    assert_ok(hora_st_open(&st, path));
    assert_int_equal(hora_st_count(st), 6);
    /* dtype descending, then name */
    static const char order[] = "cbadef";
    for (int i = 0; i < 6; i++)
        assert_int_equal(hora_st_at(st, i)->name[0], order[i]);
    const hora_st_tensor *t = hora_st_find(st, "b");
    assert_memory_equal(t->view.data, numbers, sizeof numbers);
    assert_int_equal(t->view.shape.n, 2);
    assert_int_equal(t->view.shape.d[1], 3);
    assert_string_equal(t->dtype_name, "F32");
    t = hora_st_find(st, "a");
    assert_int_equal(t->view.dtype, HORA_BF16);
    for (int i = 0; i < 6; i++) {
        uint16_t h = ((const uint16_t *)t->view.data)[i];
        assert_int_equal(h, hora_f32_to_bf16(numbers[i]));
    }
    t = hora_st_find(st, "c");
    assert_int_equal(t->view.shape.n, 0);
    assert_int_equal(*(const int64_t *)t->view.data, -7);
    t = hora_st_find(st, "d");
    assert_int_equal(t->bytes, 0);
    assert_int_equal(t->view.shape.d[1], 4);
    assert_null(hora_st_find(st, "g"));
    assert_null(hora_st_at(st, 6));
    assert_string_equal(hora_st_meta(st, "format"), "pt");
    assert_string_equal(hora_st_meta(st, "note"), "caf\xc3\xa9 \"x\"");
    assert_null(hora_st_meta(st, "absent"));
    assert_int_equal(hora_st_meta_count(st), 2);
    hora_st_close(st);
    hora_free(path);
}

/* The bytes themselves, as the reference writer makes them from the same tensors. */
static void layout_is_the_reference_writers(void **state) {
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
        "\"a\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[32,44]},"
        "\"d\":{\"dtype\":\"F16\",\"shape\":[0,4],\"data_offsets\":[44,44]},"
        "\"e\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[44,47]},"
        "\"f\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[47,49]}}";
    hora_st_entry e[6];
    hora_str got = {0};
    char *path = in_tmp("a.safetensors");
    int n = sample_entries(e);
    size_t want = (strlen(header) + 7) / 8 * 8;
    assert_ok(hora_st_write(path, e, n, NULL, 0));
    assert_ok(hora_file_read(&got, path));
    assert_int_equal(got.n, 8 + want + 49);
    assert_int_equal(hora_st_write_size(e, n), got.n);
    assert_int_equal((unsigned char)got.s[0] | (unsigned char)got.s[1] << 8, want);
    assert_memory_equal(got.s + 8, header, strlen(header));
    for (size_t i = strlen(header); i < want; i++)
        assert_int_equal(got.s[8 + i], ' ');
    assert_memory_equal(got.s + 8 + want + 8, numbers, sizeof numbers);
    hora_str_release(&got);
    hora_free(path);
}

static void writer_refuses(void **state) {
    (void)state;
    hora_st_entry e[6];
    char *path = in_tmp("a.safetensors");
    int n = sample_entries(e);
    e[1].name = "b";
    assert_fails(hora_st_write(path, e, n, NULL, 0), HORA_EUSAGE, "two tensors are called `b`");
    assert_int_equal(hora_st_write_size(e, n), 0);
    e[1].name = "\xff";
    assert_fails(hora_st_write(path, e, n, NULL, 0), HORA_EUSAGE, "not UTF-8");
    e[1].name = "__metadata__";
    assert_fails(hora_st_write(path, e, n, NULL, 0), HORA_EUSAGE, "rename");
    e[1].name = "a";
    e[1].view.data = NULL;
    assert_fails(hora_st_write(path, e, n, NULL, 0), HORA_EUSAGE, "no data");
    n = sample_entries(e);
    e[1].dtype = HORA_DTYPE_OTHER;
    assert_fails(hora_st_write(path, e, n, NULL, 0), HORA_EUSAGE, "dtype");
    n = sample_entries(e);
    hora_pair twice[] = {{"k", "1"}, {"k", "2"}}, format[] = {{"format", "np"}};
    assert_fails(hora_st_write(path, e, n, twice, 2), HORA_EUSAGE, "twice");
    assert_fails(hora_st_write(path, e, n, format, 1), HORA_EUSAGE, "\"pt\"");
    char *nowhere = in_tmp("no/such/folder/a.safetensors");
    assert_fails(hora_st_write(nowhere, e, n, NULL, 0), HORA_ENOTFOUND, NULL);
    assert_false(hora_path_exists(path));
    hora_free(nowhere);
    hora_free(path);
}

static void nothing_is_a_file_too(void **state) {
    (void)state;
    hora_st *st;
    char *path = in_tmp("a.safetensors");
    assert_ok(hora_st_write(path, NULL, 0, NULL, 0));
    assert_ok(hora_st_open(&st, path));
    assert_int_equal(hora_st_count(st), 0);
    assert_null(hora_st_find(st, "a"));
    hora_st_hash(st);
    hora_st_close(st);
    hora_free(path);
}

/* An odd header puts the floats on an odd address; the bytes 0..7 must still come out right. */
static void unaligned_tensors_are_aligned(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} ",
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ",
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   "};
    static const unsigned char want[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    uint64_t hash = 0;
    for (int i = 0; i < 4; i++) {
        hora_st *st;
        assert_ok(hora_st_open(&st, st_put("u.safetensors", headers[i], 8)));
        const hora_st_tensor *t = hora_st_find(st, "w");
        assert_int_equal((uintptr_t)t->view.data % 4, 0);
        assert_memory_equal(t->view.data, want, 8);
        hora_st_forget(st, t);
        assert_memory_equal(t->view.data, want, 8);
        if (i)
            assert_true(hash == hora_st_hash(st));
        hash = hora_st_hash(st);
        hora_st_close(st);
    }
}

/* What the reference takes besides the obvious. */
static void legal_oddities(void **state) {
    (void)state;
    hora_st *st;
    /* empty tensors between others, header order not byte order, fields we do not know */
    assert_ok(hora_st_open(
        &st, st_put("o.safetensors",
                    "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5],\"new\":{}},"
                    "\"z\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[3,3]},"
                    "\"a\":{\"dtype\":\"U8\",\"shape\":[3,1],\"data_offsets\":[0,3]},"
                    "\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[5,5]}}\n\t ",
                    5)));
    assert_int_equal(hora_st_count(st), 4);
    assert_string_equal(hora_st_at(st, 0)->name, "a");
    assert_string_equal(hora_st_at(st, 1)->name, "z");
    assert_string_equal(hora_st_at(st, 2)->name, "b");
    assert_int_equal(((const uint8_t *)hora_st_at(st, 2)->view.data)[0], 3);
    assert_non_null(hora_st_find(st, ""));
    hora_st_close(st);
    /* dtypes that hora cannot compute with are seen, not refused: inspect shows them */
    assert_ok(hora_st_open(
        &st, st_put("p.safetensors",
                    "{\"__metadata__\":null,"
                    "\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]},"
                    "\"b\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[2,5]},"
                    "\"c\":{\"dtype\":\"F8_E8M0\",\"shape\":[1],\"data_offsets\":[5,6]},"
                    "\"d\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[6,14]}}",
                    14)));
    for (int i = 0; i < 4; i++)
        assert_int_equal(hora_st_at(st, i)->view.dtype, HORA_DTYPE_OTHER);
    assert_string_equal(hora_st_find(st, "c")->dtype_name, "F8_E8M0");
    assert_int_equal(hora_st_find(st, "b")->bytes, 3);
    hora_st_close(st);
}

/* b alone (24 bytes), then a c d e f (25 bytes). */
static void shards_and_index(void **state) {
    (void)state;
    hora_st_entry e[6];
    hora_st *one, *many;
    const char *dir = hora_test_tmp();
    int n = sample_entries(e);
    assert_fails(hora_st_open_model(&many, dir), HORA_ENOTFOUND, "neither");
    assert_ok(hora_st_write_model(dir, e, n, NULL, 0, 30));
    assert_ok(hora_st_open_model(&many, dir));
    assert_int_equal(hora_st_count(many), 6);
    assert_int_equal(hora_st_files(many), 2);
    assert_int_equal(hora_st_find(many, "b")->file, 0);
    assert_int_equal(hora_st_find(many, "f")->file, 1);
    assert_string_equal(hora_path_base(hora_st_file_path(many, 1)),
                        "model-00002-of-00002.safetensors");
    hora_json *index;
    int64_t total;
    char *path = in_tmp("model.safetensors.index.json");
    assert_ok(hora_json_load(&index, path));
    assert_ok(hora_json_get_int(hora_json_get(index, "metadata"), "total_size", 0, &total));
    assert_int_equal(total, 49);
    assert_int_equal(hora_json_len(hora_json_get(index, "weight_map")), 6);
    hora_json_free(index);
    hora_free(path);
    /* without limit: one file, no matter how it was cut before */
    uint64_t hash = hora_st_hash(many);
    hora_st_close(many);
    assert_ok(hora_st_write_model(dir, e, n, NULL, 0, 0));
    assert_ok(hora_st_open_model(&one, dir));
    assert_int_equal(hora_st_files(one), 1);
    assert_true(hora_st_hash(one) == hash);
    hora_st_close(one);
}

#define ONE_TENSOR(name) "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"

static hora_status open_with_index(const char *weight_map) {
    hora_st *st;
    hora_str text = {0};
    hora_str_printf(&text, "{\"metadata\":{},\"weight_map\":%s}", weight_map);
    st_put_bytes("model.safetensors.index.json", text.s, text.n);
    hora_str_release(&text);
    hora_status s = hora_st_open_model(&st, hora_test_tmp());
    hora_st_close(st);
    return s;
}

static void wrong_shards_are_refused(void **state) {
    (void)state;
    st_put("1.st", ONE_TENSOR("a"), 2);
    st_put("2.st", ONE_TENSOR("b"), 2);
    st_put("3.st", ONE_TENSOR("a"), 2);
    assert_ok(open_with_index("{\"a\":\"1.st\",\"b\":\"2.st\"}"));
    assert_fails(open_with_index("{\"a\":\"1.st\",\"b\":\"4.st\"}"), HORA_ENOTFOUND,
                 "4.st is missing");
    assert_fails(open_with_index("{\"a\":\"2.st\",\"b\":\"1.st\"}"), HORA_EFORMAT, "places tensor");
    assert_fails(open_with_index("{\"a\":\"1.st\",\"c\":\"2.st\"}"), HORA_EFORMAT, "no shard");
    assert_fails(open_with_index("{\"a\":\"1.st\",\"b\":\"3.st\"}"), HORA_EFORMAT, "two shards");
    assert_fails(open_with_index("{\"a\":\"../1.st\"}"), HORA_EFORMAT, "file of this folder");
    assert_fails(open_with_index("{\"a\":\"..\"}"), HORA_EFORMAT, "file of this folder");
    assert_fails(open_with_index("{\"a\":\"\"}"), HORA_EFORMAT, "file of this folder");
    assert_fails(open_with_index("{\"a\":1}"), HORA_EFORMAT, "file of this folder");
    assert_fails(open_with_index("{}"), HORA_EFORMAT, "weight_map");
    assert_fails(open_with_index("[\"a\"]"), HORA_EFORMAT, "weight_map");
}

/* One changed bit, name, shape or dtype changes the hash; the order of the tensors does not. */
static void hash_sees_everything_but_order(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
        "{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
        "{\"A\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"};
    uint64_t seen[5];
    for (int i = 0; i < 5; i++) {
        hora_st *st;
        assert_ok(hora_st_open(&st, st_put("h.safetensors", headers[i], 6)));
        seen[i] = hora_st_hash(st);
        for (int k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]); /* the last one differs in bytes: 2 3 4 5, 0 1 */
        hora_st_close(st);
    }
    static const uint8_t four[4] = {1, 2, 3, 4};
    hora_st_entry e[2] = {{"x", {(void *)four, HORA_U8, HORA_SHAPE1(4)}, HORA_U8},
                          {"y", {(void *)four, HORA_I8, HORA_SHAPE1(4)}, HORA_I8}};
    static const char swapped[] = "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                                  "\"y\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[4,8]}}";
    hora_st *a, *b;
    char *path = in_tmp("a.safetensors");
    assert_ok(hora_st_write(path, e, 2, NULL, 0)); /* y first */
    assert_ok(hora_st_open(&a, path));
    assert_string_equal(hora_st_at(a, 0)->name, "y");
    hora_str bytes = {0};
    for (int i = 0; i < 8; i++)
        hora_str_putc(&bytes, (char)(i ? 0 : sizeof swapped - 1));
    hora_str_puts(&bytes, swapped);
    hora_str_add(&bytes, (const char *)four, 4);
    hora_str_add(&bytes, (const char *)four, 4);
    assert_ok(hora_st_open(&b, st_put_bytes("b.safetensors", bytes.s, bytes.n)));
    assert_true(hora_st_hash(a) == hora_st_hash(b));
    hora_str_release(&bytes);
    hora_st_close(a);
    hora_st_close(b);
    hora_free(path);
}

HORA_TESTS(unit_safetensors, {"what is written is read", writes_and_reads, HORA_SHORT},
           {"layout is the reference writer's", layout_is_the_reference_writers, HORA_SHORT},
           {"writer refuses", writer_refuses, HORA_SHORT},
           {"a file without tensors", nothing_is_a_file_too, HORA_SHORT},
           {"unaligned tensors are aligned", unaligned_tensors_are_aligned, HORA_SHORT},
           {"legal oddities", legal_oddities, HORA_SHORT},
           {"shards and index", shards_and_index, HORA_SHORT},
           {"wrong shards are refused", wrong_shards_are_refused, HORA_SHORT},
           {"hash sees everything but order", hash_sees_everything_but_order, HORA_SHORT});
