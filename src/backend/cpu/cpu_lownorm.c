/* Kernel of op_lownorm.c: forward alone; where its derivative is wanted, ref has it. Rows of
 * W + alpha B A are formed a block of columns at a time. */
#include "backend/cpu/cpu_impl.h"

#include <math.h>

enum { BLOCK = 256 }; /* columns */

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    (void)need;
    return c->phase == HORA_FORWARD && c->in[1].dtype == HORA_F32 && c->in[2].dtype == HORA_F32 &&
           c->out.dtype == HORA_F32;
}

static float norm_of(const hora_call *c, int64_t row) {
    const hora_view *w = &c->in[0];
    const size_t bytes = /* of a row in blocks */
        (size_t)(hora_cpu_width(w) / hora_dtype_block(w->dtype)) * hora_dtype_block_bytes(w->dtype);
    const int64_t k = hora_cpu_width(&c->in[0]), r = hora_cpu_rows(&c->in[1]);
    const float *a = hora_f32(&c->in[1]), *b = hora_f32(&c->in[2]) + row * r;
    double sum = 0;
    for (int64_t at = 0; at < k; at += BLOCK) {
        const int64_t n = hora_min(BLOCK, k - at);
        float u[BLOCK], squares = 0;
        if (hora_dtype_block(w->dtype) > 1)
            hora_kern_get()->blocks->dequantize(u, (const char *)w->data + (size_t)row * bytes,
                                                w->dtype, at, n);
        else
            hora_cpu_loops(w)->accumulate(n, hora_cpu_at(w, row * k + at), u, true);
        for (int64_t l = 0; l < r; l++)
            hora_kern_get()->rows->add(n, (float)c->attr.alpha * b[l], u, a + l * k + at, u);
        for (int64_t j = 0; j < n; j++)
            squares += u[j] * u[j];
        sum += (double)squares;
    }
    return (float)sqrt(sum);
}

static void rows(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    for (int64_t i = from; i < to; i++)
        hora_f32(&c->out)[i] = norm_of(c, i);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    hora_cpu_chunks(hora_cpu_rows(&c->in[0]),
                    hora_max(1, hora_cpu_rows_in_chunk(hora_cpu_width(&c->in[0])) / 8), rows,
                    (void *)c);
}

extern const hora_cpu_op hora_cpu_op_lownorm;
const hora_cpu_op hora_cpu_op_lownorm = {query, NULL, run, true, HORA_IN(0)};
