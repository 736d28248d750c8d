#ifndef HORA_TESTS_IMAGES_KIT_H
#define HORA_TESTS_IMAGES_KIT_H
/* What tests of picture sets work with: files, pictures of one grey level, archives made here. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/images.h"
#include "format/unpack.h"
#include "hora_test.h"

static inline const char *in(const char *name) {
    return hora_test_path(hora_test_tmp(), name);
}

static inline void put_bytes(const char *name, const void *bytes, size_t n) {
    char *dir = hora_path_dir(in(name));
    assert_ok(hora_mkdirs(dir));
    FILE *f = fopen(in(name), "wb"); /* without fsync: there are many */
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    hora_free(dir);
}

static inline void put(const char *name, const char *text) {
    put_bytes(name, text, strlen(text));
}

/* A picture of one grey level. */
static inline void put_picture(const char *name, char level) {
    const char pgm[] = {'P', '5', ' ', '1', ' ', '1', ' ', '2', '5', '5', ' ', level};
    put_bytes(name, pgm, sizeof pgm);
}

/* "cat=2 dog=0" */
static inline void check_classes(const hora_images *s, const char *want) {
    hora_str got = {0};
    for (int64_t i = 0; i < hora_images_about(s)->classes; i++)
        hora_str_printf(&got, "%s%s=%lld", i ? " " : "", hora_images_class(s, i),
                        (long long)hora_images_class_count(s, i));
    assert_string_equal(got.s ? got.s : "", want);
    hora_str_release(&got);
}

static inline void tar_header(char h[512], const char *name, char type, unsigned n) {
    unsigned sum = 0;
    memset(h, 0, 512);
    snprintf(h, 101, "%s", name);
    snprintf(h + 124, 12, "%011o", n);
    memset(h + 148, ' ', 8);
    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
}

static inline void tar_add(hora_str *tar, const char *name, char type, const void *bytes,
                           size_t n) {
    char h[512];
    tar_header(h, name, type, (unsigned)n);
    hora_str_add(tar, h, 512);
    hora_str_add(tar, bytes, n);
    for (; tar->n % 512;)
        hora_str_putc(tar, 0);
}

static inline void tar_picture(hora_str *tar, const char *name, char level) {
    const char pgm[] = {'P', '5', ' ', '1', ' ', '1', ' ', '2', '5', '5', ' ', level};
    tar_add(tar, name, '0', pgm, sizeof pgm);
}

/* gzip of one stored block: nothing of the library that reads it again. */
static inline void gzip_stored(hora_str *out, const void *bytes, size_t n) {
    uint32_t sum;
    assert_in_range(n, 1, 65535);
    assert_ok(hora_sum32("stored", bytes, n, &sum));
    const unsigned char head[] = {0x1f,
                                  0x8b,
                                  8,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  255,
                                  1,
                                  (unsigned char)n,
                                  (unsigned char)(n >> 8),
                                  (unsigned char)~n,
                                  (unsigned char)(~n >> 8)};
    hora_str_add(out, (const char *)head, sizeof head);
    hora_str_add(out, bytes, n);
    for (int i = 0; i < 8; i++)
        hora_str_putc(out, (char)(i < 4 ? sum >> 8 * i : (uint32_t)n >> 8 * (i - 4)));
}
#endif
