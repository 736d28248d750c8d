/* Lists of pictures, of the kind that the first byte says: JSONL, JSON, CSV, TSV. */
#include "fuzz.h"
#include "fuzz_images.h"

HORA_FUZZ(images_list) {
    static const char *const names[] = {"l.jsonl", "l.json", "l.csv", "l.tsv"};
    static const char pixel[] = "P5 1 1 255 x";
    if (!n)
        return false;
    hora_fuzz_file("1.pgm", pixel, sizeof pixel - 1);
    const char *name = names[(unsigned char)data[0] % HORA_COUNT(names)];
    return hora_fuzz_images(hora_fuzz_file(name, data + 1, n - 1));
}
