/*
 * Encoders at the tool: what they say of texts, pairs and words, vectors of texts, and the cases of
 * the shared folder against transformers and sentence-transformers.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

/* The n-th line of JSON. */
static hora_json *line_at(const hora_str *text, int n) {
    const char *s = text->s;
    for (int i = 0; s && i < n; i++)
        s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL;
    assert_non_null(s);
    const char *end = strchr(s, '\n');
    hora_json *o;
    assert_ok(hora_json_parse(&o, s, end ? (size_t)(end - s) : strlen(s), "a line"));
    return o;
}

static int lines_in(const hora_str *text) {
    int n = 0;
    for (size_t i = 0; i < text->n; i++)
        n += text->s[i] == '\n';
    return n;
}

/* Trains a few steps and returns the adapter's folder. */
static const char *trained(const char *task, const char *data) {
    const char *out = hora_test_path(hora_test_tmp(), task);
    tool_check(0, NULL, NULL,
               "train --model '%s' --task %s --data '%s' --out '%s' --steps 3 --method lora "
               "--seq-len 24 --batch-size 2 --dtype f32",
               tiny_encoder(), task, data, out);
    return out;
}

static const char pairs[] = "{\"text\": \"abc\", \"text_pair\": \"xy\", \"label\": \"same\"}\n"
                            "{\"text\": \"a\", \"label\": \"other\"}\n"
                            "{\"sentence1\": \"q\", \"sentence2\": \"rstu\", \"label\": \"same\"}\n"
                            "{\"text\": \"zzzzzzzz\", \"text_pair\": \"b\", \"label\": \"none\"}\n"
                            "{\"text\": \"\", \"label\": \"other\"}\n";

/* What predict says, measured by eval --predictions, is what eval says. */
static void classes(void **state) {
    (void)state;
    const char *data = tiny_file("pairs.jsonl", pairs);
    const char *out = trained("sequence-classification", data);
    hora_str a = {0}, b = {0};
    tool_text(&a, "predict --model '%s' --adapter '%s' '%s' --top-k 2", tiny_encoder(), out, data);
    tool_text(&b, "predict --model '%s' --adapter '%s' '%s' --top-k 2 --batch-size 1",
              tiny_encoder(), out, data);
    assert_int_equal(lines_in(&a), 5);
    for (int i = 0; i < 5; i++) {
        hora_json *x = line_at(&a, i), *y = line_at(&b, i);
        assert_string_equal(hora_json_string(hora_json_get(x, "label"), NULL),
                            hora_json_string(hora_json_get(y, "label"), NULL));
        assert_true(fabs(tool_number(x, "score") - tool_number(y, "score")) < 1e-5);
        assert_true(tool_number(x, "line") == i + 1);
        assert_int_equal(hora_json_len(hora_json_get(x, "top")), 2);
        hora_json_free(x);
        hora_json_free(y);
    }
    const char *said = tiny_file("said.jsonl", a.s);
    hora_json *file = tool_json("eval --predictions '%s' --json", said);
    hora_json *model = tool_json("eval --model '%s' --adapter '%s' --data '%s' --json --seq-len 24",
                                 tiny_encoder(), out, data);
    assert_true(fabs(tool_number(file, "accuracy") - tool_number(model, "accuracy")) < 1e-9);
    assert_true(fabs(tool_number(file, "macro_f1") - tool_number(model, "macro_f1")) < 1e-9);
    assert_true(fabs(tool_number(file, "calibration_error") -
                     tool_number(model, "calibration_error")) < 1e-5);
    hora_json_free(file);
    hora_json_free(model);
    hora_str_release(&a);
    hora_str_release(&b);
}

static void words_and_numbers(void **state) {
    (void)state;
    const char *data =
        tiny_file("words.jsonl", "{\"tokens\": [\"Xa\", \"b\"], \"tags\": [\"B-X\", \"O\"]}\n"
                                 "{\"tokens\": [\"c\", \"Xd\", \"e\"], "
                                 "\"tags\": [\"O\", \"B-X\", \"O\"]}\n");
    hora_str s = {0};
    tool_text(&s, "predict --model '%s' --adapter '%s' '%s'", tiny_encoder(),
              trained("token-classification", data), data);
    hora_json *o = line_at(&s, 1);
    assert_int_equal(hora_json_len(hora_json_get(o, "pred")), 3);
    assert_int_equal(hora_json_len(hora_json_get(o, "true")), 3);
    hora_json_free(o);
    const char *said = tiny_file("said.jsonl", s.s);
    tool_check(0, "entity_f1", NULL, "eval --predictions '%s' --json", said);
    const char *numbers = tiny_file("numbers.jsonl", "{\"text\": \"a\", \"label\": 0.5}\n"
                                                     "{\"text\": \"b\", \"label\": 2}\n");
    s.n = 0;
    tool_text(&s, "predict --model '%s' --adapter '%s' '%s'", tiny_encoder(),
              trained("regression", numbers), numbers);
    o = line_at(&s, 0);
    assert_true(isfinite(tool_number(o, "pred")));
    hora_json_free(o);
    hora_str_release(&s);
}

