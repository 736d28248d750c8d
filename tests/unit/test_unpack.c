/* Compressed files: members and frames one behind the other, what is cut off, damaged or a bomb. */
#include "hora_test.h"

#ifdef HORA_HAVE_GZIP
#include <zlib.h>
#endif
#ifdef HORA_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/text.h"
#include "format/unpack.h"

static const hora_unpack_limits wide = {1 << 24, 1 << 20, 1000};
typedef void (*packer)(hora_str *out, const char *text, size_t n);

#ifdef HORA_HAVE_GZIP
static void gzip(hora_str *out, const char *text, size_t n) {
    z_stream z = {.next_in = (z_const Bytef *)(const unsigned char *)text, .avail_in = (uInt)n};
    const size_t most = n + n / 8 + 1024;
    unsigned char *to = hora_malloc(most);
    z.next_out = to;
    z.avail_out = (uInt)most;
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    hora_str_add(out, (char *)to, most - z.avail_out);
    deflateEnd(&z);
    hora_free(to);
}
#endif

#ifdef HORA_HAVE_ZSTD
static void zstd(hora_str *out, const char *text, size_t n) {
    const size_t most = ZSTD_compressBound(n);
    char *to = hora_malloc(most);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    const size_t m = ZSTD_compress2(c, to, most, text, n);
    assert_false(ZSTD_isError(m));
    hora_str_add(out, to, m);
    ZSTD_freeCCtx(c);
    hora_free(to);
}
#endif

static void holds(const hora_str *packed, const hora_unpack_limits *l, const char *text, size_t n) {
    hora_str out = {0};
    assert_non_null(hora_unpack_kind(packed->s, packed->n));
    assert_ok(hora_unpack("x", packed->s, packed->n, l, &out));
    assert_int_equal(out.n, n);
    assert_memory_equal(out.s, text, n);
    hora_str_release(&out);
}

static void fails(const char *s, size_t n, const hora_unpack_limits *l, hora_status status,
                  const char *says) {
    hora_str out = {0};
    assert_fails(hora_unpack("a.file", s, n, l, &out), status, says);
    assert_non_null(strstr(hora_errmsg(), "a.file"));
    hora_str_release(&out);
}

static void whole(packer pack) {
    hora_str text = {0}, packed = {0}, two = {0};
    for (int i = 0; i < 60000; i++)
        hora_str_printf(&text, "line %d\n", (int)((int64_t)i * i % 7919));
    pack(&packed, text.s, text.n);
    holds(&packed, &wide, text.s, text.n);
    hora_str_add(&two, packed.s, packed.n); /* cat a.gz b.gz */
    pack(&two, "", 0);
    pack(&two, "end", 3);
    hora_str_puts(&text, "end");
    holds(&two, &wide, text.s, text.n);
    hora_str_release(&text);
    hora_str_release(&packed);
    hora_str_release(&two);
}

static void broken(packer pack) {
    hora_str text = {0}, packed = {0};
    for (int i = 0; i < 6000; i++)
        hora_str_printf(&text, "line %d\n", i * i % 7919);
    pack(&packed, text.s, text.n);
    for (size_t cut = 5; cut < packed.n; cut += packed.n / 7)
        fails(packed.s, cut, &wide, HORA_EFORMAT, "cut off");
    fails(packed.s, packed.n - 1, &wide, HORA_EFORMAT, "cut off");
    packed.s[packed.n / 2] ^= 0x55; /* the checksum is checked */
    fails(packed.s, packed.n, &wide, HORA_EFORMAT, "damaged");
    packed.s[packed.n / 2] ^= 0x55;
    hora_str_puts(&packed, "no member");
    fails(packed.s, packed.n, &wide, HORA_EFORMAT, "damaged");
    fails(packed.s, packed.n, &(hora_unpack_limits){1000, 1 << 20, 1000}, HORA_ENOMEM,
          "unpacked it is larger than 1000 B");
    hora_str_release(&packed);
    packed = (hora_str){0};
    text.n = 0;
    for (int i = 0; i < 3 << 20; i++)
        hora_str_putc(&text, 0);
    pack(&packed, text.s, text.n);
    fails(packed.s, packed.n, &(hora_unpack_limits){1 << 24, 1 << 20, 500}, HORA_EFORMAT,
          "as no data do");
    holds(&packed, &(hora_unpack_limits){1 << 24, 1 << 23, 500}, text.s, text.n);
    hora_str_release(&packed);
    hora_str_release(&text);
}

static void test_gzip(void **state) {
    (void)state;
#ifdef HORA_HAVE_GZIP
    hora_str padded = {0};
    whole(gzip);
    broken(gzip);
    gzip(&padded, "text", 4);
    hora_str_add(&padded, "\0\0\0\0\0", 5); /* as tapes have it */
    holds(&padded, &wide, "text", 4);
    hora_str_release(&padded);
#else
    hora_test_skip("built without zlib");
#endif
}

static void test_zstd(void **state) {
    (void)state;
#ifdef HORA_HAVE_ZSTD
    hora_str skips = {0};
    whole(zstd);
    broken(zstd);
    zstd(&skips, "te", 2);
    hora_str_add(&skips, "\x50\x2a\x4d\x18\3\0\0\0abc", 11); /* a skippable frame */
    zstd(&skips, "xt", 2);
    holds(&skips, &wide, "text", 4);
    hora_str_release(&skips);
#else
    hora_test_skip("built without libzstd");
#endif
}

static void test_kinds(void **state) {
    (void)state;
    assert_string_equal(hora_unpack_kind("\x1f\x8b\x08", 3), "gzip");
    assert_string_equal(hora_unpack_kind("\x28\xb5\x2f\xfd", 4), "Zstandard");
    assert_null(hora_unpack_kind("{\"text\"", 7));
    assert_null(hora_unpack_kind("\x1f\x8b", 2));
    assert_null(hora_unpack_kind("", 0));
}

HORA_TESTS(unit_unpack, {"kinds", test_kinds, HORA_SHORT}, {"gzip", test_gzip, HORA_SHORT},
           {"Zstandard", test_zstd, HORA_SHORT});
