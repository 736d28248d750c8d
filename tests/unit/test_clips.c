/* Clips: which folders are some, the order of frames, which of them a model takes. */
#include "data/clips.h"

#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "data/image_loader.h"
#include "data/image_processor.h"
#include "hora_test.h"

/* A row of two pixels, dark and bright, so that a flip shows. */
static void put(const char *name) {
    const char pgm[] = {'P', '5', ' ', '2', ' ', '1', ' ', '2', '5', '5', ' ', 10, 90};
    const char *path = hora_test_path(hora_test_tmp(), name);
    char *dir = hora_path_dir(path);
    assert_ok(hora_mkdirs(dir));
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(pgm, 1, sizeof pgm, f), sizeof pgm);
    fclose(f);
    hora_free(dir);
}

static void open_clips(hora_images **set, hora_clips *c, const char *name, bool labelled) {
    const char *path = hora_test_path(hora_test_tmp(), name);
    assert_ok(hora_images_open(set, path, NULL));
    assert_ok(hora_clips_open(c, *set, path, labelled));
}

static const char *frame(const hora_images *set, int64_t i) {
    return hora_path_base(hora_images_name(set, i));
}

static void order_and_choice(void **state) {
    (void)state;
    hora_images *set;
    hora_clips c;
    for (int i = 1; i <= 12; i++) {
        put(hora_test_text("set/jump/one/f%d.pgm", i));
        if (i < 3)
            put(hora_test_text("set/run/two/f00%d.pgm", i));
    }
    open_clips(&set, &c, "set", true);
    assert_int_equal(c.n, 2);
    assert_true(c.classed);
    assert_true(hora_ends(c.name[0], "set/jump/one"));
    for (int i = 0; i < 12; i++) /* f2 before f10 */
        assert_string_equal(frame(set, c.frame[i]), hora_test_text("f%d.pgm", i + 1));
    /* the middles of four parts of twelve: 1.5, 4.5, 7.5, 10.5 */
    static const char *const want[] = {"f2.pgm", "f5.pgm", "f8.pgm", "f11.pgm"};
    for (int k = 0; k < 4; k++)
        assert_string_equal(frame(set, hora_clips_frame(&c, 0, k, 4, 0.5)), want[k]);
    /* a short one repeats */
    static const char *const twice[] = {"f001.pgm", "f001.pgm", "f002.pgm", "f002.pgm"};
    for (int k = 0; k < 4; k++)
        assert_string_equal(frame(set, hora_clips_frame(&c, 1, k, 4, 0.5)), twice[k]);
    for (int e = 0; e < 50; e++) /* in training any of its part, in order, and none beyond */
        for (int k = 0; k < 4; k++) {
            const double at = hora_clips_draw(7, e, 0, k);
            const int64_t i = hora_clips_frame(&c, 0, k, 4, at);
            assert_true(at >= 0 && at < 1 && at == hora_clips_draw(7, e, 0, k));
            int64_t place = 0;
            while (c.frame[place] != i)
                place++;
            assert_true(place >= 3 * k && place < 3 * k + 3);
        }
    assert_true(hora_clips_draw(7, 0, 0, 0) != hora_clips_draw(7, 1, 0, 0));
    assert_true(hora_clips_draw(7, 0, 0, 0) != hora_clips_draw(8, 0, 0, 0));
    hora_clips_release(&c);
    hora_images_close(set);
}

static void what_is_none(void **state) {
    (void)state;
    hora_images *set;
    hora_clips c;
    put("flat/jump/1.pgm");
    put("flat/jump/2.pgm");
    const char *path = hora_test_path(hora_test_tmp(), "flat");
    assert_ok(hora_images_open(&set, path, NULL));
    assert_fails(hora_clips_open(&c, set, path, true), HORA_EUSAGE, "each clip is a folder");
    assert_ok(hora_clips_open(&c, set, path, false)); /* a folder of clips without classes */
    assert_int_equal(c.n, 1);
    assert_false(c.classed);
    hora_clips_release(&c);
    hora_images_close(set);
    path = hora_test_path(path, "jump"); /* a clip by itself */
    assert_ok(hora_images_open(&set, path, NULL));
    assert_ok(hora_clips_open(&c, set, path, false));
    assert_int_equal(c.n, 1);
    assert_int_equal(c.first[1], 2);
    hora_clips_release(&c);
    hora_images_close(set);
}

/* Frames of one clip are flipped alike. */
static void changed_alike(void **state) {
    (void)state;
    hora_images *set;
    hora_image_processor p;
    hora_image_loader *l;
    for (int i = 0; i < 6; i++)
        put(hora_test_text("alike/a/b/%d.pgm", i));
    assert_ok(hora_images_open(&set, hora_test_path(hora_test_tmp(), "alike"), NULL));
    assert_ok(hora_image_processor_default(&p, "ViT"));
    p.width = 2;
    p.height = 1;
    const hora_augment a = {.flip = 0.5};
    const hora_image_loader_config lc = {.set = set, .processor = &p, .augment = &a, .seed = 3};
    assert_ok(hora_image_loader_open(&l, &lc));
    int flipped = 0;
    for (int64_t epoch = 0; epoch < 20; epoch++) {
        float first[6], other[6];
        assert_ok(hora_image_loader_frame(l, epoch, 0, 0, first));
        for (int64_t i = 1; i < 6; i++) {
            assert_ok(hora_image_loader_frame(l, epoch, 0, i, other));
            assert_memory_equal(first, other, sizeof first);
        }
        flipped += first[0] > first[1];
    }
    assert_true(flipped > 0 && flipped < 20);
    hora_image_loader_close(l);
    hora_images_close(set);
}

HORA_TESTS(unit_clips, {"order of frames, and which are taken", order_and_choice, HORA_SHORT},
           {"folders that are no clips", what_is_none, HORA_SHORT},
           {"frames of a clip are changed alike", changed_alike, HORA_SHORT});