/* What is cut off is missed: guessed as O, an entity too that the cut goes through. */
static void lost_words(void **state) {
    (void)state;
    const char *data = tiny_file("lost.jsonl", "{\"tokens\": [\"Xa\", \"b\"], "
                                               "\"tags\": [\"B-X\", \"O\"]}\n"
                                               "{\"tokens\": [\"c\", \"Xd\", \"e\"], "
                                               "\"tags\": [\"O\", \"B-X\", \"I-X\"]}\n");
    const char *out = trained("token-classification", data);
    for (int i = 0; i < 2; i++) {
        hora_json *m = tool_json("eval --model '%s' --adapter '%s' --data '%s' --json --seq-len %d",
                                 tiny_encoder(), out, data, i ? 3 : 24);
        int64_t all = 0, o = 0;
        const hora_json *names = hora_json_get(m, "labels"), *rows = hora_json_get(m, "confusion");
        for (size_t r = 0; r < hora_json_len(rows); r++)
            for (size_t c = 0; c < hora_json_len(rows); c++) {
                int64_t n = 0;
                hora_json_int(hora_json_at(hora_json_at(rows, r), c), &n);
                all += n;
                o += hora_eq(hora_json_string(hora_json_at(names, c), NULL), "O") ? n : 0;
            }
        assert_int_equal(all, 5);
        assert_true(!i || o >= 3); /* of five words three are behind the cut */
        assert_true(!i || tool_number(m, "entity_recall") <= 0.5);
        hora_json_free(m);
    }
}

static void refusals(void **state) {
    (void)state;
    const char *data = tiny_file("bad.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n{\"no\": 1}\n");
    const char *good = tiny_file("good.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n"
                                               "{\"text\": \"b\", \"label\": \"y\"}\n");
    const char *other = tiny_file("other.jsonl", "{\"text\": \"b\", \"label\": \"z\"}\n");
    tool_check(4, NULL, "write it as", "train --model '%s' --task embedding --data '%s' --out '%s'",
               tiny_encoder(), good, hora_test_path(hora_test_tmp(), "none"));
    const char *out = trained("sequence-classification", good);
    tool_check(4, NULL, "line 2: the record lacks `text`",
               "predict --model '%s' --adapter '%s' '%s'", tiny_encoder(), out, data);
    tool_check(0, "\"error\"", "could not be used: 1",
               "predict --model '%s' --adapter '%s' '%s' --skip-bad", tiny_encoder(), out, data);
    tool_check(10, NULL, "none of the model's 2 classes",
               "eval --model '%s' --adapter '%s' --data '%s'", tiny_encoder(), out, other);
    const char *partly = tiny_file("partly.jsonl", "{\"text\": \"b\", \"label\": \"z\"}\n"
                                                   "{\"text\": \"a\", \"label\": \"x\"}\n");
    tool_check(0, "accuracy", "classes: 1 (`z` 1)",
               "eval --model '%s' --adapter '%s' --data '%s' --skip-bad", tiny_encoder(), out,
               partly);
    tool_check(10, NULL, "none of the 1 records",
               "eval --model '%s' --adapter '%s' --data '%s' --skip-bad", tiny_encoder(), out,
               other);
    tool_check(2, NULL, "writes text", "predict --model '%s' '%s'", tiny_model(), good);
}

