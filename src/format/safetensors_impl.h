#ifndef HORA_FORMAT_SAFETENSORS_IMPL_H
#define HORA_FORMAT_SAFETENSORS_IMPL_H
/* What reader and writer of safetensors share: the dtypes of the format and its limits. */
#include "format/safetensors.h"

#define HORA_ST_MAX_HEADER 100000000u
#define HORA_ST_META_KEY   "__metadata__"

/* Rows stand in the order of the format's own list; files are written last row first. */
typedef struct hora_st_dtype {
    const char *name;
    int bits; /* per element */
    hora_dtype dtype;
} hora_st_dtype;

/* Row index by hora's dtype; -1: none. */
int hora_st_dtype_row(hora_dtype t);
const hora_st_dtype *hora_st_dtype_at(int row);
#endif
