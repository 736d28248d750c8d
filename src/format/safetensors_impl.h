#ifndef HORA_FORMAT_SAFETENSORS_IMPL_H
#define HORA_FORMAT_SAFETENSORS_IMPL_H
/* What reader and writer of safetensors share: the dtypes of the format and its limits. */
#include "format/gguf.h"
#include "format/safetensors.h"

#define HORA_ST_MAX_HEADER 100000000u
#define HORA_ST_META_KEY   "__metadata__"

/* Rows stand in the order of the format's own list; files are written last row first. */
typedef struct hora_st_dtype {
    const char *name;
    int bits; /* per element */
    hora_dtype dtype;
} hora_st_dtype;

/* --- an opened set of tensors */
typedef struct hora_st_file {
    hora_map map;
    hora_json *header; /* names are borrowed from its keys */
    size_t data_at;    /* offset of the data */
    void *copy;        /* aligned copies of the tensors that the file does not align */
    size_t copy_bytes;
} hora_st_file;

struct hora_st {
    hora_st_file *files;
    int nfiles;
    hora_st_tensor *at;
    int n, cap;
    int *slots; /* open addressing over names: index + 1, or 0 */
    size_t nslots;
    hora_pair *meta;
    int nmeta, capmeta;
    hora_gguf *gguf;  /* where all of it comes from; NULL: another kind of file */
    uint64_t *hashes; /* of the tensors; NULL: not asked for yet */
    bool own_names;   /* names of tensors are ours */
};

hora_st *hora_st_new(int nfiles);
hora_status hora_st_index(hora_st *st); /* the table of names */
/* gguf_weights.c: the tensors of a GGUF file under their Hugging Face names. */
hora_status hora_st_open_gguf(hora_st **out, const char *path);
/* jax_vit.c: the arrays of a JAX checkpoint, laid out and named as there. */
hora_status hora_st_open_jax(hora_st **out, const char *path);

/* Row index by hora's dtype; -1: none. */
int hora_st_dtype_row(hora_dtype t);
const hora_st_dtype *hora_st_dtype_at(int row);
#endif
