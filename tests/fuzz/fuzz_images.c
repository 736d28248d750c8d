#include "fuzz_images.h"

#include "data/images.h"
#include "fuzz.h"

bool hora_fuzz_images(const char *path) {
    hora_images *s;
    const hora_images_config how = {.decode = {.max_pixels = 1 << 14}};
    const hora_status st = hora_images_open(&s, path, &how);
    must_say(st, "; ");
    if (st)
        return false;
    const hora_images_info *info = hora_images_about(s);
    for (int64_t i = 0; i < info->samples && i < 8; i++) {
        hora_image im;
        must(hora_images_label(s, i) >= -1 && hora_images_label(s, i) < info->classes);
        must(*hora_images_name(s, i));
        if (hora_images_read(s, i, &im, NULL) == HORA_OK)
            hora_image_release(&im);
    }
    for (int64_t k = 0; k < info->classes && k < 8; k++)
        must(hora_images_class(s, k) && hora_images_class_count(s, k) >= 0);
    hora_images_close(s);
    return true;
}
