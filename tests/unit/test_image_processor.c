/* Image processors that need no files: refusals, folders, stretched pictures of extreme shapes. */
#include "base/file.h"
#include "data/image_processor.h"
#include "hora_test.h"

static hora_status parse(const char *text, bool timm) {
    hora_json *root;
    hora_image_processor p;
    assert_ok(hora_json_parse(&root, text, strlen(text), "p.json"));
    hora_status s =
        (timm ? hora_image_processor_parse_timm : hora_image_processor_parse)(&p, root, "p.json");
    hora_json_free(root);
    return s;
}

#define VIT "{\"image_processor_type\": \"ViTImageProcessor\", "

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool timm;
        hora_status status;
        const char *part;
    } rows[] = {
        {"[]", false, HORA_EFORMAT, "object"},
        {"{}", false, HORA_EFORMAT, "image_processor_type"},
        {"{\"image_processor_type\": \"SamImageProcessor\"}", false, HORA_EUNSUPPORTED,
         "SamImageProcessor"},
        {"{\"image_processor_type\": \"ViTImageProcessorX\"}", false, HORA_EUNSUPPORTED,
         "ViTImageProcessorX"},
        {VIT "\"size\": 0}", false, HORA_EFORMAT, "size"},
        {VIT "\"size\": \"big\"}", false, HORA_EFORMAT, "size"},
        {VIT "\"size\": [1, 2, 3]}", false, HORA_EFORMAT, "size"},
        {VIT "\"size\": {\"longest_edge\": 4}}", false, HORA_EFORMAT, "shortest_edge"},
        {VIT "\"size\": {\"height\": 4}}", false, HORA_EFORMAT, "size"},
        {VIT "\"resample\": 6}", false, HORA_EFORMAT, "resample"},
        {VIT "\"do_resize\": 1}", false, HORA_EFORMAT, "do_resize"},
        {VIT "\"image_std\": [0.5, 0, 0.5]}", false, HORA_EFORMAT, "image_std"},
        {VIT "\"image_mean\": [0.5]}", false, HORA_EFORMAT, "image_mean"},
        {VIT "\"rescale_factor\": 0}", false, HORA_EFORMAT, "rescale_factor"},
        {VIT "\"do_center_crop\": true}", false, HORA_EFORMAT, "crop_size"},
        {VIT "\"do_pad\": true}", false, HORA_EFORMAT, "pad_size"},
        {"{\"image_processor_type\": \"ConvNextImageProcessor\", \"crop_pct\": 0}", false,
         HORA_EFORMAT, "crop_pct"},
        {"{\"pretrained_cfg\": {\"interpolation\": \"cubic\"}}", true, HORA_EFORMAT,
         "interpolation"},
        {"{\"pretrained_cfg\": {\"crop_mode\": \"tile\"}}", true, HORA_EFORMAT, "crop_mode"},
        {"{\"pretrained_cfg\": {\"input_size\": [224]}}", true, HORA_EFORMAT, "input_size"},
        {"{\"pretrained_cfg\": {\"crop_pct\": 2}}", true, HORA_EFORMAT, "crop_pct"},
        {"{\"pretrained_cfg\": {\"std\": [0, 1, 1]}}", true, HORA_EFORMAT, "std"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        assert_fails(parse(rows[i].text, rows[i].timm), rows[i].status, rows[i].part);
        assert_non_null(strstr(hora_errmsg(), "p.json"));
    }
}

static void put(const char *name, const char *text) {
    assert_ok(hora_file_write(hora_test_path(hora_test_tmp(), name), text, strlen(text)));
}

