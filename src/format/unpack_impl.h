#ifndef HORA_FORMAT_UNPACK_IMPL_H
#define HORA_FORMAT_UNPACK_IMPL_H
/* Between unpack.c and the libraries: each format hands its output over in pieces. */
#include "format/unpack.h"

typedef struct hora_unpacking {
    const char *what;
    const unsigned char *in;
    size_t n;
    const hora_unpack_limits *limits;
    hora_str *out;
    size_t before; /* bytes that stood in `out` already */
} hora_unpacking;
/* Takes a piece of output, or refuses to go on. */
hora_status hora_unpack_put(hora_unpacking *u, const void *piece, size_t n);
hora_status hora_unpack_cut_off(const hora_unpacking *u);
hora_status hora_unpack_damaged(const hora_unpacking *u, const char *why);
#define HORA_UNPACK_PIECE ((size_t)128 << 10)

hora_status hora_unpack_gzip(hora_unpacking *u); /* unpack_gzip.c */
hora_status hora_unpack_zstd(hora_unpacking *u); /* unpack_zstd.c */
#endif
