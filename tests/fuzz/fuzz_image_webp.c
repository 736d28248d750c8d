/* WebP pictures: RIFF, a size, WEBP. */
#include "fuzz.h"
#include "fuzz_picture.h"

HORA_FUZZ(image_webp) {
    char magic[12] = {'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'E', 'B', 'P'};
    if (n < sizeof magic)
        return false;
    memcpy(magic + 4, data + 4, 4);
    return hora_fuzz_picture(data, n, magic, sizeof magic, "WebP");
}
