/* Pictures at the tool: the cases of the world (../shared/cases/vision-*), and a training of our
 * own from pictures that the test draws. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/image.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

/* DIR/NAME of a case. */
static const char *in_case(const char *name, const char *rest) {
    return hora_test_path(hora_test_shared(hora_test_text("cases/%s", name)), rest);
}

static hora_json *note_of(const char *name) {
    hora_json *o;
    assert_ok(hora_json_load(&o, in_case(name, "case.json")));
    return o;
}

static hora_st *open_st(const char *path) {
    hora_st *st;
    assert_ok(hora_st_open(&st, path));
    return st;
}

/* `key` of the file that the tool wrote against `name` of another; the latter may lack the leading
 * 1. */
static void same(const char *got, const char *key, const hora_st *want, const char *name,
                 double tol, const char *what) {
    hora_st *st = open_st(got);
    const hora_st_tensor *g = hora_st_find(st, key), *w = hora_st_find(want, name);
    if (!g || !w || hora_elems(&g->view) != hora_elems(&w->view))
        fail_msg("%s: no %s, or in another shape than %s", what, key, name);
    hora_assert_close(g->view.data, w->view.data, (size_t)hora_elems(&w->view), tol, what);
    hora_st_close(st);
}

static const char *out_path(void) {
    return hora_test_path(hora_test_tmp(), "out.safetensors");
}

static void forward(const char *model, const char *more) {
    tool_check(0, NULL, NULL, "forward --model '%s' %s --out '%s' --overwrite", model, more,
               out_path());
}

/* --- models and adapters ---------------------------------------------------------------------- */

static void batch_case(const char *name, const char *model, const char *adapter, const char *key) {
    char *more = adapter ? hora_format("--adapter '%s' --batch '%s'", in_case(name, adapter),
                                       in_case(name, "batch.safetensors"))
                         : hora_format("--batch '%s'", in_case(name, "batch.safetensors"));
    hora_st *want = open_st(in_case(name, "expected.safetensors"));
    forward(in_case(name, model), more);
    same(out_path(), key, want, key, 1e-3, name);
    hora_st_close(want);
    hora_free(more);
}

static void test_models(void **state) {
    (void)state;
    batch_case("vision-adapter-v4-v5-names-new-head", "base", "adapter_v4", "logits");
    batch_case("vision-adapter-v4-v5-names-new-head", "base", "adapter_v5", "logits");
    batch_case("vision-adapter-timm-qkv", "base", "adapter", "logits");
    batch_case("vision-model-bare-backbone", "model", NULL, "last_hidden_state");
    batch_case("vision-model-bare-backbone", "model_v5", NULL, "last_hidden_state");
    tool_check(2, NULL, "no head", "predict --model '%s' '%s'",
               in_case("vision-model-bare-backbone", "model"),
               in_case("vision-problem-type", "image.png"));
}

/* Each value p x p times. */
static float *enlarged(const float *x, int64_t planes, int64_t h, int64_t w, int64_t p) {
    float *y = hora_malloc((size_t)(planes * h * p * w * p) * sizeof *y);
    for (int64_t i = 0; i < planes * h * p * w * p; i++) {
        const int64_t c = i / (h * p * w * p), row = i / (w * p) % (h * p), column = i % (w * p);
        y[i] = x[(c * h + row / p) * w + column / p];
    }
    return y;
}

static bool listed(const hora_json *names, const char *name) {
    for (size_t i = 0; i < hora_json_len(names); i++)
        if (hora_eq(hora_json_string(hora_json_at(names, i), NULL), name))
            return true;
    return false;
}

static void size_case(const char *name) {
    hora_json *note = note_of(name);
    hora_st *batch = open_st(in_case(name, "batch.safetensors"));
    hora_st *want = open_st(in_case(name, "expected.safetensors"));
    const char *one = hora_test_path(hora_test_tmp(), "one.safetensors");
    int64_t patch = 0;
    hora_json_int(hora_json_get(note, "patch"), &patch);
    for (int i = 0; i < hora_st_count(batch); i++) {
        const hora_st_tensor *t = hora_st_at(batch, i);
        const int64_t *d = t->view.shape.d;
        const int64_t p = listed(hora_json_get(note, "enlarge"), t->name) ? patch : 1;
        float *values = enlarged(t->view.data, d[0] * d[1], d[2], d[3], p);
        const hora_st_entry e = {
            "pixel_values", {values, HORA_F32, {4, {d[0], d[1], d[2] * p, d[3] * p}}}, HORA_F32};
        char *more = hora_format("--batch '%s'", one);
        char *logits = hora_format("%s.logits", t->name);
        assert_ok(hora_st_write(one, &e, 1, NULL, 0));
        forward(in_case(name, "model"), more);
        same(out_path(), "logits", want, logits, 1e-3, t->name);
        hora_free(values);
        hora_free(more);
        hora_free(logits);
    }
    hora_st_close(batch);
    hora_st_close(want);
    hora_json_free(note);
}

