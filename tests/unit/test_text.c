/* Text: UTF-8 strictness, numbers in any locale, nearest names, sizes for people. */
#include "hora_test.h"

#include <locale.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

static void utf8_every_code_point(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char s[4];
        uint32_t back = 0;
        int n = hora_utf8_encode(c, s);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        if (hora_utf8_decode(s, (size_t)n, &back) != n || back != (surrogate ? 0xfffd : c))
            fail_msg("code point %x", (unsigned)c);
        if (n > 1 && hora_utf8_decode(s, (size_t)n - 1, &back))
            fail_msg("cut code point %x is taken", (unsigned)c);
    }
}

static void utf8_refuses(void **state) {
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xe2\x28\xa1",
                                      "\xc3("};
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        uint32_t c;
        size_t at = 99;
        char text[16] = "ok";
        strcat(text, bad[i]);
        assert_int_equal(hora_utf8_decode(bad[i], strlen(bad[i]), &c), 0);
        assert_false(hora_utf8_valid(text, strlen(text), &at));
        assert_int_equal(at, 2);
    }
    assert_true(hora_utf8_valid("gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82", 12, NULL));
}

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *s;
        bool ok;
        int64_t v;
    } rows[] = {{"0", true, 0},
                {"-12", true, -12},
                {"+5", true, 5},
                {"16k", true, 16000},
                {"2M", true, 2000000},
                {"3G", true, 3000000000},
                {"9223372036854775807", true, INT64_MAX},
                {"-9223372036854775808", true, INT64_MIN},
                {"9223372036854775808", false, 0},
                {"-9223372036854775809", false, 0},
                {"9223372036854776k", false, 0},
                {"", false, 0},
                {"-", false, 0},
                {" 1", false, 0},
                {"1 ", false, 0},
                {"1.5", false, 0},
                {"0x10", false, 0},
                {"1kk", false, 0},
                {"k", false, 0}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        int64_t v = 77;
        if (hora_parse_int(rows[i].s, &v) != rows[i].ok || v != (rows[i].ok ? rows[i].v : 77))
            fail_msg("`%s` gives %lld", rows[i].s, (long long)v);
    }
    assert_false(hora_parse_int(NULL, &(int64_t){0}));
}

static void reals(void **state) {
    (void)state;
    static const char *const bad[] = {"",      ".",   "e5",  "1e",       "1e+",   " 1",  "1 ",
                                      "0x1p3", "1,5", "NaN", "infinity", "1e999", "--1", "1.2.3"};
    static const struct {
        const char *s;
        double v;
    } good[] = {{"1", 1},          {"-.5", -0.5},         {"2.", 2},
                {"1e-4", 1e-4},    {"6.02E+23", 6.02e23}, {"4.9e-324", 4.9e-324},
                {"inf", INFINITY}, {"-inf", -INFINITY},   {"1e-999", 0}};
    double v = 7;
    for (size_t i = 0; i < HORA_COUNT(bad); i++)
        if (hora_parse_double(bad[i], &v) || v != 7)
            fail_msg("`%s` is taken", bad[i]);
    for (size_t i = 0; i < HORA_COUNT(good); i++)
        if (!hora_parse_double(good[i].s, &v) || v != good[i].v)
            fail_msg("`%s` gives %g", good[i].s, v);
    assert_true(hora_parse_double("nan", &v) && isnan(v));
}

static void reals_print_short(void **state) {
    (void)state;
    char buf[32];
    assert_string_equal(hora_format_real(buf, 0.1), "0.1");
    assert_string_equal(hora_format_real(buf, 2e-4), "0.0002");
    assert_string_equal(hora_format_real(buf, 2), "2");
    assert_string_equal(hora_format_real(buf, 1e-5), "1e-05");
    assert_string_equal(hora_format_real(buf, 1.0 / 3), "0.3333333333333333");
    assert_string_equal(hora_format_real(buf, -INFINITY), "-inf");
    assert_string_equal(hora_format_real(buf, NAN), "nan");
    static const double hard[] = {5e-324, 1.7976931348623157e308, 0.1 + 0.2, 9007199254740993.0};
    for (size_t i = 0; i < HORA_COUNT(hard); i++) {
        double back = 0;
        assert_true(hora_parse_double(hora_format_real(buf, hard[i]), &back));
        assert_true(back == hard[i]);
    }
}

