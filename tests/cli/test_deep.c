/* What encoders do in training besides learning, at the tool: stochastic depth, dropout of the
 * body; and DeiT's two heads. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/image.h"
#include "format/safetensors.h"
#include "tool.h"

#define VIT                                                                                        \
    "\"hidden_size\":16,\"num_hidden_layers\":2,\"num_attention_heads\":2,"                        \
    "\"intermediate_size\":32,\"image_size\":16,\"patch_size\":8,\"initializer_range\":0.2,"       \
    "\"hidden_dropout_prob\":0.25,\"attention_probs_dropout_prob\":0.1}"

/* n noisy pictures of each of two classes; the folder. */
static const char *pictures(int n) {
    const char *dir = hora_test_path(hora_test_tmp(), "set");
    hora_rng r = hora_rng_new(7, "pictures");
    for (int i = 0; i < 2 * n; i++) {
        hora_image im;
        char *folder = hora_format("%s/%s", dir, i % 2 ? "b" : "a");
        char *file = hora_format("%s/%d.png", folder, i);
        assert_ok(hora_mkdirs(folder));
        assert_ok(hora_image_init(&im, 16, 16, 3));
        for (int64_t k = 0; k < 16 * 16 * 3; k++)
            im.px[k] = (uint8_t)(hora_rng_below(&r, 128) + (i % 2 ? 128 : 0));
        assert_ok(hora_image_save_png(file, &im));
        hora_image_release(&im);
        hora_free(folder);
        hora_free(file);
    }
    return dir;
}

/* Losses of three steps of a training with these options, and the loss of its evaluation. */
static void losses(const char *base, const char *set, const char *options, double out[4]) {
    const char *to = hora_test_path(hora_test_tmp(), "run");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --eval-data '%s' --method lora --rank 2 --steps 3 "
               "--no-eval-start --warmup 0 --log-every 1 --dtype f32 --out '%s' --overwrite %s",
               base, set, set, to, options);
    hora_str log = {0};
    assert_ok(hora_file_read(&log, hora_test_path(to, "log.jsonl")));
    int n = 0;
    for (char *line = strtok(log.s, "\n"); line && n < 4; line = strtok(NULL, "\n")) {
        hora_json *o;
        assert_ok(hora_json_parse(&o, line, strlen(line), "a line"));
        out[n] = tool_number(o, n < 3 ? "loss" : "eval_loss");
        n++;
        hora_json_free(o);
    }
    assert_int_equal(n, 4);
    hora_str_release(&log);
}

static void assert_same(const double a[4], const double b[4], double tol) {
    for (int i = 0; i < 4; i++)
        if (!(fabs(a[i] - b[i]) <= tol * fabs(a[i])))
            fail_msg("number %d is %.9g and %.9g", i, a[i], b[i]);
}

/* It repeats to the bit for any number of threads and however layers are kept, is the same for a
 * step in two halves, and is not what none is; evaluation has none. */
static void leaves_out(const char *base, const char *set, const char *option) {
    double none[4], a[4], b[4];
    char *one = hora_format("--batch-size 4 --threads 1 %s", option);
    char *two = hora_format("--batch-size 4 --threads 2 --recompute all %s", option);
    char *halves = hora_format("--batch-size 2 --grad-accum 2 %s", option);
    losses(base, set, "--batch-size 4", none);
    losses(base, set, one, a);
    assert_true(fabs(a[0] - none[0]) > 1e-4);
    losses(base, set, two, b);
    assert_same(a, b, 0);
    losses(base, set, halves, b);
    assert_same(a, b, 1e-5);
    hora_free(one);
    hora_free(two);
    hora_free(halves);
    char *still = hora_format("--batch-size 4 --lr 1e-30 %s", option);
    losses(base, set, "--batch-size 4 --lr 1e-30", none);
    losses(base, set, still, a);
    assert_true(none[3] == a[3]);
    hora_free(still);
}

static void test_drops(void **state) {
    (void)state;
    const char *base =
        tool_new("vit", "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"]," VIT, "");
    const char *set = pictures(4);
    leaves_out(base, set, "--drop-path 0.5");
    leaves_out(base, set, "--body-dropout");
    const char *dino =
        tool_new("clip",
                 "{\"model_type\":\"clip_vision_model\",\"hidden_size\":16,"
                 "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"intermediate_size\":32,"
                 "\"image_size\":16,\"patch_size\":8}",
                 "");
    tool_check(2, NULL, "has no dropout",
               "plan --model '%s' --data '%s' --method lora "
               "--body-dropout",
               dino, set);
    tool_check(0, NULL, "attention_probs_dropout_prob",
               "plan --model '%s' --data '%s' --method lora --body-dropout", base, set);
    tool_check(2, NULL, "drop_path", "plan --model '%s' --data '%s' --drop-path 1", base, set);
}