/* --- texts that belong together --------------------------------------------------------------- */
static const char *const texts_refused[][2] = {
    {"{\"anchor\": \"a\", \"positive\": \"b\"}\n{\"anchor\": \"a\"}\n", "line 2"},
    {"{\"anchor\": \"a\", \"positive\": [\"b\", \"c\"]}\n", "a record for each"},
    {"{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 0.5}\n"
     "{\"sentence1\": \"a\", \"sentence2\": \"b\"}\n",
     "no score"},
    {"{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 4}\n", "divide them"},
    {"{\"sentence1\": \"a\", \"sentence2\": \"b\", \"label\": \"entailment\"}\n", "is no number"},
    {"{\"anchor\": \"a\", \"positive\": \"b\", \"negative\": \"c\", \"score\": 1}\n",
     "leave one out"},
    {"{\"anchor\": \"a\", \"positive\": 3}\n", "should be a text"}};

/* Trained, measured on the file and by what predict writes: the same numbers. */
static void belonging(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "together");
    const char *data = tiny_file("together.csv", "query,answer,negative_1\nab,abc,xy\n"
                                                 "cd,cde,\nef,efg,zz\n");
    const char *sts = tiny_file("sts.tsv", "sentence1\tsentence2\tscore\nab\tabd\t5\n"
                                           "ab\txyz\t0.5\ncd\tcde\t4\nef\tqr\t1\n");
    tool_check(0, NULL, "adds steps, not candidates",
               "train --model '%s' --task embedding --data '%s' --eval-data '%s' --out '%s' "
               "--steps 3 --method lora --batch-size 2 --grad-accum 2 --dtype f32 --backends cpu",
               tiny_encoder(), data, sts, out);
    hora_json *model =
        tool_json("eval --model '%s' --adapter '%s' --data '%s' --json", tiny_encoder(), out, sts);
    hora_json *pairs_ =
        tool_json("eval --model '%s' --adapter '%s' --data '%s' --json", tiny_encoder(), out, data);
    hora_str s = {0};
    tool_text(&s, "predict --model '%s' --adapter '%s' '%s'", tiny_encoder(), out, sts);
    assert_int_equal(lines_in(&s), 4);
    hora_json *file = tool_json("eval --predictions '%s' --json", tiny_file("said.jsonl", s.s));
    assert_true(fabs(tool_number(model, "spearman") - tool_number(file, "spearman")) < 1e-6);
    assert_true(fabs(tool_number(model, "pearson") - tool_number(file, "pearson")) < 1e-5);
    assert_true(fabs(tool_number(model, "loss") - (1 - tool_number(model, "spearman"))) < 1e-9);
    assert_true(isfinite(tool_number(pairs_, "accuracy")));
    assert_true(isfinite(tool_number(pairs_, "triplet_accuracy")));
    s.n = 0;
    tool_text(&s, "predict --model '%s' --adapter '%s' '%s'", tiny_encoder(), out, data);
    hora_json *one = line_at(&s, 0), *two = line_at(&s, 1);
    assert_int_equal(hora_json_len(hora_json_get(one, "pred")), 2); /* with both others */
    assert_true(isfinite(tool_number(two, "pred")));
    hora_json_free(one);
    hora_json_free(two);
    hora_json_free(model);
    hora_json_free(pairs_);
    hora_json_free(file);
    hora_str_release(&s);
    for (size_t i = 0; i < HORA_COUNT(texts_refused); i++)
        tool_check(i == 3 ? 2 : 4, NULL, texts_refused[i][1],
                   "train --model '%s' --task embedding --data '%s' --out '%s' --steps 1",
                   tiny_encoder(), tiny_file("refused.jsonl", texts_refused[i][0]),
                   hora_test_path(hora_test_tmp(), "none"));
    tool_check(2, NULL, "there must be some",
               "train --model '%s' --task embedding --data '%s' --out '%s' --batch-size 1",
               tiny_encoder(), tiny_file("two.csv", "anchor,positive\na,b\nc,d\n"),
               hora_test_path(hora_test_tmp(), "none"));
}

/* --- vectors of texts ------------------------------------------------------------------------- */
static void same_vectors(const hora_str *lines, const float *want, int n, int d, float tolerance) {
    float *got = hora_calloc((size_t)d, sizeof *got);
    assert_int_equal(lines_in(lines), n);
    for (int i = 0; i < n; i++) {
        hora_json *o = line_at(lines, i);
        const hora_json *v = hora_json_get(o, "embedding");
        assert_int_equal(hora_json_len(v), d);
        for (int k = 0; k < d; k++) {
            double x = NAN;
            hora_json_real(hora_json_at(v, (size_t)k), &x);
            got[k] = (float)x;
        }
        hora_assert_close(got, want + i * d, (size_t)d, tolerance, "embedding");
        hora_json_free(o);
    }
    hora_free(got);
}

