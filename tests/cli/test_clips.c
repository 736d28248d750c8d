/* Clips and attention at the tool: a VideoMAE of our own tells brighter from darker, which no
 * single frame says; what eval measures is what predict writes. A model of pictures takes clips
 * frame by frame, or all frames at once. */
#include <math.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/image.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

enum { FRAMES = 11, SIDE = 16 };

static const char config[] =
    "{\"model_type\": \"videomae\", \"architectures\": [\"VideoMAEForVideoClassification\"], "
    "\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"num_channels\": 3, \"num_frames\": 4, \"tubelet_size\": 2, "
    "\"image_size\": 16, \"patch_size\": 8, \"qkv_bias\": true, \"use_mean_pooling\": true, "
    "\"layer_norm_eps\": 1e-12, \"hidden_act\": \"gelu\", \"torch_dtype\": \"float32\"}";

static const char vit[] =
    "{\"model_type\": \"vit\", \"architectures\": [\"ViTForImageClassification\"], "
    "\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"image_size\": 32, \"patch_size\": 8, \"qkv_bias\": true, "
    "\"num_channels\": 3, \"layer_norm_eps\": 1e-12, \"hidden_act\": \"gelu\", "
    "\"id2label\": {\"0\": \"brighter\", \"1\": \"darker\"}}";

static const char *const classes[] = {"brighter", "darker"};

/* n clips of each class; frames are called 1 .. 11, so that the order of bytes is another one. */
static const char *draw(const char *name, int n) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    hora_rng r = hora_rng_new(5, name);
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < n; i++) {
            char *clip = hora_format("%s/%s/clip%d", dir, classes[c], i);
            assert_ok(hora_mkdirs(clip));
            for (int f = 0; f < FRAMES; f++) {
                hora_image im;
                assert_ok(hora_image_init(&im, SIDE, SIDE, 3));
                for (size_t k = 0; k < hora_image_bytes(&im); k++)
                    im.px[k] =
                        (uint8_t)(20 + 20 * (c ? FRAMES - 1 - f : f) + hora_rng_below(&r, 16));
                char *file = hora_format("%s/%d.png", clip, f + 1);
                assert_ok(hora_image_save_png(file, &im));
                hora_free(file);
                hora_image_release(&im);
            }
            hora_free(clip);
        }
    return dir;
}

static const char *model(void) {
    return tool_new("videomae", config, "--seed 3");
}

static void train(const char *data, const char *eval, const char *out, const char *more) {
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --eval-data '%s' --out '%s' --method full "
               "--batch-size 8 --lr 3e-3 --warmup 0 --dtype f32 %s",
               model(), data, eval, out, more);
}

static void learns(void **state) {
    (void)state;
    const char *data = draw("train", 12), *eval = draw("eval", 6);
    const char *out = hora_test_path(hora_test_tmp(), "out");
    train(data, eval, out, "--steps 60 --flip 0.5");
    hora_json *got =
        tool_json("eval --model '%s' --adapter '%s' --data '%s' --json", model(), out, eval);
    assert_true(tool_number(got, "accuracy") >= 0.9);
    hora_str s = {0};
    tool_text(&s, "predict --model '%s' --adapter '%s' '%s'", model(), out, eval);
    hora_json *file = tool_json("eval --predictions '%s' --json", tiny_file("said.jsonl", s.s));
    assert_true(fabs(tool_number(got, "accuracy") - tool_number(file, "accuracy")) < 1e-9);
    s.n = 0; /* a clip by itself */
    tool_text(&s, "predict --model '%s' --adapter '%s' '%s/darker/clip0'", model(), out, eval);
    assert_non_null(strstr(s.s, "\"label\": \"darker\""));
    assert_null(strstr(s.s, "\"true\""));
    hora_str_release(&s);
    hora_json_free(got);
    hora_json_free(file);
}

