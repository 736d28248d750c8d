#ifndef HORA_FORMAT_GGUF_H
#define HORA_FORMAT_GGUF_H
/*
 * GGUF, reading and writing. One file, little-endian, versions 2 and 3:
 *
 *     "GGUF" | u32 version | u64 tensors | u64 keys | keys | tensor table | padding | data
 *
 *     key:    string name | u32 type | value          string: u64 length | bytes, not terminated
 *     array:  u32 type of elements | u64 count | elements; arrays do not nest
 *     tensor: string name (63 bytes at most) | u32 dimensions (4 at most) | u64 each, the fastest
 *             first | u32 type | u64 offset, from the start of the data, a multiple of
 *             general.alignment (a power of two, 32 unless told)
 *
 * A model may be split: split.count files NAME-0000i-of-0000N.gguf, keys in the first.
 * Source: github.com/ggml-org/ggml, docs/gguf.md.
 *
 * Files are mapped; all that a header claims is checked at open, so values, strings and views lie
 * inside their files. Shapes are reversed: here the last dimension varies fastest, as in every
 * view. Data are not copied; a reader takes them through hora_convert, which asks no alignment.
 */
#include "base/file.h"
#include "tensor/tensor.h"

typedef enum hora_gguf_type {
    HORA_GGUF_U8,
    HORA_GGUF_I8,
    HORA_GGUF_U16,
    HORA_GGUF_I16,
    HORA_GGUF_U32,
    HORA_GGUF_I32,
    HORA_GGUF_F32,
    HORA_GGUF_BOOL,
    HORA_GGUF_STRING,
    HORA_GGUF_ARRAY,
    HORA_GGUF_U64,
    HORA_GGUF_I64,
    HORA_GGUF_F64,
    HORA_GGUF_TYPES
} hora_gguf_type;

typedef struct hora_gguf hora_gguf;

typedef struct hora_gguf_tensor {
    const char *name; /* borrowed, valid until hora_gguf_close */
    hora_view view;   /* read-only, as it lies in the file: possibly not aligned */
    int file;         /* index of the part it lies in */
} hora_gguf_tensor;

/* A value of the metadata. Bytes point into the file and need not be aligned. */
typedef struct hora_gguf_value {
    const char *key;     /* borrowed */
    hora_gguf_type type; /* of an array: of its elements */
    bool array;
    int64_t n;                  /* elements; 1 for what is no array */
    const unsigned char *bytes; /* numbers: n in a row; strings: see hora_gguf_text */
    const uint64_t *at;         /* strings: offset of each from `bytes`, to its length */
} hora_gguf_value;

/* HORA_EFORMAT with file, place and reason for what breaks the rules above; HORA_EUNSUPPORTED for
 * tensor types that hora does not compute with; HORA_ENOTFOUND naming a missing part. */
hora_status hora_gguf_open(hora_gguf **out, const char *path);
void hora_gguf_close(hora_gguf *g); /* accepts NULL */
bool hora_gguf_is(
    const char *path); /* a file that begins with "GGUF", or whose name ends in .gguf */
int hora_gguf_count(const hora_gguf *g);
const hora_gguf_tensor *hora_gguf_at(const hora_gguf *g, int i); /* by part, then as in its table */
const hora_gguf_tensor *hora_gguf_find(const hora_gguf *g, const char *name); /* NULL when absent */
int hora_gguf_keys(const hora_gguf *g);
const hora_gguf_value *hora_gguf_key_at(const hora_gguf *g, int i);
const hora_gguf_value *hora_gguf_get(const hora_gguf *g, const char *key); /* NULL when absent */
/* Element i; integers, floats and booleans as the nearest of the type asked for: false where the
 * value is of another kind or does not fit. */
bool hora_gguf_int(const hora_gguf_value *v, int64_t i, int64_t *out);
bool hora_gguf_float(const hora_gguf_value *v, int64_t i, double *out);
/* String i and its length; not terminated; NULL where it is none. */
const char *hora_gguf_text(const hora_gguf_value *v, int64_t i, size_t *n);
/* Of one key: OK leaves `fallback` in *out where the key is absent; another type is HORA_EFORMAT
 * naming key and file. required: its absence is, too. The string is new, terminated, the caller's.
 */
hora_status hora_gguf_get_int(const hora_gguf *g, const char *key, bool required, int64_t fallback,
                              int64_t *out);
hora_status hora_gguf_get_float(const hora_gguf *g, const char *key, bool required, double fallback,
                                double *out);
hora_status hora_gguf_get_text(const hora_gguf *g, const char *key, bool required, char **out);
const char *hora_gguf_path(const hora_gguf *g); /* as it was opened */
int hora_gguf_parts(const hora_gguf *g);
const hora_map *hora_gguf_part(const hora_gguf *g, int i); /* borrowed */

/* --- writing ---------------------------------------------------------------------------------- */
/* Keys and tensors are collected in memory (data of tensors is borrowed until the commit), then
 * written at once: atomic, version 3, alignment 32. */
typedef struct hora_gguf_out hora_gguf_out;
hora_gguf_out *hora_gguf_out_new(void);
void hora_gguf_out_free(hora_gguf_out *o); /* accepts NULL */
void hora_gguf_put_int(hora_gguf_out *o, const char *key, hora_gguf_type type, int64_t value);
void hora_gguf_put_float(hora_gguf_out *o, const char *key, double value); /* F32 */
void hora_gguf_put_bool(hora_gguf_out *o, const char *key, bool value);
void hora_gguf_put_text(hora_gguf_out *o, const char *key, const char *text);
void hora_gguf_put_texts(hora_gguf_out *o, const char *key, const hora_str *texts, int64_t n);
void hora_gguf_put_ints(hora_gguf_out *o, const char *key, const int32_t *values, int64_t n);
void hora_gguf_put_floats(hora_gguf_out *o, const char *key, const float *values, int64_t n);
/* A value of another file, as it is. */
void hora_gguf_put_value(hora_gguf_out *o, const hora_gguf_value *v);
/* `view` in its dtype is converted to `dtype` on the way out (quantized, for Q8_0, Q4_0, Q4_K). */
void hora_gguf_put_tensor(hora_gguf_out *o, const char *name, hora_view view, hora_dtype dtype);
/* The same with rows from half by half to pair by pair in heads of head_dim rows (gguf_names.h). */
void hora_gguf_put_heads(hora_gguf_out *o, const char *name, hora_view view, hora_dtype dtype,
                         int64_t head_dim);
/* HORA_EUSAGE for repeated keys or tensors, names over 63 bytes, rows that are no whole blocks. */
hora_status hora_gguf_write(const hora_gguf_out *o, const char *path);
uint64_t hora_gguf_write_size(const hora_gguf_out *o); /* bytes it would take */
/* The mark by which a file is known again as hora's (base/outdir.h, hora_outfile); after all other
 * keys and tensors. */
void hora_gguf_put_mark(hora_gguf_out *o, const char *kind);
hora_status hora_gguf_is_ours(const char *path, const char *kind, bool *yes);
#endif
