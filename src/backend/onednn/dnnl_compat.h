#ifndef HORA_BACKEND_ONEDNN_DNNL_COMPAT_H
#define HORA_BACKEND_ONEDNN_DNNL_COMPAT_H
/*
 * oneDNN 2.x and 3.x under one set of calls; dnnl_compat.c alone knows the difference. In 2.x a
 * memory descriptor is a value and a primitive is described in two steps; in 3.x descriptors are
 * objects that must be freed. Only what both have is used: matmul, reorder, scratchpad of the
 * caller.
 */
#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Layout of a matrix in memory; zero-initialise, release when done. */
typedef struct hora_dnnl_layout {
#if DNNL_VERSION_MAJOR < 3
    dnnl_memory_desc_t md;
#else
    dnnl_memory_desc_t md; /* a pointer here */
#endif
} hora_dnnl_layout;

/* (rows, columns) with these strides in elements. */
dnnl_status_t hora_dnnl_strided(hora_dnnl_layout *l, int64_t rows, int64_t columns,
                                int64_t row_step, int64_t column_step, dnnl_data_type_t type);
/* (rows, columns) in whatever layout a primitive likes best. */
dnnl_status_t hora_dnnl_any(hora_dnnl_layout *l, int64_t rows, int64_t columns,
                            dnnl_data_type_t type);
size_t hora_dnnl_bytes(const hora_dnnl_layout *l);
void hora_dnnl_layout_release(hora_dnnl_layout *l);

/* y = x w, scratchpad by the caller. */
dnnl_status_t hora_dnnl_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                               const hora_dnnl_layout *x, const hora_dnnl_layout *w,
                               const hora_dnnl_layout *y);
/* A copy of a layout that a primitive chose: dnnl_query_weights_md or dnnl_query_scratchpad_md. */
dnnl_status_t hora_dnnl_chosen(hora_dnnl_layout *l, dnnl_primitive_desc_t pd, dnnl_query_t what);
/* Copies src to dst, changing the layout. */
dnnl_status_t hora_dnnl_reorder(dnnl_engine_t engine, const hora_dnnl_layout *src, const void *from,
                                const hora_dnnl_layout *dst, void *to);
dnnl_status_t hora_dnnl_memory(dnnl_memory_t *out, const hora_dnnl_layout *l, dnnl_engine_t engine,
                               void *data);
#endif