/* A run is its seed's, whatever the threads. */
static void repeats(void **state) {
    (void)state;
    const char *data = draw("small", 3);
    const char *a = hora_test_path(hora_test_tmp(), "a"), *b = hora_test_path(hora_test_tmp(), "b");
    train(data, data, a, "--steps 3 --threads 1 --flip 0.5");
    train(data, data, b, "--steps 3 --threads 3 --flip 0.5");
    hora_assert_same_file(a, b, "model.safetensors");
}

/* A line of tiles for the base, one for it adapted: alike where nothing was learned, not else. */
static void looked_at(void **state) {
    (void)state;
    const char *dir = tool_new("vit", vit, ""), *data = draw("looked", 2);
    const char *out = hora_test_path(hora_test_tmp(), "lora");
    const char *png = hora_test_path(hora_test_tmp(), "attention.png");
    hora_image im;
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --out '%s' --method lora --lr 0.1 --steps 4 "
               "--batch-size 4 --dtype f32",
               dir, data, out);
    tool_check(0, "rollout", NULL,
               "inspect '%s' --attention '%s/darker/clip0/1.png' --out '%s' --adapter '%s'", dir,
               data, png, out);
    assert_ok(hora_image_load(&im, png, NULL, NULL));
    assert_int_equal(im.width, 4 + 6 * 164);
    assert_int_equal(im.height, 4 + 2 * 164);
    bool picture = true, maps = true; /* the first tiles are one picture, the last are not alike */
    for (int64_t y = 4; y < 164; y++)
        for (int64_t x = 4; x < im.width - 4; x++) {
            const uint8_t *a = im.px + 3 * (y * im.width + x), *b = a + 3 * 164 * im.width;
            picture &= x >= 164 || memcmp(a, b, 3) == 0;
            maps &= x < 168 || memcmp(a, b, 3) == 0;
        }
    assert_true(picture);
    assert_false(maps);
    hora_image_release(&im);
    tool_check(9, NULL, "--overwrite",
               "inspect '%s' --attention '%s/darker/clip0/1.png' --out '%s'", dir, data, png);
    tool_check(2, NULL, "out", "inspect '%s' --attention '%s/darker/clip0/1.png'", dir, data);
    tool_check(5, NULL, "clips",
               "inspect '%s' --attention '%s/darker/clip0/1.png' --out '%s' --overwrite", model(),
               data, png);
}

/* --- models of pictures ----------------------------------------------------------------------- */

enum { T = 3, CLIPS = 2 };

/* pixel_values of that shape, drawn. */
static const char *pixels(const char *name, hora_shape shape) {
    float at[CLIPS * T * 3 * 32 * 32];
    hora_rng r = hora_rng_new(8, "pixels");
    for (size_t i = 0; i < HORA_COUNT(at); i++)
        at[i] = (float)hora_rng_normal(&r);
    assert_int_equal(hora_shape_elems(&shape), HORA_COUNT(at));
    const hora_st_entry e = {"pixel_values", {at, HORA_F32, shape}, HORA_F32};
    const char *path = hora_test_path(hora_test_tmp(), name);
    assert_ok(hora_st_write(path, &e, 1, NULL, 0));
    return path;
}

/* n numbers of one tensor of a file. */
static void numbers(const char *path, const char *name, int64_t n, float *out) {
    hora_st *st;
    assert_ok(hora_st_open(&st, path));
    const hora_st_tensor *t = hora_st_find(st, name);
    assert_non_null(t);
    assert_int_equal(hora_elems(&t->view), n);
    memcpy(out, t->view.data, (size_t)n * sizeof *out);
    hora_st_close(st);
}

/* Logits of a clip are the mean of those of its frames; of frames that see each other they are not,
 * but of one frame they are a picture's. */