static void test_sizes(void **state) {
    (void)state;
    size_case("vision-model-dinov2-37x37");
    size_case("vision-model-dinov2-registers-grid");
    size_case("vision-model-other-resolution");
}

/* --- pictures --------------------------------------------------------------------------------- */

static void picture_case(const char *name) {
    hora_json *note = note_of(name);
    const hora_json *order = hora_json_get(note, "order");
    hora_st *want = open_st(in_case(name, "expected.safetensors"));
    hora_str more = {0};
    for (size_t i = 0; i < hora_json_len(order); i++) {
        char *rel = hora_format("images/%s", hora_json_string(hora_json_at(order, i), NULL));
        hora_str_printf(&more, " --image '%s'", in_case(name, rel));
        hora_free(rel);
    }
    forward(in_case(name, "model"), more.s);
    same(out_path(), "logits", want, "logits", 0.05, name);
    if (hora_st_find(want, "pixel_values"))
        same(out_path(), "pixel_values", want, "pixel_values", 0.02, name);
    hora_str_release(&more);
    hora_st_close(want);
    hora_json_free(note);
}

static void test_pictures(void **state) {
    static const char *const names[] = {"vision-animated",           "vision-exif-orientation",
                                        "vision-extreme-shapes",     "vision-icc-profile",
                                        "vision-jpeg-colour-spaces", "vision-jpeg-entropy-codings",
                                        "vision-png-16-bit",         "vision-png-few-bits",
                                        "vision-transparency",       "vision-names-and-endings"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(names); i++)
        picture_case(names[i]);
}

/* The model of a case with one of its configurations, as a folder of its own. */
static const char *with_config(const char *name, const char *config) {
    const char *to = hora_test_path(hora_test_tmp(), "M");
    char *rel = hora_format("configs/%s", config);
    char *command = hora_format("rm -rf '%s' && cp -rL '%s' '%s' && cp '%s'/*.json '%s'/", to,
                                in_case(name, "model"), to, in_case(name, rel), to);
    hora_str e = {0};
    assert_int_equal(hora_test_run(command, NULL, &e), 0);
    hora_str_release(&e);
    hora_free(command);
    hora_free(rel);
    return to;
}

static void preparation_case(const char *name) {
    hora_st *want = open_st(in_case(name, "expected.safetensors"));
    char **configs;
    int n;
    assert_ok(hora_list_dir(in_case(name, "configs"), &configs, &n));
    for (int i = 0; i < n; i++) {
        char *more = hora_format("--image '%s'", in_case(name, "image.png"));
        char *logits = hora_format("%s.logits", configs[i]);
        forward(with_config(name, configs[i]), more);
        same(out_path(), "pixel_values", want, configs[i], 0.02, configs[i]);
        if (hora_st_find(want, logits))
            same(out_path(), "logits", want, logits, 0.05, configs[i]);
        hora_free(more);
        hora_free(logits);
    }
    assert_true(n > 3);
    hora_list_free(configs, n);
    hora_st_close(want);
}

static void test_preparation(void **state) {
    (void)state;
    preparation_case("vision-preprocess-families");
    preparation_case("vision-preprocess-normalisation");
    preparation_case("vision-preprocess-resample");
    preparation_case("vision-preprocess-sizes");
    preparation_case("vision-timm-pretrained-cfg");
}

/* --- predictions ------------------------------------------------------------------------------ */

/* A list of label and score. */
static void same_list(const hora_json *got, const hora_json *want, const char *what) {
    assert_int_equal(hora_json_len(got), hora_json_len(want));
    for (size_t i = 0; i < hora_json_len(want); i++) {
        const hora_json *g = hora_json_at(got, i), *w = hora_json_at(want, i);
        assert_string_equal(hora_json_string(hora_json_get(g, "label"), NULL),
                            hora_json_string(hora_json_get(w, "label"), NULL));
        if (!(fabs(tool_number(g, "score") - tool_number(w, "score")) <= 1e-3))
            fail_msg("%s: score %g, should be %g", what, tool_number(g, "score"),
                     tool_number(w, "score"));
    }
}

