/* Kernels of op_drop_path.c: rows times a factor that a sample's rows share. */
#include "backend/cpu/cpu_impl.h"
#include "op/op_dropout.h"

static float factor(const hora_call *c, int64_t row) {
    const hora_batch *b = c->batch;
    uint32_t words[4];
    hora_dropout_words(b->seed, b->step, c->attr.stream, b->row0 + b->lo[row], 0, words);
    return words[0] >= hora_dropout_threshold(c->attr.alpha) ? (float)(1 / (1 - c->attr.alpha)) : 0;
}

static void drop(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const bool forward = c->phase == HORA_FORWARD;
    hora_view x = forward ? c->in[0] : c->dout, y = forward ? c->out : c->din[0];
    const int64_t d = hora_cpu_width(&x);
    for (int64_t i = from; i < to; i++) {
        hora_view a = x, b = y;
        a.data = hora_cpu_at(&x, i * d);
        b.data = hora_cpu_at(&y, i * d);
        hora_cpu_add(d, factor(c, i), &a, &b, forward || hora_cpu_overwrites(c, 0));
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const bool forward = c->phase == HORA_FORWARD;
    const int64_t n = hora_cpu_rows(forward ? &c->out : &c->dout), d = hora_cpu_width(&c->in[0]);
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_chunks(n, hora_cpu_rows_in_chunk(d), drop, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_drop_path;
const hora_cpu_op hora_cpu_op_drop_path = {hora_cpu_query_one, NULL, run, true, 0};
