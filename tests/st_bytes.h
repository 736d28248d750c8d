#ifndef HORA_ST_BYTES_H
#define HORA_ST_BYTES_H
/* safetensors files made by hand for the tests: right ones and lying ones. */
#include <stdint.h>

#include "hora_test.h"

/* Writes n bytes to `name` in the test's temporary folder (without fsync: fuzzing writes
 * thousands). Returns the path, valid until the next call. */
const char *st_put_bytes(const char *name, const void *bytes, size_t n);
/* Length, header, then `data` bytes 0, 1, 2, .. (mod 251). */
const char *st_put(const char *name, const char *header, size_t data);
#endif
