/* Augmentation: functions of (seed, epoch, index); within their bounds; what is off changes
 * nothing. */
#include <math.h>

#include "data/augment.h"
#include "hora_test.h"

static void make(hora_image *im, int64_t w, int64_t h) {
    assert_ok(hora_image_init(im, w, h, 3));
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            uint8_t *p = im->px + (y * w + x) * 3;
            p[0] = (uint8_t)(5 * x);
            p[1] = (uint8_t)(7 * y);
            p[2] = (uint8_t)(x * y);
        }
}

static const hora_augment everything = {.crop = true,
                                        .flip = 0.5,
                                        .brightness = 0.4,
                                        .contrast = 0.4,
                                        .saturation = 0.4,
                                        .hue = 0.1,
                                        .ops = 2,
                                        .magnitude = 9,
                                        .erase = 0.5,
                                        .mixup = 0.2,
                                        .cutmix = 1};

static void processor(hora_image_processor *p, const char *name) {
    assert_ok(hora_image_processor_default(p, name));
    p->height = p->width = p->crop_height = p->crop_width = 16;
}

static uint64_t fingerprint(const hora_augment *a, const hora_image *im, uint64_t seed,
                            int64_t epoch, int64_t index) {
    hora_image_processor p;
    hora_image out;
    processor(&p, "ViT");
    assert_ok(hora_augment_picture(a, &p, im, false, seed, epoch, index, &out));
    assert_int_equal(out.width, 16);
    assert_int_equal(out.height, 16);
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < hora_image_bytes(&out); i++)
        sum = (sum ^ out.px[i]) * 1099511628211u;
    hora_image_release(&out);
    return sum;
}

static void repeats(void **state) {
    (void)state;
    hora_image im;
    make(&im, 40, 30);
    uint64_t one = fingerprint(&everything, &im, 1, 2, 3);
    (void)fingerprint(&everything, &im, 9, 9, 9);
    assert_true(fingerprint(&everything, &im, 1, 2, 3) == one);
    assert_true(fingerprint(&everything, &im, 2, 2, 3) != one);
    assert_true(fingerprint(&everything, &im, 1, 3, 3) != one);
    assert_true(fingerprint(&everything, &im, 1, 2, 4) != one);
    hora_image_release(&im);
}

static void off_is_evaluation(void **state) {
    (void)state;
    static const hora_augment off = {0};
    hora_image im, want, got;
    hora_image_processor p;
    make(&im, 40, 30);
    processor(&p, "CLIP");
    assert_ok(hora_image_processor_fit(&p, &im, &want));
    assert_ok(hora_augment_picture(&off, &p, &im, false, 1, 2, 3, &got));
    assert_int_equal(hora_image_bytes(&got), hora_image_bytes(&want));
    assert_memory_equal(got.px, want.px, hora_image_bytes(&want));
    assert_int_equal(hora_augment_mix(&off, 16, 16, 1, 2, 3).kind, HORA_MIX_NONE);
    hora_image_release(&got);
    hora_image_release(&want);
    p.crop = false; /* every picture a size of its own */
    p.fit = HORA_FIT_SHORTEST;
    assert_fails(hora_augment_picture(&off, &p, &im, false, 1, 2, 3, &got), HORA_EUSAGE,
                 "do_center_crop");
    hora_image_release(&im);
}

/* A stage switched on leaves the draws of the others as they were. */
static void stages_are_independent(void **state) {
    (void)state;
    const hora_augment crop = {.crop = true, .flip = 0.5};
    for (int i = 0; i < 50; i++) {
        hora_augment_view a = hora_augment_draw(&crop, 40, 30, 1, 0, i),
                          b = hora_augment_draw(&everything, 40, 30, 1, 0, i);
        assert_memory_equal(&a.from, &b.from, sizeof a.from);
        assert_int_equal(a.flip, b.flip);
    }
}

static void parts_are_within_bounds(void **state) {
    (void)state;
    static const int sizes[][2] = {{40, 30}, {1, 1}, {300, 1}, {1, 300}, {7, 900}};
    const hora_augment a = {.crop = true, .flip = 0.5};
    int flips = 0, whole = 0;
    double least = 1, most = 0;
    for (size_t k = 0; k < HORA_COUNT(sizes); k++)
        for (int i = 0; i < 400; i++) {
            int w = sizes[k][0], h = sizes[k][1];
            hora_augment_view v = hora_augment_draw(&a, w, h, 5, 1, i);
            assert_true(v.from.x >= 0 && v.from.y >= 0 && v.from.width >= 1 && v.from.height >= 1);
            assert_true(v.from.x + v.from.width <= w && v.from.y + v.from.height <= h);
            double share = (double)(v.from.width * v.from.height) / (w * h),
                   ratio = (double)v.from.width / (double)v.from.height;
            if (k == 0) { /* rounding of sides moves both a little */
                assert_true(share > 0.06 && share <= 1);
                assert_true(ratio > 0.65 && ratio < 1.55);
                least = fmin(least, share);
                most = fmax(most, share);
                flips += v.flip;
                whole += share == 1;
            }
        }
    assert_true(flips > 140 && flips < 260); /* 400 coins: within 6 deviations */
    assert_true(least < 0.15 && most > 0.85 && whole < 40);
}

