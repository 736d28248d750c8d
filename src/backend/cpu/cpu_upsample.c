/* Kernels of op_upsample.c: rows go to the threads, each gathers what it is made of, in both
 * passes. */
#include "backend/cpu/cpu_lines.h"
#include "op/op_upsample.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, 2 * hora_cpu_width(&c->in[0]));
    return hora_cpu_alike(c, 1);
}

static void add_scaled(float *y, float alpha, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

/* Row `at` of the grid gets what the others give to it, in the order of their rows. */
static void collect(const hora_call *c, int64_t first, int64_t at, float *sum, float *room) {
    const int64_t d = hora_cpu_width(&c->dout), w = c->attr.w;
    for (int64_t y = hora_max(at / w - 1, 0); y < hora_min(at / w + 2, c->attr.b); y++)
        for (int64_t x = hora_max(at % w - 1, 0); x < hora_min(at % w + 2, w); x++) {
            const hora_corners q = hora_upsample_corners(&c->attr, y * w + x);
            double share = 0;
            for (int k = 0; k < 4; k++)
                share += q.row[k] == at ? q.share[k] : 0;
            if (share > 0)
                add_scaled(sum, (float)share,
                           hora_cpu_line(&c->dout, (first + y * w + x) * d, d, room), d);
        }
}

static void one_row(void *arg, int64_t i, int thread) {
    const hora_call *c = arg;
    const hora_batch *b = c->batch;
    const bool forward = c->phase == HORA_FORWARD;
    const int64_t d = hora_cpu_width(&c->in[0]), first = b->lo[i] + c->attr.a, at = i - first;
    float *sum = hora_cpu_own(c, thread, 2 * d), *room = sum + d;
    memset(sum, 0, (size_t)d * sizeof *sum);
    if (b->lo[i] < b->hi[i] && at >= 0 && at < c->attr.b * c->attr.w) {
        const hora_corners q = hora_upsample_corners(&c->attr, at);
        for (int k = 0; k < 4 && forward; k++)
            add_scaled(sum, (float)q.share[k],
                       hora_cpu_line(&c->in[0], (first + q.row[k]) * d, d, room), d);
        if (!forward)
            collect(c, first, at, sum, room);
    }
    hora_cpu_put_line(forward ? &c->out : &c->din[0], i * d, d, sum,
                      forward || hora_cpu_overwrites(c, 0), room);
}

static void run(const hora_impl *impl, const hora_call *c) {
    if (c->phase == HORA_FORWARD || hora_cpu_wants(c, 0))
        hora_cpu_parallel(*(const int *)impl->state, hora_cpu_rows(&c->in[0]), one_row,
                          (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_upsample;
const hora_cpu_op hora_cpu_op_upsample = {query, hora_cpu_count_threads, run, true, 0};
