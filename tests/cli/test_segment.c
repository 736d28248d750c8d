/* Segmentation at the tool: sets with masks as people have them, what is refused, maps of classes
 * and pictures under them. */
#include "hora_test.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "data/image_loader.h"
#include "format/image.h"
#include "tool.h"

static const char config[] =
    "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":16,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"intermediate_size\":32,"
    "\"image_size\":16,\"patch_size\":4,\"initializer_range\":0.2}";

enum { SIDE = 16 };

/* Grey from `left` to `right` with the boundary in the middle, or another size. */
static void draw(const char *path, int64_t width, int channels, int left, int right) {
    hora_image im;
    assert_ok(hora_image_init(&im, width, SIDE, channels));
    for (int64_t y = 0; y < SIDE; y++)
        for (int64_t x = 0; x < width; x++)
            memset(im.px + (y * width + x) * channels, x < width / 2 ? left : right,
                   (size_t)channels);
    assert_ok(hora_image_save_png(path, &im));
    hora_image_release(&im);
}

/* n pictures, dark at the left; the mask of the last one is `width` wide and holds `last`. */
static const char *set(const char *name, int n, int64_t width, int last) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    for (int i = 0; i < n; i++) {
        char *image = hora_format("%s/images/a/%d.png", dir, i);
        char *mask = hora_format("%s/masks/a/%d.png", dir, i);
        char *folders = hora_format("mkdir -p '%s/images/a' '%s/masks/a'", dir, dir);
        assert_int_equal(hora_test_run(folders, NULL, NULL), 0);
        draw(image, SIDE, 3, 20 + i, 200 + i);
        draw(mask, i == n - 1 ? width : SIDE, 1, 0, i == n - 1 ? last : 1);
        hora_free(folders);
        hora_free(image);
        hora_free(mask);
    }
    return dir;
}

static const char *base(void) {
    return tool_new("base", config, "");
}

static void refuse(int code, const char *says, const char *data, const char *more) {
    tool_check(code, NULL, says,
               "train --model '%s' --data '%s' --task segment --method full --steps 1 --batch-size "
               "1 --out '%s' %s",
               base(), data, hora_test_path(hora_test_tmp(), "refused"), more);
}

/* What out/task.json (or config.json) says of the head. */
static void assert_head(const char *dir, const char *file, const char *head, double dice) {
    hora_json *o;
    assert_ok(hora_json_load(&o, hora_test_path(dir, file)));
    assert_string_equal(hora_json_string(hora_json_get(o, "segment_head"), NULL), head);
    assert_true(tool_number(o, "dice") == dice);
    hora_json_free(o);
}

/* A model that was trained with a head keeps it, and its loss, in a further training that says
 * nothing of them; one that asks for another gets a new one, and hears so. */
static void trained_again(void **state) {
    (void)state;
    const char *data = set("again", 4, SIDE, 1), *tmp = hora_test_tmp();
    const char *first = hora_test_path(tmp, "first"), *second = hora_test_path(tmp, "second");
    const char *third = hora_test_path(tmp, "third");
    static const char usual[] =
        "--task segment --method full --batch-size 2 --dtype f32 --warmup 0";
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --out '%s' --steps 30 --lr 1e-2 --segment-head "
               "upsampled --dice 0.5 %s",
               base(), data, first, usual);
    assert_head(first, "config.json", "upsampled", 0.5);
    hora_json *was = tool_json("eval --model '%s' --data '%s' --json", first, data);
    tool_check(0, NULL, NULL, "train --model '%s' --data '%s' --out '%s' --steps 1 --lr 1e-9 %s",
               first, data, second, usual);
    assert_head(second, "config.json", "upsampled", 0.5);
    hora_json *is = tool_json("eval --model '%s' --data '%s' --json", second, data);
    assert_true(fabs(tool_number(was, "loss") - tool_number(is, "loss")) < 1e-3);
    tool_check(0, NULL, "a new one is trained",
               "train --model '%s' --data '%s' --out '%s' --steps 1 --segment-head linear %s",
               first, data, third, usual);
    assert_head(third, "config.json", "linear", 0.5);
    hora_json_free(was);
    hora_json_free(is);
}

