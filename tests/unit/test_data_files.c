/*
 * Data in all their spellings, with a tokenizer of single characters: several files and how often
 * an epoch has them, folders, names of fields, tables, byte order marks, what is no text.
 */
#include "hora_test.h"
#include "task/task.h"

#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/files_impl.h"
#include "tiny_tokenizer.h"

typedef struct kit {
    hora_tokenizer *tok;
    hora_data_config cfg;
} kit;

static kit set_up(void) {
    return (kit){tiny_tokenizer(), {.seq_len = 16, .seed = 7}};
}

/* The path of a file with that text. */
static const char *put_n(const char *name, const char *text, size_t n) {
    const char *path = hora_test_path(hora_test_tmp(), name);
    assert_ok(hora_file_write(path, text, n));
    return path;
}

static const char *put(const char *name, const char *text) {
    return put_n(name, text, strlen(text));
}

static hora_status try_open(hora_dataset **d, const kit *k, const char *list) {
    *d = NULL;
    return hora_dataset_open(d, list, k->tok, NULL, &k->cfg, &hora_objective_causal()->rule);
}

static hora_dataset *opened(const kit *k, const char *list) {
    hora_dataset *d;
    assert_ok(try_open(&d, k, list));
    return d;
}

static void refused(const kit *k, const char *list, hora_status status, const char *says) {
    hora_dataset *d;
    assert_fails(try_open(&d, k, list), status, says);
    assert_null(d);
}

/* The rows in order, each in brackets. */
static void assert_rows(const hora_dataset *d, const char *want) {
    hora_str got = {0};
    hora_str_add(&got, "", 0);
    for (int64_t i = 0; i < hora_data_about(d)->sequences; i++) {
        hora_str one = {0};
        assert_ok(hora_data_show(d, i, &one));
        hora_str_printf(&got, "%s|", one.s);
        hora_str_release(&one);
    }
    assert_string_equal(got.s, want);
    hora_str_release(&got);
}

static void shows(const kit *k, const char *list, const char *want) {
    hora_dataset *d = opened(k, list);
    assert_rows(d, want);
    hora_dataset_close(d);
}

/* Ten records, one letter each. */
static const char *letters(const char *name, char first) {
    hora_str s = {0};
    for (int i = 0; i < 10; i++)
        hora_str_printf(&s, "{\"prompt\": \"%c\", \"completion\": \"!\"}\n", first + i);
    const char *path = put(name, s.s);
    hora_str_release(&s);
    return path;
}

static const char *list(const char *a, const char *b) {
    static char text[800];
    hora_snprintf(text, sizeof text, "%s\n%s", a, b);
    return text;
}

/* How often each of ten letters begins a row of d. */
static void count(const hora_dataset *d, char first, int n[10]) {
    memset(n, 0, 10 * sizeof *n);
    for (int64_t i = 0; i < hora_data_about(d)->sequences; i++) {
        hora_str one = {0};
        assert_ok(hora_data_show(d, i, &one));
        if (one.s[3] >= first && one.s[3] < first + 10) /* <s>x */
            n[one.s[3] - first]++;
        hora_str_release(&one);
    }
}

static void several(void **state) {
    (void)state;
    kit k = set_up();
    const char *a = put("a.jsonl", "{\"text\": \"k\"}\n"), *b = put("b.csv", "text\nlm\n"),
               *t = put("c.txt", "opq");
    shows(&k, list(a, b), "[[<s>k</s>]]|[[<s>lm</s>]]|");
    shows(&k, list(t, a), "[[opq]]|[[<s>k</s>]]|");
    shows(&k, list(a, t), "[[<s>k</s>]]|[[opq]]|");
    k.cfg.add_bos = true; /* of windows alone */
    char *three = hora_format("%s\n%s\n%s", a, t, b);
    hora_dataset *d = opened(&k, three);
    hora_free(three);
    assert_int_equal(hora_data_about(d)->tokens, 3 + 4 + 4);
    assert_int_equal(hora_data_about(d)->records, 3);
    hora_batch batch;
    assert_ok(hora_batch_init(&batch, 64, NULL));
    assert_ok(hora_data_fill(d, 0, 3, 3, true, &batch));
    assert_int_equal(batch.tokens, 11);
    assert_int_equal(batch.ids[0], TINY_BOS);
    assert_int_equal(batch.ids[3], TINY_BOS);
    assert_int_equal(batch.ids[4], tiny_id(k.tok, "o"));
    assert_int_equal(batch.supervised, hora_data_about(d)->supervised);
    hora_batch_release(&batch);
    hora_dataset_close(d);
    hora_data_part_info p;
    k.cfg.add_bos = false;
    d = opened(&k, list(a, b));
    assert_true(hora_data_part_at(d, 1, &p) && hora_eq(p.path, b) && p.times == 1);
    assert_false(hora_data_part_at(d, 2, &p));
    hora_data_origin at[4];
    assert_int_equal(hora_data_records(d, 1, true, at, 4), 1);
    assert_string_equal(at[0].path, b);
    assert_int_equal(at[0].line, 2);
    hora_dataset_close(d);
    refused(&k, list(a, "-\n-"), HORA_EUSAGE, "twice");
    hora_tokenizer_close(k.tok);
}

