/* Kernels of op_dropout.c; the mask is op_dropout.h's, made again in backward. */
#include "backend/cpu/cpu_impl.h"
#include "op/op_dropout.h"

enum { COLUMNS = 512 }; /* of the mask at a time; a multiple of 64 */

static void drop(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    bool forward = c->phase == HORA_FORWARD;
    const hora_view *x = forward ? &c->in[0] : &c->dout, *y = forward ? &c->out : &c->din[0];
    const hora_batch *b = c->batch;
    int64_t d = hora_cpu_width(x);
    float mask[COLUMNS], keep = (float)(1 / (1 - c->attr.alpha));
    for (int64_t i = from; i < to; i++)
        for (int64_t at = 0; at < d; at += COLUMNS) {
            int64_t n = hora_min(COLUMNS, d - at);
            hora_kern_get()->rows->mask(hora_dropout_key(b->seed, b->step), c->attr.stream,
                                        hora_dropout_counter(b->row0 + i, at / 4),
                                        hora_ceil_div(n, 4), hora_dropout_threshold(c->attr.alpha),
                                        mask);
            hora_cpu_loops(x)->scale(n, keep, hora_cpu_at(x, i * d + at), mask,
                                     hora_cpu_at(y, i * d + at),
                                     forward || hora_cpu_overwrites(c, 0));
        }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    int64_t n = hora_cpu_rows(forward ? &c->out : &c->dout), d = hora_cpu_width(&c->in[0]);
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_chunks(n, hora_cpu_rows_in_chunk(8 * d), drop, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_dropout;
const hora_cpu_op hora_cpu_op_dropout = {hora_cpu_query_one, NULL, run, true, 0};