static void test_labels(void **state) {
    const char *name = "vision-labels-of-the-config";
    (void)state;
    hora_json *note = note_of(name);
    const hora_json *all = hora_json_get(hora_json_get(note, "expect"), "predict");
    for (void *it = hora_json_iter(all); it; it = hora_json_next(all, it)) {
        const char *config = hora_json_iter_key(it);
        const hora_json *want = hora_json_iter_value(it);
        const char *model = with_config(name, config);
        if (hora_json_type(want) != HORA_JARRAY) { /* refused */
            tool_check(10, NULL, "head", "predict --model '%s' '%s'", model,
                       in_case(name, "image.png"));
            continue;
        }
        hora_json *got =
            tool_json("predict --model '%s' '%s' --top-k 4", model, in_case(name, "image.png"));
        same_list(hora_json_get(got, "top"), want, config);
        hora_json_free(got);
    }
    hora_json_free(note);
}

static void test_problem_type(void **state) {
    const char *name = "vision-problem-type";
    (void)state;
    hora_json *note = note_of(name);
    const hora_json *all = hora_json_get(hora_json_get(note, "expect"), "models");
    for (void *it = hora_json_iter(all); it; it = hora_json_next(all, it)) {
        const hora_json *want = hora_json_get(hora_json_iter_value(it), "pipeline");
        char *rel = hora_format("models/%s", hora_json_iter_key(it));
        if (want) {
            hora_json *got = tool_json("predict --model '%s' '%s' --top-k 3", in_case(name, rel),
                                       in_case(name, "image.png"));
            if (hora_eq(hora_json_iter_key(it), "one_unset")) /* the plain number, and said */
                assert_true(fabs(tool_number(got, "score") - 0.10238) <= 1e-3);
            else
                same_list(hora_json_get(got, "top"), want, rel);
            hora_json_free(got);
        }
        hora_free(rel);
    }
    hora_json_free(note);
}

/* --- sets ------------------------------------------------------------------------------------- */

static void test_folders(void **state) {
    const char *name = "vision-folder-oddities", *to = hora_test_path(hora_test_tmp(), "images");
    (void)state;
    hora_json *note = note_of(name);
    const hora_json *want = hora_json_get(hora_json_get(note, "expect"), "hora");
    char *command = hora_format("cp -r '%s' '%s' && mkdir -p '%s/empty_class' && ln -sfn Zebra "
                                "'%s/linked'",
                                in_case(name, "images"), to, to, to);
    assert_int_equal(hora_test_run(command, NULL, NULL), 0);
    hora_json *got = tool_json("data '%s' --json", to);
    assert_true(hora_json_equal(hora_json_get(got, "classes"), hora_json_get(want, "classes")));
    assert_true(hora_json_equal(hora_json_get(got, "counts"), hora_json_get(want, "counts")));
    hora_json_free(got);
    hora_json_free(note);
    hora_free(command);
    name = "vision-folder-splits-differ";
    note = note_of(name);
    got = tool_json("data '%s' --labels '%s' --json", in_case(name, "images/test"),
                    in_case(name, "images/train"));
    assert_true(hora_json_equal(hora_json_get(got, "labels"),
                                hora_json_get(hora_json_get(note, "expect"), "test_right")));
    hora_json_free(got);
    hora_json_free(note);
}

