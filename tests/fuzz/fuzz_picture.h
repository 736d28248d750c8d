#ifndef HORA_FUZZ_PICTURE_H
#define HORA_FUZZ_PICTURE_H
/* Pictures of one format each, for fuzz_image_*.c: the first bytes decide the format, so they are
 * put there whatever the input says. */
#include <stdbool.h>
#include <stddef.h>

bool hora_fuzz_picture(const char *data, size_t n, const char *magic, size_t magic_n,
                       const char *format);
#endif