static void no_locale(void **state) {
    (void)state;
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8",  "fr_FR.UTF-8",
                                        "de_DE",       "pl_PL.UTF-8", "fr_FR.utf8"};
    bool set = false;
    for (size_t i = 0; i < HORA_COUNT(comma) && !set; i++)
        set = setlocale(LC_ALL, comma[i]) != NULL;
    if (!set)
        hora_test_skip("no locale with a decimal comma is installed");
    double v = 0;
    hora_str s = {0};
    bool ok = hora_parse_double("0.5", &v);
    hora_str_printf(&s, "%.1f", v);
    setlocale(LC_ALL, "C");
    assert_true(ok);
    assert_string_equal(s.s, "0.5");
    hora_str_release(&s);
}

static void booleans_and_strings(void **state) {
    (void)state;
    bool b = false;
    assert_true(hora_parse_bool("on", &b) && b);
    assert_true(hora_parse_bool("no", &b) && !b);
    assert_true(hora_parse_bool("1", &b) && b);
    assert_true(hora_parse_bool("off", &b) && !b);
    assert_false(hora_parse_bool("True!", &b));
    assert_false(hora_parse_bool("", &b));
    assert_true(hora_starts("adapter", "ad") && !hora_starts("ad", "adapter"));
    assert_true(hora_ends("q_proj", "_proj") && !hora_ends("proj", "q_proj"));
    assert_true(hora_eq(NULL, NULL) && hora_eq("a", "a") && !hora_eq("a", NULL));
}

static void nearest_names(void **state) {
    (void)state;
    static const char *const names[] = {"rank", "alpha", "schedule", "weight_decay", "seed"};
    assert_int_equal(hora_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(hora_edit_distance("rank", "rnak"), 1);
    assert_int_equal(hora_edit_distance("", "abc"), 3);
    assert_int_equal(hora_edit_distance("ca", "abc"), 3); /* alignment: no edit inside a swap */
    assert_string_equal(hora_nearest("rnak", names, 5), "rank");
    assert_string_equal(hora_nearest("scheduler", names, 5), "schedule");
    assert_string_equal(hora_nearest("weight", names, 5), "weight_decay");
    assert_null(hora_nearest("zebra_crossing", names, 5));
    assert_null(hora_nearest("x", names, 5));
}

static void sizes_for_people(void **state) {
    (void)state;
    char b[32];
    assert_string_equal(hora_human_bytes(b, 0), "0 B");
    assert_string_equal(hora_human_bytes(b, 1023), "1023 B");
    assert_string_equal(hora_human_bytes(b, 3 * 1024), "3 KiB");
    assert_string_equal(hora_human_bytes(b, 12.0 * (1 << 20)), "12 MiB");
    assert_string_equal(hora_human_bytes(b, 1.5 * (1 << 30)), "1.5 GiB");
    assert_string_equal(hora_human_count(b, 260000), "260 k");
    assert_string_equal(hora_human_count(b, 1234567), "1.23 M");
    assert_string_equal(hora_human_count(b, 17), "17");
    assert_string_equal(hora_human_count(b, 999999), "1 M");
}

HORA_TESTS(unit_text, {"UTF-8 takes every code point", utf8_every_code_point, HORA_SHORT},
           {"UTF-8 refuses the rest", utf8_refuses, HORA_SHORT},
           {"integers are strict", integers, HORA_SHORT}, {"reals are strict", reals, HORA_SHORT},
           {"reals print as short as they read back", reals_print_short, HORA_SHORT},
           {"numbers do not follow the locale", no_locale, HORA_SHORT},
           {"booleans, prefixes, suffixes", booleans_and_strings, HORA_SHORT},
           {"the nearest name", nearest_names, HORA_SHORT},
           {"sizes for people", sizes_for_people, HORA_SHORT});
