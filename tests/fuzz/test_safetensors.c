/* safetensors files that lie. A known lie is refused with the right words; a random one is refused
 * or leaves views that may be read to the last byte (the sanitizers watch). */
#include <stdio.h>

#include "base/rng.h"
#include "format/safetensors.h"
#include "st_bytes.h"

#define F32(shape, from, to)                                                                       \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
#define A8 "\"a\":" F32("[2]", "0", "8")

static hora_status try_open(const char *path) {
    hora_st *st;
    hora_status s = hora_st_open(&st, path);
    assert_true((s == HORA_OK) == (st != NULL));
    hora_st_close(st);
    return s;
}

static const struct {
    const char *header;
    size_t data;
    const char *says;
    hora_status status; /* 0: HORA_EFORMAT */
} lies[] = {
    {"", 0, "does not start", 0},
    {" {" A8 "}", 8, "does not start", 0},
    {"[1]", 0, "does not start", 0},
    {"{" A8 "}\x01", 8, "line 1", 0},
    {"{" A8 "} {}", 8, "line 1", 0},
    {"{" A8, 8, "line 1", 0},
    {"{\"\xff\xfe\":" F32("[2]", "0", "8") "}", 8, "line 1", 0},
    {"{\"a\\u0000b\":" F32("[2]", "0", "8") "}", 8, "line 1", 0},
    {"{" A8 "," A8 "}", 8, "line 1", 0},
    {"{\"a\":3}", 8, "should be an object", 0},
    {"{\"a\":[]}", 8, "should be an object", 0},
    {"{\"a\":{}}", 8, "should be an object", 0},
    {"{\"a\":{\"dtype\":3,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "should be an object", 0},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "`F31`",
     HORA_EUNSUPPORTED},
    {"{\"a\":" F32("2", "0", "8") "}", 8, "`shape` should be an array", 0},
    {"{\"a\":" F32("[2.0]", "0", "8") "}", 8, "integers of 0 or more", 0},
    {"{\"a\":" F32("[-2]", "0", "8") "}", 8, "integers of 0 or more", 0},
    {"{\"a\":" F32("[-2,-1]", "0", "8") "}", 8, "integers of 0 or more", 0},
    {"{\"a\":" F32("[\"2\"]", "0", "8") "}", 8, "integers of 0 or more", 0},
    {"{\"a\":" F32("[99999999999999999999]", "0", "8") "}", 8, "integers of 0 or more", 0},
    {"{\"a\":" F32("[1,1,1,1,1,1,1,1,2]", "0", "8") "}", 8, "9 dimensions", HORA_EUNSUPPORTED},
    {"{\"a\":" F32("[4611686018427387904,4]", "0", "0") "}", 0, "overflows", 0},
    {"{\"a\":" F32("[4294967296,4294967296,4294967296]", "0", "0") "}", 0, "overflows", 0},
    {"{\"a\":" F32("[2305843009213693952]", "0", "0") "}", 0, "overflows", 0},
    {"{\"a\":" F32("[4611686018427387904,8,0]", "0", "0") "}", 0, "overflows", 0},
    {"{\"a\":" F32("[2]", "0", "8.0") "}", 8, "two integers", 0},
    {"{\"a\":" F32("[2]", "0", "8,8") "}", 8, "two integers", 0},
    {"{\"a\":" F32("[2]", "0", "\"8\"") "}", 8, "two integers", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\"08\"}}", 8, "two integers", 0},
    {"{\"a\":" F32("[2]", "-8", "0") "}", 8, "not in the file", 0},
    {"{\"a\":" F32("[2]", "8", "0") "}", 8, "not in the file", 0},
    {"{\"a\":" F32("[2]", "8", "16") "}", 8, "not in the file", 0},
    {"{\"a\":" F32("[3]", "0", "12") "}", 8, "not in the file", 0},
    {"{\"a\":" F32("[2]", "9223372036854775800", "9223372036854775807") "}", 8, "not in the file",
     0},
    {"{\"a\":" F32("[3]", "0", "8") "}", 8, "does not take the 8 bytes", 0},
    {"{\"a\":" F32("[]", "0", "8") "}", 8, "does not take the 8 bytes", 0},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "does not take", 0},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "does not take", 0},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "does not take", 0},
    {"{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, "does not take", 0},
    {"{" A8 ",\"b\":" F32("[2]", "0", "8") "}", 8, "inside a tensor", 0},
    {"{" A8 ",\"b\":" F32("[2]", "4", "12") "}", 12, "inside a tensor", 0},
    {"{" A8 ",\"b\":" F32("[0]", "4", "4") "}", 8, "inside a tensor", 0},
    {"{" A8 ",\"b\":" F32("[2]", "12", "20") "}", 20, "after a hole", 0},
    {"{\"a\":" F32("[2]", "4", "12") "}", 12, "after a hole", 0},
    {"{" A8 "}", 9, "end at byte 8 of 9", 0},
    {"{}", 1, "end at byte 0 of 1", 0},
    {"{\"__metadata__\":[]," A8 "}", 8, "__metadata__", 0},
    {"{\"__metadata__\":{\"a\":1}," A8 "}", 8, "`a` should be a string", 0},
    {"{\"__metadata__\":{\"a\":null}," A8 "}", 8, "`a` should be a string", 0},
};

