/* Dtypes, shapes, conversion. All 65,536 values of the two-byte floats, and their ties, against
 * arithmetic done here. */
#include "hora_test.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "tensor/tensor.h"

/* Value of a small float by its definition. */
static double by_definition(uint32_t bits, int e, int m) {
    int bias = (1 << (e - 1)) - 1, x = (int)(bits >> m) & ((1 << e) - 1);
    double f = (double)(bits & ((1u << m) - 1)), sign = bits >> (e + m) & 1 ? -1 : 1;
    if (x == (1 << e) - 1)
        return f > 0 ? NAN : sign * INFINITY;
    return sign * (x ? ldexp(1 + ldexp(f, -m), x - bias) : ldexp(f, 1 - bias - m));
}

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static void f16_every_value(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = hora_f16_to_f32((uint16_t)h);
        if (!same((double)f, by_definition(h, 5, 10)))
            fail_msg("f16 %04x is read as %g", (unsigned)h, (double)f);
        uint16_t back = hora_f32_to_f16(f), want = (uint16_t)(isnan(f) ? h | 0x200u : h);
        if (back != want)
            fail_msg("f16 %04x is written as %04x", (unsigned)h, back);
    }
}

/* Half way between neighbours goes to the even one, a hair beside it to the nearer. */
static void f16_every_tie(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double low = by_definition(h, 5, 10);
        double high = h == 0x7bff ? 65536 : by_definition(h + 1, 5, 10);
        float mid = (float)((low + high) / 2);
        uint32_t even = h & 1 ? h + 1 : h;
        if (hora_f32_to_f16(mid) != even || hora_f32_to_f16(-mid) != (even | 0x8000u) ||
            hora_f32_to_f16(nextafterf(mid, 0)) != h ||
            hora_f32_to_f16(nextafterf(mid, INFINITY)) != h + 1)
            fail_msg("rounding above f16 %04x", (unsigned)h);
        double d = (double)mid, beside[3] = {nextafter(d, 0), d, nextafter(d, INFINITY)};
        uint16_t got[3];
        assert_ok(hora_convert(got, HORA_F16, beside, HORA_F64, 3));
        if (got[0] != h || got[1] != even || got[2] != h + 1)
            fail_msg("rounding f64 above f16 %04x", (unsigned)h);
    }
    assert_int_equal(hora_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(hora_f32_to_f16(-INFINITY), 0xfc00);
}

static void bf16_every_value_and_tie(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        float f = hora_bf16_to_f32((uint16_t)b);
        if (!same((double)f, by_definition(b, 8, 7)))
            fail_msg("bf16 %04x is read as %g", (unsigned)b, (double)f);
        uint16_t want = (uint16_t)(isnan(f) ? b | 0x40u : b);
        if (hora_f32_to_bf16(f) != want)
            fail_msg("bf16 %04x is written as %04x", (unsigned)b, hora_f32_to_bf16(f));
        if ((b & 0x7fff) >= 0x7f80)
            continue;
        uint32_t u = b << 16 | 0x8000u, even = b & 1 ? b + 1 : b;
        float mid;
        memcpy(&mid, &u, 4);
        double away = b >> 15 ? -INFINITY : INFINITY, d = (double)mid;
        double beside[3] = {nextafter(d, 0), d, nextafter(d, away)};
        uint16_t got[3];
        assert_ok(hora_convert(got, HORA_BF16, beside, HORA_F64, 3));
        if (hora_f32_to_bf16(mid) != even || got[0] != b || got[1] != even || got[2] != b + 1)
            fail_msg("rounding beyond bf16 %04x", (unsigned)b);
    }
}

