/* Pictures made here: sizes, orientation, limits, names, PNG there and back, masks. */
#include <stdlib.h>

#include "base/file.h"
#include "format/image.h"
#include "hora_test.h"
#include "image_libraries.h"

/* A PPM or PGM whose sample i is i (mod 256). */
static hora_str pnm(const char *header, int samples) {
    hora_str s = {0};
    hora_str_puts(&s, header);
    for (int i = 0; i < samples; i++)
        hora_str_putc(&s, (char)i);
    return s;
}

static void netpbm(void **state) {
    (void)state;
    hora_image im;
    hora_image_info info;
    hora_str s = pnm("P6\n# a comment\n2 3\t255\n", 18);
    assert_ok(hora_image_decode(&im, s.s, s.n, "x", NULL, &info));
    assert_string_equal(info.format, "PNM");
    assert_int_equal(im.width, 2);
    assert_int_equal(im.height, 3);
    assert_int_equal(info.brightest, 17);
    for (int i = 0; i < 18; i++)
        assert_int_equal(im.px[i], i);
    hora_image_release(&im);
    hora_str_release(&s);

    s = pnm("P5 2 1 65535 ", 4); /* 0x0001 0x0203: the high bytes */
    assert_ok(hora_image_decode(&im, s.s, s.n, "x", NULL, &info));
    assert_true(info.grey16);
    assert_memory_equal(im.px, ((uint8_t[]){0, 0, 0, 2, 2, 2}), 6);
    hora_image_release(&im);
    hora_str_release(&s);

    s = pnm("P5 4 1 3 ", 4); /* four levels, stretched */
    assert_ok(hora_image_decode(&im, s.s, s.n, "x", NULL, NULL));
    assert_int_equal(im.px[3], 85);
    assert_int_equal(im.px[9], 255);
    hora_image_release(&im);
    hora_str_release(&s);
}

static void refused(const char *bytes, size_t n, hora_status status, const char *part) {
    hora_image im;
    hora_image_info info;
    assert_fails(hora_image_decode(&im, bytes, n, "DIR/x.png", NULL, &info), status, part);
    assert_non_null(strstr(hora_errmsg(), "DIR/x.png"));
    assert_non_null(strstr(hora_errmsg(), "; "));
    assert_null(im.px);
    assert_int_equal(hora_image_probe(bytes, n, "x", NULL, &info) == HORA_OK, 0);
}