static void known_lies_are_refused(void **state) {
    (void)state;
    assert_ok(try_open(st_put("x.safetensors", "{" A8 "}", 8)));
    for (size_t i = 0; i < HORA_COUNT(lies); i++) {
        const char *path = st_put("x.safetensors", lies[i].header, lies[i].data);
        hora_status want = lies[i].status ? lies[i].status : HORA_EFORMAT;
        hora_status got = try_open(path);
        if (got != want || !strstr(hora_errmsg(), lies[i].says) ||
            !strstr(hora_errmsg(), "x.safetensors") || !strstr(hora_errmsg(), "; "))
            fail_msg("%s: status %d, %s", lies[i].header, (int)got, got ? hora_errmsg() : "ok");
    }
}

static void wrong_lengths_are_refused(void **state) {
    (void)state;
    static const uint64_t lengths[] = {0,
                                       1,
                                       53,
                                       55,
                                       62,
                                       63,
                                       100000000,
                                       100000001,
                                       UINT32_MAX,
                                       (uint64_t)1 << 32,
                                       INT64_MAX,
                                       UINT64_MAX,
                                       UINT64_MAX - 7};
    unsigned char bytes[8 + 54 + 8] = {0};
    static const char header[] = "{" A8 "}";
    assert_int_equal(sizeof header - 1, 54);
    memcpy(bytes + 8, header, 54);
    for (size_t i = 0; i < HORA_COUNT(lengths); i++) {
        memcpy(bytes, &lengths[i], 8);
        assert_fails(try_open(st_put_bytes("x.safetensors", bytes, sizeof bytes)), HORA_EFORMAT,
                     "; ");
    }
    memcpy(bytes, &(uint64_t){54}, 8);
    assert_ok(try_open(st_put_bytes("x.safetensors", bytes, sizeof bytes)));
    for (size_t n = 0; n < sizeof bytes; n++)
        assert_fails(try_open(st_put_bytes("x.safetensors", bytes, n)), HORA_EFORMAT, "; ");
}

static void absent_files_are_refused(void **state) {
    (void)state;
    char *path = hora_format("%s/absent.safetensors", hora_test_tmp());
    hora_st *st;
    assert_true(hora_st_open(&st, path) != HORA_OK);
    assert_non_null(strstr(hora_errmsg(), "absent.safetensors"));
    assert_true(hora_st_open(&st, hora_test_tmp()) != HORA_OK); /* a folder */
    hora_free(path);
}

