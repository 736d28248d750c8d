/* Zstandard by libzstd: frames one behind the other, skippable ones too. */
#include <zstd.h>

#include "format/unpack_impl.h"

static hora_status unpack_all(hora_unpacking *u, ZSTD_DStream *z, unsigned char *piece) {
    ZSTD_inBuffer in = {u->in, u->n, 0};
    size_t left = 1; /* 0: at the end of a frame */
    while (in.pos < in.size || left) {
        ZSTD_outBuffer out = {piece, HORA_UNPACK_PIECE, 0};
        left = ZSTD_decompressStream(z, &out, &in);
        if (ZSTD_isError(left))
            return hora_unpack_damaged(u, ZSTD_getErrorName(left));
        HORA_TRY(hora_unpack_put(u, piece, out.pos));
        if (left && in.pos == in.size && out.pos < out.size)
            return hora_unpack_cut_off(u);
    }
    return HORA_OK;
}

hora_status hora_unpack_zstd(hora_unpacking *u) {
    ZSTD_DStream *z = ZSTD_createDStream();
    if (!z)
        return hora_fail(HORA_ENOMEM, "%s: no memory to unpack it; close other programs", u->what);
    unsigned char *piece = hora_malloc(HORA_UNPACK_PIECE);
    const hora_status s = unpack_all(u, z, piece);
    ZSTD_freeDStream(z);
    hora_free(piece);
    return s;
}