static void mean_of_logits(void **state) {
    (void)state;
    const char *dir = hora_test_path(hora_test_tmp(), "headed");
    const char *out = hora_test_path(hora_test_tmp(), "z.st");
    tool_check(0, NULL, NULL, /* for a head */
               "train --model '%s' --data '%s' --out '%s' --method full --steps 1 --dtype f32",
               tool_new("vit", vit, ""), draw("heads", 1), dir);
    float each[CLIPS * T * 2], clip[CLIPS * 2], joint[CLIPS * 2], mean[CLIPS * 2] = {0};
    const hora_shape all = {5, {CLIPS, T, 3, 32, 32}}, single = {4, {CLIPS * T, 3, 32, 32}};
    const char *clips = pixels("clips.st", all), *pictures = pixels("pictures.st", single);
    tool_check(0, NULL, NULL, "forward --model '%s' --batch '%s' --out '%s'", dir, pictures, out);
    numbers(out, "logits", CLIPS * T * 2, each);
    for (int i = 0; i < CLIPS * T * 2; i++)
        mean[i / (2 * T) * 2 + i % 2] += each[i] / T;
    tool_check(0, NULL, NULL, "forward --model '%s' --batch '%s' --out '%s' --overwrite", dir,
               clips, out);
    numbers(out, "logits", CLIPS * 2, clip);
    hora_assert_close(clip, mean, CLIPS * 2, 1e-5, "the mean of logits");
    tool_check(0, NULL, NULL,
               "forward --model '%s' --batch '%s' --out '%s' --overwrite --frames 3 "
               "--frame-attention joint",
               dir, clips, out);
    numbers(out, "logits", CLIPS * 2, joint);
    assert_true(fabs((double)joint[0] - (double)mean[0]) > 1e-4);
    float alone[CLIPS * 2]; /* the batch says how many frames a clip has */
    tool_check(0, NULL, NULL,
               "forward --model '%s' --batch '%s' --out '%s' --overwrite --frame-attention joint",
               dir, clips, out);
    numbers(out, "logits", CLIPS * 2, alone);
    hora_assert_close(alone, joint, CLIPS * 2, 0, "frames of the batch");
    tool_check(2, NULL, "--frames 2, but",
               "forward --model '%s' --batch '%s' --out '%s' --overwrite --frames 2", dir, clips,
               out);
    tool_check(2, NULL, "holds pictures",
               "forward --model '%s' --batch '%s' --out '%s' --overwrite --frames 3", dir, pictures,
               out);
    tool_check(0, NULL, NULL, "forward --model '%s' --batch '%s' --out '%s' --overwrite", dir,
               pixels("one.st", (hora_shape){5, {CLIPS * T, 1, 3, 32, 32}}), out);
    float same[CLIPS * T * 2];
    numbers(out, "logits", CLIPS * T * 2, same);
    hora_assert_close(same, each, CLIPS * T * 2, 1e-6, "a clip of one frame");
}

/* Trained on clips, and asked about them, without a word about frames again; merged too. */
static void learns_by_frames(void **state) {
    static const char *const ways[] = {
        "--method hora --targets q+v --rank 2 --frame-attention apart",
        "--method apt --prompts 2 --frame-attention joint"};
    (void)state;
    const char *dir = tool_new("vit", vit, ""), *data = draw("by-frames", 6);
    for (size_t i = 0; i < HORA_COUNT(ways); i++) {
        const char *out = hora_test_path(hora_test_tmp(), i ? "joint" : "apart");
        hora_str s = {0};
        tool_check(0, NULL, NULL,
                   "train --model '%s' --data '%s' --out '%s' --frames 3 --batch-size 4 --lr 1e-2 "
                   "--warmup 0 --dtype f32 --steps 40 %s",
                   dir, data, out, ways[i]);
        hora_json *got =
            tool_json("eval --model '%s' --adapter '%s' --data '%s' --json", dir, out, data);
        tool_text(&s, "predict --model '%s' --adapter '%s' '%s'", dir, out, data);
        hora_json *file = tool_json("eval --predictions '%s' --json", tiny_file("said.jsonl", s.s));
        int lines = 0;
        for (const char *at = s.s; (at = strchr(at, '\n')); at++)
            lines++;
        assert_int_equal(lines, 12);
        assert_true(fabs(tool_number(got, "accuracy") - tool_number(file, "accuracy")) < 1e-9);
        hora_json_free(got);
        hora_json_free(file);
        s.n = 0;
        /* a picture is a clip of one frame, and changes nothing for a clip behind it */
        tool_text(&s,
                  "predict --model '%s' --adapter '%s' '%s/darker/clip0/1.png' '%s/darker/clip0'",
                  dir, out, data, data);
        assert_non_null(strstr(s.s, "darker/clip0/1.png\""));
        assert_non_null(strstr(s.s, "darker/clip0\""));
        if (!i) { /* apt does not merge */
            const char *merged = hora_test_path(hora_test_tmp(), "merged");
            hora_str t = {0};
            tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s'", dir, out,
                       merged);
            tool_text(&t, "predict --model '%s' '%s/darker/clip0/1.png' '%s/darker/clip0'", merged,
                      data, data);
            assert_int_equal(strchr(t.s, '\n') - t.s > 0, 1);
            assert_non_null(strstr(t.s, "darker/clip0\""));
            hora_str_release(&t);
        }
        hora_str_release(&s);
    }
}

