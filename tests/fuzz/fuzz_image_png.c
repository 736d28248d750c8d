/* PNG pictures. */
#include "fuzz.h"
#include "fuzz_picture.h"

HORA_FUZZ(image_png) {
    static const char magic[] = "\x89PNG\r\n\x1a\n";
    return hora_fuzz_picture(data, n, magic, sizeof magic - 1, "PNG");
}