static void test_broken_files(void **state) {
    const char *name = "vision-files-broken", *model = "vision-model-bare-backbone";
    (void)state;
    hora_json *note = note_of(name),
              *got = tool_json("data '%s' --skip-bad --json", in_case(name, "images"));
    const hora_json *want = hora_json_get(hora_json_get(note, "expect"), "unreadable");
    const hora_json *bad = hora_json_get(got, "unreadable");
    for (size_t i = 0; i < hora_json_len(want); i++) {
        bool met = false;
        for (size_t k = 0; k < hora_json_len(bad); k++)
            met |= hora_ends(hora_json_string(hora_json_get(hora_json_at(bad, k), "file"), NULL),
                             hora_json_string(hora_json_at(want, i), NULL));
        assert_true(met);
    }
    assert_true(hora_json_len(bad) <= hora_json_len(want) + 1); /* one may be either */
    hora_json_free(got);
    hora_json_free(note);
    const char *out = hora_test_path(hora_test_tmp(), "out");
    tool_check(4, "unreadable: ", "pictures are unreadable, and a training refuses the set",
               "data '%s'", in_case(name, "images"));
    tool_check(0, "unreadable: ", NULL, "data '%s' --skip-bad", in_case(name, "images"));
    tool_check(4, NULL, "bad/", "train --model '%s' --data '%s' --method lora --steps 1 --out '%s'",
               in_case(model, "model"), in_case(name, "images"), out);
    tool_check(0, NULL, "skipped",
               "train --model '%s' --data '%s' --method lora --steps 1 --batch-size 1 --skip-bad "
               "--out '%s'",
               in_case(model, "model"), in_case(name, "images"), out);
}

/* --- the confusion matrix as a picture -------------------------------------------------------- */
static const uint8_t *pixel(const hora_image *im, int64_t x, int64_t y) {
    return im->px + 3 * (y * im->width + x);
}

static void test_confusion(void **state) {
    (void)state;
    const char *said = tiny_file("said.jsonl", "{\"true\": \"a\", \"pred\": \"a\"}\n"
                                               "{\"true\": \"a\", \"pred\": \"a\"}\n"
                                               "{\"true\": \"b\", \"pred\": \"a\"}\n"
                                               "{\"true\": \"b\", \"pred\": \"b\"}\n");
    const char *out = hora_test_path(hora_test_tmp(), "confusion.png");
    hora_image im;
    tool_check(0, NULL, NULL, "eval --predictions '%s' --confusion '%s'", said, out);
    assert_ok(hora_image_load(&im, out, NULL, NULL));
    assert_int_equal(im.width, 2 * 40 + 2 * 72);
    /* corners of cells, beside their numbers: all of a's, half of b's, none */
    assert_int_equal(pixel(&im, 42, 42)[0], 8);
    assert_int_equal(pixel(&im, 114, 42)[0], 255);
    assert_int_equal(pixel(&im, 42, 114)[0], pixel(&im, 114, 114)[0]);
    assert_true(pixel(&im, 42, 114)[0] > 8 && pixel(&im, 42, 114)[0] < 255);
    hora_image_release(&im);
    tool_check(9, NULL, "--overwrite", "eval --predictions '%s' --confusion '%s'", said, out);
    tool_check(0, NULL, NULL, "eval --predictions '%s' --confusion '%s' --overwrite", said, out);
    said =
        tiny_file("numbers.jsonl", "{\"true\": 1.5, \"pred\": 2}\n{\"true\": 2.5, \"pred\": 2}\n");
    tool_check(2, NULL, "no such matrix", "eval --predictions '%s' --confusion '%s' --overwrite",
               said, out);
}

/* --- a training of our own -------------------------------------------------------------------- */

/* n pictures of each of two classes, red and blue, with noise. */
static void draw(const char *dir, int n, const char *seed) {
    static const char *const classes[] = {"blue", "red"};
    hora_rng r = hora_rng_new(7, seed);
    for (int c = 0; c < 2; c++) {
        char *folder = hora_path_join(dir, classes[c]);
        assert_ok(hora_mkdirs(folder));
        for (int i = 0; i < n; i++) {
            hora_image im;
            char *file = hora_format("%s/%d.png", folder, i);
            assert_ok(hora_image_init(&im, 16, 16, 3));
            for (int64_t k = 0; k < 16 * 16 * 3; k++)
                im.px[k] =
                    (uint8_t)((k % 3 == 2) == (c == 0) && k % 3 != 1 ? 150 + hora_rng_below(&r, 100)
                                                                     : hora_rng_below(&r, 100));
            assert_ok(hora_image_save_png(file, &im));
            hora_image_release(&im);
            hora_free(file);
        }
        hora_free(folder);
    }
}

