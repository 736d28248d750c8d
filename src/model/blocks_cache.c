/*
 * The blocks that --quantize makes, kept beside the model where that was asked for: in
 * DIR/hora-TYPE.safetensors, a tensor of bytes for each matrix under its name. They count while the
 * model's own tensors hash to what the file says; a file that hora did not write is left alone.
 */
#include <inttypes.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "model/fill_impl.h"

#define KEY "hora_blocks_of" /* the hash of the model's tensors */

static bool is_kept(const hora_weight *w) {
    return !w->tied && hora_dtype_block(w->view.dtype) > 1;
}

/* Those of `b` as the file should have them. */
static bool holds_all(const hora_st *st, const hora_base *b) {
    for (int i = 0; i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        const hora_st_tensor *t = is_kept(w) ? hora_st_find(st, w->name) : NULL;
        if (is_kept(w) && (!t || t->view.dtype != HORA_U8 || t->bytes != hora_view_bytes(&w->view)))
            return false;
    }
    return true;
}

static hora_status open_file(hora_blocks_cache *c, const hora_base *b) {
    HORA_TRY(hora_st_open(&c->st, c->path));
    const char *of = hora_st_meta(c->st, KEY);
    if (!of)
        return hora_fail(HORA_EUSAGE,
                         "%s is not a file of --quantize-cache: it is left alone; move it away, or "
                         "leave --quantize-cache out",
                         c->path);
    if (hora_eq(of, c->of) && holds_all(c->st, b)) {
        hora_info("blocks are taken from %s", c->path);
        return HORA_OK;
    }
    hora_info("%s was made from other weights: it is written anew", c->path);
    hora_st_close(c->st);
    c->st = NULL;
    return HORA_OK;
}

hora_status hora_blocks_cache_open(hora_blocks_cache *c, const hora_base *b, hora_st *source,
                                   hora_dtype type, bool double_quant) {
    bool folder;
    HORA_TRY(hora_path_is_folder(b->dir, &folder));
    if (type == HORA_F32 || !folder || !source)
        return hora_fail(
            HORA_EUSAGE, "--quantize-cache keeps what --quantize makes of a model directory; %s",
            type == HORA_F32 ? "give --quantize too" : "of a file, `hora quantize` writes another");
    char *name = hora_format("hora-%s%s.safetensors", hora_dtype_name(type),
                             double_quant && type == HORA_NF4 ? "-double" : "");
    c->path = hora_path_join(b->dir, name);
    c->of = hora_format("%016" PRIx64, hora_st_hash(source));
    hora_free(name);
    return hora_path_exists(c->path) ? open_file(c, b) : HORA_OK;
}

const void *hora_blocks_cache_find(const hora_blocks_cache *c, const hora_weight *w) {
    const hora_st_tensor *t = c->st && is_kept(w) ? hora_st_find(c->st, w->name) : NULL;
    return t ? t->view.data : NULL;
}

void hora_blocks_cache_write(const hora_blocks_cache *c, const hora_base *b) {
    hora_st_entry *e = hora_calloc((size_t)b->nweights + 1, sizeof *e);
    const hora_pair meta[] = {{KEY, c->of}};
    int n = 0;
    for (int i = 0; i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        if (is_kept(w))
            e[n++] = (hora_st_entry){
                w->name,
                {w->view.data, HORA_U8, HORA_SHAPE1((int64_t)hora_view_bytes(&w->view))},
                HORA_U8};
    }
    if (hora_st_write(c->path, e, n, meta, 1) == HORA_OK)
        hora_info("blocks are kept in %s", c->path);
    else
        hora_warn("the blocks could not be kept: %s", hora_errmsg());
    hora_free(e);
}

void hora_blocks_cache_release(hora_blocks_cache *c) {
    hora_st_close(c->st);
    hora_free(c->path);
    hora_free(c->of);
    *c = (hora_blocks_cache){0};
}
