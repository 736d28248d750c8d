/* Pixel values against transformers' PIL backend and timm: ../shared/cases/vision-preprocess-*,
 * vision-timm-pretrained-cfg and the pixel_values of the decoding cases. */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "data/image_processor.h"
#include "format/safetensors.h"
#include "hora_test.h"
#include "image_libraries.h"

/* Largest difference in levels: the values of neighbouring levels are `step` apart. */
static double compare(const hora_image_processor *p, const hora_image *im, const float *want,
                      const hora_shape *shape, const char *what) {
    int64_t w, h;
    hora_image_processor_size(p, im->width, im->height, &w, &h);
    if (!hora_shape_equal(shape, &HORA_SHAPE3(3, h, w)))
        fail_msg("%s: is %d x %d", what, (int)h, (int)w);
    float *got = hora_malloc((size_t)(3 * h * w) * sizeof *got);
    assert_ok(hora_image_processor_run(p, im, got));
    double worst = 0;
    for (int64_t i = 0; i < 3 * h * w; i++) {
        double step = fabs((double)p->value[i / (h * w)][1] - p->value[i / (h * w)][0]);
        worst = fmax(worst, fabs((double)got[i] - want[i]) / step);
        assert_true(got[i] == got[i]);
    }
    hora_free(got);
    return worst;
}

/* Every folder of the case's configs, over its image. */
static void run_case(const char *name) {
    char *relative = hora_format("cases/%s", name);
    const char *folder = hora_test_shared(relative), *configs = hora_test_path(folder, "configs");
    hora_free(relative);
    char **names;
    int n;
    double worst = 0;
    hora_st *st;
    hora_image im;
    assert_ok(hora_list_dir(configs, &names, &n));
    assert_ok(hora_st_open(&st, hora_test_path(folder, "expected.safetensors")));
    assert_ok(hora_image_load(&im, hora_test_path(folder, "image.png"), NULL, NULL));
    for (int i = 0; i < n; i++) {
        hora_image_processor p;
        const hora_st_tensor *t = hora_st_find(st, names[i]);
        assert_non_null(t);
        assert_ok(hora_image_processor_load(&p, hora_test_path(configs, names[i])));
        double d = compare(&p, &im, t->view.data, &t->view.shape, names[i]);
        if (!(d <= 1.001))
            fail_msg("%s %s: off by %g levels", name, names[i], d);
        worst = fmax(worst, d);
    }
    print_message("%s: %d configurations, largest difference %.3g levels\n", name, n, worst);
    assert_true(n >= 6);
    hora_image_release(&im);
    hora_st_close(st);
    hora_list_free(names, n);
}

static void processors(void **state) {
    (void)state;
    need_image_libraries();
    static const char *const cases[] = {
        "vision-preprocess-families", "vision-preprocess-normalisation",
        "vision-preprocess-resample", "vision-preprocess-sizes", "vision-timm-pretrained-cfg"};
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        run_case(cases[i]);
}

/* Row i of `tensor` is the i-th file of the case's order. */
static void compare_rows(const char *folder, const hora_json *order, const hora_st *st,
                         const char *tensor, const hora_image_processor *p,
                         const hora_image_options *o) {
    const hora_st_tensor *t = hora_st_find(st, tensor);
    assert_non_null(t);
    const hora_shape one = HORA_SHAPE3(3, t->view.shape.d[2], t->view.shape.d[3]);
    double worst = 0;
    for (size_t i = 0; i < hora_json_len(order); i++) {
        const char *name = hora_json_string(hora_json_at(order, i), NULL);
        hora_image im;
        assert_ok(
            hora_image_load(&im, hora_test_path(hora_test_path(folder, "images"), name), o, NULL));
        worst =
            fmax(worst,
                 compare(p, &im, (const float *)t->view.data + (int64_t)i * 3 * one.d[1] * one.d[2],
                         &one, name));
        hora_image_release(&im);
    }
    print_message("%s %s: largest difference %.3g levels\n", hora_path_base(folder), tensor, worst);
    assert_true(worst <= 2.55); /* 0.02 of the case's tolerance, over steps of 2/255 */
}

static void decoded_files(void **state) {
    (void)state;
    need_image_libraries();
    static const char *const cases[] = {
        "animated",           "exif-orientation",     "extreme-shapes",    "icc-profile",
        "jpeg-colour-spaces", "jpeg-entropy-codings", "names-and-endings", "png-16-bit",
        "png-few-bits",       "transparency"};
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        char *name = hora_format("cases/vision-%s", cases[i]);
        const char *folder = hora_test_shared(name);
        hora_json *root;
        hora_st *st;
        hora_image_processor p;
        assert_ok(hora_json_load(&root, hora_test_path(folder, "case.json")));
        assert_ok(hora_st_open(&st, hora_test_path(folder, "expected.safetensors")));
        assert_ok(hora_image_processor_load(&p, hora_test_path(folder, "model")));
        const hora_json *order = hora_json_get(root, "order");
        compare_rows(folder, order, st, "pixel_values", &p, NULL);
        if (hora_st_find(st, "pixel_values_ignoring_orientation"))
            compare_rows(folder, order, st, "pixel_values_ignoring_orientation", &p,
                         &(hora_image_options){.no_exif = true});
        if (hora_st_find(st, "pixel_values_shortest_edge")) {
            p.fit = HORA_FIT_SHORTEST;
            p.shortest = p.crop_height = p.crop_width = 16;
            p.crop = true;
            compare_rows(folder, order, st, "pixel_values_shortest_edge", &p, NULL);
        }
        hora_st_close(st);
        hora_json_free(root);
        hora_free(name);
    }
}

/* Random configurations of every class, made by tools/oracle/make_image_vectors.py. */
static void random_configurations(void **state) {
    (void)state;
    const char *folder = hora_test_source("tests/vectors/files/image");
    hora_json *root;
    hora_st *st;
    int n = 0;
    assert_ok(hora_json_load(&root, hora_test_path(folder, "processors.json")));
    assert_ok(hora_st_open(&st, hora_test_path(folder, "processors.safetensors")));
    for (void *it = hora_json_iter(root); it; it = hora_json_next(root, it), n++) {
        char *picture = hora_format("%s.picture", hora_json_iter_key(it)),
             *values = hora_format("%s.values", hora_json_iter_key(it));
        const hora_view *px = &hora_st_find(st, picture)->view,
                        *want = &hora_st_find(st, values)->view;
        hora_image_processor p;
        hora_image im = {
            .px = px->data, .width = px->shape.d[1], .height = px->shape.d[0], .channels = 3};
        assert_ok(hora_image_processor_parse(&p, hora_json_iter_value(it), picture));
        double d = compare(&p, &im, want->data, &want->shape, picture);
        if (d != 0)
            fail_msg("%s: off by %g levels", picture, d);
        hora_free(picture);
        hora_free(values);
    }
    assert_true(n >= 40);
    hora_st_close(st);
    hora_json_free(root);
}

HORA_TESTS(vectors_image_processor, {"configurations", processors, HORA_SHORT},
           {"decoded files", decoded_files, HORA_SHORT},
           {"random configurations", random_configurations, HORA_SHORT});
