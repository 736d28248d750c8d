/*
 * Data that are read: what is wrong in a file and where, bad records that are counted, formats that
 * are recognised, the hash.
 */
#include "data_kit.h"

static const char three[] = "{\"prompt\": \"p\", \"completion\": \"qr\"}\n\n"
                            "{\"text\": \"ab\"}\n"
                            "{\"prompt\": \"stu\", \"completion\": \"v\"}\n";

static void bad_files(void **state) {
    (void)state;
    static const struct {
        const char *name, *text;
        hora_status code;
        const char *part;
    } rows[] = {
        {"a.jsonl", "{\"text\": \"a\"}\n{\"text\": }\n", HORA_EFORMAT,
         "a.jsonl: line 2, column 10"},
        {"a.jsonl", "{\"text\": \"a\"}\n\n{\"txt\": 1}\n", HORA_EFORMAT,
         "line 3, column 1: a record "
         "has the keys `txt`; write"},
        {"a.jsonl", "{\"anchor\": \"a\", \"positive\": \"b\"}", HORA_EFORMAT,
         "name the task that such records are for (task=NAME)"},
        {"a.jsonl", "{\"text\": 5}", HORA_EFORMAT, "line 1, column 1: `text` should be a string"},
        {"a.jsonl", "{\"prompt\": \"a\", \"completion\": null}", HORA_EFORMAT, "`completion`"},
        {"a.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\", \"system\": \"c\"}", HORA_EFORMAT,
         "`system` has no place"},
        {"a.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\", \"tools\": [{}]}", HORA_EFORMAT,
         "`tools` has no place"},
        {"a.jsonl",
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"functions\": [{\"name\": "
         "\"f\"}]}",
         HORA_EFORMAT, "give them as `tools`"},
        {"a.jsonl", "[1]", HORA_EFORMAT, "line 1, column 2: a record has a JSON integer"},
        {"a.jsonl", "{\"text\": \"\"}", HORA_EFORMAT, "`text` is empty"},
        {"a.jsonl", "{\"messages\": []}", HORA_EFORMAT, "not empty"},
        {"a.jsonl", "{\"messages\": [{\"content\": \"a\"}]}", HORA_EFORMAT, "message 1"},
        {"a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", HORA_EFORMAT,
         "nothing to learn"},
        {"a.jsonl", "{\"conversations\": [{\"from\": \"me\", \"value\": \"a\"}]}", HORA_EFORMAT,
         "`from` of turn 1 is me"},
        {"a.jsonl", "{\"conversations\": 3}", HORA_EFORMAT, "not empty"},
        {"a.json", "[{\"text\": \"a\"},\n {\"text\": tru}]", HORA_EFORMAT, "line 2, column 13"},
        {"a.json", "[{\"text\": \"a\"},\n {\"text\": 1}]", HORA_EFORMAT,
         "line 2, column 2: `text`"},
        {"a.json", "[{\"text\": \"a\"} {\"text\": \"b\"}]", HORA_EFORMAT, "a.json: line 1"},
        {"a.json", "[{\"text\": \"a\"}", HORA_EFORMAT, "`,` or `]` is expected"},
        {"a.json", "[{\"text\": \"a\"}] x", HORA_EFORMAT, "the end of the file is expected"},
        {"a.json", "[{\"text\": \"a\"},]", HORA_EFORMAT, "a.json: line 1"},
        {"a.json", "[]", HORA_EFORMAT, "nothing to learn"},
        {"a.txt", "", HORA_EFORMAT, "nothing to learn"},
        {"a.txt", "a", HORA_EFORMAT, "nothing to learn"},
        {"a.jsonl", " \n\n ", HORA_EFORMAT, "nothing to learn"},
        {"a.txt", "one\ntw\xff", HORA_EFORMAT, "a.txt: line 2, column 3: not UTF-8"},
        {"a.jsonl",
         "{\"prompt\": \"0123456789012345678901234567890123456789012345678901234567890123\","
         " \"completion\": \"a\"}",
         HORA_EFORMAT, "choose a larger seq_len"}};
    kit k = set_up();
    hora_dataset *d;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        assert_fails(open_text(&d, &k, rows[i].name, rows[i].text), rows[i].code, rows[i].part);
        assert_null(d);
    }
    assert_fails(hora_dataset_open(&d, "/nowhere/at.all", k.tok, NULL, &k.cfg,
                                   &hora_objective_causal()->rule),
                 HORA_ENOTFOUND, "/nowhere");
    k.cfg.seq_len = 1;
    assert_fails(open_text(&d, &k, "a.txt", "abc"), HORA_EUSAGE, "seq_len");
    k.cfg.seq_len = 8;
    k.cfg.format = (char *)"xml";
    assert_fails(open_text(&d, &k, "a.txt", "abc"), HORA_EUSAGE, "choose auto, text, jsonl");
    k.cfg.format = (char *)"text"; /* asked for, so the records are plain text */
    d = opened(&k, "a.jsonl", "{\"text\": 5}");
    assert_int_equal(hora_data_about(d)->tokens, 11);
    hora_dataset_close(d);
    take_down(&k);
}