static void sentence_transformers(void **state) {
    (void)state;
    const char *base = hora_test_shared("cases/text-embedding-padding");
    hora_st *want;
    assert_ok(hora_st_open(&want, hora_test_path(base, "expected.safetensors")));
    const hora_st_tensor *t = hora_st_find(want, "embedding");
    for (int at_once = 1; at_once <= 8; at_once += 7) {
        hora_str s = {0};
        tool_text(&s, "predict --model '%s/model' '%s/texts.jsonl' --batch-size %d", base, base,
                  at_once);
        same_vectors(&s, t->view.data, (int)t->view.shape.d[0], (int)t->view.shape.d[1], 1e-5f);
        hora_str_release(&s);
    }
    hora_st_close(want);
}

/* Similarity of sentences: cosines of pairs, measured against scores. */
static void similarity(void **state) {
    (void)state;
    const char *data = tiny_file(
        "sts.jsonl", "{\"sentence1\": \"abc\", \"sentence2\": \"abc\", \"score\": 5}\n"
                     "{\"sentence1\": \"abc\", \"sentence2\": \"abd\", \"score\": 3.5}\n"
                     "{\"sentence1\": \"abc\", \"sentence2\": \"zzyyxxww\", \"score\": 0}\n");
    hora_str s = {0};
    tool_text(&s, "predict --model '%s' '%s' --batch-size 3", tiny_encoder(), data);
    assert_int_equal(lines_in(&s), 3);
    double c[3];
    for (int i = 0; i < 3; i++) {
        hora_json *o = line_at(&s, i);
        c[i] = tool_number(o, "pred");
        hora_json_free(o);
    }
    assert_true(fabs(c[0] - 1) < 1e-5 && c[1] < c[0] && c[2] < c[0]);
    hora_json *m = tool_json("eval --predictions '%s' --json", tiny_file("said.jsonl", s.s));
    assert_true(fabs(tool_number(m, "spearman") - (c[1] > c[2] ? 1 : 0.5)) < 1e-9);
    hora_json_free(m);
    hora_str_release(&s);
}

static hora_st *forward(const char *model, const char *batch) {
    const char *out = hora_test_path(hora_test_tmp(), "out.safetensors");
    hora_st *st;
    tool_check(0, NULL, NULL, "forward --model '%s' --batch '%s' --out '%s' --overwrite", model,
               batch, out);
    assert_ok(hora_st_open(&st, out));
    return st;
}

static void minilm(void **state) {
    (void)state;
    const char *base = hora_test_shared("vectors/minilm");
    const char *batch = hora_test_path(base, "batch.safetensors");
    hora_st *got = forward(hora_test_shared("models/minilm"), batch), *want, *in;
    assert_ok(hora_st_open(&want, hora_test_path(base, "expect.safetensors")));
    assert_ok(hora_st_open(&in, batch));
    const int64_t *mask = hora_st_find(in, "attention_mask")->view.data;
    const hora_st_tensor *h = hora_st_find(want, "last_hidden_state");
    const int64_t rows = h->view.shape.d[0] * h->view.shape.d[1], d = h->view.shape.d[2];
    const float *mine = hora_st_find(got, "last_hidden_state")->view.data;
    for (int64_t i = 0; i < rows; i++)
        if (mask[i])
            hora_assert_close(mine + i * d, (const float *)h->view.data + i * d, (size_t)d, 1e-4,
                              "last_hidden_state");
    const hora_st_tensor *e = hora_st_find(want, "embedding");
    hora_assert_close(hora_st_find(got, "embedding")->view.data, e->view.data,
                      (size_t)hora_elems(&e->view), 1e-5, "embedding");
    hora_st_close(got);
    hora_st_close(want);
    hora_st_close(in);
}

/* Positions behind the padding id, also where it stands within a text; the longest text. */
static void roberta_positions(void **state) {
    (void)state;
    const char *base = hora_test_shared("cases/text-roberta-positions");
    char *model = hora_path_join(base, "model");
    hora_st *got = forward(model, hora_test_path(base, "batch.safetensors")), *want;
    assert_ok(hora_st_open(&want, hora_test_path(base, "expected.safetensors")));
    const hora_st_tensor *t = hora_st_find(want, "logits");
    hora_assert_close(hora_st_find(got, "logits")->view.data, t->view.data,
                      (size_t)hora_elems(&t->view), 1e-4, "logits");
    hora_st_close(got);
    hora_st_close(want);
    const char *long_ =
        tiny_file("long.json", "{\"input_ids\": [[0,5,5,5,5,5,5,5,5,5,5,5,5,5,5,5,5,5,2]]}");
    tool_check(2, NULL, "18 positions", "forward --model '%s' --batch '%s' --out '%s'", model,
               long_, hora_test_path(hora_test_tmp(), "no.safetensors"));
    tool_check(2, NULL, "18", "plan --model '%s' --method lora --seq-len 19", model);
    hora_free(model);
}

