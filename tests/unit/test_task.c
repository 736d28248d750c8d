/*
 * Tasks without a model: measures against scikit-learn's, scipy's and seqeval's numbers, labels in
 * all spellings, tables with quotes.
 */
#include "hora_test.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "model/family.h"
#include "task/metric.h"
#include "task/objective.h"
#include "task/predictions.h"
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

static void calibration_line(const hora_json *o) {
    const hora_json *right = hora_json_get(o, "correct");
    const int64_t n = (int64_t)hora_json_len(right);
    double *c = reals(hora_json_get(o, "confidence"));
    bool *r = hora_calloc((size_t)n + 1, sizeof *r);
    int64_t bins = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t x = 0;
        hora_json_int(hora_json_at(right, (size_t)i), &x);
        r[i] = x != 0;
    }
    assert_true(hora_json_int(hora_json_get(o, "bins"), &bins));
    expect(o, "ece", hora_metric_calibration(c, r, n, bins), 1e-9);
    hora_free(c);
    hora_free(r);
}

/* The measures of one line of a file of cases, read as a file of predictions. */
static hora_json *measured(const hora_json *line, bool strict) {
    hora_str text = {0};
    hora_json *out = NULL;
    const char *path = hora_test_path(hora_test_tmp(), "predictions.jsonl");
    const hora_predictions_config c = {NULL, strict, HORA_CALIBRATION_BINS, -1};
    hora_json_dump(line, 0, false, &text);
    assert_ok(hora_file_write(path, text.s, text.n));
    assert_ok(hora_predictions_measure(&out, path, &c));
    hora_str_release(&text);
    return out;
}

static void same_numbers(const hora_json *o, const char *where, const hora_json *want,
                         const hora_json *got) {
    double a = NAN, b = NAN;
    assert_int_equal(hora_json_len(want), hora_json_len(got));
    for (size_t i = 0; hora_json_type(want) == HORA_JARRAY && i < hora_json_len(want); i++)
        same_numbers(o, where, hora_json_at(want, i), hora_json_at(got, i));
    if (hora_json_type(want) == HORA_JARRAY)
        return;
    hora_json_real(want, &a);
    hora_json_real(got, &b);
    if (isnan(a) ? !isnan(b) : !(fabs(a - b) <= 1e-6 * fmax(1, fabs(a))))
        fail_msg("%s, %s: %.12g, should be %.12g", hora_json_string(hora_json_get(o, "name"), NULL),
                 where, b, a);
}

/* All that a line says, by way of a file. */
static void by_file(const hora_json *o) {
    static const char *const same[][2] = {{"accuracy", "accuracy"},
                                          {"f1_macro_all_classes", "macro_f1_all_classes"},
                                          {"f1_macro_present_classes", "macro_f1"},
                                          {"f1_per_class", "f1"},
                                          {"recall_per_class", "recall"},
                                          {"confusion", "confusion"},
                                          {"matthews", "matthews"},
                                          {"pearson", "pearson"},
                                          {"spearman", "spearman"},
                                          {"mse", "mse"},
                                          {"ece", "calibration_error"},
                                          {"iou", "iou"},
                                          {"dice", "dice"},
                                          {"miou", "miou"},
                                          {"mdice", "mdice"}};
    static const char *const entity[][2] = {
        {"precision", "entity_precision"}, {"recall", "entity_recall"}, {"f1", "entity_f1"}};
    hora_json *m = measured(o, false), *strict = measured(o, true);
    int seen = 0;
    for (size_t i = 0; i < HORA_COUNT(same); i++)
        if (hora_json_get(o, same[i][0])) {
            same_numbers(o, same[i][0], hora_json_get(o, same[i][0]), hora_json_get(m, same[i][1]));
            seen++;
        }
    for (size_t i = 0; i < HORA_COUNT(entity) && hora_json_get(o, "default"); i++, seen++) {
        same_numbers(o, entity[i][0], hora_json_get(hora_json_get(o, "default"), entity[i][0]),
                     hora_json_get(m, entity[i][1]));
        same_numbers(o, "strict", hora_json_get(hora_json_get(o, "strict"), entity[i][0]),
                     hora_json_get(strict, entity[i][1]));
    }
    assert_true(seen > 0);
    hora_json_free(m);
    hora_json_free(strict);
}

static void measures_of_files(void **state) {
    static const char *const cases[] = {"calibration", "classification", "correlation", "entities",
                                        "segmentation"};
    (void)state;
    each_line(hora_test_shared("cases/metric-calibration/data.jsonl"), calibration_line);
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        char path[80];
        snprintf(path, sizeof path, "cases/metric-%s/data.jsonl", cases[i]);
        each_line(hora_test_shared(path), by_file);
    }
}

