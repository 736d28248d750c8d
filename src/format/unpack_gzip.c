/* gzip by zlib: members one behind the other, zero bytes behind the last one. */
#include <limits.h>
#include <zlib.h>

#include "format/unpack_impl.h"

/* What stands behind a member: another one, padding, or what does not belong there. */
static hora_status behind(hora_unpacking *u, z_stream *z, bool *more) {
    const unsigned char *at = z->next_in, *end = u->in + u->n;
    *more = end - at >= 2 && at[0] == 0x1f && at[1] == 0x8b;
    for (; !*more && at < end; at++)
        if (*at)
            return hora_unpack_damaged(u, "something else stands behind them");
    if (*more && inflateReset(z) != Z_OK)
        return hora_unpack_damaged(u, z->msg);
    return HORA_OK;
}

static hora_status inflate_all(hora_unpacking *u, z_stream *z, unsigned char *piece) {
    bool more = true;
    while (more) {
        const size_t left = (size_t)(u->in + u->n - z->next_in);
        z->avail_in = (uInt)(left < INT_MAX ? left : INT_MAX);
        z->next_out = piece;
        z->avail_out = (uInt)HORA_UNPACK_PIECE;
        const int r = inflate(z, Z_NO_FLUSH);
        if (r == Z_MEM_ERROR)
            return hora_fail(HORA_ENOMEM, "%s: no memory to unpack it; close other programs",
                             u->what);
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
            return hora_unpack_damaged(u, z->msg);
        const size_t n = HORA_UNPACK_PIECE - z->avail_out;
        HORA_TRY(hora_unpack_put(u, piece, n));
        if (r == Z_STREAM_END)
            HORA_TRY(behind(u, z, &more));
        else if (!n && z->next_in == u->in + u->n)
            return hora_unpack_cut_off(u);
    }
    return HORA_OK;
}

hora_status hora_unpack_gzip(hora_unpacking *u) {
    z_stream z = {.next_in = (z_const Bytef *)u->in};
    if (inflateInit2(&z, 15 + 16) != Z_OK) /* a window of 32 KiB, a gzip header */
        return hora_fail(HORA_ENOMEM, "%s: no memory to unpack it; close other programs", u->what);
    unsigned char *piece = hora_malloc(HORA_UNPACK_PIECE);
    const hora_status s = inflate_all(u, &z, piece);
    inflateEnd(&z);
    hora_free(piece);
    return s;
}

/* --- zip -------------------------------------------------------------------------------------- */
static uInt piece_of(size_t left) {
    return (uInt)(left < INT_MAX ? left : INT_MAX);
}

hora_status hora_sum32(const char *what, const void *data, size_t n, uint32_t *sum) {
    const unsigned char *p = data;
    uLong crc = crc32(0, NULL, 0);
    (void)what;
    for (size_t at = 0; at < n; at += piece_of(n - at))
        crc = crc32(crc, p + at, piece_of(n - at));
    *sum = (uint32_t)crc;
    return HORA_OK;
}

hora_status hora_inflate(const char *what, const void *data, size_t n, void *out, size_t nout,
                         bool whole, uint32_t *sum) {
    const unsigned char *in = data;
    unsigned char *to = out, over;
    size_t made = 0;
    const hora_unpacking u = {.what = what};
    z_stream z = {.next_in = (z_const Bytef *)in};
    if (inflateInit2(&z, -15) != Z_OK)
        return hora_fail(HORA_ENOMEM, "%s: no memory to unpack it; close other programs", what);
    int r = Z_OK;
    while (r == Z_OK && (made < nout || whole)) { /* at the end: one byte more must not come */
        const size_t room = made < nout ? nout - made : 1;
        z.avail_in = piece_of((size_t)(in + n - z.next_in));
        z.next_out = made < nout ? to + made : &over;
        z.avail_out = piece_of(room);
        r = inflate(&z, Z_NO_FLUSH);
        made += piece_of(room) - z.avail_out;
    }
    const bool right = made == nout && (!whole || r == Z_STREAM_END);
    hora_status s = right              ? HORA_OK
                    : r == Z_BUF_ERROR ? hora_unpack_cut_off(&u)
                                       : hora_unpack_damaged(&u, z.msg ? z.msg : "another length");
    inflateEnd(&z);
    if (s == HORA_OK && whole)
        s = hora_sum32(what, out, nout, sum);
    return s;
}
