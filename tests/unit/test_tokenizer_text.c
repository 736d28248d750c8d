/*
 * The tokenizer's ground: GPT-2's byte alphabet, repair of broken UTF-8, and patterns read as
 * Oniguruma reads them.
 */
#include "hora_test.h"
#include "token/tokenizer_impl.h"

/* The 256 characters of the byte alphabet are different and lead back. */
static void byte_alphabet(void **state) {
    (void)state;
    bool seen[0x144] = {false};
    for (int b = 0; b < 256; b++) {
        uint32_t cp = hora_tok_byte_char((unsigned char)b);
        assert_true(cp < 0x144 && !seen[cp]);
        seen[cp] = true;
        assert_int_equal(hora_tok_char_byte(cp), b);
    }
    assert_int_equal(hora_tok_byte_char(' '), 0x120);
    assert_int_equal(hora_tok_char_byte(' '), -1);
    assert_int_equal(hora_tok_char_byte(0x144), -1);
}

static void broken_utf8(void **state) {
    (void)state;
    static const struct {
        const char *in, *out, *held;
    } rows[] = {
        {"a\xff", "a\xef\xbf\xbd", "a\xef\xbf\xbd"},
        {"\xe4\xbd\xa0", "\xe4\xbd\xa0", "\xe4\xbd\xa0"},
        {"\xe4\xbd", "\xef\xbf\xbd", ""},
        {"\xe4\xbd"
         "b",
         "\xef\xbf\xbd"
         "b",
         "\xef\xbf\xbd"
         "b"},
        {"\xed\xa0", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
        {"\xf0\x9f\x98", "\xef\xbf\xbd", ""},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_str a = {0}, b = {0};
        hora_tok_add_lossy(&a, rows[i].in, strlen(rows[i].in), false);
        hora_tok_add_lossy(&b, rows[i].in, strlen(rows[i].in), true);
        assert_string_equal(a.s, rows[i].out);
        assert_string_equal(b.s ? b.s : "", rows[i].held);
        hora_str_release(&a);
        hora_str_release(&b);
    }
}

/* Oniguruma's reading of a pattern, not PCRE2's. */
static void regex_dialect(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text, *first;
    } rows[] = {
        {"\\s", "\xe1\xa0\x8e\xc2\x85", "\xc2\x85"}, /* U+180E is no space, U+0085 is */
        {"[^\\s]", "\xc2\x85\xe1\xa0\x8e", "\xe1\xa0\x8e"},
        {"[\\S]", " \xe1\xa0\x8e", "\xe1\xa0\x8e"},
        {"\\w+", "- a\xcc\x81_\xe2\x80\xbf ", "a\xcc\x81_\xe2\x80\xbf"},
        {"\\ba", "ba a", "a"},
        {"\\w+", "-\xc2\xb2", "\xc2\xb2"},   /* superscript two: a word alone, .. */
        {"[^\\w]", "a\xc2\xb2", "\xc2\xb2"}, /* .. but none in a class */
        {"\\h+", " xyBEEFz", "BEEF"},
        {"\\v", " \n\x0b", "\x0b"},
        {"x{,2}y", "xxxy", "xxy"},
        {"(?m:a.b)", "a\nb", "a\nb"},
        {"a.b", "a\nb a-b", "a-b"},
        {"^b", "a\nb", "b"}, /* ^ is at every line */
        {"(?i:'s)", "'\xc5\xbf", "'\xc5\xbf"},
        {"\\u0041\\x{42}\\x43", "ABC", "ABC"},
        {"{a}", "{a}", "{a}"},
        {"\\s+(?!\\S)", "a  b", " "},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_tok_part p = {0};
        hora_tok_work w = {0};
        assert_ok(hora_tok_regex_new(&p.regex, rows[i].pattern, strlen(rows[i].pattern)));
        assert_ok(hora_tok_matches(&p, &w, rows[i].text, strlen(rows[i].text)));
        size_t k = 0;
        while (k < w.nmatch && !w.match[k].hit)
            k++;
        if (k == w.nmatch)
            fail_msg("%s: no match", rows[i].pattern);
        assert_int_equal(w.match[k].e - w.match[k].b, strlen(rows[i].first));
        assert_memory_equal(rows[i].text + w.match[k].b, rows[i].first, strlen(rows[i].first));
        hora_tok_work_release(&w);
        hora_tok_regex_free(p.regex);
    }
}

HORA_TESTS(unit_tokenizer_text, {"the byte alphabet is a bijection", byte_alphabet, HORA_SHORT},
           {"broken UTF-8 is repaired by the standard", broken_utf8, HORA_SHORT},
           {"regex as Oniguruma reads it", regex_dialect, HORA_SHORT});
