/*
 * Tasks without a model: measures against scikit-learn's, scipy's and seqeval's numbers, labels in
 * all spellings, tables with quotes.
 */
#include "hora_test.h"

#include <math.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "task/metric.h"
#include "task/task.h"
#include "tiny_tokenizer.h"

/* --- measures --------------------------------------------------------------------------------- */
static void each_line(const char *path, void (*fn)(const hora_json *line)) {
    hora_str text = {0};
    assert_ok(hora_file_read(&text, path));
    for (char *at = text.s; at && *at;) {
        char *end = strchr(at, '\n');
        const size_t n = end ? (size_t)(end - at) : strlen(at);
        hora_json *o;
        if (n) {
            assert_ok(hora_json_parse(&o, at, n, path));
            fn(o);
            hora_json_free(o);
        }
        at = end ? end + 1 : NULL;
    }
    hora_str_release(&text);
}

/* A number of the line, null being "not defined". */
static void expect(const hora_json *o, const char *key, double got, double tolerance) {
    double want = NAN;
    const bool defined = hora_json_real(hora_json_get(o, key), &want);
    if (defined ? !(fabs(got - want) <= tolerance * fmax(1, fabs(want))) : !isnan(got))
        fail_msg("%s, %s: %.12g, should be %.12g", hora_json_string(hora_json_get(o, "name"), NULL),
                 key, got, want);
}

static int32_t *ints(const hora_json *list) {
    int32_t *v = hora_calloc(hora_json_len(list) + 1, sizeof *v);
    for (size_t i = 0; i < hora_json_len(list); i++) {
        int64_t x = 0;
        assert_true(hora_json_int(hora_json_at(list, i), &x));
        v[i] = (int32_t)x;
    }
    return v;
}

static void classification_line(const hora_json *o) {
    int64_t k = 0;
    const hora_json *truth = hora_json_get(o, "true");
    const int64_t n = (int64_t)hora_json_len(truth);
    int32_t *t = ints(truth), *g = ints(hora_json_get(o, "pred"));
    assert_true(hora_json_int(hora_json_get(o, "classes"), &k));
    int64_t *c = hora_calloc((size_t)(k * k), sizeof *c);
    hora_metric_confusion(t, g, n, k, c);
    expect(o, "accuracy", hora_metric_accuracy(t, g, n), 1e-9);
    expect(o, "f1_macro_all_classes", hora_metric_macro_f1(c, k, true), 1e-9);
    expect(o, "f1_macro_present_classes", hora_metric_macro_f1(c, k, false), 1e-9);
    expect(o, "matthews", hora_metric_matthews(c, k), 1e-9);
    for (int64_t i = 0; i < k; i++) {
        double f1 = 0, recall = NAN;
        hora_json_real(hora_json_at(hora_json_get(o, "f1_per_class"), (size_t)i), &f1);
        hora_json_real(hora_json_at(hora_json_get(o, "recall_per_class"), (size_t)i), &recall);
        assert_true(fabs(hora_metric_f1(c, k, i) - f1) <= 1e-9);
        const double got = hora_metric_recall(c, k, i);
        assert_true(isnan(recall) ? isnan(got) : fabs(got - recall) <= 1e-9);
        const hora_json *row = hora_json_at(hora_json_get(o, "confusion"), (size_t)i);
        for (int64_t j = 0; j < k; j++) {
            int64_t want = -1;
            hora_json_int(hora_json_at(row, (size_t)j), &want);
            assert_int_equal(c[i * k + j], want);
        }
    }
    hora_free(c);
    hora_free(t);
    hora_free(g);
}

static double *reals(const hora_json *list) {
    double *v = hora_calloc(hora_json_len(list) + 1, sizeof *v);
    for (size_t i = 0; i < hora_json_len(list); i++)
        assert_true(hora_json_real(hora_json_at(list, i), &v[i]));
    return v;
}

static void correlation_line(const hora_json *o) {
    const int64_t n = (int64_t)hora_json_len(hora_json_get(o, "true"));
    double *t = reals(hora_json_get(o, "true")), *p = reals(hora_json_get(o, "pred"));
    expect(o, "pearson", hora_metric_pearson(t, p, n), 1e-6);
    expect(o, "spearman", hora_metric_spearman(t, p, n), 1e-6);
    hora_free(t);
    hora_free(p);
}