static void deep_and_wide_headers(void **state) {
    (void)state;
    hora_str h = {0};
    hora_str_puts(&h, "{\"a\":");
    for (int i = 0; i < 100000; i++)
        hora_str_putc(&h, '[');
    assert_fails(try_open(st_put("x.safetensors", h.s, 0)), HORA_EFORMAT, "; ");
    h.n = 0;
    hora_str_putc(&h, '{');
    for (int i = 0; i < 20000; i++)
        hora_str_printf(&h, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                        i ? "," : "", i, i, i + 1);
    hora_str_putc(&h, '}');
    hora_st *st;
    assert_ok(hora_st_open(&st, st_put("x.safetensors", h.s, 20000)));
    assert_int_equal(hora_st_count(st), 20000);
    assert_int_equal(*(const uint8_t *)hora_st_find(st, "t19999")->view.data, 19999 % 251);
    hora_st_close(st);
    hora_str_release(&h);
}

/* Reads every byte that the file claims to hold and looks every name up. */
static uint64_t read_all(const char *path, size_t file_n) {
    hora_st *st;
    uint64_t sum = 0, bytes = 0;
    if (hora_st_open(&st, path) != HORA_OK)
        return 0;
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        assert_ptr_equal(hora_st_find(st, t->name), t);
        for (uint64_t k = 0; k < t->bytes; k++)
            sum += ((const unsigned char *)t->view.data)[k];
        if (t->view.dtype != HORA_DTYPE_OTHER)
            assert_int_equal(hora_view_bytes(&t->view), t->bytes);
        bytes += t->bytes;
    }
    assert_true(bytes < file_n);
    sum += hora_st_hash(st);
    hora_st_close(st);
    return sum | 1;
}

/* Bytes, digits and whole numbers of a right file replaced at random; the seed is fixed. */
static void random_damage(void **state) {
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},\"ab\":" F32(
        "[2,3]", "0",
        "24") ",\"cd\":{"
              "\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[24,34]},\"e\":{\"dtype\":\"U8\","
              "\"shape\":[3,0],\"data_offsets\":[34,34]},\"f\":{\"dtype\":\"I64\",\"shape\":[],"
              "\"data_offsets\":[34,42]}}";
    static const char digits[] = "0123456789-.e,[]{}\":\\";
    hora_rng r = hora_rng_new(7, "safetensors damage");
    const size_t n = 8 + sizeof header - 1 + 42;
    unsigned char *bytes = hora_malloc(n);
    int taken = 0, refused = 0;
    for (int round = 0; round < 6000; round++) {
        memset(bytes, 0, n);
        memcpy(bytes, &(uint64_t){sizeof header - 1}, 8);
        memcpy(bytes + 8, header, sizeof header - 1);
        for (int64_t k = 1 + hora_rng_below(&r, 3); k > 0; k--) {
            int64_t at = hora_rng_below(&r, (int64_t)n);
            bool text = at >= 8 && at < (int64_t)sizeof header + 7;
            bytes[at] = text && round % 2
                            ? (unsigned char)digits[hora_rng_below(&r, sizeof digits - 1)]
                            : (unsigned char)hora_rng_below(&r, 256);
        }
        uint64_t sum = read_all(st_put_bytes("x.safetensors", bytes, n), n);
        taken += sum != 0;
        refused += sum == 0;
    }
    hora_free(bytes);
    /* both ends are reached, or the damage is not worth its name */
    assert_true(taken > 100);
    assert_true(refused > 1000);
}

HORA_TESTS(fuzz_safetensors, {"known lies are refused", known_lies_are_refused, HORA_SHORT},
           {"wrong lengths are refused", wrong_lengths_are_refused, HORA_SHORT},
           {"absent files are refused", absent_files_are_refused, HORA_SHORT},
           {"deep and wide headers", deep_and_wide_headers, HORA_SHORT},
           {"random damage", random_damage, HORA_SHORT});
