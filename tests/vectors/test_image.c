/*
 * Pictures against Pillow: the levels of decoded files (../shared/cases/vision-*,
 * ../shared/data/jpeg, and the small set in files/image, made by
 * tools/oracle/make_image_vectors.py). Tolerances are those of the cases.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/pixels.h"
#include "format/image.h"
#include "format/safetensors.h"
#include "hora_test.h"
#include "image_libraries.h"

/* Largest difference between a picture and the (height, width, 3) tensor `name`; shapes must
 * agree. */
static int difference(const hora_image *im, const hora_st_tensor *t) {
    const hora_view *v = &t->view;
    int worst = 0;
    if (!hora_shape_equal(&v->shape, &HORA_SHAPE3(im->height, im->width, im->channels)))
        fail_msg("%s: is %d x %d x %d", t->name, (int)im->height, (int)im->width, im->channels);
    for (size_t i = 0; i < hora_image_bytes(im); i++) {
        int d = abs(im->px[i] - ((const uint8_t *)v->data)[i]);
        worst = d > worst ? d : worst;
    }
    return worst;
}

/* Every tensor PREFIX.NAME of FOLDER/expected.safetensors is the picture FOLDER/images/NAME.
 * Returns how many there were. */
static int compare_all(const char *folder, const char *prefix, const hora_image_options *o,
                       int tolerance) {
    hora_st *st;
    int n = 0, worst = 0;
    assert_ok(hora_st_open(&st, hora_test_path(folder, "expected.safetensors")));
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        if (!hora_starts(t->name, prefix))
            continue;
        const char *path =
            hora_test_path(hora_test_path(folder, "images"), t->name + strlen(prefix));
        hora_image im;
        if (hora_ends(path, ".gif")) {
            assert_fails(hora_image_load(&im, path, o, NULL), HORA_EUNSUPPORTED, "GIF");
            continue;
        }
        assert_ok(hora_image_load(&im, path, o, NULL));
        int d = difference(&im, t);
        if (d > tolerance)
            fail_msg("%s: off by %d levels", path, d);
        worst = d > worst ? d : worst;
        hora_image_release(&im);
        n++;
    }
    hora_st_close(st);
    print_message("%s %s: %d pictures, largest difference %d\n", hora_path_base(folder), prefix, n,
                  worst);
    return n;
}

static void decode_cases(void **state) {
    (void)state;
    need_image_libraries();
    static const char *const cases[] = {
        "animated",           "exif-orientation",     "extreme-shapes",    "icc-profile",
        "jpeg-colour-spaces", "jpeg-entropy-codings", "names-and-endings", "png-16-bit",
        "png-few-bits",       "transparency"};
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        char *name = hora_format("cases/vision-%s", cases[i]);
        const char *folder = hora_test_shared(name);
        assert_true(compare_all(folder, "pixels.", NULL, 2) > 0);
        if (!strcmp(cases[i], "transparency"))
            assert_true(compare_all(folder, "white.", &(hora_image_options){.white = true}, 2) > 0);
        hora_free(name);
    }
}

static void jpeg_set(void **state) {
    (void)state;
    need_image_libraries();
    const char *folder = hora_test_shared("data/jpeg");
    char **names;
    int n, seen = 0, worst = 0;
    assert_ok(hora_list_dir(folder, &names, &n));
    for (int i = 0; i < n; i++) {
        if (!hora_ends(names[i], ".jpg"))
            continue;
        hora_image im, want;
        char *ppm = hora_format("%.*s.ppm", (int)strlen(names[i]) - 4, names[i]);
        assert_ok(hora_image_load(&im, hora_test_path(folder, names[i]), NULL, NULL));
        assert_ok(hora_image_load(&want, hora_test_path(folder, ppm), NULL, NULL));
        assert_int_equal(im.width, want.width);
        assert_int_equal(im.height, want.height);
        for (size_t k = 0; k < hora_image_bytes(&im); k++) {
            int d = abs(im.px[k] - want.px[k]);
            worst = d > worst ? d : worst;
        }
        hora_image_release(&im);
        hora_image_release(&want);
        hora_free(ppm);
        seen++;
    }
    hora_list_free(names, n);
    print_message("data/jpeg: %d pictures, largest difference %d\n", seen, worst);
    assert_true(seen >= 70);
    assert_true(worst <= 2);
}

static void own_set(void **state) {
    (void)state;
    need_image_libraries();
    const char *folder = hora_test_source("tests/vectors/files/image");
    assert_int_equal(compare_all(folder, "pixels.", NULL, 2), 40);
    assert_int_equal(compare_all(folder, "white.", &(hora_image_options){.white = true}, 2), 7);
}

/* The list `key` of the case: each file is read, or refused with a reason and what to do. */
static void check_list(const char *folder, const hora_json *expect, const char *key, bool read) {
    const hora_json *list = hora_json_get(expect, key);
    assert_true(hora_json_len(list) > 0);
    for (size_t i = 0; i < hora_json_len(list); i++) {
        const char *name = hora_json_string(hora_json_at(list, i), NULL);
        const char *path = hora_test_path(hora_test_path(folder, "images"), name);
        hora_image im;
        if (read) {
            assert_ok(hora_image_load(&im, path, NULL, NULL));
            hora_image_release(&im);
        } else {
            assert_fails(hora_image_load(&im, path, NULL, NULL), HORA_EFORMAT, name);
            assert_non_null(strstr(hora_errmsg(), "; "));
        }
    }
}

