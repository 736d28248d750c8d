/* Kernels of op_prompt_mean.c: panels of columns go to the threads; each does the segments in
 * order, a sum in f32 rounded once. */
#include "backend/cpu/cpu_lines.h"
#include "op/op_prompt_mean.h"

enum { PANEL = 64 };

/* A sum, a row, and a row of what stands there. */
static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, 3 * PANEL);
    return hora_cpu_alike(c, 1);
}

typedef struct panel {
    const hora_call *c;
    int64_t n, d, from, w;   /* rows, columns; of the panel */
    float *sum, *row, *room; /* PANEL each */
} panel;

/* sum / m of the rows [from, to) of v. */
static void mean(const panel *p, const hora_view *v, int64_t from, int64_t to, int64_t m) {
    memset(p->sum, 0, PANEL * sizeof *p->sum);
    for (int64_t i = from; i < to; i++) {
        const float *x = hora_cpu_line(v, i * p->d + p->from, p->w, p->row);
        for (int64_t j = 0; j < p->w; j++)
            p->sum[j] += x[j];
    }
    for (int64_t j = 0; j < p->w; j++)
        p->sum[j] /= (float)m;
}

/* Rows [from, to) of v (+)= sum, or zeros. */
static void spread(const panel *p, const hora_view *v, int64_t from, int64_t to, bool zeros,
                   bool overwrite) {
    for (int64_t i = from; i < to; i++) {
        for (int64_t j = 0; j < p->w; j++)
            p->row[j] = zeros ? 0 : p->sum[j];
        hora_cpu_put_line(v, i * p->d + p->from, p->w, p->row, overwrite, p->room);
    }
}

static void segments(const panel *p) {
    const hora_call *c = p->c;
    const hora_batch *b = c->batch;
    const bool forward = c->phase == HORA_FORWARD, fresh = forward || hora_cpu_overwrites(c, 0);
    const hora_view *x = forward ? &c->in[0] : &c->dout, *y = forward ? &c->out : &c->din[0];
    for (int64_t from = 0, to; from < p->n; from = to) {
        to = hora_segment_end(b, from, p->n);
        const bool there = b->hi[from] > b->lo[from];
        const int64_t end = hora_prompt_end(b, from, to);
        if (there)
            mean(p, x, from, forward ? end : to, end - from);
        const int64_t upto = !there ? from : forward ? to : end;
        spread(p, y, from, upto, false, fresh);
        if (fresh)
            spread(p, y, upto, to, true, true);
    }
}

static void each(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t d = hora_cpu_width(&c->in[0]), from = tile * PANEL;
    float *own = hora_cpu_own(c, thread, 3 * PANEL);
    const hora_view *x = c->phase == HORA_FORWARD ? &c->in[0] : &c->dout;
    const panel p = {c,           hora_cpu_rows(x), d, from, hora_min(PANEL, d - from), own,
                     own + PANEL, own + 2 * PANEL};
    segments(&p);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    if (c->phase == HORA_FORWARD || hora_cpu_wants(c, 0))
        hora_parallel(hora_ceil_div(hora_cpu_width(&c->in[0]), PANEL), each, (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_prompt_mean;
const hora_cpu_op hora_cpu_op_prompt_mean = {query, NULL, run, true, 0};
