/* The differences between oneDNN 2.x and 3.x, and nothing else. */
#include "backend/onednn/dnnl_compat.h"

#if DNNL_VERSION_MAJOR < 3
#define REF(l) (&(l)->md)
#else
#define REF(l) ((l)->md)
#endif

dnnl_status_t hora_dnnl_strided(hora_dnnl_layout *l, int64_t rows, int64_t columns,
                                int64_t row_step, int64_t column_step, dnnl_data_type_t type) {
    dnnl_dims_t dims = {rows, columns}, steps = {row_step, column_step};
#if DNNL_VERSION_MAJOR < 3
    return dnnl_memory_desc_init_by_strides(&l->md, 2, dims, type, steps);
#else
    return dnnl_memory_desc_create_with_strides(&l->md, 2, dims, type, steps);
#endif
}

dnnl_status_t hora_dnnl_any(hora_dnnl_layout *l, int64_t rows, int64_t columns,
                            dnnl_data_type_t type) {
    dnnl_dims_t dims = {rows, columns};
#if DNNL_VERSION_MAJOR < 3
    return dnnl_memory_desc_init_by_tag(&l->md, 2, dims, type, dnnl_format_tag_any);
#else
    return dnnl_memory_desc_create_with_tag(&l->md, 2, dims, type, dnnl_format_tag_any);
#endif
}

size_t hora_dnnl_bytes(const hora_dnnl_layout *l) {
    return dnnl_memory_desc_get_size(REF(l));
}

void hora_dnnl_layout_release(hora_dnnl_layout *l) {
#if DNNL_VERSION_MAJOR >= 3
    if (l->md)
        dnnl_memory_desc_destroy(l->md);
#endif
    *l = (hora_dnnl_layout){0};
}

dnnl_status_t hora_dnnl_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                               const hora_dnnl_layout *x, const hora_dnnl_layout *w,
                               const hora_dnnl_layout *y) {
    dnnl_primitive_attr_t attr;
    dnnl_status_t s = dnnl_primitive_attr_create(&attr);
    if (s != dnnl_success)
        return s;
    s = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
#if DNNL_VERSION_MAJOR < 3
    dnnl_matmul_desc_t d;
    if (s == dnnl_success)
        s = dnnl_matmul_desc_init(&d, REF(x), REF(w), NULL, REF(y));
    if (s == dnnl_success)
        s = dnnl_primitive_desc_create(out, &d, attr, engine, NULL);
#else
    if (s == dnnl_success)
        s = dnnl_matmul_primitive_desc_create(out, engine, REF(x), REF(w), NULL, REF(y), attr);
#endif
    dnnl_primitive_attr_destroy(attr);
    return s;
}

dnnl_status_t hora_dnnl_chosen(hora_dnnl_layout *l, dnnl_primitive_desc_t pd, dnnl_query_t what) {
#if DNNL_VERSION_MAJOR < 3
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, what, 0);
    if (!md)
        return dnnl_invalid_arguments;
    l->md = *md;
    return dnnl_success;
#else
    const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(pd, what, 0);
    return md ? dnnl_memory_desc_clone(&l->md, md) : dnnl_invalid_arguments;
#endif
}

dnnl_status_t hora_dnnl_memory(dnnl_memory_t *out, const hora_dnnl_layout *l, dnnl_engine_t engine,
                               void *data) {
    return dnnl_memory_create(out, REF(l), engine, data);
}

static dnnl_status_t execute(dnnl_primitive_t p, dnnl_engine_t engine, dnnl_memory_t from,
                             dnnl_memory_t to) {
    dnnl_stream_t stream;
    dnnl_status_t s = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (s != dnnl_success)
        return s;
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    s = dnnl_primitive_execute(p, stream, 2, args);
    if (s == dnnl_success)
        s = dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    return s;
}

dnnl_status_t hora_dnnl_reorder(dnnl_engine_t engine, const hora_dnnl_layout *src, const void *from,
                                const hora_dnnl_layout *dst, void *to) {
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t p = NULL;
    dnnl_memory_t in = NULL, out = NULL;
    dnnl_status_t s =
        dnnl_reorder_primitive_desc_create(&pd, REF(src), engine, REF(dst), engine, NULL);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&p, pd);
    if (s == dnnl_success) /* read only, though the library has one type for both */
        s = dnnl_memory_create(&in, REF(src), engine, (void *)(uintptr_t)from);
    if (s == dnnl_success)
        s = dnnl_memory_create(&out, REF(dst), engine, to);
    if (s == dnnl_success)
        s = execute(p, engine, in, out);
    if (in)
        dnnl_memory_destroy(in);
    if (out)
        dnnl_memory_destroy(out);
    if (p)
        dnnl_primitive_destroy(p);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return s;
}