static void f8_every_value(void **state) {
    (void)state;
    for (uint32_t v = 0; v < 256; v++) {
        uint8_t byte = (uint8_t)v, back;
        double got, e5m2 = by_definition(v, 5, 2), e4m3 = by_definition(v, 4, 3);
        if ((v & 0x78) == 0x78) /* E4M3 has numbers where others have inf; all ones is NaN */
            e4m3 = (v & 0x7f) == 0x7f ? NAN : (v & 0x80 ? -1 : 1) * (8.0 + (v & 7)) * 32;
        assert_ok(hora_convert(&got, HORA_F64, &byte, HORA_F8_E5M2, 1));
        assert_true(same(got, e5m2));
        assert_ok(hora_convert(&back, HORA_F8_E5M2, &got, HORA_F64, 1));
        assert_true(isnan(e5m2) || back == byte);
        assert_ok(hora_convert(&got, HORA_F64, &byte, HORA_F8_E4M3, 1));
        assert_true(same(got, e4m3));
        assert_ok(hora_convert(&back, HORA_F8_E4M3, &got, HORA_F64, 1));
        assert_true(isnan(e4m3) || back == byte);
    }
    static const float big[] = {448, 463, 465, INFINITY};
    uint8_t got[4];
    assert_ok(hora_convert(got, HORA_F8_E4M3, big, HORA_F32, 4));
    assert_memory_equal(got, "\x7e\x7e\x7f\x7f", 4);
}

static void rounds_once(void **state) {
    (void)state;
    /* Through f32 or f64 these would land on a tie and go the wrong way. */
    int64_t i = ((int64_t)1 << 62) + ((int64_t)1 << 54) + 1;
    uint16_t b;
    float f;
    assert_ok(hora_convert(&b, HORA_BF16, &i, HORA_I64, 1));
    assert_true(hora_bf16_to_f32(b) == 0x1p62f + 0x1p55f);
    i = ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1;
    assert_ok(hora_convert(&f, HORA_F32, &i, HORA_I64, 1));
    assert_true(f == 0x1p60f + 0x1p37f);
    i = -i;
    assert_ok(hora_convert(&f, HORA_F32, &i, HORA_I64, 1));
    assert_true(f == -(0x1p60f + 0x1p37f));
    double d;
    uint64_t most = UINT64_MAX;
    assert_ok(hora_convert(&d, HORA_F64, &most, HORA_U64, 1));
    assert_true(d == 0x1p64);
    hora_rng r = hora_rng_new(1, "rounds once");
    for (int k = 0; k < 20000; k++) {
        int64_t x = (int64_t)hora_rng_u64(&r) >> hora_rng_below(&r, 63);
        assert_ok(hora_convert(&f, HORA_F32, &x, HORA_I64, 1));
        assert_ok(hora_convert(&d, HORA_F64, &x, HORA_I64, 1));
        assert_true(f == (float)x && d == (double)x);
    }
}

static void integers_clamp(void **state) {
    (void)state;
    static const double from[] = {1.9, -1.9, 300, -300, NAN, 1e30, -1e30, 0.2};
    static const uint8_t u8[] = {1, 0, 255, 0, 0, 255, 0, 0};
    static const int8_t i8[] = {1, -1, 127, -128, 0, 127, -128, 0};
    static const uint8_t truth[] = {1, 1, 1, 1, 1, 1, 1, 1};
    uint8_t gu[8], gt[8];
    int8_t gi[8];
    int64_t g64[8];
    assert_ok(hora_convert(gu, HORA_U8, from, HORA_F64, 8));
    assert_ok(hora_convert(gi, HORA_I8, from, HORA_F64, 8));
    assert_ok(hora_convert(g64, HORA_I64, from, HORA_F64, 8));
    assert_ok(hora_convert(gt, HORA_BOOL, from, HORA_F64, 8));
    assert_memory_equal(gu, u8, 8);
    assert_memory_equal(gi, i8, 8);
    assert_memory_equal(gt, truth, 8);
    assert_true(g64[5] == INT64_MAX && g64[6] == INT64_MIN && g64[3] == -300);
    static const int64_t wide[] = {INT64_MIN, -1, 0, 65536, INT64_MAX};
    uint16_t u16[5];
    int32_t i32[5];
    assert_ok(hora_convert(u16, HORA_U16, wide, HORA_I64, 5));
    assert_ok(hora_convert(i32, HORA_I32, wide, HORA_I64, 5));
    static const uint16_t want16[] = {0, 0, 0, 65535, 65535};
    static const int32_t want32[] = {INT32_MIN, -1, 0, 65536, INT32_MAX};
    assert_memory_equal(u16, want16, sizeof u16);
    assert_memory_equal(i32, want32, sizeof i32);
}