static void entities_line(const hora_json *o) {
    const hora_json *truth = hora_json_get(o, "true"), *guess = hora_json_get(o, "pred");
    const hora_json *want = hora_json_get(o, "default");
    hora_entity_counts c = {0, 0, 0};
    for (size_t s = 0; s < hora_json_len(truth); s++) {
        const char *t[64], *g[64];
        const size_t n = hora_json_len(hora_json_at(truth, s));
        assert_true(n <= HORA_COUNT(t));
        for (size_t i = 0; i < n; i++) {
            t[i] = hora_json_string(hora_json_at(hora_json_at(truth, s), i), NULL);
            g[i] = hora_json_string(hora_json_at(hora_json_at(guess, s), i), NULL);
        }
        hora_metric_entities(t, g, (int64_t)n, &c);
    }
    expect(want, "precision", c.guessed ? (double)c.right / (double)c.guessed : 0, 1e-9);
    expect(want, "recall", c.true_ ? (double)c.right / (double)c.true_ : 0, 1e-9);
}

static void measures(void **state) {
    (void)state;
    each_line(hora_test_shared("cases/metric-classification/data.jsonl"), classification_line);
    each_line(hora_test_shared("cases/metric-correlation/data.jsonl"), correlation_line);
    each_line(hora_test_shared("cases/metric-entities/data.jsonl"), entities_line);
}

/* The same without the shared files: one of each, by hand. */
static void measures_by_hand(void **state) {
    (void)state;
    const int32_t t[] = {0, 1, 2, 1}, g[] = {0, 1, 1, 1};
    int64_t c[9] = {0};
    hora_metric_confusion(t, g, 4, 3, c);
    assert_true(hora_metric_accuracy(t, g, 4) == 0.75);
    assert_int_equal(c[2 * 3 + 1], 1);
    assert_true(fabs(hora_metric_macro_f1(c, 3, false) - (1 + 0.8 + 0) / 3) < 1e-12);
    assert_true(isnan(hora_metric_accuracy(t, g, 0)));
    const double x[] = {1, 2, 3}, y[] = {3, 2, 1}, same[] = {2, 2, 2};
    assert_true(fabs(hora_metric_pearson(x, y, 3) + 1) < 1e-12);
    assert_true(isnan(hora_metric_spearman(x, same, 3)));
    const char *const truth[] = {"B-PER", "I-PER", "O", "B-LOC"};
    const char *const guess[] = {"I-PER", "I-PER", "O", "B-PER"};
    hora_entity_counts e = {0, 0, 0};
    hora_metric_entities(truth, guess, 4, &e);
    assert_true(e.right == 1 && e.true_ == 2 && e.guessed == 2);
}

/* --- labels ----------------------------------------------------------------------------------- */
typedef struct reading {
    hora_objective o;
    hora_dataset *d;
    hora_tokenizer *tok;
} reading;

static hora_status read_labels(reading *r, const char *task, const char *name, const char *text) {
    const char *dir = hora_test_tmp(), *path = hora_test_path(dir, name);
    hora_data_config c;
    hora_settings none = {0};
    bool fresh;
    *r = (reading){.d = NULL};
    assert_ok(hora_file_write(path, text, strlen(text)));
    r->tok = tiny_tokenizer();
    assert_ok(hora_options_take(&hora_data_options, &c, &none));
    assert_ok(hora_objective_choose(&r->o, task, NULL));
    hora_status s = hora_dataset_open(&r->d, path, r->tok, NULL, &c, &r->o.rule);
    if (!s)
        s = hora_objective_classes(&r->o, r->d, NULL, true, &fresh);
    hora_options_release(&hora_data_options, &c);
    return s;
}

static void reading_close(reading *r) {
    hora_dataset_close(r->d);
    hora_objective_release(&r->o);
    hora_tokenizer_close(r->tok);
}

