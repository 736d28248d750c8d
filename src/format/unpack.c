/*
 * Which compression a file has, and how much may come out of it. The libraries stand behind
 * unpack_gzip.c and unpack_zstd.c, each compiled where it was found.
 */
#include "base/text.h"
#include "format/unpack_impl.h"

#ifdef HORA_HAVE_GZIP
#define READ_GZIP hora_unpack_gzip
#else
#define READ_GZIP NULL
#endif
#ifdef HORA_HAVE_ZSTD
#define READ_ZSTD hora_unpack_zstd
#else
#define READ_ZSTD NULL
#endif

static const struct kind {
    const char *name, *magic;
    size_t n;
    const char *package, *by_hand;
    hora_status (*read)(hora_unpacking *u);
} kinds[] = {{"gzip", "\x1f\x8b\x08", 3, "zlib1g-dev", "gunzip -k", READ_GZIP},
             {"Zstandard", "\x28\xb5\x2f\xfd", 4, "libzstd-dev", "unzstd", READ_ZSTD}};

static const struct kind *kind_of(const void *data, size_t n) {
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        if (n >= kinds[i].n && !memcmp(data, kinds[i].magic, kinds[i].n))
            return &kinds[i];
    return NULL;
}

const char *hora_unpack_kind(const void *data, size_t n) {
    const struct kind *k = kind_of(data, n);
    return k ? k->name : NULL;
}

hora_status hora_unpack_cut_off(const hora_unpacking *u) {
    return hora_fail(HORA_EFORMAT,
                     "%s: the compressed data end in the middle; the file is cut off, fetch it "
                     "again",
                     u->what);
}

hora_status hora_unpack_damaged(const hora_unpacking *u, const char *why) {
    return hora_fail(HORA_EFORMAT, "%s: the compressed data are damaged (%s); fetch the file again",
                     u->what, why ? why : "no reason given");
}

hora_status hora_unpack_put(hora_unpacking *u, const void *piece, size_t n) {
    const uint64_t all = u->out->n - u->before + n;
    char size[32], most[32];
    if (all > u->limits->large && (double)all > u->limits->ratio * (double)u->n)
        return hora_fail(HORA_EFORMAT,
                         "%s: %s of compressed data become more than %s, as no data do; if that "
                         "is meant, unpack it yourself",
                         u->what, hora_human_bytes(size, (double)u->n),
                         hora_human_bytes(most, (double)(all - n)));
    if (all > u->limits->most)
        return hora_fail(HORA_ENOMEM,
                         "%s: unpacked it is larger than %s, half of the memory that is free; "
                         "unpack it and give the file, which is read from the disk",
                         u->what, hora_human_bytes(most, (double)u->limits->most));
    hora_str_add(u->out, piece, n);
    return HORA_OK;
}

hora_status hora_unpack(const char *what, const void *data, size_t n, const hora_unpack_limits *l,
                        hora_str *out) {
    const struct kind *k = kind_of(data, n);
    hora_unpacking u = {what, data, n, l, out, out->n};
    HORA_ASSERT(k);
    if (!k->read)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: this hora was built without %s; install %s and build again, or "
                         "unpack it: %s \"%s\"",
                         what, k->name, k->package, k->by_hand, what);
    hora_str_add(out, "", 0);
    return k->read(&u);
}

#ifndef HORA_HAVE_GZIP
static hora_status without_zlib(const char *what) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "%s: this hora was built without zlib; install zlib1g-dev and build again",
                     what);
}
hora_status hora_inflate(const char *what, const void *data, size_t n, void *out, size_t nout,
                         bool whole, uint32_t *sum) {
    (void)data, (void)n, (void)out, (void)nout, (void)whole, (void)sum;
    return without_zlib(what);
}
hora_status hora_sum32(const char *what, const void *data, size_t n, uint32_t *sum) {
    (void)data, (void)n, (void)sum;
    return without_zlib(what);
}
#endif