/* processor_config.json before preprocessor_config.json before config.json. */
static void folders(void **state) {
    (void)state;
    hora_image_processor p;
    const char *dir = hora_test_tmp();
    assert_fails(hora_image_processor_load(&p, dir), HORA_ENOTFOUND, "preprocessor_config.json");
    put("config.json", "{\"model_type\": \"vit\"}");
    assert_fails(hora_image_processor_load(&p, dir), HORA_ENOTFOUND, "preprocessor_config.json");
    put("config.json", "{\"architecture\": \"vit\", \"input_size\": [3, 32, 48], \"crop_pct\": "
                       "1.0}"); /* the older form */
    assert_ok(hora_image_processor_load(&p, dir));
    assert_int_equal(p.fit, HORA_FIT_COVER);
    assert_int_equal(p.crop_width, 48);
    assert_int_equal(p.resample, HORA_RESAMPLE_BILINEAR); /* whatever `interpolation` says */
    int64_t w, h; /* 90 x 40 covers 48 x 32 as 72 x 32, of which 48 stay */
    hora_image_processor_size(&p, 90, 40, &w, &h);
    assert_int_equal(w, 48);
    assert_int_equal(h, 32);
    put("preprocessor_config.json", VIT "\"size\": 40}");
    assert_ok(hora_image_processor_load(&p, dir));
    assert_int_equal(p.height, 40);
    put("processor_config.json", "{\"processor_class\": \"X\"}"); /* says nothing about pictures */
    assert_ok(hora_image_processor_load(&p, dir));
    assert_int_equal(p.height, 40);
    put("processor_config.json", "{\"image_processor\": " VIT "\"size\": 50}}");
    assert_ok(hora_image_processor_load(&p, dir));
    assert_int_equal(p.height, 50);
}

/* A ribbon of 100,000 x 1: only the middle of the stretched picture is built; without a crop it is
 * refused before memory is taken. */
static void ribbons(void **state) {
    (void)state;
    hora_image im, out;
    hora_image_processor p;
    assert_ok(hora_image_processor_default(&p, "CLIP"));
    for (int tall = 0; tall < 2; tall++) {
        assert_ok(hora_image_init(&im, tall ? 1 : 100000, tall ? 100000 : 1, 3));
        for (size_t i = 0; i < hora_image_bytes(&im); i++)
            im.px[i] = (uint8_t)(i / 3 / 400);
        p.crop = true;
        assert_ok(hora_image_processor_fit(&p, &im, &out));
        assert_int_equal(out.width, 224);
        assert_int_equal(out.height, 224);
        for (size_t i = 0; i < hora_image_bytes(&out);
             i++) /* 49,999 and 50,000 meet in the middle */
            assert_true(out.px[i] == 124 || out.px[i] == 125);
        hora_image_release(&out);
        p.crop = false;
        assert_fails(hora_image_processor_fit(&p, &im, &out), HORA_ESHAPE, "limit");
        hora_image_release(&im);
    }
}

/* A window of a stretched picture is what was cut from the whole. */
static void windows(void **state) {
    (void)state;
    hora_image im, whole, part;
    assert_ok(hora_image_init(&im, 23, 31, 3));
    for (size_t i = 0; i < hora_image_bytes(&im); i++)
        im.px[i] = (uint8_t)(i * i / 7);
    for (int filter = 0; filter < HORA_RESAMPLE_COUNT; filter++)
        for (int up = 0; up < 2; up++) {
            int64_t w = up ? 50 : 11, h = up ? 47 : 9;
            const hora_rect cut = {3, -2, 6, 8};
            hora_stretch how = {.width = w,
                                .height = h,
                                .resample = (hora_resample)filter,
                                .window = &cut,
                                .fill = {1, 2, 3}};
            assert_ok(hora_image_resize(&whole, &im, w, h, (hora_resample)filter));
            assert_ok(hora_image_stretch(&part, &im, &how));
            for (int64_t y = 0; y < cut.height; y++)
                for (int64_t x = 0; x < cut.width; x++) {
                    const uint8_t *got = part.px + (y * cut.width + x) * 3;
                    if (y + cut.y < 0)
                        assert_memory_equal(got, how.fill, 3);
                    else
                        assert_memory_equal(got, whole.px + ((y + cut.y) * w + x + cut.x) * 3, 3);
                }
            hora_image_release(&part);
            hora_image_release(&whole);
        }
    const hora_rect outside = {20, 0, 4, 4};
    assert_fails(
        hora_image_stretch(&part, &im, &(hora_stretch){.from = &outside, .width = 2, .height = 2}),
        HORA_EUSAGE, "outside");
    hora_image_release(&im);
}

HORA_TESTS(unit_image_processor, {"refuses", refuses, HORA_SHORT}, {"folders", folders, HORA_SHORT},
           {"ribbons", ribbons, HORA_SHORT}, {"windows", windows, HORA_SHORT});