static void refusals_of_frames(void **state) {
    (void)state;
    const char *dir = tool_new("vit", vit, ""), *data = draw("some", 1);
    const char *out = hora_test_path(hora_test_tmp(), "none");
    tool_check(2, NULL, "give frames too",
               "train --model '%s' --data '%s' --out '%s' --method head --frame-attention joint",
               dir, data, out);
    tool_check(2, NULL, "clips of 4 frames",
               "train --model '%s' --data '%s' --out '%s' --method head --frames 3", model(), data,
               out);
    tool_check(2, NULL, "segment is not for",
               "train --model '%s' --data '%s' --out '%s' --method head --frames 3 --task segment",
               dir, data, out);
    tool_check(2, NULL, "not clips",
               "train --model '%s' --data '%s' --out '%s' --method head --frames 3 --mixup 0.2",
               dir, data, out);
    tool_check(2, NULL, "each clip is a folder",
               "train --model '%s' --data '%s/darker' --out '%s' --method head --frames 3", dir,
               data, out);
    tool_check(2, NULL, "frames=1",
               "train --model '%s' --data '%s' --out '%s' --method head --frames 1", dir, data,
               out);
    tool_check(5, NULL, "no time axis", /* its class token would be moved */
               "train --model '%s' --data '%s' --out '%s' --method st_adapter --frames 3", dir,
               data, out);
    assert_false(hora_path_exists(out));
    /* a folder without frames is no clip, and is told */
    assert_ok(hora_mkdirs(hora_test_path(data, "darker/empty")));
    tool_check(0, NULL, "1 folders hold no frames",
               "train --model '%s' --data '%s' --out '%s' --method head --frames 3 --steps 1", dir,
               data, out);
}

/* What `hora data` says of clips: as asked for, or as a model of clips reads them. */
static void surveyed(void **state) {
    static const struct {
        const char *options;
        double frames, repeat;
    } rows[] = {{"--frames 4", 4, 0}, {"--frames 16", 16, 6}, {NULL, 4, 0}};
    (void)state;
    const char *data = draw("surveyed", 3);
    char *by_model = hora_format("--model '%s'", model());
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_json *r =
            tool_json("data '%s' %s --json", data, rows[i].options ? rows[i].options : by_model);
        const hora_json *c = hora_json_get(r, "clips");
        assert_true(tool_number(c, "n") == 6 && tool_number(c, "frames") == rows[i].frames);
        assert_true(tool_number(c, "least_frames") == FRAMES);
        assert_true(tool_number(c, "most_frames") == FRAMES);
        assert_true(tool_number(c, "repeat") == rows[i].repeat);
        assert_true(tool_number(hora_json_get(c, "counts"), "darker") == 3);
        hora_json_free(r);
    }
    hora_free(by_model);
    tool_check(0, "6 clips of 11 to 11 frames, of which 4 are taken", NULL, "data '%s' --frames 4",
               data);
}

