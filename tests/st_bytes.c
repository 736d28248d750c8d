#include "st_bytes.h"

#include <stdio.h>

const char *st_put_bytes(const char *name, const void *bytes, size_t n) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", hora_test_tmp(), name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f))
        fail_msg("cannot write %s", path);
    return path;
}

const char *st_put(const char *name, const char *header, size_t data) {
    hora_str b = {0};
    uint64_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        hora_str_putc(&b, (char)(n >> (8 * i)));
    hora_str_puts(&b, header);
    for (size_t i = 0; i < data; i++)
        hora_str_putc(&b, (char)(i % 251));
    const char *path = st_put_bytes(name, b.s, b.n);
    hora_str_release(&b);
    return path;
}
