#include "fuzz_picture.h"

#include "format/image.h"
#include "fuzz.h"

static const hora_image_options variants[] = {
    {.max_pixels = 1 << 14},
    {.max_pixels = 1 << 14, .white = true},
    {.max_pixels = 1 << 14, .mask = true},
    {.max_pixels = 1 << 14, .no_exif = true},
};

static bool decode(const char *bytes, size_t n, const hora_image_options *o, const char *format) {
    hora_image im;
    hora_image_info info, head;
    const hora_status s = hora_image_decode(&im, bytes, n, "fuzz", o, &info);
    const hora_status p = hora_image_probe(bytes, n, "fuzz", o, &head);
    if (s) {
        must(!im.px && strstr(hora_errmsg(), "; "));
        return false;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < hora_image_bytes(&im); i++)
        sum += im.px[i];
    must(sum <= 255 * hora_image_bytes(&im));
    must(p == HORA_OK && im.width == head.width && im.height == head.height);
    must(hora_eq(info.format, format));
    hora_image_release(&im);
    return true;
}

bool hora_fuzz_picture(const char *data, size_t n, const char *magic, size_t magic_n,
                       const char *format) {
    if (n < magic_n + 1)
        return false;
    char *bytes = hora_malloc(n);
    memcpy(bytes, data, n);
    memcpy(bytes, magic, magic_n);
    /* the last byte chooses how: pictures may have more behind them */
    const bool taken =
        decode(bytes, n, &variants[(unsigned char)data[n - 1] % HORA_COUNT(variants)], format);
    hora_free(bytes);
    return taken;
}