static void test_training(void **state) {
    static const char config[] =
        "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":16,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":32,"
        "\"image_size\":16,\"patch_size\":8,\"initializer_range\":0.2}";
    (void)state;
    const char *tmp = hora_test_tmp(), *base = tool_new("base", config, "");
    const char *train = hora_test_path(tmp, "train"), *test = hora_test_path(tmp, "test");
    const char *out = hora_test_path(tmp, "out"), *merged = hora_test_path(tmp, "merged");
    draw(train, 24, "train");
    draw(test, 5, "test");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --eval-data '%s' --method hora --rank 2 --lr 2e-2 "
               "--batch-size 8 --steps 60 --flip 0.5 --brightness 0.1 --out '%s'",
               base, train, test, out);
    hora_json *r =
        tool_json("eval --model '%s' --adapter '%s' --data '%s' --json", base, out, test);
    assert_true(tool_number(r, "accuracy") == 1);
    hora_json_free(r);
    hora_str lines = {0};
    tool_text(&lines, "predict --model '%s' --adapter '%s' '%s'", base, out, test);
    int right = 0;
    for (char *line = strtok(lines.s, "\n"); line; line = strtok(NULL, "\n")) {
        assert_ok(hora_json_parse(&r, line, strlen(line), "a line"));
        right += hora_eq(hora_json_string(hora_json_get(r, "label"), NULL),
                         hora_json_string(hora_json_get(r, "true"), NULL));
        hora_json_free(r);
    }
    assert_int_equal(right, 10);
    hora_str_release(&lines);
    tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s'", base, out, merged);
    r = tool_json("eval --model '%s' --data '%s' --json", merged, test);
    assert_true(tool_number(r, "accuracy") == 1);
    hora_json_free(r);
}

/* A class that nobody trained on is named with a picture of it; with --skip-bad its pictures are
 * left out and counted. An empty folder has none. */
static void test_unknown_class(void **state) {
    static const char config[] =
        "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":16,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"intermediate_size\":32,"
        "\"image_size\":16,\"patch_size\":8}";
    (void)state;
    const char *tmp = hora_test_tmp(), *base = tool_new("unknown", config, "");
    const char *train = hora_test_path(tmp, "known"), *test = hora_test_path(tmp, "more");
    const char *out = hora_test_path(tmp, "head"), *none = hora_test_path(tmp, "none");
    draw(train, 4, "train");
    draw(test, 3, "test");
    assert_int_equal(rename(hora_test_path(test, "red"), hora_test_path(test, "green")), 0);
    tool_check(10, NULL, "more/green/0.png: the label `green`",
               "train --model '%s' --data '%s' --eval-data '%s' --method head --steps 1 --out '%s'",
               base, train, test, none);
    assert_false(hora_path_exists(none));
    tool_check(0, NULL, "classes: 3 (`green` 3)",
               "train --model '%s' --data '%s' --eval-data '%s' --method head --steps 1 --out '%s' "
               "--skip-bad",
               base, train, test, out);
    tool_check(10, NULL, "more/green/0.png: the label `green`",
               "eval --model '%s' --adapter '%s' --data '%s'", base, out, test);
    tool_check(0, "accuracy", "(`green` 3)",
               "eval --model '%s' --adapter '%s' --data '%s' --skip-bad", base, out, test);
    assert_ok(hora_remove_tree(hora_test_path(test, "blue")));
    tool_check(10, NULL, "none of the 3 records",
               "eval --model '%s' --adapter '%s' --data '%s' --skip-bad", base, out, test);
    assert_ok(hora_remove_tree(hora_test_path(test, "green")));
    draw(test, 3, "test");
    assert_ok(hora_mkdirs(hora_test_path(test, "yellow")));
    tool_check(0, "accuracy", NULL, "eval --model '%s' --adapter '%s' --data '%s'", base, out,
               test);
}

/* Modules by the names of an earlier release, in every list that has some: what is saved names
 * those of today, and is read back. */
static void test_older_names(void **state) {
    static const char config[] =
        "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":16,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":32,"
        "\"image_size\":16,\"patch_size\":8}";
    static const char *const lists[] = {"target_modules", "exclude_modules", "rank_pattern"};
    (void)state;
    const char *base = tool_new("older", config, ""), *set = hora_test_path(hora_test_tmp(), "old");
    const char *out = hora_test_path(hora_test_tmp(), "named");
    hora_json *c;
    hora_str text = {0};
    draw(set, 3, "older");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --method lora --targets query+value --rank-pattern "
               "query:3 --exclude layer.1.attention.attention.value --steps 1 --out '%s'",
               base, set, out);
    assert_ok(hora_json_load(&c, hora_test_path(out, "adapter_config.json")));
    for (size_t i = 0; i < HORA_COUNT(lists); i++)
        hora_json_dump(hora_json_get(c, lists[i]), 0, true, &text);
    if (!strstr(text.s, "q_proj") || !strstr(text.s, "layers.1.attention.v_proj") ||
        strstr(text.s, "query") || strstr(text.s, "value"))
        fail_msg("%s", text.s);
    tool_check(0, "accuracy", NULL, "eval --model '%s' --adapter '%s' --data '%s'", base, out, set);
    hora_str_release(&text);
    hora_json_free(c);
}

