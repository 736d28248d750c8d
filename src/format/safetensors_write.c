/*
 * Writing safetensors. Plans the layout first (order, offsets, header), then streams the tensors,
 * converting in small chunks, so memory does not depend on the size of the file. The layout follows
 * the reference writer, so equal tensors give equal bytes whoever writes them. Specification:
 * safetensors.h.
 */
#include "format/safetensors_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/outdir.h"
#include "base/text.h"

#define CHUNK ((int64_t)1 << 15) /* elements converted at a time */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are written as they lie");

typedef struct st_slot {
    const hora_st_entry *e;
    int row; /* of the dtype in the format's list */
    uint64_t bytes;
} st_slot;

static int by_name(const void *pa, const void *pb) {
    const st_slot *a = pa, *b = pb;
    return strcmp(a->e->name, b->e->name);
}

static int by_layout(const void *pa, const void *pb) {
    const st_slot *a = pa, *b = pb;
    return a->row != b->row ? b->row - a->row : strcmp(a->e->name, b->e->name);
}

static hora_status check_text(const char *what, const char *s) {
    if (s && hora_utf8_valid(s, strlen(s), &(size_t){0}))
        return HORA_OK;
    return hora_fail(HORA_EUSAGE, "safetensors: a %s is not UTF-8; name it in UTF-8", what);
}

static hora_status plan_one(const hora_st_entry *e, st_slot *slot) {
    int64_t elems;
    HORA_TRY(check_text("tensor name", e->name));
    if (hora_eq(e->name, HORA_ST_META_KEY))
        return hora_fail(HORA_EUSAGE,
                         "safetensors: a tensor cannot be called " HORA_ST_META_KEY "; rename it");
    *slot = (st_slot){.e = e, .row = hora_st_dtype_row(e->dtype)};
    if (slot->row < 0)
        return hora_fail(HORA_EUSAGE,
                         "safetensors: tensor `%.80s`: hora does not write this dtype; choose F32, "
                         "F16 or BF16",
                         e->name);
    if (!hora_shape_checked(&e->view.shape, &elems) || elems > INT64_MAX / 64)
        return hora_fail(HORA_EUSAGE, "safetensors: tensor `%.80s`: its shape overflows; check it",
                         e->name);
    if (elems && !e->view.data)
        return hora_fail(HORA_EUSAGE, "safetensors: tensor `%.80s` has no data; fill it first",
                         e->name);
    slot->bytes = (uint64_t)elems * hora_dtype_size(e->dtype);
    return HORA_OK;
}

/* slots[n]: checked, in the order of the file. */
static hora_status plan(const hora_st_entry *entries, int n, st_slot *slots) {
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        HORA_TRY(plan_one(&entries[i], &slots[i]));
        total += slots[i].bytes;
        if (total > INT64_MAX)
            return hora_fail(HORA_EUSAGE, "safetensors: the tensors are larger than any file; "
                                          "check their shapes");
    }
    if (!n)
        return HORA_OK;
    qsort(slots, (size_t)n, sizeof *slots, by_name);
    for (int i = 1; i < n; i++)
        if (hora_eq(slots[i].e->name, slots[i - 1].e->name))
            return hora_fail(HORA_EUSAGE, "safetensors: two tensors are called `%.80s`; rename one",
                             slots[i].e->name);
    qsort(slots, (size_t)n, sizeof *slots, by_layout);
    return HORA_OK;
}

static void put_pair(hora_str *out, const char *key, const char *value) {
    hora_json_quote(out, key, strlen(key));
    hora_str_putc(out, ':');
    hora_json_quote(out, value, strlen(value));
}