static void what_is_no_picture(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        hora_status status;
        const char *part;
    } rows[] = {
        {"", 0, HORA_EFORMAT, "empty"},
        {"\n <!DOCTYPE html>", 17, HORA_EFORMAT, "web page"},
        {"version https://git-lfs.github.com/spec/v1", 42, HORA_EFORMAT, "git lfs pull"},
        {"hello", 5, HORA_EFORMAT, "first bytes"},
        {"GIF89a....", 10, HORA_EUNSUPPORTED, "GIF"},
        {"II*\0....", 8, HORA_EUNSUPPORTED, "TIFF"},
        {"BM......", 8, HORA_EUNSUPPORTED, "BMP"},
        {"\0\0\0\x1c"
         "ftypavif",
         12, HORA_EUNSUPPORTED, "AVIF"},
        {"P6", 2, HORA_EFORMAT, "header"},
        {"P6 2 2 0 ", 9, HORA_EFORMAT, "header"},
        {"P6 2 2 99999999999 ", 19, HORA_EFORMAT, "header"},
        {"P6 0 2 255 ", 11, HORA_EFORMAT, "side is 0"},
        {"P5 100000 100000 255 ", 21, HORA_ESHAPE, "limit"},
        {"P5 1000001 1 255 ", 17, HORA_ESHAPE, "1000000 a side"},
        {"RIFF\4\0\0\0WAVE", 12, HORA_EFORMAT, "first bytes"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        refused(rows[i].bytes, rows[i].n, rows[i].status, rows[i].part);
    hora_image im; /* a row too few is found before anything is read behind the end */
    assert_fails(hora_image_decode(&im, "P5 2 2 255 abc", 14, "x", NULL, NULL), HORA_EFORMAT,
                 "last row");
    assert_fails(hora_image_load(&im, "/absent/x.jpg", NULL, NULL), HORA_ENOTFOUND,
                 "/absent/x.jpg");
    assert_fails(hora_image_init(&im, 0, 1, 3), HORA_EUSAGE, "sides");
}

static void limit_is_an_option(void **state) {
    (void)state;
    hora_str s = pnm("P5 4 4 255 ", 16);
    hora_image im;
    assert_fails(
        hora_image_decode(&im, s.s, s.n, "x", &(hora_image_options){.max_pixels = 15}, NULL),
        HORA_ESHAPE, "4 x 4");
    assert_ok(hora_image_decode(&im, s.s, s.n, "x", &(hora_image_options){.max_pixels = 16}, NULL));
    hora_image_release(&im);
    hora_str_release(&s);
}

static void names(void **state) {
    (void)state;
    static const char *const read[] = {"a.jpg",        "A.JPG", "x.JpEg",  "a.b.png",
                                       "dir.d/x.webp", "x.PPM", "ü #1.png"};
    static const char *const none[] = {"",           "jpg",   ".jpg",      "a.jpg~",
                                       "a.jpg.part", "a.txt", "Thumbs.db", "a."};
    for (size_t i = 0; i < HORA_COUNT(read); i++)
        assert_int_equal(hora_image_name_kind(read[i]), HORA_IMAGE_NAME_READ);
    for (size_t i = 0; i < HORA_COUNT(none); i++)
        assert_int_equal(hora_image_name_kind(none[i]), HORA_IMAGE_NAME_NONE);
    assert_int_equal(hora_image_name_kind("a.GIF"), HORA_IMAGE_NAME_OTHER);
}

static void png_there_and_back(void **state) {
    (void)state;
    need_image_libraries();
    const char *path = hora_test_path(hora_test_tmp(), "x.png");
    for (int channels = 1; channels <= 3; channels += 2) {
        hora_image im, back;
        hora_image_info info;
        assert_ok(hora_image_init(&im, 7, 5, channels));
        for (size_t i = 0; i < hora_image_bytes(&im); i++)
            im.px[i] = (uint8_t)(i * 37);
        assert_ok(hora_image_save_png(path, &im));
        assert_ok(
            hora_image_load(&back, path, &(hora_image_options){.mask = channels == 1}, &info));
        assert_string_equal(info.format, "PNG");
        assert_int_equal(back.channels, channels);
        assert_memory_equal(back.px, im.px, hora_image_bytes(&im));
        hora_image_release(&back);
        hora_image_release(&im);
    }
}

static const char *made(const char *name) {
    return hora_test_path(hora_test_source("tests/vectors/files/image/images"), name);
}

static void masks_are_class_numbers(void **state) {
    (void)state;
    need_image_libraries();
    static const hora_image_options mask = {.mask = true};
    hora_image im;
    assert_ok(hora_image_load(&im, made("palette2.png"), &mask, NULL));
    assert_int_equal(im.channels, 1);
    int most = 0;
    for (size_t i = 0; i < hora_image_bytes(&im); i++)
        most = im.px[i] > most ? im.px[i] : most;
    assert_int_equal(most, 3);
    hora_image_release(&im);
    assert_fails(hora_image_load(&im, made("rgba.png"), &mask, NULL), HORA_EUNSUPPORTED, "mask");
    assert_fails(hora_image_load(&im, made("rgb16.png"), &mask, NULL), HORA_EUNSUPPORTED, "mask");
    assert_fails(hora_image_load(&im, made("420.jpg"), &mask, NULL), HORA_EUNSUPPORTED, "mask");
    assert_fails(hora_image_load(&im, made("lossy.webp"), &mask, NULL), HORA_EUNSUPPORTED, "mask");
    assert_fails(hora_image_load(&im, made("plain.ppm"), &mask, NULL), HORA_EUNSUPPORTED, "mask");
}

static const struct {
    const char *name, *format;
    int orientation;
    bool alpha, grey16, animated;
} about[] = {
    {"420.jpg", "JPEG", 1, false, false, false},
    {"turned_3_big_endian.jpg", "JPEG", 3, false, false, false},
    {"turned_6.jpg", "JPEG", 6, false, false, false},
    {"turned_9_is_upright.jpg", "JPEG", 1, false, false, false},
    {"turned_8_by_xmp.jpg", "JPEG", 8, false, false, false},
    {"turned_7_by_text.png", "PNG", 7, false, false, false},
    {"turned_5_behind.png", "PNG", 5, false, false, false},
    {"turned_7_by_text_behind.png", "PNG", 7, false, false, false},
    {"turned_4.webp", "WebP", 4, false, false, false},
    {"rgb_key.png", "PNG", 1, true, false, false},
    {"palette_alphas.png", "PNG", 1, true, false, false},
    {"grey_alpha16.png", "PNG", 1, true, true, false},
    {"lossy_alpha.webp", "WebP", 1, true, false, false},
    {"animated.webp", "WebP", 1, false, false, true},
    {"plain.pgm", "PNM", 1, false, false, false},
};

/* The header alone says what the whole file says. */
static void what_a_file_tells(void **state) {
    (void)state;
    need_image_libraries();
    for (size_t i = 0; i < HORA_COUNT(about); i++) {
        hora_str bytes = {0};
        hora_image im;
        hora_image_info whole, head;
        assert_ok(hora_file_read(&bytes, made(about[i].name)));
        assert_ok(hora_image_decode(&im, bytes.s, bytes.n, about[i].name, NULL, &whole));
        assert_ok(hora_image_probe(bytes.s, bytes.n, about[i].name, NULL, &head));
        assert_string_equal(whole.format, about[i].format);
        assert_int_equal(whole.orientation, about[i].orientation);
        assert_int_equal(whole.alpha, about[i].alpha);
        assert_int_equal(whole.grey16, about[i].grey16);
        assert_int_equal(whole.animated, about[i].animated);
        assert_int_equal(whole.width, im.width);
        assert_int_equal(head.width, im.width);
        assert_int_equal(head.height, im.height);
        assert_int_equal(head.orientation, whole.orientation);
        assert_true(whole.brightest > 0);
        hora_image_release(&im);
        if (about[i].orientation > 1) {
            assert_ok(hora_image_decode(&im, bytes.s, bytes.n, "x",
                                        &(hora_image_options){.no_exif = true}, NULL));
            assert_int_equal(im.width, 13);
            hora_image_release(&im);
        }
        hora_str_release(&bytes);
    }
}

HORA_TESTS(unit_image, {"PPM and PGM", netpbm, HORA_SHORT},
           {"what is no picture", what_is_no_picture, HORA_SHORT},
           {"the pixel limit is an option", limit_is_an_option, HORA_SHORT},
           {"names of pictures", names, HORA_SHORT},
           {"PNG there and back", png_there_and_back, HORA_SHORT},
           {"masks are class numbers", masks_are_class_numbers, HORA_SHORT},
           {"what a file tells", what_a_file_tells, HORA_SHORT});
