/*
 * The blocks that --quantize makes, kept beside the model where that was asked for: in
 * DIR/hora-TYPE.safetensors, a tensor of bytes for each matrix under its name. They count while the
 * model's own tensors hash to what the file says, and its own bytes too: a damaged one is made
 * anew. A file that hora did not write is left alone.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "model/fill_impl.h"

#define KEY "hora_blocks_of"  /* the hash of the model's tensors */
#define SUM "hora_blocks_sum" /* that of the blocks themselves */

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

typedef struct sums {
    const hora_base *b;
    const hora_st *st; /* the file's blocks; NULL: those in memory */
    uint64_t *of;      /* one per weight */
} sums;

static void sum_one(void *arg, int64_t tile, int thread) {
    const sums *s = arg;
    const hora_weight *w = &s->b->weights[tile];
    (void)thread;
    if (!is_kept(w))
        return;
    const void *data = s->st ? hora_st_find(s->st, w->name)->view.data : w->view.data;
    s->of[tile] = hora_hash64(data, hora_view_bytes(&w->view), hora_hash_text(w->name));
}

static char *sum_of(const hora_base *b, const hora_st *st) {
    sums s = {b, st, hora_calloc((size_t)b->nweights + 1, sizeof *s.of)};
    hora_parallel(b->nweights, sum_one, &s);
    char *text =
        hora_format("%016" PRIx64, hora_hash64(s.of, (size_t)b->nweights * sizeof *s.of, 0));
    hora_free(s.of);
    return text;
}

static bool is_whole(const hora_st *st, const hora_base *b) {
    char *sum = sum_of(b, st);
    const bool whole = hora_eq(hora_st_meta(st, SUM), sum);
    hora_free(sum);
    return whole;
}

/* A file that can't be read any more begins as those do that are written here. */
static bool has_mark(const char *path) {
    static const char key[] = "\"" KEY "\"";
    char head[1024] = "";
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    bool found = false;
    for (size_t i = 0; i + sizeof key - 1 <= n && !found; i++)
        found = memcmp(head + i, key, sizeof key - 1) == 0;
    if (f)
        fclose(f);
    return found;
}

static hora_status open_file(hora_blocks_cache *c, const hora_base *b) {
    const hora_status s = hora_st_open(&c->st, c->path);
    if (s == HORA_EFORMAT && has_mark(c->path)) {
        hora_info("%s is damaged: it is written anew", c->path);
        c->st = NULL;
        return HORA_OK;
    }
    HORA_TRY(s);
    const char *of = hora_st_meta(c->st, KEY);
    if (!of)
        return hora_fail(HORA_EUSAGE,
                         "%s is not a file of --quantize-cache: it is left alone; move it away, or "
                         "leave --quantize-cache out",
                         c->path);
    const bool fits = hora_eq(of, c->of) && holds_all(c->st, b);
    if (fits && is_whole(c->st, b)) {
        hora_info("blocks are taken from %s", c->path);
        return HORA_OK;
    }
    hora_info("%s %s: it is written anew", c->path,
              !fits                      ? "was made from other weights"
              : hora_st_meta(c->st, SUM) ? "is damaged"
                                         : "is of an earlier version");
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
    char *sum = sum_of(b, NULL);
    const hora_pair meta[] = {{KEY, c->of}, {SUM, sum}};
    int n = 0;
    for (int i = 0; i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        if (is_kept(w))
            e[n++] = (hora_st_entry){
                w->name,
                {w->view.data, HORA_U8, HORA_SHAPE1((int64_t)hora_view_bytes(&w->view))},
                HORA_U8};
    }
    if (hora_st_write(c->path, e, n, meta, 2) == HORA_OK)
        hora_info("blocks are kept in %s", c->path);
    else
        hora_warn("the blocks could not be kept: %s", hora_errmsg());
    hora_free(sum);
    hora_free(e);
}

void hora_blocks_cache_release(hora_blocks_cache *c) {
    hora_st_close(c->st);
    hora_free(c->path);
    hora_free(c->of);
    *c = (hora_blocks_cache){0};
}