/* A sheet of an earlier run is replaced where that is asked for, another file never. */
static void test_sheet(void **state) {
    (void)state;
    const char *set = hora_test_path(hora_test_tmp(), "sheeted");
    const char *out = hora_test_path(hora_test_tmp(), "sheet.png");
    draw(set, 2, "sheet");
    tool_check(0, "sheet: ", NULL, "data '%s' --sheet '%s'", set, out);
    tool_check(9, NULL, "give another --sheet or --overwrite", "data '%s' --sheet '%s'", set, out);
    tool_check(0, "sheet: ", NULL, "data '%s' --sheet '%s' --overwrite", set, out);
    tool_check(9, NULL, "not marked as hora's own", "data '%s' --sheet '%s' --overwrite", set,
               tiny_file("other.png", "somebody's"));
    tool_check(2, NULL, "option sheet is for pictures",
               "data --task sequence-classification '%s' --sheet x",
               tiny_file("text.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n"));
}

/* What a set leaves out is counted where it is used, not only where it is looked at. */
static void test_left_out(void **state) {
    static const char config[] =
        "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":16,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"intermediate_size\":32,"
        "\"image_size\":16,\"patch_size\":8}";
    static const struct {
        const char *more, *says;
    } of[] = {{"blue/9.png,0\n", "is not there, left out: 1"},
              {"blue/0.png,-1\n", "not to choose from, left out: 1"}};
    (void)state;
    const char *base = tool_new("leaves", config, ""),
               *set = hora_test_path(hora_test_tmp(), "left");
    const char *out = hora_test_path(hora_test_tmp(), "left-out");
    const char *list = hora_test_path(set, "list.csv"), *gif = hora_test_path(set, "red/x.gif");
    draw(set, 2, "left");
    for (size_t i = 0; i < HORA_COUNT(of); i++) {
        char *text = hora_format("image,label\nblue/0.png,0\nred/1.png,1\n%s", of[i].more);
        assert_ok(hora_file_write(list, text, strlen(text)));
        hora_free(text);
        tool_check(0, NULL, of[i].says,
                   "train --model '%s' --data '%s' --method head --steps 1 --batch-size 1 "
                   "--skip-bad --out '%s' --overwrite",
                   base, list, out);
        tool_check(0, NULL, of[i].says, "predict --model '%s' --adapter '%s' '%s' --skip-bad", base,
                   out, list);
    }
    const char lines[] = "image,label\nblue/0.png,\"a\nb\"\nred/1.png,c\n";
    assert_ok(hora_file_write(list, lines, sizeof lines - 1)); /* a name of two lines */
    tool_check(0, "0  a\\nb                                            1\n", NULL,
               "data --task image-classification '%s'", list);
    assert_ok(hora_file_write(gif, "GIF89a", 6));
    tool_check(0, NULL, "that are not read, left out: 1",
               "predict --model '%s' --adapter '%s' '%s'", base, out, set);
}

HORA_TESTS(cli_vision, {"models and adapters", test_models, HORA_SHORT},
           {"pictures of other sizes", test_sizes, HORA_SHORT},
           {"pictures as they are found", test_pictures, HORA_SHORT},
           {"how pictures are prepared", test_preparation, HORA_SHORT},
           {"names of classes", test_labels, HORA_SHORT},
           {"what a score is", test_problem_type, HORA_SHORT},
           {"folders as they are found", test_folders, HORA_SHORT},
           {"broken files", test_broken_files, HORA_SHORT},
           {"the confusion matrix as a picture", test_confusion, HORA_SHORT},
           {"training, evaluating, predicting, merging", test_training, HORA_SHORT},
           {"a class that was not trained on", test_unknown_class, HORA_SHORT},
           {"what is left out is counted", test_left_out, HORA_SHORT},
           {"modules by older names", test_older_names, HORA_SHORT},
           {"sheets", test_sheet, HORA_SHORT});
