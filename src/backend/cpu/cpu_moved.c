/* Kernel of op_moved.c: one row per segment, so one thread does them in double. */
#include "backend/cpu/cpu_loss.h"

/* First row of [from, to), a segment, that sees all of it; `to`: none does. */
static int64_t stands_for(const hora_batch *b, int64_t from, int64_t to) {
    int64_t i = from;
    while (i < to && (b->hi[i] < to || b->hi[i] <= b->lo[i]))
        i++;
    return i;
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const hora_batch *b = c->batch;
    const int64_t n = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    double sum = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && b->lo[to] == b->lo[from] && b->hi[to] > b->lo[to];)
            to++;
        const int64_t i = stands_for(b, from, to);
        double all = 0;
        for (int64_t at = i * d; i < to && at < i * d + d; at++) {
            const double x = hora_cpu_load(&c->in[0], at) - hora_cpu_load(&c->in[1], at);
            all += x * x;
        }
        sum += all / (double)d;
    }
    *(double *)c->out.data = sum;
}

extern const hora_cpu_op hora_cpu_op_moved;
const hora_cpu_op hora_cpu_op_moved = {.run = run, .bf16 = true};
