/* Kernels of op_frames.c: forward by rows of first frames, a sum in f32 rounded once; backward by
 * rows. */
#include "backend/cpu/cpu_impl.h"

/* A row of sums for each thread. */
static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = (size_t)hora_device_threads(d) *
                    hora_cpu_aligned((size_t)hora_cpu_width(&c->in[0]) * sizeof(float));
    return hora_cpu_alike(c, 1);
}

typedef struct meaning {
    const hora_call *c;
    int64_t chunk, rows;
} meaning;

/* The row of the first frame that row i goes into, in a clip that is whole; -1: none. */
static int64_t first_of(const meaning *m, int64_t i) {
    const int64_t clip = m->c->attr.a * m->c->attr.b, from = i / clip * clip;
    return from + clip <= m->rows ? from + (i - from) % m->c->attr.b : -1;
}

static void one_row(const meaning *m, int64_t i, float *sum) {
    const hora_call *c = m->c;
    const bool forward = c->phase == HORA_FORWARD, fresh = forward || hora_cpu_overwrites(c, 0);
    const hora_view *x = forward ? &c->in[0] : &c->dout, *y = forward ? &c->out : &c->din[0];
    const int64_t d = hora_cpu_width(x), at = first_of(m, i);
    const hora_kern_rows *loops = hora_cpu_loops(x);
    const bool there = forward ? at == i : at >= 0;
    void *to = hora_cpu_at(y, i * d);
    memset(sum, 0, (size_t)d * sizeof *sum);
    for (int64_t k = 0; there && k < (forward ? c->attr.a : 1); k++)
        loops->accumulate(d, hora_cpu_at(x, (at + k * c->attr.b) * d), sum, k == 0);
    for (int64_t j = 0; j < d; j++)
        sum[j] /= (float)c->attr.a;
    if (!fresh)
        loops->accumulate(d, to, sum, false);
    if (y->dtype == HORA_BF16)
        hora_kern_get()->rows->narrow(d, sum, to);
    else
        memcpy(to, sum, (size_t)d * sizeof *sum);
}

static void some(void *arg, int64_t tile, int thread) {
    const meaning *m = arg;
    const int64_t d = hora_cpu_width(&m->c->in[0]);
    const int64_t end = hora_min(m->rows, (tile + 1) * m->chunk);
    float *sum = (float *)((char *)m->c->scratch +
                           (size_t)thread * hora_cpu_aligned((size_t)d * sizeof(float)));
    for (int64_t i = tile * m->chunk; i < end; i++)
        one_row(m, i, sum);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const bool forward = c->phase == HORA_FORWARD;
    const meaning m = {c, hora_cpu_rows_in_chunk(hora_cpu_width(&c->in[0])),
                       hora_cpu_rows(forward ? &c->out : &c->dout)};
    if (forward || hora_cpu_wants(c, 0))
        hora_parallel(hora_ceil_div(m.rows, m.chunk), some, (void *)(uintptr_t)&m);
}

extern const hora_cpu_op hora_cpu_op_frames;
const hora_cpu_op hora_cpu_op_frames = {query, NULL, run, true, 0};
