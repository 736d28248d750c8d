#ifndef HORA_FORMAT_SAFETENSORS_H
#define HORA_FORMAT_SAFETENSORS_H
/*
 * safetensors: u64 little-endian header length; JSON header; then the data, row-major
 * little-endian. Offsets must be contiguous: no holes, no overlaps, nothing past the end. Header at
 * most 100,000,000 bytes, no repeated keys. Files are mapped, never read whole; views point into
 * the mapping. A lying header is refused at open.
 */
#include "base/file.h"
#include "base/json.h"
#include "tensor/tensor.h"

typedef struct hora_st hora_st;

typedef struct hora_st_tensor {
    const char *name; /* borrowed from the file */
    hora_view
        view; /* data in the mapping; dtype HORA_DTYPE_OTHER for types hora does not compute with */
    const char *dtype_name; /* as written in the file: "F8_E8M0" */
    int file;               /* index of the shard it lies in */
} hora_st_tensor;

/* One file. */
hora_status hora_st_open(hora_st **out, const char *path);
/* A model directory: model.safetensors, or model.safetensors.index.json with its shards. A missing
 * shard, a tensor that the index places elsewhere, or one in two shards is refused. */
hora_status hora_st_open_model(hora_st **out, const char *dir);
void hora_st_close(hora_st *st); /* accepts NULL */
int hora_st_count(const hora_st *st);
const hora_st_tensor *hora_st_at(const hora_st *st, int i); /* in file order */
const hora_st_tensor *hora_st_find(const hora_st *st,
                                   const char *name); /* O(1); NULL when absent */
/* __metadata__ of the (first) file. */
int hora_st_meta_count(const hora_st *st);
void hora_st_meta_at(const hora_st *st, int i, const char **key, const char **value);
const char *hora_st_meta(const hora_st *st, const char *key); /* NULL when absent */
int hora_st_files(const hora_st *st);
const char *hora_st_file_path(const hora_st *st, int i);
/* Hash of names, dtypes, shapes and all bytes, independent of sharding and order. Reads everything
 * once. */
uint64_t hora_st_hash(const hora_st *st);
/* Page range of a tensor is no longer needed in memory. */
void hora_st_forget(const hora_st *st, const hora_st_tensor *t);

/* One tensor to write: `view.data` in `view.dtype` is converted to `dtype` on the way out. */
typedef struct hora_st_entry {
    const char *name;
    hora_view view;
    hora_dtype dtype;
} hora_st_entry;
typedef struct hora_pair {
    const char *key, *value;
} hora_pair;
/* Atomic (temporary, fsync, rename). Metadata {"format":"pt"} is always written, `meta` is added to
 * it. Order on disk as the Rust writer's: by dtype size descending, then by name. Refuses repeated
 * names. */
hora_status hora_st_write(const char *path, const hora_st_entry *entries, int n,
                          const hora_pair *meta, int nmeta);
/* Bytes that hora_st_write would produce (for refusing before the work). */
uint64_t hora_st_write_size(const hora_st_entry *entries, int n);
#endif
