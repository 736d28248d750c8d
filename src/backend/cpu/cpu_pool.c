/* Kernels of op_pool.c: forward by rows, a sum in f32 rounded once; backward by rows, whose segment
 * begins at lo of the row. */
#include "backend/cpu/cpu_impl.h"

/* A row of sums and one of what is added to a gradient. */
static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = (size_t)hora_device_threads(d) *
                    hora_cpu_aligned((size_t)hora_cpu_width(&c->in[0]) * sizeof(float));
    return hora_cpu_alike(c, 1);
}

typedef struct pooling {
    const hora_call *c;
    int64_t chunk;
} pooling;

static float *own_row(const hora_call *c, int thread) {
    return (float *)((char *)c->scratch +
                     (size_t)thread *
                         hora_cpu_aligned((size_t)hora_cpu_width(&c->in[0]) * sizeof(float)));
}

/* y = alpha x, x of f32 */
static void put(const hora_view *to, int64_t at, float alpha, float *x, int64_t d) {
    for (int64_t j = 0; j < d; j++)
        x[j] *= alpha;
    if (to->dtype == HORA_BF16)
        hora_kern_get()->rows->narrow(d, x, hora_cpu_at(to, at));
    else
        memcpy(hora_cpu_at(to, at), x, (size_t)d * sizeof *x);
}

static void forward(void *arg, int64_t tile, int thread) {
    const pooling *p = arg;
    const hora_call *c = p->c;
    const int64_t d = hora_cpu_width(&c->in[0]), w = hora_cpu_width(&c->out);
    const int64_t end = hora_min(hora_cpu_rows(&c->out), (tile + 1) * p->chunk);
    const size_t elem = (size_t)((char *)hora_cpu_at(&c->out, 1) - (char *)c->out.data);
    float *sum = own_row(c, thread);
    for (int64_t i = tile * p->chunk; i < end; i++) {
        const int64_t from = i + c->attr.a, to = hora_batch_segment_end(c->batch, i);
        memset(hora_cpu_at(&c->out, i * w), 0, (size_t)w * elem);
        if (to <= i)
            continue;
        if (c->attr.b)
            memcpy(hora_cpu_at(&c->out, i * w), hora_cpu_at(&c->in[0], i * d), (size_t)d * elem);
        if (from >= to)
            continue;
        hora_cpu_loops(&c->in[0])->column_sums(to - from, d, 1, hora_cpu_at(&c->in[0], from * d),
                                               NULL, d, sum, true);
        put(&c->out, i * w + w - d, 1 / (float)(to - from), sum, d);
    }
}

/* The first row of row k's segment has its mean: dx_k = dy of that row / how many. */
static void backward(void *arg, int64_t tile, int thread) {
    const pooling *p = arg;
    const hora_call *c = p->c;
    const hora_batch *b = c->batch;
    const int64_t d = hora_cpu_width(&c->in[0]), w = hora_cpu_width(&c->dout);
    const int64_t end = hora_min(hora_cpu_rows(&c->dout), (tile + 1) * p->chunk);
    const bool fresh = hora_cpu_overwrites(c, 0);
    const hora_kern_rows *loops = hora_cpu_loops(&c->dout);
    float *dx = own_row(c, thread);
    for (int64_t k = tile * p->chunk; k < end; k++) {
        const int64_t i = b->lo[k], from = i + c->attr.a, to_row = hora_batch_segment_end(b, i);
        const bool leads = i < to_row, in = leads && k < to_row && from <= k;
        void *to = hora_cpu_at(&c->din[0], k * d);
        memset(dx, 0, (size_t)d * sizeof *dx);
        if (in)
            loops->accumulate(d, hora_cpu_at(&c->dout, i * w + w - d), dx, true);
        for (int64_t j = 0; in && j < d; j++)
            dx[j] /= (float)(to_row - from);
        if (c->attr.b && leads && i == k)
            loops->accumulate(d, hora_cpu_at(&c->dout, i * w), dx, false);
        if (!fresh)
            loops->accumulate(d, to, dx, false);
        put(&c->din[0], k * d, 1, dx, d);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    pooling p = {c, hora_cpu_rows_in_chunk(hora_cpu_width(&c->in[0]))};
    const bool first = c->phase == HORA_FORWARD;
    if (first || hora_cpu_wants(c, 0))
        hora_parallel(hora_ceil_div(hora_cpu_rows(first ? &c->out : &c->dout), p.chunk),
                      first ? forward : backward, &p);
}

extern const hora_cpu_op hora_cpu_op_pool;
const hora_cpu_op hora_cpu_op_pool = {query, NULL, run, true, 0};