/* --- DeiT ------------------------------------------------------------------------------------- */
enum { D = 16, CLASSES = 3, ROWS = 6 };

/* The model with both heads; writes what they hold. */
static void add_heads(const char *dir, const char *const names[2], float w[2][CLASSES * D],
                      float b[2][CLASSES]) {
    hora_st *st;
    hora_rng r = hora_rng_new(3, "heads");
    const char *path = hora_test_path(dir, "model.safetensors");
    assert_ok(hora_st_open(&st, path));
    hora_st_entry *e = hora_calloc((size_t)hora_st_count(st) + 4, sizeof *e);
    int n = 0;
    char *own[4];
    for (int i = 0; i < hora_st_count(st); i++)
        if (!hora_starts(hora_st_at(st, i)->name, "classifier."))
            e[n++] = (hora_st_entry){hora_st_at(st, i)->name, hora_st_at(st, i)->view, HORA_F32};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < CLASSES * D; i++)
            w[k][i] = (float)hora_rng_normal(&r);
        for (int i = 0; i < CLASSES; i++)
            b[k][i] = (float)hora_rng_normal(&r);
        own[2 * k] = hora_format("%s.weight", names[k]);
        own[2 * k + 1] = hora_format("%s.bias", names[k]);
        e[n++] = (hora_st_entry){own[2 * k], {w[k], HORA_F32, HORA_SHAPE2(CLASSES, D)}, HORA_F32};
        e[n++] = (hora_st_entry){own[2 * k + 1], {b[k], HORA_F32, HORA_SHAPE1(CLASSES)}, HORA_F32};
    }
    char *to = hora_format("%s.new", path);
    assert_ok(hora_st_write(to, e, n, NULL, 0));
    hora_st_close(st);
    assert_int_equal(rename(to, path), 0);
    for (int i = 0; i < 4; i++)
        hora_free(own[i]);
    hora_free(to);
    hora_free(e);
}

/* The logits of `forward` are the mean of both heads over the first two rows of the last hidden
 * state (transformers' DeiTForImageClassificationWithTeacher). */
static void test_teacher(void **state) {
    (void)state;
    static const char *const names[2] = {"cls_classifier", "distillation_classifier"};
    const char *set = pictures(2);
    const char *base = tool_new("deit",
                                "{\"model_type\":\"deit\","
                                "\"architectures\":[\"DeiTForImageClassificationWithTeacher\"],"
                                "\"id2label\":{\"0\":\"x\",\"1\":\"y\",\"2\":\"z\"}," VIT,
                                "");
    const char *picture = hora_test_path(hora_test_path(set, "a"), "0.png");
    const char *out = hora_test_path(hora_test_tmp(), "out.safetensors");
    float w[2][CLASSES * D], b[2][CLASSES];
    hora_st *st;
    add_heads(base, names, w, b);
    tool_check(0, NULL, NULL, "forward --model '%s' --image '%s' --out '%s'", base, picture, out);
    assert_ok(hora_st_open(&st, out));
    const float *h = hora_st_find(st, "last_hidden_state")->view.data;
    const float *z = hora_st_find(st, "logits")->view.data;
    assert_int_equal(hora_st_find(st, "last_hidden_state")->view.shape.d[1], ROWS);
    for (int c = 0; c < CLASSES; c++) {
        double want = 0;
        for (int k = 0; k < 2; k++) {
            want += (double)b[k][c] / 2;
            for (int j = 0; j < D; j++)
                want += (double)w[k][c * D + j] * (double)h[k * D + j] / 2;
        }
        assert_true(fabs(want - (double)z[c]) < 1e-4);
    }
    hora_st_close(st);
    tool_check(0, "\"label\"", NULL, "predict --model '%s' '%s'", base, picture);
    /* a training has a new head, on the class token alone */
    const char *run = hora_test_path(hora_test_tmp(), "run");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --method lora --rank 2 --steps 2 --out '%s'", base,
               set, run);
    tool_check(0, "\"label\": \"", NULL, "predict --model '%s' --adapter '%s' '%s'", base, run,
               picture);
}