static void token_labels(void **state) {
    (void)state;
    const char *base = hora_test_shared("cases/text-token-labels");
    hora_json *want, *got;
    assert_ok(hora_json_load(&want, hora_test_path(base, "expected.json")));
    got = tool_json("data '%s/data.jsonl' --model '%s/model' --task token-classification --seq-len "
                    "10 --json",
                    base, base);
    const hora_json *rows = hora_json_get(want, "rows"), *shown = hora_json_get(got, "shown");
    assert_int_equal(hora_json_len(rows), hora_json_len(shown));
    for (size_t i = 0; i < hora_json_len(rows); i++)
        for (int k = 0; k < 2; k++)
            assert_true(
                hora_json_equal(hora_json_get(hora_json_at(rows, i), k ? "ids" : "labels"),
                                hora_json_get(hora_json_at(shown, i), k ? "ids" : "labels")));
    hora_json_free(want);
    hora_json_free(got);
}

/* The cases of the world as they are run: without a model, the texts to the byte. */
static void without_model(void **state) {
    static const char *const files[] = {"quoted.csv", "plain.tsv"};
    (void)state;
    const char *base = hora_test_shared("cases/text-csv-tsv-quoting");
    hora_json *note, *got;
    assert_ok(hora_json_load(&note, hora_test_path(base, "case.json")));
    for (size_t f = 0; f < HORA_COUNT(files); f++) {
        const hora_json *want = hora_json_get(hora_json_get(note, "expect"), files[f]);
        got = tool_json("data '%s/%s' --task sequence-classification --show 99 --json", base,
                        files[f]);
        const hora_json *shown = hora_json_get(got, "shown");
        assert_int_equal(hora_json_len(shown), hora_json_len(want));
        for (size_t i = 0; i < hora_json_len(want); i++) {
            const hora_json *run = hora_json_at(hora_json_get(hora_json_at(shown, i), "runs"), 0);
            const char *text = hora_json_string(hora_json_get(hora_json_at(want, i), "text"), NULL);
            char *ended = hora_format("%s[SEP]", text);
            assert_string_equal(hora_json_string(hora_json_get(run, "text"), NULL), ended);
            hora_free(ended);
        }
        hora_json_free(got);
    }
    hora_json_free(note);
    base = hora_test_shared("cases/text-labels-in-all-spellings");
    tool_check(0, "\"names\": [\"a\", \"b\", \"nan\"]", "each byte is a token",
               "data '%s/nan_text.jsonl' --task sequence-classification --json", base);
    tool_check(4, NULL, "line 2", "data '%s/mixed.jsonl' --task sequence-classification", base);
    tool_check(0, "always `a` would be 90.0 % right", NULL,
               "data '%s/unbalanced.jsonl' --task sequence-classification", base);
    const char *table = tiny_file("below.csv", "text,label\na,-1\nb,0\nc,1\n");
    tool_check(4, NULL, "-1 is no class", "data '%s' --task sequence-classification", table);
    tool_check(2, NULL, "--model is missing", "data '%s/ints.jsonl'", base);
}

HORA_TESTS(cli_encoders, {"classes of texts and pairs", classes, HORA_SHORT},
           {"tags of words, numbers", words_and_numbers, HORA_SHORT},
           {"words behind the cut are missed", lost_words, HORA_SHORT},
           {"refusals", refusals, HORA_SHORT},
           {"records with labels without a model", without_model, HORA_SHORT},
           {"vectors as sentence-transformers has them", sentence_transformers, HORA_SHORT},
           {"texts that belong together", belonging, HORA_SHORT},
           {"similarity of pairs", similarity, HORA_SHORT}, {"MiniLM", minilm, HORA_SHORT},
           {"RoBERTa's positions", roberta_positions, HORA_SHORT},
           {"labels of words", token_labels, HORA_SHORT});
