#ifndef HORA_FORMAT_UNPACK_H
#define HORA_FORMAT_UNPACK_H
/*
 * Compressed files as text: gzip (RFC 1952) and Zstandard (RFC 8878), both as members or frames one
 * behind the other, as `cat a.gz b.gz` makes them. Checksums are checked. What a file says about
 * its size is not believed: the output grows as it comes, up to limits.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"

typedef struct hora_unpack_limits {
    uint64_t most; /* bytes that may come out */
    /* Beyond `large` bytes at most `ratio` times the input: no text is that regular, bombs are */
    uint64_t large;
    double ratio;
} hora_unpack_limits;

/* By the first bytes. NULL: not compressed in a way that is known here; else "gzip" or
 * "Zstandard". */
const char *hora_unpack_kind(const void *data, size_t n);
/* Appends what the n bytes of `what` (a path) hold. HORA_EFORMAT: damaged, cut off, or beyond the
 * ratio; HORA_ENOMEM: beyond `most`; HORA_EUNSUPPORTED: this build has not the library. */
hora_status hora_unpack(const char *what, const void *data, size_t n, const hora_unpack_limits *l,
                        hora_str *out);
/* Members of zip archives: n bytes of raw deflate (RFC 1951) become the first nout bytes of what
 * they hold; whole: exactly these, and *sum is their CRC-32. HORA_EFORMAT and HORA_EUNSUPPORTED as
 * above. */
hora_status hora_inflate(const char *what, const void *data, size_t n, void *out, size_t nout,
                         bool whole, uint32_t *sum);
hora_status hora_sum32(const char *what, const void *data, size_t n, uint32_t *sum); /* CRC-32 */
#endif