/* Frames one by one: all of them are taken, and nobody says otherwise. */
static void pictures_by_name(void **state) {
    (void)state;
    const char *dir = tool_new("vit", vit, ""), *data = draw("named", 1);
    hora_str said = {0};
    tool_text(&said,
              "forward --model '%s' --image '%s/darker/clip0/1.png' --image "
              "'%s/darker/clip0/2.png' --out '%s' 2>&1",
              dir, data, data, hora_test_path(hora_test_tmp(), "named.st"));
    assert_non_null(strstr(said.s, "2 samples"));
    assert_null(strstr(said.s, "last one counts"));
    hora_str_release(&said);
}

static double loss_of(const char *base, const char *options, const char *data) {
    hora_json *e =
        tool_json("eval --model '%s' %s --data '%s' --json --dtype f32", base, options, data);
    const double loss = tool_number(e, "loss");
    hora_json_free(e);
    return loss;
}

/* An adapter over time and space, beside a head that trains although the base has one of the same
 * size: what was trained is what is opened, and it tells the order of frames. */
static void over_time(void **state) {
    (void)state;
    const char *data = draw("timed", 12), *eval = draw("timed-eval", 6);
    const char *base = hora_test_path(hora_test_tmp(), "base"),
               *out = hora_test_path(hora_test_tmp(), "timed-out"),
               *none = hora_test_path(hora_test_tmp(), "timed-none");
    train(data, eval, base, "--steps 1");
    const double before = loss_of(base, "", eval);
    hora_json *sum =
        tool_json("train --model '%s' --data '%s' --eval-data '%s' --out '%s' --method st_adapter "
                  "--bottleneck 16 --steps 60 --lr 1e-2 --batch-size 8 --warmup 0 --dtype f32 "
                  "--json",
                  base, data, eval, out);
    hora_json_free(sum);
    char *with = hora_format("--adapter '%s'", out);
    const double after = loss_of(base, with, eval);
    assert_true(after < before - 0.2);
    hora_json *got =
        tool_json("eval --model '%s' %s --data '%s' --json --dtype f32", base, with, eval);
    assert_true(tool_number(got, "accuracy") >= 0.9);
    hora_json_free(got);
    tool_check(0, "\"label\": \"darker\"", NULL, "predict --model '%s' %s '%s/darker/clip0'", base,
               with, eval);
    tool_check(5, "", "cannot be merged", "merge --model '%s' %s --out '%s'", base, with, none);
    tool_check(2, "", "give odd kernel_time",
               "train --model '%s' --data '%s' --method st_adapter --kernel-time 2 --steps 1 --out "
               "'%s'",
               base, data, none);
    tool_check(5, "", "has no time axis",
               "train --model '%s' --data '%s' --method st_adapter --steps 1 --out '%s'",
               tiny_model(), tiny_file("some.txt", "text"), none);
    assert_false(hora_path_exists(none));
    hora_free(with);
}

static void refusals(void **state) {
    (void)state;
    const char *data = draw("some", 1), *out = hora_test_path(hora_test_tmp(), "none");
    tool_check(2, NULL, "each clip is a folder",
               "train --model '%s' --data '%s/darker' --out '%s' --method head --steps 1", model(),
               data, out);
    tool_check(2, NULL, "not clips",
               "train --model '%s' --data '%s' --out '%s' --method head --steps 1 --mixup 0.2",
               model(), data, out);
}

HORA_TESTS(cli_clips, {"a model of clips learns an order of frames", learns, HORA_SHORT},
           {"the same for any number of threads", repeats, HORA_SHORT},
           {"what a model of pictures looks at", looked_at, HORA_SHORT},
           {"logits of a clip are the mean of its frames'", mean_of_logits, HORA_SHORT},
           {"a model of pictures learns clips", learns_by_frames, HORA_SHORT},
           {"refusals of frames", refusals_of_frames, HORA_SHORT},
           {"pictures by their names", pictures_by_name, HORA_SHORT},
           {"an adapter over time and space", over_time, HORA_SHORT},
           {"refusals", refusals, HORA_SHORT}, {"clips are counted", surveyed, HORA_SHORT});