/* Strengths from none to all, every picture shape: nothing leaves the picture, nothing reads
 * beside it. */
static void every_operation_on_every_shape(void **state) {
    (void)state;
    static const int sizes[][2] = {{16, 16}, {1, 1}, {1, 9}, {9, 1}, {2, 2}};
    for (size_t k = 0; k < HORA_COUNT(sizes); k++) {
        hora_image im;
        make(&im, sizes[k][0], sizes[k][1]);
        for (int i = 0; i < 200; i++) {
            hora_augment a = everything;
            a.ops = 4;
            a.magnitude = i % 31;
            (void)fingerprint(&a, &im, 7, 0, i);
        }
        hora_image_release(&im);
    }
}

static void erased_rectangles(void **state) {
    (void)state;
    const hora_augment a = {.erase = 1};
    float v[3 * 20 * 24];
    int touched = 0;
    for (int i = 0; i < 100; i++) {
        for (size_t k = 0; k < HORA_COUNT(v); k++)
            v[k] = 1;
        hora_augment_erase(&a, v, 20, 24, 3, 0, i);
        int n = 0;
        for (int k = 0; k < 480; k++) {
            n += v[k] == 0;
            assert_true(v[k] == v[480 + k] && v[k] == v[960 + k]); /* all channels */
        }
        assert_true(n <= 0.4 * 480);
        touched += n > 0;
    }
    assert_true(touched >= 95);
    const hora_augment never = {0};
    v[0] = 1;
    hora_augment_erase(&never, v, 20, 24, 3, 0, 0);
    assert_true(v[0] == 1);
}

/* Samples are constant, so that every value says how much of whom it holds. */
static void mixing(void **state) {
    (void)state;
    enum { N = 5, H = 6, W = 8, S = 3 * H * W };
    int kinds[3] = {0};
    double sum = 0;
    for (int step = 0; step < 300; step++) {
        float b[N * S];
        for (int i = 0; i < N * S; i++)
            b[i] = (float)(i / S);
        hora_mix m = hora_augment_mix(&everything, H, W, 1, 0, step);
        kinds[m.kind]++;
        assert_true(m.lambda >= 0 && m.lambda <= 1);
        hora_mix_apply(&m, b, N, H, W);
        for (int i = 0; i < N; i++) {
            double mean = 0;
            for (int k = 0; k < S; k++)
                mean += b[i * S + k];
            double want = m.lambda * i + (1 - m.lambda) * (N - 1 - i);
            assert_true(fabs(mean / S - want) < 1e-5);
        }
        sum += m.lambda;
    }
    assert_int_equal(kinds[HORA_MIX_NONE], 0);
    assert_true(kinds[HORA_MIX_UP] > 100 && kinds[HORA_MIX_CUT] > 100);
    assert_true(sum / 300 > 0.4 && sum / 300 < 0.75);
    const hora_augment flat = {.mixup = 1}; /* Beta(1, 1): mean 1/2, variance 1/12 */
    double mean = 0, square = 0;
    for (int i = 0; i < 4000; i++) {
        double l = hora_augment_mix(&flat, H, W, 2, 0, i).lambda;
        mean += l / 4000;
        square += l * l / 4000;
    }
    assert_true(fabs(mean - 0.5) < 0.03);
    assert_true(fabs(square - mean * mean - 1.0 / 12) < 0.01);
}

static void refuses(void **state) {
    (void)state;
    assert_ok(hora_augment_check(&everything));
    assert_ok(hora_augment_check(&(hora_augment){0}));
    assert_fails(hora_augment_check(&(hora_augment){.flip = 1.5}), HORA_EUSAGE, "probability");
    assert_fails(hora_augment_check(&(hora_augment){.erase = NAN}), HORA_EUSAGE, "probability");
    assert_fails(hora_augment_check(&(hora_augment){.contrast = -1}), HORA_EUSAGE, "strength");
    assert_fails(hora_augment_check(&(hora_augment){.hue = 0.6}), HORA_EUSAGE, "hue");
    assert_fails(hora_augment_check(&(hora_augment){.magnitude = 31}), HORA_EUSAGE, "30");
    assert_fails(hora_augment_check(&(hora_augment){.crop_scale = {0.5, 0.2}}), HORA_EUSAGE,
                 "range");
}

HORA_TESTS(unit_augment, {"repeats by seed, epoch and index", repeats, HORA_SHORT},
           {"off is evaluation", off_is_evaluation, HORA_SHORT},
           {"stages are independent", stages_are_independent, HORA_SHORT},
           {"parts are within bounds", parts_are_within_bounds, HORA_SHORT},
           {"every operation on every shape", every_operation_on_every_shape, HORA_SHORT},
           {"erased rectangles", erased_rectangles, HORA_SHORT}, {"mixing", mixing, HORA_SHORT},
           {"refuses", refuses, HORA_SHORT});
