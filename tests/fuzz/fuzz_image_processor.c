/* preprocessor_config.json and timm's config: what is taken prepares a picture of 5 x 3 pixels, and
 * writes only the room that it asked for. */
#include "data/image_processor.h"
#include "fuzz.h"

enum { MOST = 1 << 16 }; /* pixels; larger results are asked for, not made */

static void prepare(const hora_image_processor *p) {
    int64_t w, h, fw, fh;
    hora_image im;
    hora_image_processor_size(p, 5, 3, &w, &h);
    must(w > 0 && h > 0);
    if (hora_image_processor_fixed(p, &fw, &fh))
        must(fw == w && fh == h);
    if (w > MOST || h > MOST || w * h > MOST)
        return;
    must(hora_image_init(&im, 5, 3, 3) == HORA_OK);
    float *out = hora_malloc((size_t)(3 * w * h) * sizeof(float));
    (void)hora_image_processor_run(p, &im, out);
    hora_free(out);
    hora_image_release(&im);
}

HORA_FUZZ(image_processor) {
    hora_json *root;
    hora_image_processor p;
    bool taken = false;
    if (hora_json_parse(&root, data, n, "fuzz"))
        return false;
    for (int timm = 0; timm < 2; timm++) {
        const hora_status s = timm ? hora_image_processor_parse_timm(&p, root, "fuzz")
                                   : hora_image_processor_parse(&p, root, "fuzz");
        must_say(s, "fuzz");
        if (!s)
            prepare(&p);
        taken |= !s;
    }
    hora_json_free(root);
    return taken;
}
