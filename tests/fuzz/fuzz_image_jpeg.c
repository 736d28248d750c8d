/* JPEG pictures. */
#include "fuzz.h"
#include "fuzz_picture.h"

HORA_FUZZ(image_jpeg) {
    static const char magic[] = "\xff\xd8\xff";
    return hora_fuzz_picture(data, n, magic, sizeof magic - 1, "JPEG");
}
