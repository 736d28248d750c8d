/*
 * The tokenizer on tiny vocabularies written here, so that each part is checked by hand and without
 * any file from outside: merging, affixes, unk and bytes, splits, normalizers, added tokens,
 * decoders, post-processors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "made_tokenizer.h"
#include "token/tokenizer_impl.h"

/* --- merging ---------------------------------------------------------------------------------- */
static void ranks_before_places(void **state) {
    (void)state;
    /* "bc" has the lower rank, so abc is a|bc; abab joins left first */
    hora_tokenizer *t = made_tokenizer(
        "{" MODEL("", "'a':0,'b':1,'c':2,'bc':3,'ab':4,'abab':5", "'b c',['a','b'],'ab ab'") "}");
    made_tokens_are(t, "abc", false, "a|bc");
    made_tokens_are(t, "ababab", false, "abab|ab");
    made_tokens_are(t, "", false, "");
    made_tokens_are(t, "axb", false, "ab"); /* no unk: an unknown character leaves nothing */
    hora_tokenizer_close(t);
    t = made_tokenizer("{" MODEL("'ignore_merges':true,", "'a':0,'b':1,'c':2,'abc':3", "") "}");
    made_tokens_are(t, "abc", false, "abc");
    made_tokens_are(t, "abca", false, "a|b|c|a");
    hora_tokenizer_close(t);
}

/* The heap (long chunks) and the scan (short ones) against a plain quadratic merge. */
static size_t plain_merge(const char *text, size_t n, char out[][8]) {
    static const char *const merges[][2] = {{"a", "b"},   {"ab", "a"},  {"b", "b"},  {"a", "a"},
                                            {"aa", "aa"}, {"bb", "ab"}, {"c", "aba"}};
    for (size_t i = 0; i < n; i++)
        snprintf(out[i], 8, "%c", text[i]);
    for (;;) {
        size_t at = n, rank = HORA_COUNT(merges);
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t k = 0; k < rank; k++)
                if (!strcmp(out[i], merges[k][0]) && !strcmp(out[i + 1], merges[k][1])) {
                    at = i;
                    rank = k;
                }
        if (at == n)
            return n;
        memmove(out[at] + strlen(out[at]), out[at + 1], strlen(out[at + 1]) + 1);
        memmove(out[at + 1], out[at + 2], (n - at - 2) * sizeof out[0]);
        n--;
    }
}

static void heap_equals_scan(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer(
        "{" MODEL("", "'a':0,'b':1,'c':2,'ab':3,'aba':4,'bb':5,'aa':6,'aaaa':7,'bbab':8,'caba':9",
                  "'a b','ab a','b b','a a','aa aa','bb ab','c aba'") "}");
    uint32_t seed = 7;
    for (int round = 0; round < 300; round++) {
        char text[121], part[120][8];
        size_t n = 1 + (size_t)round * 119 / 299;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = "aabbabc"[(seed >> 24) % 7];
        }
        text[n] = '\0';
        size_t k = plain_merge(text, n, part);
        hora_str want = {0};
        for (size_t i = 0; i < k; i++)
            hora_str_printf(&want, "%s%s", i ? "|" : "", part[i]);
        made_tokens_are(t, text, false, want.s);
        hora_str_release(&want);
    }
    hora_tokenizer_close(t);
}

static void unknown_characters(void **state) {
    (void)state;
    hora_tokenizer *t =
        made_tokenizer("{" MODEL("'unk_token':'U','fuse_unk':false,", "'a':0,'U':1", "") "}");
    made_tokens_are(t, "axya", false, "a|U|U|a");
    hora_tokenizer_close(t);
    t = made_tokenizer("{" MODEL("'unk_token':'U','fuse_unk':true,", "'a':0,'U':1", "") "}");
    made_tokens_are(t, "axya", false, "a|U|a");
    hora_tokenizer_close(t);
    /* bytes only where all of a character's bytes are there */
    t = made_tokenizer("{" MODEL("'unk_token':'U','byte_fallback':true,",
                                 "'a':0,'U':1,'<0xC3>':2,'<0xA9>':3", "") "}");
    made_tokens_are(t, "a\xc3\xa9z", false, "a|<0xC3>|<0xA9>|U");
    assert_int_equal(hora_tokenizer_size(t), 4);
    hora_tokenizer_close(t);
}

