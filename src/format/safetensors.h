#ifndef HORA_FORMAT_SAFETENSORS_H
#define HORA_FORMAT_SAFETENSORS_H
/*
 * safetensors, reading and writing. One file is
 *
 *     u64 little-endian header length N <= 100,000,000 | N bytes of JSON | data
 *
 *     {"__metadata__": {"format": "pt"},                        strings to strings, optional
 *      "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}   + blanks as padding
 *
 * Offsets count from the end of the header. Sorted, they must cover the data exactly: no hole, no
 * overlap, nothing past the end; each length must be what dtype and shape say. The JSON starts with
 * '{' and repeats no key. Rank 0 (a scalar) and empty tensors are legal. Data is row-major and
 * little-endian. Several files make a model: model-0000i-of-0000N.safetensors, and
 * model.safetensors.index.json:
 *
 *     {"metadata": {"total_size": bytes}, "weight_map": {name: file}}
 *
 * Files are mapped, never read whole; a lying header is refused at open, so a view is always inside
 * its file. Invariant: a view is aligned to its element. Where the file does not align a tensor
 * (old writers did not pad the header) the view points to a copy made at open; everything else
 * points into the mapping and must not be written to.
 * Source: github.com/huggingface/safetensors, README "Format" and safetensors/src/tensor.rs.
 */
#include "base/file.h"
#include "base/json.h"
#include "tensor/tensor.h"

/* Weights of a model directory: in one file, or in shards that an index lists. */
#define HORA_ST_ONE_FILE   "model.safetensors"
#define HORA_ST_INDEX_FILE "model.safetensors.index.json"

typedef struct hora_st hora_st;

typedef struct hora_st_tensor {
    const char *name;       /* borrowed, valid until hora_st_close */
    hora_view view;         /* read-only; dtype HORA_DTYPE_OTHER for types hora has no name for */
    uint64_t bytes;         /* in the file; for HORA_DTYPE_OTHER hora_view_bytes would be 0 */
    const char *dtype_name; /* as written in the file: "F8_E8M0" */
    int file;               /* index of the shard it lies in */
    /* Its rows lie pair by pair in heads of so many (GGUF, q and k of some architectures: the row
     * (h, half, i) of 2 x interleaved/2 at (h, i, half)); 0: as everywhere else. */
    int64_t interleaved;
    /* It lies in parts (format/bnb.h), which hora_bnb_take puts together; NULL: it does not. */
    const struct hora_bnb *parts;
    bool beside; /* it is a part of another */
} hora_st_tensor;

/* One file. HORA_EFORMAT with file, tensor and reason for anything that breaks the rules above. */
hora_status hora_st_open(hora_st **out, const char *path);
/* A model: a GGUF file (format/gguf_hf.h), or a directory with model.safetensors, or with
 * model.safetensors.index.json and its shards. A missing shard, a tensor that the index places
 * elsewhere, or one in two shards is refused. */
hora_status hora_st_open_model(hora_st **out, const char *dir);
bool hora_st_model_there(const char *dir); /* it is one of the three */
void hora_st_close(hora_st *st);           /* accepts NULL */
int hora_st_count(const hora_st *st);
const hora_st_tensor *hora_st_at(const hora_st *st, int i); /* by file, then by offset */
/* O(1); NULL when absent */
const hora_st_tensor *hora_st_find(const hora_st *st, const char *name);
/* __metadata__ of the (first) file. */
int hora_st_meta_count(const hora_st *st);
void hora_st_meta_at(const hora_st *st, int i, const char **key, const char **value);
const char *hora_st_meta(const hora_st *st, const char *key); /* NULL when absent */
/* HORA_EIO naming a file that was written to since it was opened (base/file.h). */
hora_status hora_st_unchanged(const hora_st *st);
int hora_st_files(const hora_st *st);
const char *hora_st_file_path(const hora_st *st, int i);
/* Hash of names, dtypes, shapes and all bytes, independent of sharding and order. Reads everything
 * once. */
uint64_t hora_st_hash(hora_st *st);
/* One for each tensor, in the order of hora_st_at: of its name, dtype, shape and bytes. Reads
 * everything at the first call; owned by st. */
const uint64_t *hora_st_hashes(hora_st *st);
/* That of tensor `t` if its values were stored as `as`, both floats. Reads the tensor. */
uint64_t hora_st_hash_as(const hora_st *st, const hora_st_tensor *t, hora_dtype as);
/* The pages of a tensor are no longer needed in memory; they are read again when touched. */
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
/*
 * Atomic (temporary, fsync, rename). Metadata {"format":"pt"} is always written, because
 * transformers refuses files without it; `meta` follows it in the given order. Tensors lie in the
 * order of the reference writer: by dtype (U64 I64 F64 F32 U32 I32 BF16 F16 U16 I16 F8_E4M3 F8_E5M2
 * I8 U8 BOOL), then by name; the same entries give the same bytes. HORA_EUSAGE for repeated or
 * reserved names, names that are not UTF-8, repeated metadata keys, and tensors without data.
 */
hora_status hora_st_write(const char *path, const hora_st_entry *entries, int n,
                          const hora_pair *meta, int nmeta);
/* The same with the mark by which the file is known again as hora's (base/outdir.h, hora_outfile).
 */
hora_status hora_st_write_marked(const char *path, const hora_st_entry *entries, int n,
                                 const char *kind);
hora_status hora_st_is_ours(const char *path, const char *kind, bool *yes);
/* Bytes that hora_st_write would produce without `meta` (for refusing before the work); 0 for
 * entries that it would refuse. */
uint64_t hora_st_write_size(const hora_st_entry *entries, int n);
/*
 * A model directory that must exist: DIR/model.safetensors, or, when the data is more than
 * `max_shard` bytes (0: no limit), shards filled in the order of `entries` and the index. The index
 * is written last, so a directory with an index is whole.
 */
hora_status hora_st_write_model(const char *dir, const hora_st_entry *entries, int n,
                                const hora_pair *meta, int nmeta, uint64_t max_shard);
#endif