static void bad_records_are_counted(void **state) {
    (void)state;
    kit k = set_up();
    hora_dataset *d;
    k.cfg.skip_bad = true;
    k.cfg.seq_len = 5;
    static const char lines[] = "{\"text\": \"abc\"}\n{\"text\": }\n[1, 2]\n{\"nothing\": 1}\n"
                                "{\"text\": \"defghi\"}\n"
                                "{\"prompt\": \"0123456\", \"completion\": \"8\"}\n";
    d = opened(&k, "a.jsonl", lines);
    assert_int_equal(hora_data_about(d)->records, 2);
    assert_int_equal(hora_data_about(d)->skipped, 3);
    assert_int_equal(hora_data_about(d)->lost, 1); /* cut before its completion */
    assert_int_equal(hora_data_about(d)->cut, 3 + 5);
    hora_str notes = {0};
    hora_data_notes(d, &notes);
    assert_string_equal(notes.s,
                        "3 bad records were skipped; 1 of 3 records were left out: what is to "
                        "be learned lies behind the first 5 tokens; 1 of 3 records were cut "
                        "to 5 tokens");
    hora_str_release(&notes);
    assert_int_equal(hora_data_about(d)->truncated, 2);
    sequence_is(d, k.tok, 1, "<s>defg", 7);
    hora_dataset_close(d);
    d = opened(&k, "a.json", "[{\"text\": \"abc\"}, {\"text\": tru}, {\"text\": \"x\"}]");
    assert_int_equal(hora_data_about(d)->records, 2);
    assert_int_equal(hora_data_about(d)->skipped, 1);
    hora_dataset_close(d);
    assert_fails(open_text(&d, &k, "a.jsonl", "{\n{\n"), HORA_EFORMAT, "line 1");
    take_down(&k);
}

static void formats_are_recognised(void **state) {
    (void)state;
    kit k = set_up();
    static const struct {
        const char *name, *text;
        int64_t tokens;
    } rows[] = {{"a.txt", "{\"tixt\": \"a\"}", 13},
                {"a.jsonl", "{\"text\": \"a\"}", 3},
                {"a.data", " {\"text\": \"a\"}", 3},
                {"a.data", "[1] a note", 10},
                {"a.json", "[{\"text\": \"a\"}]", 3},
                {"a.jsonl", "\xef\xbb\xbf{\"text\": \"a\"}", 3},
                {"a.jsonl", "{\"text\": \"a\"}\r\n{\"text\": \"b\"}\r\n", 6}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_dataset *d = opened(&k, rows[i].name, rows[i].text);
        assert_int_equal(hora_data_about(d)->tokens, rows[i].tokens);
        hora_dataset_close(d);
    }
    take_down(&k);
}

static uint64_t hash_of(const kit *k, const char *text) {
    hora_dataset *d = opened(k, "three.jsonl", text);
    uint64_t h = hora_data_about(d)->hash;
    hora_dataset_close(d);
    return h;
}

static void hash_follows_the_sequences(void **state) {
    (void)state;
    kit k = set_up();
    uint64_t h = hash_of(&k, three);
    k.cfg.shuffle = true;
    k.cfg.seed = 9;
    assert_true(hash_of(&k, three) == h); /* another order of the same rows */
    assert_true(hash_of(&k, "{\"text\": \"ab\"}\n") != h);
    k.cfg.packing = true;
    assert_true(hash_of(&k, three) != h);
    k.cfg.packing = false;
    k.cfg.seq_len++;
    assert_true(hash_of(&k, three) != h);
    k.cfg.seq_len--;
    k.cfg.train_on_prompt = true;
    assert_true(hash_of(&k, three) != h);
    take_down(&k);
}

HORA_TESTS(unit_data_reading, {"bad files say where", bad_files, HORA_SHORT},
           {"bad records are counted", bad_records_are_counted, HORA_SHORT},
           {"formats are recognised", formats_are_recognised, HORA_SHORT},
           {"the hash follows the sequences", hash_follows_the_sequences, HORA_SHORT});