/* Files of predictions: what is in them, and what is refused. */
static void prediction_files(void **state) {
    static const struct {
        const char *text, *key; /* key NULL: refused with `value` in the message */
        const char *value;
    } rows[] = {
        {"{\"label\":\"a\",\"pred\":\"a\",\"score\":0.75}\n{\"label\":\"b\",\"pred\":\"a\","
         "\"score\":0.25}",
         "calibration_error", "0.25"},
        {"{\"true\":\"a\",\"label\":\"a\"}", "accuracy", "1"},
        {"{\"true\":1.5,\"pred\":2}", "pearson", "null"},
        {"{\"true\":1.5,\"pred\":2}", "mse", "0.25"},
        {"{\"true\":[[0,0],[1,255]],\"pred\":[[0,1],[1,1]],\"ignore\":255}", "iou", "[0.5, 0.5]"},
        {"{\"true\":[\"B-X\",\"O\"],\"pred\":[\"B-X\",\"O\"]}\n{\"true\":[\"O\"],"
         "\"pred\":[\"B-X\"]}",
         "entity_precision", "0.5"},
        {"{\"true\":3,\"pred\":0,\"classes\":3}", NULL, "class 3 is outside"},
        {"{\"true\":-1,\"pred\":0}", NULL, "class -1 is outside"},
        {"{\"true\":\"a\",\"pred\":1}", NULL, "mixed"},
        {"{\"true\":[1,2],\"pred\":[1]}", NULL, "2 values stand against 1"},
        {"{\"true\":1}", NULL, "lacks the prediction"},
        {"{\"confidence\":1.5,\"correct\":1}", NULL, "between 0 and 1"},
        {"{\"true\":1.5,\"pred\":1}\n{\"true\":\"a\",\"pred\":\"a\"}", NULL, "write one kind"},
        {"[]", NULL, "no prediction"},
    };
    (void)state;
    const char *path = hora_test_path(hora_test_tmp(), "p.jsonl");
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        const hora_predictions_config c = {NULL, false, 15, -1};
        hora_json *out = NULL;
        assert_ok(hora_file_write(path, rows[i].text, strlen(rows[i].text)));
        hora_status s = hora_predictions_measure(&out, path, &c);
        if (!rows[i].key) {
            assert_fails(s, HORA_EFORMAT, rows[i].value);
            continue;
        }
        assert_ok(s);
        hora_str text = {0};
        hora_json_dump(hora_json_get(out, rows[i].key), 0, false, &text);
        double got, want;
        if (hora_json_real(hora_json_get(out, rows[i].key), &got) &&
            hora_parse_double(rows[i].value, &want))
            assert_true(fabs(got - want) < 1e-12);
        else
            assert_string_equal(text.s, rows[i].value);
        hora_str_release(&text);
        hora_json_free(out);
    }
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

/* BILOU is IOBES in other letters, in both ways of counting, and is measured at all. */
static void bilou(void **state) {
    static const char *const iobes[][7] = {{"B-X", "E-X", "S-X", "S-X", "O", "B-Y", "I-Y"},
                                           {"B-X", "E-X", "S-X", "B-X", "E-X", "B-Y", "E-Y"}},
                             *const other[][7] = {
                                 {"B-X", "L-X", "U-X", "U-X", "O", "B-Y", "I-Y"},
                                 {"B-X", "L-X", "U-X", "B-X", "L-X", "B-Y", "L-Y"}};
    (void)state;
    hora_entity_counts a = {0, 0, 0}, b = {0, 0, 0};
    hora_metric_entities(iobes[0], iobes[1], 7, &a);
    hora_metric_entities(other[0], other[1], 7, &b);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(b.true_ == 4 && b.guessed == 4 && b.right == 3);
    a = b = (hora_entity_counts){0, 0, 0};
    hora_metric_entities_strict(iobes[0], iobes[1], 7, true, &a);
    hora_metric_entities_strict(other[0], other[1], 7, true, &b);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(b.true_ == 3 && b.guessed == 4 && b.right == 2);
    char *names[] = {"O", "U-X", "B-X", "I-X", "L-X"};
    int32_t tags[] = {1, 2, 3, 4, 0}, found[] = {1, 2, 3, 0, 0};
    int64_t start[] = {0};
    const hora_objective o = {
        .task = hora_task_named("token-classification"), .classes = 5, .names = names};
    hora_tally t = {.objective = &o, .n = 5, .nstart = 1};
    hora_metrics m = {.n = 0};
    t.truth = tags;
    t.guess = found;
    t.start = start;
    o.task->metrics(&t, &m);
    assert_true(fabs(hora_metrics_get(&m, "entity_f1") - 0.5) < 1e-12);
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

/* Three of one class and one of another: 4 / (2 x 3) and 4 / 2; the mean over records is 1. */
static void class_weights(void **state) {
    reading r;
    (void)state;
    assert_ok(read_labels(&r, "sequence-classification", "weights.jsonl",
                          "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\"x\"}\n"
                          "{\"text\":\"c\",\"label\":\"x\"}\n{\"text\":\"d\",\"label\":\"y\"}"));
    assert_ok(hora_objective_balance(&r.o, r.d));
    assert_true(fabs((double)r.o.class_weight[0] - 2.0 / 3) < 1e-6);
    assert_true(r.o.class_weight[1] == 2);
    hora_batch b;
    assert_ok(hora_batch_init(&b, 2048, NULL));
    assert_ok(hora_data_fill(r.d, 0, 1, 1, true, &b));
    double sum = 0;
    for (int64_t i = 0; i < b.tokens; i++)
        sum += (double)b.weight[i];
    assert_int_equal(b.supervised, 4);
    assert_true(fabs(sum - 4) < 1e-5);
    hora_batch_release(&b);
    reading_close(&r);
    assert_ok(read_labels(&r, "regression", "numbers.jsonl", "{\"text\":\"a\",\"label\":1}"));
    assert_fails(hora_objective_balance(&r.o, r.d), HORA_EUSAGE, "balanced");
    reading_close(&r);
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
         "{\"text\":\"a\",\"label\":\"1.0\"}\n{\"text\":\"b\",\"label\":\"10.00\"}\n"
         "{\"text\":\"b\",\"label\":\"2.0\"}",
         "1|2|10", HORA_OK},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":\"1.0\"}\n{\"text\":\"b\",\"label\":\"1\"}", "1|1.0", HORA_OK},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":\"1.0\"}\n{\"text\":\"b\",\"label\":\"1.5\"}", "1.0|1.5",
         HORA_OK},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":\"1.0\"}\n{\"text\":\"b\",\"label\":\"-1.0\"}", "no class",
         HORA_EFORMAT},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":[\"x\"]}\n{\"text\":\"b\",\"label\":[\"y\",\"x\",\"y\"]}",
         "label y twice", HORA_EFORMAT},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":[0,2]}\n{\"text\":\"b\",\"label\":[3,3]}", "label 3 twice",
         HORA_EFORMAT},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":[1,1]}\n{\"text\":\"b\",\"label\":[0,2]}", "that of line 1",
         HORA_EFORMAT},
        {"sequence-classification",
         "{\"text\":\"a\",\"label\":[1,0]}\n{\"text\":\"b\",\"label\":[1]}", "0|1", HORA_OK},
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
        {"d.csv", "text,la\xff\nab,x\n", "column 2 is not UTF-8", 0},
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

