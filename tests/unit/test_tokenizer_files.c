/* Tokenizers as files: what is beside tokenizer.json, what is refused by name, SentencePiece. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "made_tokenizer.h"
#include "token/tokenizer_impl.h"

static void config(void **state) {
    (void)state;
    hora_tokenizer *t;
    static const char json[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},"
                               "\"merges\":[]}}";
    assert_ok(made_open_in(&t, "tokenizer.json", json, sizeof json - 1,
                           "{'bos_token':'a','eos_token':{'content':'b'},'pad_token':null,"
                           "'chat_template':[{'name':'tool','template':'T'},"
                           "{'name':'default','template':'D'}]}"));
    assert_int_equal(hora_tokenizer_bos(t), 0);
    assert_int_equal(hora_tokenizer_eos(t), 1);
    assert_int_equal(hora_tokenizer_pad(t), -1);
    assert_string_equal(hora_tokenizer_chat_template(t), "D");
    assert_string_equal(
        hora_json_string(hora_json_get(hora_tokenizer_special_map(t), "eos_token"), NULL), "b");
    hora_tokenizer_close(t);
    assert_ok(made_open_in(&t, "tokenizer.json", json, sizeof json - 1,
                           "{'chat_template':[{'name':'tool_use','template':'T\\n'},"
                           "{'name':'default','template':'D'}]}"));
    assert_string_equal(
        hora_tokenizer_chat_template(t),
        "{% if tools is defined and tools is not none +%}T{%+ else +%}D{%+ endif +%}");
    hora_tokenizer_close(t);
}

/* The files beside tokenizer.json; "" for none. */
static hora_status open_beside(hora_tokenizer **t, const char *config, const char *added,
                               const char *map) {
    static const char json[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"<\":2,"
                               "\"x\":3,\">\":4,\"<x>\":5},\"merges\":[]}}";
    const char *dir = hora_test_tmp(), *names[] = {"added_tokens.json", "special_tokens_map.json"},
               *texts[] = {added, map};
    for (int i = 0; i < 2; i++) {
        char *path = hora_path_join(dir, names[i]),
             *text = made_quoted(*texts[i] ? texts[i] : "{}");
        assert_ok(hora_file_write(path, text, strlen(text)));
        hora_free(path);
        hora_free(text);
    }
    return made_open_in(t, "tokenizer.json", json, sizeof json - 1, *config ? config : "{}");
}

static void files_beside(void **state) {
    (void)state;
    hora_tokenizer *t;
    assert_ok(
        open_beside(&t,
                    "{'added_tokens_decoder':{'6':{'content':'<y>','special':true},'5':{'content':"
                    "'<x>','special':false,'lstrip':true}},'additional_special_tokens':['<z>',"
                    "{'content':'<y>'}],'eos_token':'<y>'}",
                    "", ""));
    made_tokens_are(t, "a<y>b", false, "a|<y>|b");
    made_tokens_are(t, "a <x><z>", false, "a|<x>|<z>");
    assert_int_equal(hora_tokenizer_size(t), 8); /* <z> got the next free id */
    assert_int_equal(hora_tokenizer_id(t, "<z>"), 7);
    assert_int_equal(hora_tokenizer_eos(t), 6);
    assert_true(hora_tokenizer_is_special(t, 6) && !hora_tokenizer_is_special(t, 5));
    assert_int_equal(hora_tokenizer_bytes(t, 6), 0);
    hora_tokenizer_close(t);
    assert_ok(open_beside(&t, "", "{'<y>':6,'<w>':9}", "{'bos_token':'<y>','pad_token':'nope'}"));
    made_tokens_are(t, "<y><w>a", false, "<y>|<w>|a");
    assert_true(hora_tokenizer_is_special(t, 6) && !hora_tokenizer_is_special(t, 9));
    assert_int_equal(hora_tokenizer_bos(t), 6);
    assert_int_equal(hora_tokenizer_pad(t), -1); /* said as a warning */
    assert_null(hora_tokenizer_token(t, 7));
    hora_tokenizer_close(t);
    /* two files name EOS: as transformers has it, the map's counts, unless the configuration lists
     * the added tokens; then the map is not read */
    assert_ok(open_beside(&t, "{'eos_token':'a','bos_token':'b'}", "", "{'eos_token':'<x>'}"));
    assert_int_equal(hora_tokenizer_eos(t), 5);
    assert_int_equal(hora_tokenizer_bos(t), 1);
    hora_tokenizer_close(t);
    assert_ok(
        open_beside(&t, "{'added_tokens_decoder':{},'eos_token':'a'}", "",
                    "{'eos_token':'<x>','bos_token':'b','additional_special_tokens':['<z>']}"));
    assert_int_equal(hora_tokenizer_eos(t), 0);
    assert_int_equal(hora_tokenizer_bos(t), -1);
    assert_int_equal(hora_tokenizer_id(t, "<z>"), -1);
    hora_tokenizer_close(t);
    /* a named token of the vocabulary is found whole */
    assert_ok(open_beside(&t, "{'eos_token':'<x>'}", "", ""));
    made_tokens_are(t, "a<x>", false, "a|<x>");
    hora_tokenizer_close(t);
    static const struct {
        const char *config, *added, *part;
    } bad[] = {{"{'eos_token':'<e>'}", "", "eos_token is \"<e>\", which is no token"},
               {"{'bos_token':{'content':'<e>'}}", "", "bos_token is"},
               {"{'added_tokens_decoder':{'7':{'content':'<x>'}}}", "", "the vocabulary 5"},
               {"{'added_tokens_decoder':{'1':{'content':'<y>'}}}", "", "which is that of \"b\""},
               {"{'added_tokens_decoder':{'one':{'content':'<y>'}}}", "", "which is no id"},
               {"", "{'<y>':'6'}", "the id of \"<y>\" is none"},
               {"", "{'<y>':2000000000}", "allowed here are"}};
    for (size_t i = 0; i < HORA_COUNT(bad); i++)
        assert_fails(open_beside(&t, bad[i].config, bad[i].added, ""), HORA_EFORMAT, bad[i].part);
}

/* --- refusals --------------------------------------------------------------------------------- */
static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *json;
        hora_status st;
        const char *part;
    } rows[] = {
        {"{'normalizer':{'type':'Old'}," MODEL("", "'a':0", "") "}", HORA_EUNSUPPORTED, "Old"},
        {"{'pre_tokenizer':{'type':'UnicodeScripts'}," MODEL("", "'a':0", "") "}",
         HORA_EUNSUPPORTED, "UnicodeScripts"},
        {"{'decoder':{'type':'CTC'}," MODEL("", "'a':0", "") "}", HORA_EUNSUPPORTED, "CTC"},
        {"{'post_processor':{'type':'New'}," MODEL("", "'a':0", "") "}", HORA_EUNSUPPORTED, "New"},
        {"{'model':{'type':'Syllables','vocab':{}}}", HORA_EUNSUPPORTED, "Syllables"},
        {"{'model':{'type':'WordPiece','vocab':{'a':0}}}", HORA_EFORMAT, "[UNK]"},
        {"{'model':{'type':'Unigram','vocab':[['a',-1]],'unk_id':1}}", HORA_EFORMAT, "unk_id 1"},
        {"{'model':{'type':'Unigram','vocab':[['a']]}}", HORA_EFORMAT, "piece 0"},
        {"{'normalizer':{'type':'Precompiled','precompiled_charsmap':'AAA'}," MODEL("", "'a':0",
                                                                                    "") "}",
         HORA_EFORMAT, "character map"},
        {"{'version':'2.0'," MODEL("", "'a':0", "") "}", HORA_EUNSUPPORTED, "2.0"},
        {"{" MODEL("'dropout':0.1,", "'a':0", "") "}", HORA_EUNSUPPORTED, "dropout"},
        {"{" MODEL("'unk_token':'U',", "'a':0", "") "}", HORA_EFORMAT, "unk_token"},
        {"{" MODEL("", "'a':0,'b':0", "") "}", HORA_EFORMAT, "id 0"},
        {"{" MODEL("", "'a':-1", "") "}", HORA_EFORMAT, "-1"},
        {"{" MODEL("", "'a':2000000000", "") "}", HORA_EFORMAT, "2000000000"},
        {"{" MODEL("", "'a':0", "'a b'") "}", HORA_EFORMAT, "merge 0"},
        {"{" MODEL("", "'a':0", "'a'") "}", HORA_EFORMAT, "merge 0"},
        {"{" MODEL("", "'a':0", "['a','a','a']") "}", HORA_EFORMAT, "merge 0"},
        {"{'added_tokens':[{'id':7,'content':'a'}]," MODEL("", "'a':0", "") "}", HORA_EFORMAT,
         "vocabulary says 0"},
        {"{'added_tokens':[{'id':0,'content':'z'}]," MODEL("", "'a':0", "") "}", HORA_EFORMAT,
         "id 0"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'[[:graph:]]'},'behavior':'Isolated'}"
         "," MODEL("", "'a':0", "") "}",
         HORA_EUNSUPPORTED, "this [: :] class"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'[a[b]'}}," MODEL("", "'a':0",
                                                                                "") "}",
         HORA_EUNSUPPORTED, "a class without its end"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'a(?i)b'}}," MODEL("", "'a':0",
                                                                                 "") "}",
         HORA_EUNSUPPORTED, "option"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'a{2}+'}}," MODEL("", "'a':0",
                                                                                "") "}",
         HORA_EUNSUPPORTED, "+ after"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'Regex':'('}}," MODEL("", "'a':0", "") "}",
         HORA_EFORMAT, "regex"},
        {"{'pre_tokenizer':{'type':'Split','pattern':{'String':'a'},'behavior':'Gone'}," MODEL(
             "", "'a':0", "") "}",
         HORA_EUNSUPPORTED, "Gone"},
        {"{'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'x'}},"
         "{'Sequence':{'id':'A'}}],'special_tokens':{'x':{'ids':[9]}}}," MODEL("", "'a':0", "") "}",
         HORA_EFORMAT, "id 9"},
        {"[]", HORA_EFORMAT, "model"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_tokenizer *t;
        assert_fails(made_open(&t, rows[i].json), rows[i].st, rows[i].part);
    }
    hora_tokenizer *t;
    assert_fails(hora_tokenizer_open(&t, "/nonexistent-folder"), HORA_ENOTFOUND, "tokenizer.json");
    t = made_tokenizer("{" MODEL("", "'a':0", "") "}");
    hora_ids ids = {0};
    assert_fails(hora_tokenizer_encode(t, "aa\xff", 3, false, &ids), HORA_EFORMAT, "byte 2");
    assert_int_equal(ids.n, 0);
    hora_ids_release(&ids);
    hora_tokenizer_close(t);
}