static void times(void **state) {
    (void)state;
    kit k = set_up();
    int n[10], once = 0;
    char text[600];
    const char *a = letters("a.jsonl", 'a'), *b = letters("b.jsonl", 'A');
    hora_snprintf(text, sizeof text, "%s:3\n%s:0.4", a, b);
    hora_dataset *d = opened(&k, text);
    assert_int_equal(hora_data_about(d)->records, 34);
    count(d, 'a', n);
    for (int i = 0; i < 10; i++)
        assert_int_equal(n[i], 3);
    count(d, 'A', n);
    for (int i = 0; i < 10; i++)
        once += n[i];
    assert_int_equal(once, 4);
    const uint64_t hash = hora_data_about(d)->hash;
    hora_dataset_close(d);
    d = opened(&k, text); /* the same subset */
    assert_int_equal(hora_data_about(d)->hash, hash);
    hora_dataset_close(d);
    k.cfg.seed = 8;
    d = opened(&k, text);
    assert_int_not_equal(hora_data_about(d)->hash, hash);
    hora_dataset_close(d);
    hora_snprintf(text, sizeof text, "%s:1.5", a);
    d = opened(&k, text);
    count(d, 'a', n);
    once = 0;
    for (int i = 0; i < 10; i++) {
        assert_in_range(n[i], 1, 2);
        once += n[i] == 1;
    }
    assert_int_equal(once, 5);
    hora_dataset_close(d);
    put("a.jsonl:2", "{\"text\": \"named so\"}"); /* the file of that name wins */
    hora_snprintf(text, sizeof text, "%s:2", a);
    shows(&k, text, "[[<s>named so</s>]]|");
    hora_snprintf(text, sizeof text, "%s:1", put("w.txt", "abcdefgh-ijklmno,pqr"));
    k.cfg.seq_len = 4;
    text[strlen(text) - 1] = '2';
    d = opened(&k, text);
    assert_int_equal(hora_data_about(d)->records, 10);
    hora_dataset_close(d);
    hora_snprintf(text + strlen(text) - 1, 10, "0.4"); /* two windows of five */
    d = opened(&k, text);
    assert_int_equal(hora_data_about(d)->records, 2);
    hora_dataset_close(d);
    hora_tokenizer_close(k.tok);
}

static void times_refused(void **state) {
    (void)state;
    kit k = set_up();
    const char *a = letters("a.jsonl", 'a');
    static const char *const bad[] = {":0", ":-1", ":nan", ":inf", ":1e9"};
    char text[600];
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        hora_snprintf(text, sizeof text, "%s%s", a, bad[i]);
        refused(&k, text, HORA_EUSAGE, "how often an epoch has the data");
    }
    hora_snprintf(text, sizeof text, "%s:twice", a);
    refused(&k, text, HORA_ENOTFOUND, "a.jsonl:twice");
    hora_snprintf(text, sizeof text, "%sx:2", a);
    refused(&k, text, HORA_ENOTFOUND, "a.jsonlx: there is no such file");
    char *out;
    hora_snprintf(text, sizeof text, "%s:2", a);
    assert_fails(hora_data_resolve(&out, text, HORA_DATA_TEST, false), HORA_EUSAGE,
                 "belongs to training data");
    hora_tokenizer_close(k.tok);
}

/* Nothing that is held out is trained on, however often an epoch has it, and each file gives its
 * share. */
static void split(void **state) {
    (void)state;
    kit k = set_up();
    char text[600];
    int train[10], eval[10];
    hora_snprintf(text, sizeof text, "%s:3\n%s:2.5", letters("a.jsonl", 'a'),
                  letters("b.jsonl", 'A'));
    for (int packing = 0; packing < 2; packing++) {
        hora_dataset *e;
        k.cfg.eval_split = packing ? 2 : 0.2;
        k.cfg.packing = packing;
        hora_dataset *d = opened(&k, text);
        assert_ok(hora_data_split(d, &e));
        hora_dataset_close(d);
        hora_dataset_close(e);
        if (packing)
            continue;
        d = opened(&k, text);
        assert_ok(hora_data_split(d, &e));
        assert_int_equal(hora_data_about(e)->records, 4);
        for (int f = 0; f < 2; f++) {
            count(d, f ? 'A' : 'a', train);
            count(e, f ? 'A' : 'a', eval);
            for (int i = 0; i < 10; i++) {
                assert_int_equal(eval[i], i >= 8);
                assert_true(i >= 8 ? !train[i]
                            : f    ? train[i] == 2 || train[i] == 3
                                   : train[i] == 3);
            }
        }
        hora_dataset_close(d);
        hora_dataset_close(e);
    }
    hora_tokenizer_close(k.tok);
}

