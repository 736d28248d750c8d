/* Picture files as a batch, prepared as the model's own files say. */
#include "base/text.h"
#include "infer/forward.h"

/* One picture's values, of width x height, appended. */
static hora_status append(hora_forward_batch *b, const hora_image_processor *p, const char *path,
                          const hora_image_options *how, int64_t i, int64_t n) {
    hora_image im = {0};
    int64_t width, height;
    HORA_TRY(hora_image_load(&im, path, how, NULL));
    hora_image_processor_size(p, im.width, im.height, &width, &height);
    hora_status s = HORA_OK;
    if (!i) {
        b->pixels = (hora_pixels){NULL, 1, 3, height, width};
        b->pixels.at = hora_calloc((size_t)(n * 3 * height * width), sizeof(float));
    } else if (width != b->pixels.width || height != b->pixels.height) {
        s = hora_fail(HORA_EUSAGE,
                      "%s becomes %lld x %lld, those before it %lld x %lld; ask about pictures of "
                      "one size together",
                      path, (long long)width, (long long)height, (long long)b->pixels.width,
                      (long long)b->pixels.height);
    }
    if (!s)
        s = hora_image_processor_run(p, &im, b->pixels.at + i * 3 * height * width);
    hora_image_release(&im);
    return s;
}

hora_status hora_forward_images(hora_forward_batch *b, const hora_image_processor *p,
                                const char *const *paths, int64_t n, int64_t frames,
                                const hora_image_options *how) {
    *b = (hora_forward_batch){.b = n};
    if (n < 1 || n % frames)
        return hora_fail(HORA_EUSAGE,
                         "%lld pictures, but the model reads clips of %lld; give whole clips",
                         (long long)n, (long long)frames);
    for (int64_t i = 0; i < n; i++)
        HORA_TRY(append(b, p, paths[i], how, i, n));
    b->b = n / frames;
    b->pixels.frames = frames;
    return HORA_OK;
}
