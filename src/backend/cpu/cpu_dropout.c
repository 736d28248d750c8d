/* Kernels of op_dropout.c; the mask is op_dropout.h's, made again in backward. */
#include "backend/cpu/cpu_impl.h"
#include "op/op_dropout.h"

static void drop_row(const hora_call *c, int64_t i, const float *x, float *y, bool overwrite) {
    int64_t d = hora_cpu_width(&c->in[0]);
    uint32_t least = hora_dropout_threshold(c->attr.alpha), words[4];
    float keep = (float)(1 / (1 - c->attr.alpha));
    for (int64_t j = 0; j < d; j++) {
        if (j % 4 == 0)
            hora_dropout_words(c->batch->seed, c->batch->step, c->attr.stream, c->batch->row0 + i,
                               j / 4, words);
        float v = words[j % 4] >= least ? x[j] * keep : 0.0f;
        y[j] = overwrite ? v : y[j] + v;
    }
}

static void drop(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    bool forward = c->phase == HORA_FORWARD;
    int64_t d = hora_cpu_width(&c->in[0]);
    const float *x = hora_f32(forward ? &c->in[0] : &c->dout);
    float *y = hora_f32(forward ? &c->out : &c->din[0]);
    for (int64_t i = from; i < to; i++)
        drop_row(c, i, x + i * d, y + i * d, forward || hora_cpu_overwrites(c, 0));
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    bool forward = c->phase == HORA_FORWARD;
    int64_t n = hora_cpu_rows(forward ? &c->out : &c->dout), d = hora_cpu_width(&c->in[0]);
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_pieces(n, hora_cpu_rows_in_piece(8 * d), drop, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_dropout;
const hora_cpu_op hora_cpu_op_dropout = {NULL, NULL, run, false};
