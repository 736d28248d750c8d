/* Pictures that lie: every file of the small set cut at every length and damaged at random. It
 * is read or refused; what is read has a sane size and readable pixels. The sanitizers watch;
 * the seed is fixed. */
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/image.h"
#include "hora_test.h"
#include "image_libraries.h"

static const hora_image_options variants[] = {
    {0}, {.white = true}, {.mask = true}, {.no_exif = true}};

/* Decodes and reads every byte; the pixel limit keeps a lying header from costing seconds. */
static bool try_decode(const void *bytes, size_t n, const hora_image_options *o) {
    hora_image_options limited = *o;
    limited.max_pixels = 1 << 16;
    hora_image im;
    hora_image_info info, head;
    /* a copy of its own, so that a read behind the end is seen */
    unsigned char *own = hora_malloc(n);
    memcpy(own, bytes, n);
    hora_status s = hora_image_decode(&im, own, n, "fuzz", &limited, &info);
    hora_status p = hora_image_probe(own, n, "fuzz", &limited, &head);
    if (s == HORA_OK) {
        unsigned sum = 0;
        for (size_t i = 0; i < hora_image_bytes(&im); i++)
            sum += im.px[i];
        assert_true(sum <= 255 * hora_image_bytes(&im));
        assert_int_equal(p, HORA_OK);
        assert_int_equal(im.width, head.width);
        hora_image_release(&im);
    } else {
        assert_null(im.px);
        assert_non_null(strstr(hora_errmsg(), "; "));
    }
    hora_free(own);
    return s == HORA_OK;
}

/* Calls fn for every file of the set. */
static void for_each(void (*fn)(const char *name, hora_str *bytes, hora_rng *r)) {
    const char *folder = hora_test_source("tests/vectors/files/image/images");
    char **names;
    int n;
    hora_rng r = hora_rng_new(11, "pictures");
    assert_ok(hora_list_dir(folder, &names, &n));
    for (int i = 0; i < n; i++) {
        hora_str bytes = {0};
        assert_ok(hora_file_read(&bytes, hora_test_path(folder, names[i])));
        fn(names[i], &bytes, &r);
        hora_str_release(&bytes);
    }
    hora_list_free(names, n);
    assert_true(n > 30);
}

/* Cut anywhere before the pixels end, a file is refused; only what stands behind them may be
 * missing. */
static void cut(const char *name, hora_str *bytes, hora_rng *r) {
    (void)r;
    /* PNG: the end chunk, here and there EXIF or a text; WebP: EXIF, a byte of padding */
    size_t tail = hora_starts(name, "bytes_behind")    ? 36
                  : hora_starts(name, "turned_5")      ? 12 + 38
                  : hora_ends(name, "text_behind.png") ? 12 + 90
                  : hora_starts(name, "turned_4")      ? 34
                  : hora_ends(name, ".png")            ? 12
                  : hora_ends(name, ".webp")           ? 1
                                                       : 0;
    for (size_t n = 0; n < bytes->n; n++)
        if (try_decode(bytes->s, n, &variants[0]) && n + tail < bytes->n)
            fail_msg("%s: %zu of %zu bytes were read as a picture", name, n, bytes->n);
}

static void cut_files(void **state) {
    (void)state;
    need_image_libraries();
    for_each(cut);
}

static void damage(const char *name, hora_str *bytes, hora_rng *r) {
    (void)name;
    for (int round = 0; round < 60; round++) {
        hora_str b = {0};
        hora_str_add(&b, bytes->s, bytes->n);
        for (int64_t k = 1 + hora_rng_below(r, 3); k > 0; k--) {
            /* headers are where lies pay */
            int64_t reach = hora_rng_below(r, 2) ? hora_min(64, (int64_t)b.n) : (int64_t)b.n;
            b.s[hora_rng_below(r, reach)] = (char)hora_rng_below(r, 256);
        }
        try_decode(b.s, b.n, &variants[round % (int)HORA_COUNT(variants)]);
        hora_str_release(&b);
    }
}

static void damaged_files(void **state) {
    (void)state;
    need_image_libraries();
    for_each(damage);
}

HORA_TESTS(fuzz_image, {"cut files", cut_files, HORA_SHORT},
           {"damaged files", damaged_files, HORA_SHORT});