static void refused(void **state) {
    (void)state;
    refuse(4, "the mask is 12 x 16", set("narrow", 3, 12, 1), "");
    tool_check(0, NULL, "skipped: 1",
               "train --model '%s' --data '%s' --task segment --method full --steps 1 --batch-size "
               "1 --skip-bad --out '%s'",
               base(), set("narrow", 3, 12, 1), hora_test_path(hora_test_tmp(), "skips"));
    const char *dir = set("binary", 1, SIDE, 255);
    refuse(4, "255 does not count; write 1", dir, "");
    dir = set("named", 2, SIDE, 7);
    assert_ok(hora_file_write(hora_test_path(dir, "classes.txt"), "dark\nbright\n", 12));
    refuse(4, "a pixel is of class 7, but classes.txt names 2", dir, "");
    dir = set("lacks", 2, SIDE, 1);
    assert_ok(hora_remove_tree(hora_test_path(dir, "masks/a/1.png")));
    refuse(8, "1.png is not there, the mask of", dir, "");
    tool_check(0, NULL, "mask is not there, left out: 1",
               "train --model '%s' --data '%s' --task segment --method full --steps 1 --batch-size "
               "1 --skip-bad --out '%s'",
               base(), dir, hora_test_path(hora_test_tmp(), "lacking"));
    refuse(2, "has no mask", hora_test_path(set("plain", 2, SIDE, 1), "images"), "");
    refuse(2, "rand_augment turns", set("turned", 2, SIDE, 1), "--rand-augment 1");
    refuse(2, "class_weights=balanced", set("turned", 2, SIDE, 1), "--class-weights balanced");
}

/* Where a picture goes its mask goes: dark pixels are class 0 in any view. */
static void together(void **state) {
    (void)state;
    hora_images *s;
    hora_image_processor p;
    hora_image_loader *l;
    const hora_augment a = {.crop = true, .flip = 0.5, .crop_scale = {0.3, 1}};
    assert_ok(hora_images_open(&s, set("pairs", 4, SIDE, 1), NULL));
    assert_ok(hora_image_processor_default(&p, "ViT"));
    p.height = p.width = SIDE;
    p.resample = HORA_RESAMPLE_NEAREST;
    const hora_image_loader_config lc = {
        .set = s, .processor = &p, .augment = &a, .seed = 3, .cache = 1 << 20};
    assert_ok(hora_image_loader_open(&l, &lc));
    int flipped = 0, bright = 0;
    for (int64_t epoch = 0; epoch < 20; epoch++)
        for (int64_t i = 0; i < 4; i++) {
            float values[3 * SIDE * SIDE];
            uint8_t classes[SIDE * SIDE];
            assert_ok(hora_image_loader_get(l, epoch, i, values));
            assert_ok(hora_image_loader_mask(l, epoch, i, classes));
            for (int k = 0; k < SIDE * SIDE; k++)
                assert_int_equal(classes[k], values[k] > 0);
            flipped += classes[0] == 1 && classes[SIDE - 1] == 0;
            bright += classes[0] == 0 && classes[SIDE - 1] == 1;
        }
    assert_true(flipped > 5 && bright > 5);
    hora_image_loader_close(l);
    hora_images_close(s);
}

/* A list names pictures and masks; what is learned from it is drawn over new ones. */
static void drawn(void **state) {
    const char *dir = set("drawn", 8, SIDE, 1), *out = hora_test_path(hora_test_tmp(), "out");
    const char *list = hora_test_path(dir, "list.csv");
    const char *over = hora_test_path(hora_test_tmp(), "over");
    hora_str s = {0};
    hora_image im;
    (void)state;
    hora_str_puts(&s, "image,mask\n");
    for (int i = 0; i < 8; i++)
        hora_str_printf(&s, "images/a/%d.png,masks/a/%d.png\n", i, i);
    assert_ok(hora_file_write(list, s.s, s.n));
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --task segment --method full --lr 1e-2 --steps 60 "
               "--batch-size 4 --out '%s'",
               base(), list, out);
    hora_json *r = tool_json("eval --model '%s' --data '%s' --json", out, list);
    assert_true(tool_number(r, "miou") > 0.95);
    assert_true(tool_number(hora_json_get(r, "dice"), "1") > 0.95);
    hora_json_free(r);
    s.n = 0;
    tool_text(&s, "predict --model '%s' '%s/images/a/3.png' --overlays '%s'", out, dir, over);
    assert_ok(hora_json_parse(&r, s.s, strcspn(s.s, "\n"), "a line"));
    const double share = tool_number(hora_json_get(r, "shares"), "1");
    assert_true(share > 0.45 && share < 0.55);
    const hora_image_options how = {.mask = true};
    assert_ok(hora_image_load(&im, hora_json_string(hora_json_get(r, "mask"), NULL), &how, NULL));
    assert_int_equal(im.width, SIDE);
    assert_int_equal(im.px[0], 0);
    assert_int_equal(im.px[SIDE - 1], 1);
    hora_image_release(&im);
    assert_ok(
        hora_image_load(&im, hora_json_string(hora_json_get(r, "overlay"), NULL), NULL, NULL));
    assert_int_equal(im.px[0], 23); /* as it was; the other class is coloured */
    assert_true(im.px[3 * (SIDE - 1)] > im.px[3 * (SIDE - 1) + 1]);
    hora_image_release(&im);
    hora_json_free(r);
    hora_str_release(&s);
    tool_check(9, NULL, "name a folder that is not",
               "predict --model '%s' '%s/images/a/3.png' --overlays '%s'", out, dir, over);
}

