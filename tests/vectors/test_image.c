/*
 * Pictures against Pillow: the levels of decoded files (../shared/cases/vision-*, ../shared/data/jpeg, and the small set in
 * files/image, made by tools/oracle/make_image_vectors.py). Tolerances are those of the cases.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "format/image.h"
#include "format/safetensors.h"
#include "hora_test.h"
#include "image_libraries.h"

/* Largest difference between a picture and the (height, width, 3) tensor `name`; shapes must agree. */
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

/* Every tensor PREFIX.NAME of FOLDER/expected.safetensors is the picture FOLDER/images/NAME. Returns how many there were. */
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

HORA_TESTS(vectors_image, {"decoded levels of the cases", decode_cases, HORA_SHORT},
           {"the JPEG set", jpeg_set, HORA_SHORT}, {"the small set", own_set, HORA_SHORT},
           {"broken files", broken_files, HORA_SHORT});