static void folders(void **state) {
    (void)state;
    kit k = set_up();
    char *got;
    const char *dir = hora_test_path(hora_test_tmp(), "set");
    assert_ok(hora_mkdirs(dir));
    assert_fails(hora_data_resolve(&got, dir, HORA_DATA_TRAIN, false), HORA_ENOTFOUND,
                 "without a train.jsonl");
    put("set/train.jsonl", "{\"text\": \"k\"}\n");
    put("set/valid.jsonl", "{\"text\": \"l\"}\n");
    put("set/training.jsonl", "{\"text\": \"no\"}\n");
    shows(&k, dir, "[[<s>k</s>]]|");
    assert_ok(hora_data_resolve(&got, dir, HORA_DATA_VALID, true));
    assert_true(hora_ends(got, "/set/valid.jsonl"));
    hora_free(got);
    assert_fails(hora_data_resolve(&got, dir, HORA_DATA_TEST, false), HORA_ENOTFOUND,
                 "but has train.jsonl and valid.jsonl");
    assert_ok(hora_data_resolve(&got, dir, HORA_DATA_TEST, true));
    assert_null(got);
    put("set/train.csv", "text\nk\n");
    assert_fails(hora_data_resolve(&got, dir, HORA_DATA_TRAIN, false), HORA_EUSAGE,
                 "name the one that is meant");
    hora_tokenizer_close(k.tok);
}

static void columns(void **state) {
    (void)state;
    kit k = set_up();
    const char *qa = put("qa.jsonl", "{\"messages\": 1, \"question\": \"k\", \"answer\": \"l\"}\n"),
               *table = put("qa.csv", "id,question,answer\n1,k,l\n");
    refused(&k, put("ar.csv", "id,ask,reply\n1,k,l\n"), HORA_EFORMAT,
            "the keys `id`, `ask`, `reply`");
    static char *const ways[] = {(char *)"prompt=question,completion=answer",
                                 (char *)" prompt = question , completion=answer",
                                 (char *)"{\"prompt\": \"question\", \"completion\": \"answer\"}"};
    for (size_t i = 0; i < HORA_COUNT(ways); i++) {
        k.cfg.columns = ways[i];
        shows(&k, table, "<s>k[[l</s>]]|");
        shows(&k, qa, "<s>k[[l</s>]]|"); /* what was named goes before other keys */
    }
    k.cfg.columns = (char *)"prompt=answer,completion=question"; /* either way round */
    shows(&k, table, "<s>l[[k</s>]]|");
    k.cfg.columns = (char *)"text=prompt";
    shows(&k, put("p.jsonl", "{\"prompt\": \"k\", \"completion\": \"l\"}"), "[[<s>k</s>]]|");
    static const char *const bad[][2] = {
        {"promt=a", "did you mean `prompt`?"}, {"prompt", "a name is missing"},
        {"prompt=", "a name is missing"},      {"=a", "a name is missing"},
        {"prompt=a,prompt=b", "twice"},        {"{\"prompt\": 3}", "a name is missing"}};
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        k.cfg.columns = (char *)(uintptr_t)bad[i][0];
        refused(&k, table, HORA_EUSAGE, bad[i][1]);
    }
    k.cfg.columns = (char *)"prompt=ask,completion=answer";
    refused(&k, table, HORA_EFORMAT, "`prompt` should stand in `ask`, which is not there");
    hora_tokenizer_close(k.tok);
}