/* Small integers survive every pair of dtypes, in spans longer than a chunk, at odd addresses. */
static void every_pair(void **state) {
    (void)state;
    enum { N = 1201 };
    unsigned char *a = hora_malloc(8 * N + 1), *b = hora_malloc(8 * N + 1);
    double *in = hora_malloc(N * sizeof *in), *out = hora_malloc(N * sizeof *out);
    for (int i = 0; i < N; i++)
        in[i] = i * 7 % 9; /* what 8-bit floats hold exactly */
    for (int s = 0; s < HORA_DTYPE_OTHER; s++)
        for (int d = 0; d < HORA_DTYPE_OTHER; d++) {
            assert_ok(hora_convert(a + 1, (hora_dtype)s, in, HORA_F64, N));
            assert_ok(hora_convert(b + 1, (hora_dtype)d, a + 1, (hora_dtype)s, N));
            assert_ok(hora_convert(out, HORA_F64, b + 1, (hora_dtype)d, N));
            bool truth = s == HORA_BOOL || d == HORA_BOOL;
            for (int i = 0; i < N; i++)
                if (out[i] != (truth ? in[i] != 0 : in[i]))
                    fail_msg("%s to %s: %g gives %g", hora_dtype_name((hora_dtype)s),
                             hora_dtype_name((hora_dtype)d), in[i], out[i]);
        }
    assert_fails(hora_convert(b, HORA_F32, a, HORA_DTYPE_OTHER, 1), HORA_EUNSUPPORTED, "OTHER");
    assert_ok(hora_convert(b, HORA_F32, a, HORA_DTYPE_OTHER, 0));
    hora_free(a);
    hora_free(b);
    hora_free(in);
    hora_free(out);
}

static void shapes(void **state) {
    (void)state;
    hora_shape s = HORA_SHAPE3(2, 3, 4), scalar = {0};
    hora_shape other = HORA_SHAPE2(2, 3);
    char text[128];
    int64_t n;
    assert_int_equal(hora_shape_elems(&s), 24);
    assert_int_equal(hora_row_elems(&s), 12);
    assert_int_equal(hora_shape_elems(&scalar), 1);
    assert_string_equal(hora_shape_text(text, &s), "[2, 3, 4]");
    assert_string_equal(hora_shape_text(text, &scalar), "[]");
    assert_false(hora_shape_equal(&s, &other));
    assert_true(hora_shape_checked(&s, &n) && n == 24);
    hora_shape huge = HORA_SHAPE3((int64_t)1 << 31, (int64_t)1 << 31, 2);
    assert_false(hora_shape_checked(&huge, &n));
    huge.d[2] = 0; /* nothing, however large the others */
    assert_true(hora_shape_checked(&huge, &n) && n == 0);
    huge.d[2] = -1;
    assert_false(hora_shape_checked(&huge, &n));
    huge.n = 9;
    assert_false(hora_shape_checked(&huge, &n));
    hora_shape wide = {.n = 8};
    for (int i = 0; i < 8; i++)
        wide.d[i] = INT64_MAX;
    assert_true(strlen(hora_shape_text(text, &wide)) < 128);
}

static void dtypes(void **state) {
    (void)state;
    for (int t = 0; t < HORA_DTYPE_OTHER; t++) {
        for (int k = 0; k < t; k++)
            assert_string_not_equal(hora_dtype_name((hora_dtype)t), hora_dtype_name((hora_dtype)k));
        assert_in_range(hora_dtype_size((hora_dtype)t), 1, 8);
    }
    assert_int_equal(hora_dtype_size(HORA_DTYPE_OTHER), 0);
    assert_true(hora_dtype_is_float(HORA_BF16) && !hora_dtype_is_float(HORA_I64));
}

HORA_TESTS(unit_tensor, {"f16: every value", f16_every_value, HORA_SHORT},
           {"f16: every tie", f16_every_tie, HORA_SHORT},
           {"bf16: every value and tie", bf16_every_value_and_tie, HORA_SHORT},
           {"f8: every value", f8_every_value, HORA_SHORT},
           {"every pair rounds once", rounds_once, HORA_SHORT},
           {"integers are cut and clamped", integers_clamp, HORA_SHORT},
           {"every pair of dtypes", every_pair, HORA_SHORT}, {"shapes", shapes, HORA_SHORT},
           {"dtypes", dtypes, HORA_SHORT});