/* --- SentencePiece ---------------------------------------------------------------------------- */
static void put_piece(hora_str *m, const char *text, float score, int type) {
    hora_str p = {0};
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    hora_str_printf(&p, "\x0a%c%s\x15", (char)strlen(text), text);
    for (int i = 0; i < 4; i++)
        hora_str_putc(&p, (char)(bits >> (8 * i)));
    hora_str_putc(&p, 0x18);
    hora_str_putc(&p, (char)type);
    hora_str_printf(m, "\x0a%c", (char)p.n);
    hora_str_add(m, p.s, p.n);
    hora_str_release(&p);
}

static void put_specs(hora_str *m, int model_type, int extra_spaces) {
    const char trainer[] = {0x12, 5, 0x18, (char)model_type, (char)0x98, 0x02, 1};
    const char normal[] = {0x1a, 4, 0x18, 1, 0x20, (char)extra_spaces};
    hora_str_add(m, trainer, sizeof trainer);
    hora_str_add(m, normal, sizeof normal);
}

static void put_vocab(hora_str *m) {
    put_piece(m, "<unk>", 0, 2);
    put_piece(m, "<s>", 0, 3);
    put_piece(m, "</s>", 0, 3);
    put_piece(m, "<0xC3>", 0, 6);
    put_piece(m, "<0xA9>", 0, 6);
    put_piece(m, "\u2581", -9, 1);
    put_piece(m, "a", -9, 1);
    put_piece(m, "b", -9, 1);
    put_piece(m, "ab", -2, 1);
    put_piece(m, "ba", -2, 1); /* as good as "ab": the leftmost wins */
    put_piece(m, "\u2581a", -1, 1);
    put_piece(m, "<u>", 0, 4);
}

