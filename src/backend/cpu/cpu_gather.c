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
    return true;
}

static const int32_t *numbers(const hora_call *c) {
    return c->attr.index ? c->attr.index : c->batch->ids;
}

static void copy(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    int64_t d = hora_cpu_width(&c->out), rows = hora_cpu_rows(&c->in[0]);
    const int32_t *id = numbers(c);
    for (int64_t i = from; i < to; i++) {
        HORA_ASSERT(id[i] >= 0 && id[i] < rows);
        memcpy(hora_f32(&c->out) + i * d, hora_f32(&c->in[0]) + id[i] * d,
               (size_t)d * sizeof(float));
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
            hora_kern_get()->rows->merge(1, d, 1, hora_f32(&c->dout) + i * d, d, fresh ? NULL : y,
                                         d, NULL, y, d);
        if (fresh)
            memset(y, 0, (size_t)d * sizeof(float));
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    void *arg = (void *)(uintptr_t)c;
    if (c->phase == HORA_FORWARD) {
        hora_cpu_pieces(hora_cpu_rows(&c->out), hora_cpu_rows_in_piece(hora_cpu_width(&c->out)),
                        copy, arg);
        return;
    }
    if (!hora_cpu_wants(c, 0))
        return;
    int64_t rows = hora_cpu_rows(&c->in[0]), n = hora_cpu_rows(&c->dout);
    const int32_t *id = numbers(c);
    int32_t *first = c->scratch, *next = first + rows;
    for (int64_t v = 0; v < rows; v++)
        first[v] = -1;
    for (int64_t i = n - 1; i >= 0; i--) {
        HORA_ASSERT(id[i] >= 0 && id[i] < rows);
        next[i] = first[id[i]];
        first[id[i]] = (int32_t)i;
    }
    hora_cpu_pieces(rows, hora_cpu_rows_in_piece(hora_cpu_width(&c->dout)), sum, arg);
}

extern const hora_cpu_op hora_cpu_op_gather;
const hora_cpu_op hora_cpu_op_gather = {query, NULL, run, false};