static void help_names_all(void **state) {
    (void)state;
    hora_str names = {0};
    for (int i = 0; i < hora_task_count(); i++)
        hora_str_printf(&names, "%s%s", i ? ", " : "", hora_task_at(i)->name);
    assert_string_equal(names.s, HORA_TASK_NAMES);
    hora_str_release(&names);
}

/* --- the class that config.json of a model with a new head names ------------------------------ */
static void class_names(void **state) {
    static const struct {
        const char *type, *was, *task, *want;
    } rows[] = {
        {"vit", "ViTModel", "image-classification", "ViTForImageClassification"},
        {"vit", "ViTForMaskedImageModeling", "image-classification", "ViTForImageClassification"},
        {"dinov2", "Dinov2Backbone", "image-classification", "Dinov2ForImageClassification"},
        {"clip_vision_model", "CLIPVisionModelWithProjection", "image-classification",
         "CLIPForImageClassification"},
        {"videomae", "VideoMAEForPreTraining", "image-classification",
         "VideoMAEForVideoClassification"},
        {"bert", "BertForMaskedLM", "token-classification", "BertForTokenClassification"},
        {"modernbert", "ModernBertModel", "sequence-classification",
         "ModernBertForSequenceClassification"},
        {"bert", NULL, "sequence-classification", "BertForSequenceClassification"},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        const char *path = hora_test_path(hora_test_tmp(), "config.json");
        const char *was = rows[i].was ? hora_test_text("\"%s\"", rows[i].was) : "";
        const char *text = hora_test_text(
            "{\"model_type\":\"%s\",\"architectures\":[%s],\"hidden_size\":8,"
            "\"intermediate_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
            "\"vocab_size\":9,\"image_size\":4,\"patch_size\":2,\"num_frames\":2}",
            rows[i].type, was);
        hora_objective o;
        hora_json *config;
        hora_base *b;
        assert_ok(hora_file_write(path, text, strlen(text)));
        assert_ok(hora_json_load(&config, path));
        assert_ok(hora_objective_choose(&o, rows[i].task, config));
        assert_ok(
            hora_base_fresh(&b, path, &(hora_base_options){.headers_only = true, .bare = true}, 1));
        o.classes = 3;
        assert_ok(hora_objective_settle(&o, b, NULL, NULL, false, 1));
        assert_string_equal(
            hora_json_string(hora_json_at(hora_json_get(b->config, "architectures"), 0), NULL),
            rows[i].want);
        hora_base_close(b);
        hora_objective_release(&o);
        hora_json_free(config);
    }
}

HORA_TESTS(unit_task, {"names of classes of models", class_names, HORA_SHORT},
           {"help names all rows", help_names_all, HORA_SHORT},
           {"measures against other libraries", measures, HORA_SHORT},
           {"measures by hand", measures_by_hand, HORA_SHORT},
           {"BILOU is IOBES", bilou, HORA_SHORT}, {"labels in all spellings", labels, HORA_SHORT},
           {"CSV and TSV", tables, HORA_SHORT}, {"words of an adapter", broken_words, HORA_SHORT},
           {"measures of files against other libraries", measures_of_files, HORA_SHORT},
           {"files of predictions", prediction_files, HORA_SHORT},
           {"class weights", class_weights, HORA_SHORT});
