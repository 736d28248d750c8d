/* PNM pictures. */
#include "fuzz.h"
#include "fuzz_picture.h"

HORA_FUZZ(image_pnm) {
    static const char magic[] = "P";
    return hora_fuzz_picture(data, n, magic, sizeof magic - 1, "PNM");
}
