/* Kernels of op_place.c. Every row of the table's gradient is one thread's sum in a fixed order. */
#include "backend/cpu/cpu_lines.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, 2 * hora_cpu_width(&c->in[0]));
    return hora_cpu_alike(c, 1) && hora_cpu_sums_f32(c, 1);
}

static int64_t row_of(const hora_call *c, int64_t i) {
    const int32_t *k = hora_batch_leaf(c->batch, c->attr.source);
    const int64_t v = k[i] - c->attr.first;
    return v >= 0 && v < hora_cpu_rows(&c->in[1]) ? v : -1;
}

/* Row i of what stands there, or of the table, or zeros. */
static void forward(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->out), len = hora_cpu_rows_in_chunk(d);
    float *line = hora_cpu_own(c, thread, 2 * d);
    for (int64_t i = tile * len; i < hora_min(hora_cpu_rows(&c->out), (tile + 1) * len); i++) {
        const int64_t v = row_of(c, i);
        hora_cpu_widen(&c->in[v < 0 ? 0 : 1], (v < 0 ? i : v) * d, d, line);
        hora_cpu_put_line(&c->out, i * d, d, line, true, line + d);
    }
}

static void backward_rows(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->dout), len = hora_cpu_rows_in_chunk(d);
    float *line = hora_cpu_own(c, thread, 2 * d);
    for (int64_t i = tile * len; i < hora_min(hora_cpu_rows(&c->dout), (tile + 1) * len); i++) {
        if (row_of(c, i) < 0)
            hora_cpu_widen(&c->dout, i * d, d, line);
        else
            memset(line, 0, (size_t)d * sizeof *line);
        hora_cpu_put_line(&c->din[0], i * d, d, line, hora_cpu_overwrites(c, 0), line + d);
    }
}

static void backward_table(void *arg, int64_t v, int thread) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->dout);
    float *y = hora_f32(&c->din[1]) + v * d;
    bool fresh = hora_cpu_overwrites(c, 1);
    (void)thread;
    for (int64_t i = 0; i < hora_cpu_rows(&c->dout); i++)
        if (row_of(c, i) == v) {
            hora_cpu_loops(&c->dout)->accumulate(d, hora_cpu_at(&c->dout, i * d), y, fresh);
            fresh = false;
        }
    if (fresh)
        memset(y, 0, (size_t)d * sizeof *y);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int threads = *(const int *)impl->state;
    const bool fwd = c->phase == HORA_FORWARD;
    const hora_view *rows = fwd ? &c->out : &c->dout;
    const int64_t tiles =
        hora_ceil_div(hora_cpu_rows(rows), hora_cpu_rows_in_chunk(hora_cpu_width(rows)));
    void *arg = (void *)(uintptr_t)c;
    if (fwd || hora_cpu_wants(c, 0))
        hora_cpu_parallel(threads, tiles, fwd ? forward : backward_rows, arg);
    if (hora_cpu_wants(c, 1))
        hora_cpu_parallel(threads, hora_cpu_rows(&c->in[1]), backward_table, arg);
}

extern const hora_cpu_op hora_cpu_op_place;
const hora_cpu_op hora_cpu_op_place = {query, hora_cpu_count_threads, run, true, 0};