/* Compact JSON, padded with blanks to a multiple of eight: then the data is aligned in the file. */
static void make_header(const st_slot *slots, int n, const hora_pair *meta, int nmeta,
                        hora_str *out) {
    uint64_t at = 0;
    hora_str_puts(out, "{\"" HORA_ST_META_KEY "\":{");
    put_pair(out, "format", "pt");
    for (int i = 0; i < nmeta; i++) {
        if (hora_eq(meta[i].key, "format"))
            continue;
        hora_str_putc(out, ',');
        put_pair(out, meta[i].key, meta[i].value);
    }
    hora_str_putc(out, '}');
    for (int i = 0; i < n; i++) {
        const hora_st_entry *e = slots[i].e;
        hora_str_putc(out, ',');
        hora_json_quote(out, e->name, strlen(e->name));
        hora_str_printf(out, ":{\"dtype\":\"%s\",\"shape\":[",
                        hora_st_dtype_at(slots[i].row)->name);
        for (int k = 0; k < e->view.shape.n; k++)
            hora_str_printf(out, "%s%" PRId64, k ? "," : "", e->view.shape.d[k]);
        hora_str_printf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at,
                        at + slots[i].bytes);
        at += slots[i].bytes;
    }
    hora_str_putc(out, '}');
    while (out->n % 8)
        hora_str_putc(out, ' ');
}

static hora_status check_meta(const hora_pair *meta, int nmeta) {
    for (int i = 0; i < nmeta; i++) {
        HORA_TRY(check_text("metadata key", meta[i].key));
        HORA_TRY(check_text("metadata value", meta[i].value));
        if (hora_eq(meta[i].key, "format") && !hora_eq(meta[i].value, "pt"))
            return hora_fail(HORA_EUSAGE, "safetensors: metadata `format` is always \"pt\"; choose "
                                          "another key");
        for (int k = 0; k < i; k++)
            if (hora_eq(meta[i].key, meta[k].key))
                return hora_fail(HORA_EUSAGE,
                                 "safetensors: metadata key `%.80s` is there twice; rename one",
                                 meta[i].key);
    }
    return HORA_OK;
}

static hora_status put_tensor(hora_writer *w, const st_slot *slot, void *buffer) {
    const hora_view *v = &slot->e->view;
    if (v->dtype == slot->e->dtype) {
        hora_writer_put(w, v->data, slot->bytes);
        return HORA_OK;
    }
    int64_t n = hora_elems(v);
    size_t size = hora_dtype_size(slot->e->dtype), from = hora_dtype_block_bytes(v->dtype);
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t k = hora_min(CHUNK, n - i);
        HORA_TRY(hora_convert(
            buffer, slot->e->dtype,
            (const char *)v->data + (size_t)(i / hora_dtype_block(v->dtype)) * from, v->dtype, k));
        hora_writer_put(w, buffer, (size_t)k * size);
    }
    return HORA_OK;
}

hora_status hora_st_write(const char *path, const hora_st_entry *entries, int n,
                          const hora_pair *meta, int nmeta) {
    hora_str header = {0};
    hora_writer *w = NULL;
    st_slot *slots = hora_calloc((size_t)n + 1, sizeof *slots);
    void *buffer = hora_malloc((size_t)CHUNK * 8);
    hora_status s = check_meta(meta, nmeta);
    if (s == HORA_OK)
        s = plan(entries, n, slots);
    if (s != HORA_OK)
        goto out;
    make_header(slots, n, meta, nmeta, &header);
    if (header.n > HORA_ST_MAX_HEADER) {
        s = hora_fail(HORA_EUSAGE,
                      "%s: a header of %zu bytes is more than the format allows; "
                      "split the tensors over several files",
                      path, header.n);
        goto out;
    }
    if ((s = hora_writer_open(&w, path)) != HORA_OK)
        goto out;
    hora_writer_put(w, &(uint64_t){header.n}, 8);
    hora_writer_put(w, header.s, header.n);
    for (int i = 0; i < n && s == HORA_OK; i++)
        s = put_tensor(w, &slots[i], buffer);
    if (s == HORA_OK)
        s = hora_writer_commit(w);
    else
        hora_writer_abort(w);
out:
    hora_free(buffer);
    hora_free(slots);
    hora_str_release(&header);
    return s;
}

static uint64_t size_of(const hora_st_entry *entries, int n, const hora_pair *meta, int nmeta) {
    hora_str header = {0};
    uint64_t bytes = 0;
    st_slot *slots = hora_calloc((size_t)n + 1, sizeof *slots);
    if (plan(entries, n, slots) == HORA_OK) {
        make_header(slots, n, meta, nmeta, &header);
        bytes = 8 + header.n;
        for (int i = 0; i < n; i++)
            bytes += slots[i].bytes;
    }
    hora_str_release(&header);
    hora_free(slots);
    return bytes;
}