static void tables(void **state) {
    (void)state;
    kit k = set_up();
    const char *pc = "<s>k[[l</s>]]|";
    shows(&k, put("a.csv", "prompt,completion\nk,l\n"), pc);
    shows(&k, put("A.CSV", "prompt,completion\r\nk,l\r\n"), pc);
    shows(&k, put("a.tsv", "prompt\tcompletion\nk\tl\n"), pc);
    shows(&k, put("a.csv", "\xef\xbb\xbf\"prompt\";\"completion\"\n\"k\";\"l\"\n"), pc);
    shows(&k, put("a.csv", "sep=;\nprompt;completion\nk;l\n"), pc);
    shows(&k, put("a.csv", "prompt,completion\rk,l\r"), pc);
    refused(&k, put("a.tsv", "prompt\tcompletion\n\"k\nm\"\tl\n"), HORA_EFORMAT,
            "where they stand in quotes give format=csv");
    k.cfg.format = (char *)"csv";
    shows(&k, put("a.tsv", "prompt\tcompletion\n\"k\"\tl\n"), pc);
    k.cfg.format = NULL;
    shows(&k, put("noname", "prompt,completion\nk,l\n"), pc); /* never as plain text */
    shows(&k, put("noname", "prompt\tcompletion\nk\tl\n"), pc);
    shows(&k, put("noname", "nothing,known\nk,l\n"), "[[nothing,known\nk,]]|[[l\n]]|");
    refused(&k, put("a.txt", "prompt,completion\nk,l\n"), HORA_EUSAGE, "give format=csv");
    refused(&k, put("a.csv", "x,y\n1,2\n"), HORA_EFORMAT, "the keys `x`, `y`");
    k.cfg.skip_bad = true; /* no table of bad records either */
    refused(&k, put("a.csv", "x,y\n1,2\n"), HORA_EFORMAT, "a.csv: the header");
    k.cfg.skip_bad = false;
    k.cfg.format = (char *)"text";
    shows(&k, put("a.csv", "prompt,a"), "[[prompt,a]]|");
    k.cfg.format = NULL;
    k.cfg.seq_len = 600;
    shows(&k, put("a.csv", "instruction,output,history\nI,O,\"[[\"\"i\"\", \"\"o\"\"]]\"\n"),
          "<s>Below is an instruction that describes a task. Write a response that appropriately "
          "completes the request.\n\n### Instruction:\ni\n\n### Response:\n[[o</s>]]\n\n### "
          "Instruction:\nI\n\n### Response:\n[[O</s>]]|");
    refused(&k, put("a.csv", "instruction,output,history\nI,O,[['i']]\n"), HORA_EFORMAT,
            "column `history` is to hold JSON");
    hora_tokenizer_close(k.tok);
}

static void marks(void **state) {
    (void)state;
    kit k = set_up();
    shows(&k, put("a.jsonl", "\xef\xbb\xbf{\"text\": \"k\"}\n\xef\xbb\xbf{\"text\": \"l\"}\n"),
          "[[<s>k</s>]]|[[<s>l</s>]]|"); /* files put together */
    shows(&k, put("a.txt", "\xef\xbb\xbfk l"), "[[k l]]|");
    hora_tokenizer_close(k.tok);
}

static void no_text(void **state) {
    (void)state;
    kit k = set_up();
    static const struct {
        const char *name, *bytes;
        size_t n;
        const char *says;
    } rows[] = {
        {"a.parquet", "PAR1\x15\x04\x15\x10", 8,
         "Parquet, which is not read here; convert it: "
         "python -c 'import pandas; pandas.read_parquet("},
        {"a.arrow", "ARROW1\0\0", 8, "read_feather"},
        {"a.arrow", "\xff\xff\xff\xff\x10\0\0\0", 8, "Dataset.from_file("},
        {"a.zip", "PK\3\4\0\0", 6, "unzip \""},
        {"a.xlsx", "PK\3\4\0\0", 6, "read_excel("},
        {"a.jsonl.bz2", "BZh91AY\x26\0", 9, "bunzip2 -k \""},
        {"a.jsonl.xz",
         "\xfd"
         "7zXZ\0",
         6, "unxz -k \""},
        {"a.jsonl", "\xff\xfe{\0\"\0", 6, "iconv -f UTF-16"},
        {"a.txt", "\0\1\2\3\xff\xff\0\0", 8, "a binary file"},
        /* all of it is text, its name says so too, and it is none */
        {"a.txt", "PAR1 k l k PAR1", 15, "Parquet"},
        {"a.txt", "{\\rtf1 k}", 9, "rich text"},
        {"a.jsonl", "SQLite format 3\0", 16, "sqlite3 -csv"},
        {"a.txt", "\x80\x04\x95 k l", 7, "read_pickle("},
        {"a.csv", "\xd0\xcf\x11\xe0\xa1\xb1", 6, "read_excel("},
        {"a.txt", "\x89PNG\r\n", 6, "a picture"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        refused(&k, put_n(rows[i].name, rows[i].bytes, rows[i].n), HORA_EUNSUPPORTED, rows[i].says);
    shows(&k, put("a.txt", "ORC PAR1"), "[[ORC PAR1]]|"); /* a text about them */
    hora_tokenizer_close(k.tok);
}

HORA_TESTS(unit_data_files, {"several files", several, HORA_SHORT},
           {"how often an epoch has a file", times, HORA_SHORT},
           {"numbers that are none", times_refused, HORA_SHORT},
           {"what is held out is not repeated", split, HORA_SHORT},
           {"folders", folders, HORA_SHORT}, {"names of fields", columns, HORA_SHORT},
           {"data-csv: tables", tables, HORA_SHORT}, {"byte order marks", marks, HORA_SHORT},
           {"what is no text", no_text, HORA_SHORT});
