/* What fuzz targets share, and the list of them. */
#include "fuzz.h"

#include <stdio.h>

#define TARGET(name) bool hora_fuzz_##name(const char *data, size_t n);
#include "fuzz.def"
#undef TARGET

const hora_fuzz hora_fuzz_targets[] = {
#define TARGET(name) {#name, hora_fuzz_##name},
#include "fuzz.def"
#undef TARGET
    {NULL, NULL}};

const char *hora_fuzz_file(const char *name, const void *data, size_t n) {
    static char path[512]; /* written without fsync, thousands of times a second */
    snprintf(path, sizeof path, "%s/%s", hora_fuzz_dir(), name);
    FILE *f = fopen(path, "wb");
    must(f);
    must(fwrite(data, 1, n, f) == n);
    must(fclose(f) == 0);
    return path;
}

const char *hora_fuzz_model(void) {
    return HORA_SOURCE_DIR "/examples/tiny/base";
}