uint64_t hora_st_write_size(const hora_st_entry *entries, int n) {
    return size_of(entries, n, NULL, 0);
}

hora_status hora_st_write_marked(const char *path, const hora_st_entry *entries, int n,
                                 const char *kind) {
    char mark[64];
    const hora_pair meta = {HORA_OUTFILE_KEY, mark};
    hora_outfile_mark(mark, kind, 0);
    hora_outfile_mark(mark, kind, size_of(entries, n, &meta, 1));
    return hora_st_write(path, entries, n, &meta, 1);
}

hora_status hora_st_is_ours(const char *path, const char *kind, bool *yes) {
    hora_st *st;
    char mark[64];
    *yes = false;
    const hora_status s = hora_st_open(&st, path);
    if (s)
        return s == HORA_EIO || s == HORA_ENOMEM ? s : HORA_OK;
    const char *text = hora_st_meta(st, HORA_OUTFILE_KEY);
    hora_outfile_mark(mark, kind, (uint64_t)hora_file_size(path));
    *yes = text && hora_eq(text, mark);
    hora_st_close(st);
    return HORA_OK;
}

/* --- a model directory ------------------------------------------------------------------------ */

/* Fills shards greedily in the order of the entries: shard[i] for entry i. Returns their number. */
static int assign_shards(const hora_st_entry *entries, int n, uint64_t max_shard, int *shard,
                         uint64_t *total) {
    int shards = 1;
    uint64_t here = 0;
    *total = 0;
    for (int i = 0; i < n; i++) {
        uint64_t bytes = (uint64_t)hora_elems(&entries[i].view) * hora_dtype_size(entries[i].dtype);
        if (max_shard && here && here + bytes > max_shard) {
            shards++;
            here = 0;
        }
        shard[i] = shards - 1;
        here += bytes;
        *total += bytes;
    }
    return shards;
}

static char *shard_name(int i, int shards) {
    return hora_format("model-%05d-of-%05d.safetensors", i + 1, shards);
}

static hora_status write_index(const char *dir, const hora_st_entry *entries, int n,
                               const int *shard, int shards, uint64_t total) {
    hora_json *root = hora_json_new_object();
    hora_json *meta = hora_json_set(root, "metadata", hora_json_new_object());
    hora_json *map = hora_json_set(root, "weight_map", hora_json_new_object());
    hora_json_set(meta, "total_size", hora_json_new_int((int64_t)total));
    for (int i = 0; i < n; i++) {
        char *name = shard_name(shard[i], shards);
        hora_json_set(map, entries[i].name, hora_json_new_string(name));
        hora_free(name);
    }
    hora_status s = hora_json_save(root, 2, true, dir, HORA_ST_INDEX_FILE);
    hora_json_free(root);
    return s;
}

hora_status hora_st_write_model(const char *dir, const hora_st_entry *entries, int n,
                                const hora_pair *meta, int nmeta, uint64_t max_shard) {
    uint64_t total = 0;
    st_slot *slots = hora_calloc((size_t)n + 1, sizeof *slots);
    hora_status s = plan(entries, n, slots); /* names repeated over shards are refused here */
    hora_free(slots);
    HORA_TRY(s);
    int *shard = hora_calloc((size_t)n + 1, sizeof *shard);
    int shards = assign_shards(entries, n, max_shard, shard, &total);
    for (int i = 0, from = 0; i < shards && s == HORA_OK; i++) {
        int to = from;
        while (to < n && shard[to] == i)
            to++;
        char *name = shards == 1 ? hora_strdup(HORA_ST_ONE_FILE) : shard_name(i, shards);
        char *path = hora_path_join(dir, name);
        s = hora_st_write(path, entries + from, to - from, meta, nmeta);
        hora_free(path);
        hora_free(name);
        from = to;
    }
    if (s == HORA_OK && shards > 1)
        s = write_index(dir, entries, n, shard, shards, total);
    hora_free(shard);
    return s;
}