static void broken_files(void **state) {
    (void)state;
    need_image_libraries();
    const char *folder = hora_test_shared("cases/vision-files-broken");
    hora_json *root;
    assert_ok(hora_json_load(&root, hora_test_path(folder, "case.json")));
    const hora_json *expect = hora_json_get(root, "expect");
    check_list(folder, expect, "readable", true);
    check_list(folder, expect, "unreadable", false);
    hora_json_free(root);
}

/* --- operations on pixels --------------------------------------------------------------------- */

static void copy_tensor(hora_image *im, const hora_st *st, const char *name) {
    const hora_st_tensor *t = hora_st_find(st, name);
    assert_non_null(t);
    assert_ok(hora_image_init(im, t->view.shape.d[1], t->view.shape.d[0], 3));
    memcpy(im->px, t->view.data, t->bytes);
}

static hora_status resize(hora_image *im, const char *const *arg, const double *v) {
    hora_image out;
    HORA_TRY(hora_image_resize(&out, im, (int64_t)v[1], (int64_t)v[2],
                               (hora_resample)hora_resample_find(arg[0])));
    hora_image_release(im);
    *im = out;
    return HORA_OK;
}
static hora_status affine(hora_image *im, const char *const *arg, const double *v) {
    (void)arg;
    return hora_image_affine(im, v);
}
static hora_status rotate(hora_image *im, const char *const *arg, const double *v) {
    (void)arg;
    return hora_image_rotate(im, v[0]);
}
static hora_status sharpness(hora_image *im, const char *const *arg, const double *v) {
    (void)arg;
    return hora_image_sharpness(im, v[0]);
}
#define IN_PLACE(name, call)                                                                       \
    static hora_status name(hora_image *im, const char *const *arg, const double *v) {             \
        (void)arg;                                                                                 \
        (void)v;                                                                                   \
        call;                                                                                      \
        return HORA_OK;                                                                            \
    }
IN_PLACE(brightness, hora_image_brightness(im, v[0]))
IN_PLACE(contrast, hora_image_contrast(im, v[0]))
IN_PLACE(saturation, hora_image_saturation(im, v[0]))
IN_PLACE(hue, hora_image_hue(im, v[0]))
IN_PLACE(posterize, hora_image_posterize(im, (int)v[0]))
IN_PLACE(solarize, hora_image_solarize(im, (int)v[0]))
IN_PLACE(autocontrast, hora_image_autocontrast(im))
IN_PLACE(equalize, hora_image_equalize(im))
IN_PLACE(flip, hora_image_flip(im))

static const struct operation {
    const char *name, *of;
    hora_status (*run)(hora_image *, const char *const *arg, const double *v);
} operations[] = {
    {"resize", "picture", resize},
    {"affine", "picture", affine},
    {"rotate", "picture", rotate},
    {"sharpness", "picture", sharpness},
    {"brightness", "picture", brightness},
    {"contrast", "picture", contrast},
    {"saturation", "picture", saturation},
    {"hue", "picture", hue},
    {"posterize", "picture", posterize},
    {"solarize", "picture", solarize},
    {"equalize", "equalize_of", equalize},
    {"autocontrast", "autocontrast_of", autocontrast},
    {"flip", "picture", flip},
};

static const struct operation *find_operation(const char *name) {
    for (size_t i = 0; i < HORA_COUNT(operations); i++)
        if (!strcmp(name, operations[i].name))
            return &operations[i];
    return NULL;
}

/* Bit for bit: Pillow's 8-bit arithmetic is part of what a model was trained on. */
static void operations_on_pixels(void **state) {
    (void)state;
    hora_st *st;
    assert_ok(
        hora_st_open(&st, hora_test_source("tests/vectors/files/image/operations.safetensors")));
    int seen = 0;
    for (int i = 0; i < hora_st_count(st); i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        char *words = hora_strdup(t->name), *rest = words;
        const char *name = strsep(&rest, "/"), *arg[6] = {0};
        double v[6] = {0};
        for (int k = 0; k < 6 && rest; k++) {
            arg[k] = strsep(&rest, "/");
            v[k] = strtod(arg[k], NULL);
        }
        const struct operation *op = find_operation(name);
        if (op) {
            hora_image im;
            copy_tensor(&im, st, op->of);
            assert_ok(op->run(&im, arg, v));
            int d = difference(&im, t);
            if (d)
                fail_msg("%s: off by %d levels", t->name, d);
            hora_image_release(&im);
            seen++;
        }
        hora_free(words);
    }
    hora_st_close(st);
    assert_int_equal(seen, 48 + 24 + 5 + 4 + 3 + 3 + 6 + 5);
}

HORA_TESTS(vectors_image, {"decoded levels of the cases", decode_cases, HORA_SHORT},
           {"the JPEG set", jpeg_set, HORA_SHORT}, {"the small set", own_set, HORA_SHORT},
           {"broken files", broken_files, HORA_SHORT},
           {"operations on pixels", operations_on_pixels, HORA_SHORT});