/* transformers has classes for a CLIP alone: merged with a head the tower is one, by its type and
 * its names, and computes what base and adapter do. */
static void check_whole(const char *base, const char *picture) {
    static const char *const dtypes[] = {"", "--dtype f32"};
    const char *run = hora_test_path(hora_test_tmp(), "of the tower");
    const char *out[2] = {hora_test_path(hora_test_tmp(), "c.safetensors"),
                          hora_test_path(hora_test_tmp(), "d.safetensors")};
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --method lora --rank 2 --steps 2 --out '%s'", base,
               pictures(2), run);
    tool_check(0, NULL, NULL, "forward --model '%s' --adapter '%s' --image '%s' --out '%s'", base,
               run, picture, out[0]);
    for (size_t i = 0; i < HORA_COUNT(dtypes); i++) {
        const char *merged = hora_test_path(hora_test_tmp(), i ? "as f32" : "as it is");
        hora_json *c;
        hora_st *st, *got, *want;
        tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s' %s", base, run,
                   merged, dtypes[i]);
        assert_ok(hora_json_load(&c, hora_test_path(merged, "config.json")));
        assert_string_equal(hora_json_string(hora_json_get(c, "model_type"), NULL), "clip");
        assert_string_equal(
            hora_json_string(hora_json_at(hora_json_get(c, "architectures"), 0), NULL),
            "CLIPForImageClassification");
        assert_non_null(hora_json_get(c, "id2label"));
        assert_non_null(hora_json_get(hora_json_get(c, "vision_config"), "hidden_size"));
        hora_json_free(c);
        assert_ok(hora_st_open(&st, hora_test_path(merged, "model.safetensors")));
        for (int k = 0; k < hora_st_count(st); k++)
            assert_true(hora_starts(hora_st_at(st, k)->name, "vision_model.") ||
                        hora_starts(hora_st_at(st, k)->name, "classifier."));
        hora_st_close(st);
        tool_check(0, NULL, NULL, "forward --model '%s' --image '%s' --out '%s' --overwrite",
                   merged, picture, out[1]);
        assert_ok(hora_st_open(&want, out[0]));
        assert_ok(hora_st_open(&got, out[1]));
        const hora_view *a = &hora_st_find(want, "logits")->view,
                        *b = &hora_st_find(got, "logits")->view;
        hora_assert_close(b->data, a->data, (size_t)hora_elems(a), 1e-5, "merged");
        hora_st_close(want);
        hora_st_close(got);
    }
}

/* CLIP's tower as transformers 5 saves it alone, without the prefix. */
static void test_tower(void **state) {
    (void)state;
    const char *base = tool_new(
        "tower",
        "{\"model_type\":\"clip_vision_model\",\"architectures\":[\"CLIPVisionModel\"]," VIT, "");
    const char *picture = hora_test_path(hora_test_path(pictures(1), "a"), "0.png");
    const char *path = hora_test_path(base, "model.safetensors");
    const char *out[2] = {hora_test_path(hora_test_tmp(), "a.safetensors"),
                          hora_test_path(hora_test_tmp(), "b.safetensors")};
    hora_st *st;
    for (int k = 0; k < 2; k++) {
        tool_check(0, NULL, NULL, "forward --model '%s' --image '%s' --out '%s'", base, picture,
                   out[k]);
        if (k)
            break;
        assert_ok(hora_st_open(&st, path));
        hora_st_entry *e = hora_calloc((size_t)hora_st_count(st), sizeof *e);
        int n = 0;
        for (int i = 0; i < hora_st_count(st); i++) {
            const char *name = hora_st_at(st, i)->name;
            if (hora_starts(name, "vision_model."))
                e[n++] = (hora_st_entry){name + 13, hora_st_at(st, i)->view, HORA_F32};
        }
        char *to = hora_format("%s.new", path);
        assert_ok(hora_st_write(to, e, n, NULL, 0));
        hora_st_close(st);
        assert_int_equal(rename(to, path), 0);
        hora_free(to);
        hora_free(e);
    }
    hora_assert_same_file(out[0], out[1], NULL);
    check_whole(base, picture);
}

HORA_TESTS(cli_deep, {"stochastic depth, dropout of the body", test_drops, HORA_SHORT},
           {"CLIP's tower alone", test_tower, HORA_SHORT},
           {"DeiT's two heads", test_teacher, HORA_SHORT});