static void sentencepiece(void **state) {
    (void)state;
    hora_str m = {0};
    hora_tokenizer *t;
    put_vocab(&m);
    put_specs(&m, 2, 0);
    assert_ok(made_open_in(&t, "tokenizer.model", m.s, m.n, NULL));
    made_tokens_are(t, "ab", true, "<s>|\u2581a|b");
    made_tokens_are(t, "baba", false, "\u2581|ba|ba");
    made_tokens_are(t, "b\xc3\xa9 a</s>", false, "\u2581|b|<0xC3>|<0xA9>|\u2581a|</s>");
    made_tokens_are(t, "b<u>z", false, "\u2581|b|<u>|\u2581|<unk>");
    DECODES(t, false, "a\xc3\xa9 a", "<s>", "\u2581a", "<0xC3>", "<0xA9>", "\u2581a");
    assert_int_equal(hora_tokenizer_bos(t), 1);
    assert_int_equal(hora_tokenizer_eos(t), 2);
    assert_true(hora_tokenizer_is_special(t, 2));
    assert_false(hora_tokenizer_is_special(t, 11));
    hora_tokenizer_close(t);
    assert_ok(made_open_in(&t, "tokenizer.model", m.s, m.n,
                           "{'add_bos_token':false,'add_eos_token':true}"));
    made_tokens_are(t, "a", true, "\u2581a|</s>");
    hora_tokenizer_close(t);
    for (size_t n = 0; n < m.n; n++) /* every truncation is an error or a smaller model */
        if (made_open_in(&t, "tokenizer.model", m.s, n, NULL) == HORA_OK)
            fail_msg("a model cut at %zu of %zu bytes was read", n, m.n);
    m.n = 0;
    put_vocab(&m);
    put_specs(&m, 1, 0);
    assert_fails(made_open_in(&t, "tokenizer.model", m.s, m.n, NULL), HORA_EUNSUPPORTED, "Unigram");
    m.n = 0;
    put_vocab(&m);
    put_specs(&m, 2, 1);
    assert_fails(made_open_in(&t, "tokenizer.model", m.s, m.n, NULL), HORA_EUNSUPPORTED,
                 "remove_extra_whitespaces");
    hora_str_release(&m);
}

HORA_TESTS(unit_tokenizer_files, {"tokenizer_config.json", config, HORA_SHORT},
           {"tokens that files beside add", files_beside, HORA_SHORT},
           {"what is refused, by name", refusals, HORA_SHORT},
           {"SentencePiece", sentencepiece, HORA_SHORT});
