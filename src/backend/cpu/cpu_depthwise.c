/*
 * Kernels of op_depthwise.c. Forward and x's gradient: rows go to the threads, each a sum of whole
 * rows times rows of K', which is turned once. Gradients of K and b: panels of columns go to the
 * threads, each over all rows in order, so their number changes no sum.
 */
#include "backend/cpu/cpu_lines.h"
#include "op/op_depthwise.h"

enum { ROWS = 16, PANEL = 64 };

typedef struct sizes {
    int64_t n, d, taps, panels;
} sizes;
static sizes sizes_of(const hora_call *c) {
    const int64_t d = hora_cpu_width(&c->in[0]);
    return (sizes){hora_cpu_rows(&c->in[0]), d, hora_cpu_width(&c->in[1]), hora_ceil_div(d, PANEL)};
}

/* Of a thread: three rows, or of a panel the sums and two rows. */
static int64_t own_floats(sizes s) {
    return hora_max(3 * s.d, (s.taps + 3) * PANEL);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const sizes s = sizes_of(c);
    need->scratch =
        hora_cpu_own_bytes(d, own_floats(s)) + (size_t)(s.taps * s.d) * sizeof(float); /* K' */
    return hora_cpu_weights_f32(c, 1, hora_absent(&c->in[2]) ? 1 : 2) && hora_cpu_alike(c, 1);
}

typedef struct job {
    const hora_call *c;
    const float *turned; /* K' (taps, d) */
} job;

static void add_product(float *y, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

/* sum over taps of K' and the rows they read, sign 1; or of the rows that read this one, -1. */
static void sum_taps(const job *j, const hora_view *from, int64_t i, int64_t sign, float *sum,
                     float *room) {
    const sizes s = sizes_of(j->c);
    hora_grid_place p;
    if (!hora_grid_at(&j->c->attr, j->c->batch, i, &p))
        return;
    if (sign > 0 && !hora_absent(&j->c->in[2]))
        memcpy(sum, hora_f32(&j->c->in[2]), (size_t)s.d * sizeof *sum);
    for (int64_t k = 0; k < s.taps; k++) {
        const int64_t at = hora_grid_tap(&j->c->attr, &p, k, sign);
        if (at >= 0)
            add_product(sum, j->turned + k * s.d, hora_cpu_line(from, at * s.d, s.d, room), s.d);
    }
}

static void some_rows(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const hora_call *c = j->c;
    const sizes s = sizes_of(c);
    const bool first = c->phase == HORA_FORWARD;
    float *sum = hora_cpu_own(c, thread, own_floats(s)), *room = sum + s.d, *spare = room + s.d;
    for (int64_t i = tile * ROWS; i < hora_min(s.n, (tile + 1) * ROWS); i++) {
        memset(sum, 0, (size_t)s.d * sizeof *sum);
        sum_taps(j, first ? &c->in[0] : &c->dout, i, first ? 1 : -1, sum, room);
        hora_cpu_put_line(first ? &c->out : &c->din[0], i * s.d, s.d, sum,
                          first || hora_cpu_overwrites(c, 0), spare);
    }
}

/* Of columns [from, from + w): dk (taps, PANEL), db. */
static void sum_panel(const hora_call *c, int64_t from, int64_t w, float *dk, float *db) {
    const sizes s = sizes_of(c);
    float *dyroom = db + PANEL, *xroom = dyroom + PANEL;
    hora_grid_place p;
    memset(dk, 0, (size_t)((s.taps + 1) * PANEL) * sizeof *dk);
    for (int64_t i = 0; i < s.n; i++) {
        if (!hora_grid_at(&c->attr, c->batch, i, &p))
            continue;
        const float *dy = hora_cpu_line(&c->dout, i * s.d + from, w, dyroom);
        for (int64_t l = 0; l < w; l++)
            db[l] += dy[l];
        for (int64_t k = 0; hora_cpu_wants(c, 1) && k < s.taps; k++) {
            const int64_t at = hora_grid_tap(&c->attr, &p, k, 1);
            if (at >= 0)
                add_product(dk + k * PANEL, dy, hora_cpu_line(&c->in[0], at * s.d + from, w, xroom),
                            w);
        }
    }
}

static void one_panel(void *arg, int64_t tile, int thread) {
    const hora_call *c = ((const job *)arg)->c;
    const sizes s = sizes_of(c);
    const int64_t from = tile * PANEL, w = hora_min(PANEL, s.d - from);
    float *dk = hora_cpu_own(c, thread, own_floats(s)), *db = dk + s.taps * PANEL;
    sum_panel(c, from, w, dk, db);
    for (int64_t l = 0; l < w; l++) {
        float *to = hora_cpu_wants(c, 1) ? hora_f32(&c->din[1]) + (from + l) * s.taps : NULL;
        for (int64_t k = 0; to && k < s.taps; k++)
            to[k] = (hora_cpu_overwrites(c, 1) ? 0 : to[k]) + dk[k * PANEL + l];
        float *b = hora_cpu_wants(c, 2) ? hora_f32(&c->din[2]) + from + l : NULL;
        if (b)
            *b = (hora_cpu_overwrites(c, 2) ? 0 : *b) + db[l];
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const sizes s = sizes_of(c);
    const int threads = *(const int *)impl->state;
    const float *k = hora_f32(&c->in[1]);
    float *turned = hora_cpu_own(c, threads, own_floats(s));
    job j = {c, turned};
    if (c->phase == HORA_FORWARD || hora_cpu_wants(c, 0)) {
        for (int64_t i = 0; i < s.d * s.taps; i++)
            turned[i % s.taps * s.d + i / s.taps] = k[i];
        hora_cpu_parallel(threads, hora_ceil_div(s.n, ROWS), some_rows, &j);
    }
    if (hora_cpu_wants(c, 1) || hora_cpu_wants(c, 2))
        hora_cpu_parallel(threads, s.panels, one_panel, &j);
}

extern const hora_cpu_op hora_cpu_op_depthwise;
const hora_cpu_op hora_cpu_op_depthwise = {query, hora_cpu_count_threads, run, true, 0};