static void affixes(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer("{'pre_tokenizer':{'type':'WhitespaceSplit'}," MODEL(
        "'continuing_subword_prefix':'##','end_of_word_suffix':'</w>',",
        "'a':0,'##b':1,'##b</w>':2,'a##b':3,'ab</w>':4,'a</w>':5,'ab':6",
        "['a','##b</w>'],['a','##b']") ",'decoder':{'type':'BPEDecoder','suffix':'</w>'}}");
    made_tokens_are(t, "ab abb a", false, "ab</w>|ab|##b</w>|a</w>");
    DECODES(t, false, "ab a", "ab</w>", "a</w>");
    hora_tokenizer_close(t);
}

/* --- splitting -------------------------------------------------------------------------------- */
/* With every character known and no merges, pieces show through ignore_merges: a whole piece that
 * is in the vocabulary is one token. */
static void splits(void **state) {
    (void)state;
    static const struct {
        const char *pre, *text, *want;
    } rows[] = {
        {"{'type':'Split','pattern':{'String':'-'},'behavior':'Removed'}", "ab-ab", "ab|ab"},
        {"{'type':'Split','pattern':{'String':'-'},'behavior':'Isolated'}", "ab-ab", "ab|-|ab"},
        {"{'type':'Split','pattern':{'String':'-'},'behavior':'MergedWithPrevious'}", "ab--ab",
         "ab-|-|ab"},
        {"{'type':'Split','pattern':{'String':'-'},'behavior':'MergedWithNext'}", "ab--ab",
         "ab|-|-ab"},
        {"{'type':'Split','pattern':{'String':'-'},'behavior':'Contiguous'}", "ab--ab", "ab|--|ab"},
        {"{'type':'Split','pattern':{'Regex':'[ab]+'},'behavior':'Removed','invert':true}",
         "ab--ab", "ab|ab"},
        {"{'type':'Split','pattern':{'Regex':'(?i:AB)'},'behavior':'Isolated'}", "ab-ab",
         "ab|-|ab"},
        {"{'type':'Digits','individual_digits':false}", "ab12", "ab|12"},
        {"{'type':'Digits','individual_digits':true}", "ab12", "ab|1|2"},
        {"{'type':'Punctuation'}", "ab--ab", "ab|-|-|ab"},
        {"{'type':'Whitespace'}", "ab --  12", "ab|--|12"},
        {"{'type':'WhitespaceSplit'}", "ab 12-", "ab|1|2|-"},
        {"{'type':'CharDelimiterSplit','delimiter':'1'}", "ab1ab", "ab|ab"},
        {"{'type':'FixedLength','length':2}", "ab12-", "ab|12|-"},
        {"{'type':'Sequence','pretokenizers':[{'type':'WhitespaceSplit'},{'type':'Digits'}]}",
         "ab12 ab", "ab|12|ab"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_str json = {0};
        hora_str_printf(&json, "{'pre_tokenizer':%s,%s}", rows[i].pre,
                        MODEL("'ignore_merges':true,",
                              "'a':0,'b':1,'1':2,'2':3,'-':4,'ab':5,'12':6,'ab-':7,'-ab':8,'--':9",
                              ""));
        hora_tokenizer *t = made_tokenizer(json.s);
        made_tokens_are(t, rows[i].text, false, rows[i].want);
        hora_tokenizer_close(t);
        hora_str_release(&json);
    }
}

static void metaspace(void **state) {
    (void)state;
    static const char *const format =
        "{'pre_tokenizer':{'type':'Metaspace','replacement':'_','prepend_scheme':'%s'},"
        "'decoder':{'type':'Metaspace','replacement':'_','prepend_scheme':'%s'},"
        "'added_tokens':[{'id':5,'content':'<s>','special':true,'normalized':false}],%s}";
    static const char *const rows[][3] = {{"always", "_a|_b|<s>|_a", "a b a"},
                                          {"first", "_a|_b|<s>|a", "a ba"},
                                          {"never", "a|_b|<s>|a", "a ba"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_str json = {0}, text = {0};
        hora_str_printf(&json, format, rows[i][0], rows[i][0],
                        MODEL("", "'_':0,'a':1,'b':2,'_a':3,'_b':4", "'_ a','_ b'"));
        hora_tokenizer *t = made_tokenizer(json.s);
        made_tokens_are(t, "a b<s>a", false, rows[i][1]);
        hora_ids ids = {0};
        assert_ok(hora_tokenizer_encode(t, "a b<s>a", 7, false, &ids));
        assert_ok(hora_tokenizer_decode(t, ids.at, ids.n, true, &text));
        assert_string_equal(text.s, rows[i][2]);
        hora_tokenizer_close(t);
        hora_ids_release(&ids);
        hora_str_release(&text);
        hora_str_release(&json);
    }
}

static void byte_level(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer(
        "{'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':true},"
        "'decoder':{'type':'ByteLevel'}," MODEL(
            "", "'a':0,'b':1,'\u0120':2,'\u0120a':3,'\u00c3':4,'\u00a9':5,'\u010a':6",
            "'\u0120 a'") "}");
    made_tokens_are(t, "a ab\n", false, "\u0120a|\u0120a|b|\u010a");
    made_tokens_are(t, "\xc3\xa9", false, "\u0120|\u00c3|\u00a9");
    assert_int_equal(hora_tokenizer_bytes(t, 3), 2);
    assert_int_equal(hora_tokenizer_bytes(t, 4), 1);
    DECODES(t, false, " a\xc3\xa9", "\u0120a", "\u00c3", "\u00a9");
    DECODES(t, false, " a\xef\xbf\xbd", "\u0120a", "\u00c3");
    DECODES(t, true, " a", "\u0120a", "\u00c3"); /* the character is not complete */
    DECODES(t, true,
            "a\xef\xbf\xbd"
            "b",
            "a", "\u00c3", "b");
    hora_tokenizer_close(t);
}

/* --- normalizers ------------------------------------------------------------------------------ */
static void normalizers(void **state) {
    (void)state;
    static const struct {
        const char *normalizer, *text, *want;
    } rows[] = {
        {"{'type':'NFC'}", "e\xcc\x81", "\xc3\xa9"},
        {"{'type':'NFD'}", "\xc3\xa9", "e\xcc\x81"},
        {"{'type':'NFKC'}", "\xef\xac\x81 \xc2\xb2", "fi 2"},
        {"{'type':'NFKD'}", "\xef\xac\x81", "fi"},
        {"{'type':'NFC'}", "a\xcc\x95\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81\xcc\x95"}, /* order */
        {"{'type':'NFC'}", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"},
        {"{'type':'Lowercase'}", "A\xc3\x89 \xc4\xb0", "a\xc3\xa9 i\xcc\x87"},
        {"{'type':'StripAccents'}", "e\xcc\x81", "e"},
        {"{'type':'Strip','strip_left':true,'strip_right':false}", " \xc2\xa0x ", "x "},
        {"{'type':'Strip','strip_left':false,'strip_right':true}", "  ", ""},
        {"{'type':'Prepend','prepend':'_'}", "x", "_x"},
        {"{'type':'Replace','pattern':{'String':'ab'},'content':'-'}", "ababa", "--a"},
        {"{'type':'Replace','pattern':{'Regex':'\\\\s+'},'content':''}",
         "a \xe3\x80\x80"
         "b",
         "ab"},
        {"{'type':'ByteLevel'}", " \xc3\xa9", "\u0120\u00c3\u00a9"},
        {"{'type':'Sequence','normalizers':[{'type':'Lowercase'},{'type':'Sequence',"
         "'normalizers':[{'type':'NFD'},{'type':'StripAccents'}]}]}",
         "\xc3\x89", "e"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_str json = {0};
        hora_str_printf(&json, "{'normalizer':%s,%s}", rows[i].normalizer, MODEL("", "'a':0", ""));
        hora_tokenizer *t = made_tokenizer(json.s);
        hora_tok_work w = {.t = t};
        assert_ok(hora_tok_normalize(t, &w, rows[i].text, strlen(rows[i].text)));
        assert_int_equal(w.norm.n, strlen(rows[i].want));
        assert_memory_equal(w.norm.s, rows[i].want, w.norm.n);
        hora_tok_work_release(&w);
        hora_tokenizer_close(t);
        hora_str_release(&json);
    }
}

/* --- added tokens, post-processors, decoders -------------------------------------------------- */
static void added_tokens(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer(
        "{'normalizer':{'type':'Lowercase'},'added_tokens':["
        "{'id':4,'content':'<s>','special':true,'normalized':false,'lstrip':true},"
        "{'id':5,'content':'<s>x','special':false,'normalized':false,'rstrip':true},"
        "{'id':6,'content':'ab','single_word':true,'normalized':true},"
        "{'id':7,'content':'B!','normalized':true}]," MODEL("", "'a':0,'b':1,' ':2,'!':3", "") "}");
    made_tokens_are(t, "a  <s> a", false, "a|<s>| |a");
    made_tokens_are(t, "a<s>x  a", false, "a|<s>x|a"); /* the longest at a place */
    made_tokens_are(t, "AB aab ab", false, "ab| |a|a|b| |ab");
    made_tokens_are(t, "ab!", false, "ab|!"); /* the leftmost */
    made_tokens_are(t, "ab! b!", false, "ab|!| |B!");
    made_tokens_are(t, "<S>", false, ""); /* not normalized: spelling counts */
    assert_true(hora_tokenizer_is_special(t, 4));
    assert_false(hora_tokenizer_is_special(t, 6));
    assert_int_equal(hora_tokenizer_bytes(t, 4), 0);
    assert_int_equal(hora_tokenizer_id(t, "<s>x"), 5);
    assert_int_equal(hora_tokenizer_id(t, "nothing"), -1);
    assert_null(hora_tokenizer_token(t, 99));
    hora_tokenizer_close(t);
}

/* Where ids come from, through what each stage does to the text: "from-to" per id. */
static void offsets(void **state) {
    (void)state;
    static const struct {
        const char *json, *text, *want;
    } rows[] = {
        /* the prefix begins where the text does, in each stretch; a blank becomes three bytes */
        {"{'normalizer':{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'_'},{'type':"
         "'Replace','pattern':{'String':' '},'content':'_'}]},'added_tokens':[{'id':9,'content':"
         "'<s>','special':true,'normalized':false}]," MODEL("", "'_':0,'a':1,'b':2,'_a':3,'ab':4",
                                                            "'_ a','a b'") "}",
         "ab a<s>b", "0-1|1-2|2-4|4-7|7-7|7-8"},
        {"{'pre_tokenizer':{'type':'Metaspace','replacement':'\u2581','prepend_scheme':'always'}"
         "," MODEL("", "'\u2581':0,'a':1,'\u2581a':2", "'\u2581 a'") "}",
         "a aa", "0-1|1-3|3-4"},
        /* bytes of a character one by one */
        {"{'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':false}," MODEL(
             "", "'a':0,'\u0120':1,'\u00c3':2,'\u00a9':3,'\u0120a':4", "'\u0120 a'") "}",
         "a\xc3\xa9 a", "0-1|1-2|2-3|3-5"},
        {"{" MODEL("'byte_fallback':true,", "'a':0,'<0xC3>':1,'<0xA9>':2", "") "}",
         "a\xc3\xa9"
         "a",
         "0-1|1-2|2-3|3-4"},
        /* composed, decomposed, taken away: the characters that it was made of */
        {"{'normalizer':{'type':'NFC'}," MODEL("", "'a':0,'\u00e9':1,'e':2", "") "}",
         "ae\xcc\x81"
         "ae",
         "0-1|1-4|4-5|5-6"},
        {"{'normalizer':{'type':'Sequence','normalizers':[{'type':'NFD'},{'type':'StripAccents'},"
         "{'type':'Lowercase'}]}," MODEL("", "'a':0,'e':1", "") "}",
         "\xc3\x89"
         "aE",
         "0-2|2-3|3-4"},
        {"{'normalizer':{'type':'NFKC'}," MODEL("", "'f':0,'i':1,'a':2", "") "}", "a\xef\xac\x81",
         "0-1|1-4|1-4"},
        {"{'normalizer':{'type':'Strip'}," MODEL("", "'a':0,' ':1", "") "}", "  a a ",
         "2-3|3-4|4-5"},
        /* the blanks that an added token takes along; a normalized one */
        {"{'normalizer':{'type':'Lowercase'},'added_tokens':[{'id':2,'content':'<x>','special':"
         "true,"
         "'normalized':false,'lstrip':true},{'id':3,'content':'b!','normalized':true}]," MODEL(
             "", "'a':0,' ':1", "") "}",
         "a <x>aB!", "0-1|1-5|5-6|6-8"},
        {"{" MODEL("'unk_token':'?','fuse_unk':true,", "'a':0,'?':1", "") "}", "azza",
         "0-1|1-3|3-4"},
        {"{" MODEL("'unk_token':'?',", "'a':0,'?':1", "") "}", "azza", "0-1|1-2|2-3|3-4"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_tokenizer *t = made_tokenizer(rows[i].json);
        hora_ids ids = {0};
        hora_offsets at = {0};
        hora_str got = {0};
        assert_ok(
            hora_tokenizer_encode_offsets(t, rows[i].text, strlen(rows[i].text), true, &ids, &at));
        assert_int_equal(ids.n, at.n);
        for (size_t k = 0; k < at.n; k++)
            hora_str_printf(&got, "%s%u-%u", k ? "|" : "", at.at[k].from, at.at[k].to);
        assert_string_equal(got.s, rows[i].want);
        hora_str_release(&got);
        hora_ids_release(&ids);
        hora_free(at.at);
        hora_tokenizer_close(t);
    }
}

static void around_a_sequence(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer(
        "{'added_tokens':[{'id':1,'content':'B','special':true},{'id':2,'content':'E','special':"
        "true}],'post_processor':{'type':'Sequence','processors':[{'type':'ByteLevel'},"
        "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B','type_id':0}},"
        "{'Sequence':{'id':'A','type_id':0}},{'SpecialToken':{'id':'E','type_id':0}}],"
        "'special_tokens':{'B':{'id':'B','ids':[1]},'E':{'id':'E','ids':[2,1]}}}]}," MODEL(
            "", "'a':0", "") "}");
    hora_ids ids = {0};
    hora_ids_push(&ids, 0); /* what is there already stays in front */
    assert_ok(hora_tokenizer_encode(t, "aa", 2, true, &ids));
    static const int32_t want[] = {0, 1, 0, 0, 2, 1};
    assert_int_equal(ids.n, 6);
    assert_memory_equal(ids.at, want, sizeof want);
    hora_ids_release(&ids);
    made_tokens_are(t, "", true, "B|E|B");
    hora_tokenizer_close(t);
    t = made_tokenizer(
        "{'post_processor':{'type':'RobertaProcessing','sep':['a',0],'cls':['b',1]}," MODEL(
            "", "'a':0,'b':1", "") "}");
    made_tokens_are(t, "a", true, "b|a|a");
    hora_tokenizer_close(t);
}

static void byte_runs(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer(
        "{'decoder':{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'_'},"
        "'content':' '},{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':' ',"
        "'start':1,'stop':0}]}," MODEL("", "'_a':0,'<0xC3>':1,'<0xA9>':2,'b':3", "") "}");
    DECODES(t, false, "a\xc3\xa9", "_a", "<0xC3>", "<0xA9>");
    DECODES(t, true, "a", "_a", "<0xC3>", "<0xA9>"); /* a third byte could spoil the run */
    DECODES(t, true, "a\xc3\xa9 a", "_a", "<0xC3>", "<0xA9>", "_a");
    DECODES(t, false,
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
            "b",
            "<0xC3>", "<0xA9>", "<0xC3>", "b");
    assert_int_equal(hora_tokenizer_bytes(t, 0), 2);
    assert_int_equal(hora_tokenizer_bytes(t, 1), 1);
    hora_tokenizer_close(t);
    t = made_tokenizer("{" MODEL("", "'a':0,'b':1", "") "}");
    DECODES(t, false, "a b", "a", "b"); /* no decoder: spaces between */
    hora_tokenizer_close(t);
}

/* Classes of Oniguruma that PCRE2 has not, as Hugging Face's library cuts with them. A prefix on
 * all but the first character of a piece shows the cuts. */
static void classes(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *want;
    } rows[] = {{"[a&&b]", "ab1 ."},
                {"[ab&&[^b]]", "a|b1 ."},
                {"[^a&&[^1]]+", "a|b1 ."},
                {"[^(b|[.,])]+", "a|b|1 |."},
                {"[b-c[.1]]+", "a|b1| |."},
                {"[^[^a-z]]+", "ab|1 ."},
                {"[[:alpha:]]+", "ab|1 ."},
                {"[[:digit:][:punct:]]+", "ab|1| |."},
                {"[^\\\\W1]+", "ab|1 ."},
                {"\\\\X", "a|b|1| |."},
                {"\\\\p{Latin}+", "ab|1 ."},
                {"\\\\p{^Latin}+", "ab|1 ."},
                {"[\\\\p{L}&&[^\\\\p{Han}]]+", "ab|1 ."},
                {"[]b]", "a|b|1 ."}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_str json = {0}, got = {0};
        hora_str_printf(
            &json,
            "{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'%s'},'behavior':'Isolated'},"
            "%s}",
            rows[i].pattern,
            MODEL("'continuing_subword_prefix':'#',",
                  "'a':0,'b':1,'1':2,' ':3,'.':4,'#a':5,'#b':6,'#1':7,'# ':8,'#.':9", ""));
        hora_tokenizer *t = made_tokenizer(json.s);
        hora_ids ids = {0};
        assert_ok(hora_tokenizer_encode(t, "ab1 .", 5, false, &ids));
        for (size_t k = 0; k < ids.n; k++) {
            const char *token = hora_tokenizer_token(t, ids.at[k]);
            hora_str_printf(&got, "%s%s", k && ids.at[k] < 5 ? "|" : "", token + (ids.at[k] >= 5));
        }
        assert_string_equal(got.s, rows[i].want);
        hora_ids_release(&ids);
        hora_tokenizer_close(t);
        hora_str_release(&json);
        hora_str_release(&got);
    }
}

/* --- hostile text ----------------------------------------------------------------------------- */
/* A million characters without a cut, and a million marks to order: quadratic work would not end
 * within the test's time. */
static void long_text(void **state) {
    (void)state;
    hora_tokenizer *t = made_tokenizer("{'normalizer':{'type':'NFC'}," MODEL(
        "'unk_token':'U','fuse_unk':true,", "'a':0,'aa':1,'aaaa':2,'U':3", "'a a','aa aa'") "}");
    size_t n = 1u << 20;
    char *text = hora_malloc(n);
    memset(text, 'a', n);
    hora_ids ids = {0};
    assert_ok(hora_tokenizer_encode(t, text, n, false, &ids));
    assert_int_equal(ids.n, n / 4);
    for (size_t i = 0; i + 1 < n; i += 2) /* U+0301 and U+0323 in turn */
        memcpy(text + i, i % 4 ? "\xcc\x81" : "\xcc\xa3", 2);
    ids.n = 0;
    assert_ok(hora_tokenizer_encode(t, text, n, false, &ids));
    assert_int_equal(ids.n, 1);
    hora_ids_release(&ids);
    hora_free(text);
    hora_tokenizer_close(t);
}

/* One tokenizer, many threads: each call has its own scratch. */
typedef struct shared {
    const hora_tokenizer *t;
    size_t n[16];
    hora_status st[16];
} shared;

static void encode_tile(void *arg, int64_t tile, int thread) {
    shared *s = arg;
    char text[600];
    hora_ids ids = {0};
    (void)thread;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "ab \n"[(i * 7 + (size_t)tile * i / 3) % 4];
    for (int round = 0; round < 20 && s->st[tile] == HORA_OK; round++) {
        ids.n = 0;
        s->st[tile] = hora_tokenizer_encode(s->t, text, sizeof text, false, &ids);
    }
    s->n[tile] = ids.n;
    hora_ids_release(&ids);
}

static void several_threads(void **state) {
    (void)state;
    hora_tokenizer *t =
        made_tokenizer("{'normalizer':{'type':'NFC'},'pre_tokenizer':{'type':'ByteLevel'}," MODEL(
            "", "'a':0,'b':1,'ab':2,'\u0120':3,'\u010a':4", "'a b'") "}");
    shared many = {.t = t}, one = {.t = t};
    hora_parallel(16, encode_tile, &many);
    for (int64_t i = 0; i < 16; i++)
        encode_tile(&one, i, 0);
    for (int i = 0; i < 16; i++) {
        assert_ok(many.st[i]);
        assert_int_equal(many.n[i], one.n[i]);
    }
    assert_true(one.n[0] > 0 && one.n[0] != one.n[5]);
    hora_tokenizer_close(t);
}

HORA_TESTS(unit_tokenizer, {"BPE: rank before place", ranks_before_places, HORA_SHORT},
           {"BPE: heap and scan equal a plain merge", heap_equals_scan, HORA_SHORT},
           {"BPE: unk, fused unk, bytes", unknown_characters, HORA_SHORT},
           {"BPE: prefix and suffix", affixes, HORA_SHORT}, {"pre-tokenizers", splits, HORA_SHORT},
           {"Metaspace and its schemes", metaspace, HORA_SHORT},
           {"ByteLevel there and back", byte_level, HORA_SHORT},
           {"normalizers", normalizers, HORA_SHORT}, {"added tokens", added_tokens, HORA_SHORT},
           {"offsets through every stage", offsets, HORA_SHORT},
           {"post-processors", around_a_sequence, HORA_SHORT},
           {"runs of byte tokens", byte_runs, HORA_SHORT},
           {"classes of patterns", classes, HORA_SHORT},
           {"a megabyte without a cut", long_text, HORA_SHORT},
           {"several threads share one", several_threads, HORA_SHORT});
