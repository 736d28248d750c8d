/*
 * Kernels of op_gather.c. Backward links the rows of each number in scratch, ascending, and then
 * goes over runs of the table: every row of it is one thread's sum in a fixed order.
 */
#include "backend/cpu/cpu_impl.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    if (c->phase == HORA_BACKWARD)
        need->scratch =
            (size_t)(hora_cpu_rows(&c->in[0]) + hora_cpu_rows(&c->out)) * sizeof(int32_t);
    return hora_cpu_sums_f32(c, 0) && (hora_absent(&c->in[1]) || c->in[1].dtype == c->out.dtype);
}

/* Row of the table for row i; -1: none. */
static int64_t row_of(const hora_call *c, int64_t i) {
    const int32_t *k = c->attr.index ? c->attr.index : hora_batch_leaf(c->batch, c->attr.source);
    const int64_t v = k[i] - (c->attr.index ? 0 : c->attr.first);
    HORA_ASSERT(!c->attr.index || (v >= -1 && v < hora_cpu_rows(&c->in[0])));
    return v >= 0 && v < hora_cpu_rows(&c->in[0]) ? v : -1;
}

/* A row that lies in blocks. */
static void out_of_blocks(const hora_view *to, int64_t i, const hora_view *from, int64_t at,
                          int64_t d) {
    const hora_kern_blocks *b = hora_kern_get()->blocks;
    const size_t row =
        (size_t)(d / hora_dtype_block(from->dtype)) * hora_dtype_block_bytes(from->dtype);
    const char *x = (const char *)from->data + (size_t)at * row;
    if (to->dtype == HORA_BF16)
        b->dequantize_bf16(hora_cpu_at(to, i * d), x, from->dtype, 0, d);
    else
        b->dequantize(hora_cpu_at(to, i * d), x, from->dtype, 0, d);
}

/* A row of the table in the output's dtype. */
static void copy_row(const hora_view *to, int64_t i, const hora_view *from, int64_t at, int64_t d) {
    if (hora_dtype_block(from->dtype) > 1) {
        out_of_blocks(to, i, from, at, d);
        return;
    }
    const void *x = hora_cpu_at(from, at * d);
    void *y = hora_cpu_at(to, i * d);
    if (to->dtype == from->dtype)
        memcpy(y, x, (size_t)((char *)hora_cpu_at(to, d) - (char *)to->data));
    else if (to->dtype == HORA_BF16)
        hora_kern_get()->rows->narrow(d, x, y);
    else
        hora_cpu_loops(from)->accumulate(d, x, y, true);
}

static void copy(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->out);
    const size_t bytes = (size_t)((char *)hora_cpu_at(&c->out, d) - (char *)c->out.data);
    const bool onto = !hora_absent(&c->in[1]);
    for (int64_t i = from; i < to; i++) {
        const int64_t v = row_of(c, i);
        void *y = hora_cpu_at(&c->out, i * d);
        const void *a = onto ? hora_cpu_at(&c->in[1], i * d) : NULL;
        if (v >= 0)
            copy_row(&c->out, i, &c->in[0], v, d);
        else if (onto)
            memcpy(y, a, bytes);
        else
            memset(y, 0, bytes);
        if (v >= 0 && onto)
            hora_cpu_loops(&c->out)->add(d, 1, a, y, y);
    }
}

static void sum(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    int64_t d = hora_cpu_width(&c->dout);
    const int32_t *first = c->scratch, *next = first + hora_cpu_rows(&c->in[0]);
    for (int64_t v = from; v < to; v++) {
        float *y = hora_f32(&c->din[0]) + v * d;
        bool fresh = hora_cpu_overwrites(c, 0);
        for (int64_t i = first[v]; i >= 0; i = next[i], fresh = false)
            hora_cpu_loops(&c->dout)->accumulate(d, hora_cpu_at(&c->dout, i * d), y, fresh);
        if (fresh)
            memset(y, 0, (size_t)d * sizeof(float));
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    void *arg = (void *)(uintptr_t)c;
    if (c->phase == HORA_FORWARD) {
        hora_cpu_chunks(hora_cpu_rows(&c->out), hora_cpu_rows_in_chunk(hora_cpu_width(&c->out)),
                        copy, arg);
        return;
    }
    if (hora_cpu_wants(c, 1))
        hora_cpu_add(hora_elems(&c->dout), 1, &c->dout, &c->din[1], hora_cpu_overwrites(c, 1));
    if (!hora_cpu_wants(c, 0))
        return;
    int64_t rows = hora_cpu_rows(&c->in[0]), n = hora_cpu_rows(&c->dout);
    int32_t *first = c->scratch, *next = first + rows;
    for (int64_t v = 0; v < rows; v++)
        first[v] = -1;
    for (int64_t i = n - 1; i >= 0; i--) {
        const int64_t v = row_of(c, i);
        next[i] = v < 0 ? -1 : first[v];
        if (v >= 0)
            first[v] = (int32_t)i;
    }
    hora_cpu_chunks(rows, hora_cpu_rows_in_chunk(hora_cpu_width(&c->dout)), sum, arg);
}

extern const hora_cpu_op hora_cpu_op_gather;
const hora_cpu_op hora_cpu_op_gather = {query, NULL, run, true, HORA_IN(0)};