static void labels(void **state) {
    static const struct {
        const char *task, *text, *names; /* names: separated by '|', or part of the refusal */
        hora_status status;
    } rows[] = {
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":\"pos\"}\n{\"text\":\"b\",\"label\":\"neg\"}", "neg|pos",
         HORA_OK},
        {"sequence-classification", "{\"text\":\"a\",\"label\":10}\n{\"text\":\"b\",\"label\":2}",
         "2|10", HORA_OK},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":true}\n{\"text\":\"b\",\"label\":false}", "false|true",
         HORA_OK},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":[\"x\",\"y\"]}\n{\"text\":\"b\",\"label\":[]}", "x|y", HORA_OK},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":[0,1]}\n{\"text\":\"b\",\"label\":[1,1]}", "0|1", HORA_OK},
        {"token-classification", "{\"tokens\":[\"a\",\"b\"],\"tags\":[\"O\",\"B-X\"]}", "B-X|O",
         HORA_OK},
        {"sequence-classification", "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\"}", "line 2",
         HORA_EFORMAT},
        {"sequence-classification", "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":null}",
         "no label", HORA_EFORMAT},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":\"x\"}", "in one way",
         HORA_EFORMAT},
        {"sequence-classification", "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":-1}",
         "-1", HORA_EFORMAT},
        {"sequence-classification", "{\"text\":\"a\",\"label\":0.5}", "regression", HORA_EFORMAT},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\"x\"}", "one class",
         HORA_EUSAGE},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\" x\"}", "blanks",
         HORA_EFORMAT},
        {"token-classification", "{\"tokens\":[\"a\",\"b\"],\"tags\":[\"O\"]}",
         "2 words have 1 tags", HORA_EFORMAT},
        {"regression", "{\"text\":\"a\",\"label\":\"1,5\"}", "like 3.5", HORA_EFORMAT},
        {"regression", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":[1,2]}",
         "2 numbers", HORA_EFORMAT},
        {"regression", "{\"text\":\"a\"}", "no label", HORA_EFORMAT},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        reading r;
        if (rows[i].status) {
            assert_fails(read_labels(&r, rows[i].task, "d.jsonl", rows[i].text), rows[i].status,
                         rows[i].names);
        } else {
            hora_str names = {0};
            assert_ok(read_labels(&r, rows[i].task, "d.jsonl", rows[i].text));
            for (int64_t k = 0; k < r.o.classes; k++)
                hora_str_printf(&names, "%s%s", k ? "|" : "", r.o.names[k]);
            assert_string_equal(names.s, rows[i].names);
            hora_str_release(&names);
        }
        reading_close(&r);
    }
    reading r;
    assert_fails(read_labels(&r, "sequence-classification", "d.txt", "plain text"), HORA_EUSAGE,
                 "no labels");
    reading_close(&r);
}

/* --- tables ----------------------------------------------------------------------------------- */
static void tables(void **state) {
    static const struct {
        const char *name, *text, *part; /* part: of a refusal; NULL: it is read */
        int64_t records;
    } rows[] = {
        {"d.csv", "\xef\xbb\xbftext,label\r\nab,x\r\n\"a, \"\"b\"\"\r\nc\",y\r\n", NULL, 2},
        {"d.csv", "text;label\nab;x\nb;y", NULL, 2},
        {"d.tsv", "text\tlabel\n\"ab\tx\nit's\ty\n", NULL, 2},
        {"d.csv", "text,label\nab,x\nab\n", "line 3", 0},
        {"d.csv", "text,text\nab,x\n", "two columns", 0},
        {"d.csv", "text,label\n\"ab,x\n", "never closed", 0},
        {"d.csv", "words,class\nab,x\n", "`words`", 0},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        reading r;
        if (rows[i].part)
            assert_fails(read_labels(&r, "sequence-classification", rows[i].name, rows[i].text),
                         HORA_EFORMAT, rows[i].part);
        else {
            assert_ok(read_labels(&r, "sequence-classification", rows[i].name, rows[i].text));
            assert_int_equal(hora_data_about(r.d)->records, rows[i].records);
            assert_int_equal(r.o.classes, 2);
        }
        reading_close(&r);
    }
}

/* What says what an adapter is for is read whole or refused, never taken for absent. */
static void broken_words(void **state) {
    (void)state;
    hora_objective o;
    const char *dir = hora_test_tmp();
    assert_ok(hora_objective_choose(&o, "sequence-classification", NULL));
    assert_ok(hora_objective_adapter(&o, NULL, dir));
    assert_ok(hora_file_write(hora_test_path(dir, "task.json"), "{\"task_type\":", 13));
    assert_fails(hora_objective_adapter(&o, NULL, dir), HORA_EFORMAT, "task.json");
    assert_ok(hora_file_write(hora_test_path(dir, "task.json"), "{}", 2));
    assert_ok(hora_file_write(hora_test_path(dir, "adapter_model.safetensors"), "x", 1));
    assert_fails(hora_objective_adapter(&o, NULL, dir), HORA_EFORMAT, "adapter_model");
    hora_objective_release(&o);
}

HORA_TESTS(unit_task, {"measures against other libraries", measures, HORA_SHORT},
           {"measures by hand", measures_by_hand, HORA_SHORT},
           {"labels in all spellings", labels, HORA_SHORT}, {"CSV and TSV", tables, HORA_SHORT},
           {"words of an adapter", broken_words, HORA_SHORT});