/* Pixel accuracy of a model, with what else is given. */
static double accuracy(const char *model, const char *more, const char *data) {
    hora_json *r = tool_json("eval --model '%s' %s --data '%s' --json", model, more, data);
    const double a = tool_number(r, "pixel_accuracy");
    hora_json_free(r);
    return a;
}

/* Trained whole or merged, either head's folder is opened again and judges as before. */
static void kept(void **state) {
    static const char *const heads[] = {"linear", "upsampled"};
    const char *data = set("kept", 4, SIDE, 1);
    const char *whole = hora_test_path(hora_test_tmp(), "whole"),
               *a = hora_test_path(hora_test_tmp(), "adapter"),
               *merged = hora_test_path(hora_test_tmp(), "merged");
    const char *adapter = hora_test_text("--adapter '%s'", a);
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(heads); i++) {
        for (int full = 0; full < 2; full++)
            tool_check(0, NULL, NULL,
                       "train --model '%s' --data '%s' --task segment --segment-head %s --method "
                       "%s --lr 1e-2 --steps 40 --batch-size 4 --out '%s' --overwrite",
                       base(), data, heads[i], full ? "full" : "lora", full ? whole : a);
        assert_true(accuracy(whole, "", data) > 0.9);
        tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s' --overwrite",
                   base(), a, merged);
        const double want = accuracy(base(), adapter, data);
        assert_true(want > 0.9);
        assert_true(fabs(accuracy(merged, "", data) - want) < 1e-9);
    }
}

/* The model's head is of other classes than the adapter's, which counts: nothing is said of a new
 * one. */
static void brought(void **state) {
    const char *two = hora_test_path(hora_test_tmp(), "two"),
               *a = hora_test_path(hora_test_tmp(), "of_three");
    const char *data = set("three", 4, SIDE, 2);
    hora_str said = {0};
    (void)state;
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --task segment --method full --steps 1 --batch-size "
               "4 --out '%s'",
               base(), set("of_two", 4, SIDE, 1), two);
    tool_check(0, NULL, "a new head for 3 is trained",
               "train --model '%s' --data '%s' --method lora --steps 1 --batch-size 4 --out '%s'",
               two, data, a);
    tool_text(&said, "eval --model '%s' --adapter '%s' --data '%s' 2>&1", two, a, data);
    tool_text(&said, "predict --model '%s' --adapter '%s' '%s/images/a/1.png' 2>&1", two, a, data);
    assert_non_null(strstr(said.s, "miou"));
    assert_null(strstr(said.s, "a new one is trained"));
    hora_str_release(&said);
}

/* What `hora data` says of a set: its classes, and how many masks hold each. */
static void seen(void **state) {
    const char *dir = set("seen", 3, SIDE, 2), *bad = set("seen_binary", 1, SIDE, 255);
    const char *plain = hora_test_path(dir, "images");
    (void)state;
    hora_json *r = tool_json("data '%s' --task segment --json", dir);
    assert_int_equal(hora_json_len(hora_json_get(r, "classes")), 3);
    assert_true(tool_number(hora_json_get(r, "counts"), "0") == 3);
    assert_true(tool_number(hora_json_get(r, "counts"), "2") == 1);
    hora_json_free(r);
    assert_ok(hora_file_write(hora_test_path(dir, "classes.txt"), "a\nb\nc\nd\n", 8));
    tool_check(0, "4 classes", NULL, "data '%s'", dir);
    r = tool_json("data '%s' --task segment --json", dir);
    assert_true(tool_number(hora_json_get(r, "counts"), "a") == 3);
    assert_true(tool_number(hora_json_get(r, "counts"), "b") == 2);
    assert_true(tool_number(hora_json_get(r, "counts"), "d") == 0);
    hora_json_free(r);
    assert_ok(hora_file_write(hora_test_path(dir, "classes.txt"), "a\nb\n", 4));
    tool_check(4, "unreadable: ", "are unreadable, and a training refuses",
               "data '%s' --task segment", dir);
    tool_check(0, "unreadable: ", "", "data '%s' --task segment --skip-bad", dir);
    tool_check(4, "", "255 does not count; write 1", "data '%s' --task segment", bad);
    tool_check(2, "", "has no mask", "data '%s' --task segment", plain);
}

HORA_TESTS(cli_segment, {"sets that are none", refused, HORA_SHORT},
           {"pictures and masks move together", together, HORA_SHORT},
           {"from a list to overlays", drawn, HORA_SHORT},
           {"a head in further training", trained_again, HORA_SHORT},
           {"heads that are kept", kept, HORA_SHORT},
           {"a head that an adapter brings", brought, HORA_SHORT},
           {"hora data of masks", seen, HORA_SHORT});
