#ifndef HORA_FORMAT_GGUF_IMPL_H
#define HORA_FORMAT_GGUF_IMPL_H
/* What reader and writer of GGUF share: the tensor types of the format and its limits. */
#include "format/gguf.h"

#define HORA_GGUF_MAX_NAME  63
#define HORA_GGUF_MAX_DIMS  4
#define HORA_GGUF_ALIGNMENT 32

/* Type number of the file for a dtype; -1: GGUF has none. */
int hora_gguf_type_of(hora_dtype t);
/* `size` bytes, the lowest first. */
static inline uint64_t hora_gguf_number(const unsigned char *p, size_t size) {
    uint64_t v = 0;
    for (size_t i = size; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}
size_t hora_gguf_value_size(hora_gguf_type t); /* bytes; 0 for strings and arrays */
#endif
