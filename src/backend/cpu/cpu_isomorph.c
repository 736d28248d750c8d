/* Kernels of op_isomorph.c: forward by rows; backward by panels of columns, along saved edges. */
#include <math.h>

#include "backend/cpu/cpu_lines.h"

enum { ROWS = 16, PANEL = 64 };

/* Forward: a line of A, the scores of a head, q and k of a head, a row and its sum. Backward: a
 * panel of rows, summed in f32. */
static int64_t own_floats(const hora_call *c) {
    const int64_t n = hora_cpu_rows(&c->in[0]);
    return c->phase == HORA_FORWARD ? 2 * n + 2 * c->attr.head_dim + 3 * hora_cpu_width(&c->in[2])
                                    : (n + 2) * PANEL;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, own_floats(c));
    return hora_cpu_alike(c, 3);
}

/* a (hi - lo) = sum over heads of row i's map; room: scores, then q and k of a head. */
static void map(const hora_call *c, int64_t i, int64_t lo, int64_t hi, float *a, float *room) {
    const int64_t dh = c->attr.head_dim, n = hi - lo, w = hora_cpu_width(&c->in[1]);
    float *z = room, *qroom = room + hora_cpu_rows(&c->in[0]), *kroom = qroom + dh;
    for (int64_t j = 0; j < n; j++)
        a[j] = 0;
    for (int64_t h = 0; h < c->attr.heads && n > 0; h++) {
        const float *q = hora_cpu_line(&c->in[0], (i * c->attr.heads + h) * dh, dh, qroom);
        const int64_t at = h * c->attr.kv_heads / c->attr.heads * dh;
        float most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) {
            const float *k = hora_cpu_line(&c->in[1], (lo + j) * w + at, dh, kroom);
            float s = 0;
            for (int64_t l = 0; l < dh; l++)
                s += q[l] * k[l];
            z[j] = (float)c->attr.scale * s;
            most = fmaxf(most, z[j]);
        }
        for (int64_t j = 0; j < n; j++)
            sum += z[j] = expf(z[j] - most);
        for (int64_t j = 0; j < n; j++)
            a[j] += z[j] / sum;
    }
}

static void forward(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t n = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[2]);
    const int64_t most = 2 * c->attr.heads;
    float *a = hora_cpu_own(c, thread, own_floats(c)), *room = a + n;
    float *row = room + n + 2 * c->attr.head_dim, *sum = row + d, *more = sum + d;
    for (int64_t i = tile * ROWS; i < hora_min(n, (tile + 1) * ROWS); i++) {
        int64_t lo, hi, edges = 0;
        hora_call_sees(c, i, &lo, &hi);
        map(c, i, lo, hi, a, room);
        memset(sum, 0, (size_t)d * sizeof *sum);
        for (int64_t j = lo; j < hi; j++) {
            if (!(a[j - lo] > 0.5f))
                continue;
            const float s = 1 / (1 + expf(-10 * (fminf(1, a[j - lo]) - 0.5f)));
            const float *x = hora_cpu_line(&c->in[2], j * d, d, row);
            for (int64_t l = 0; l < d; l++)
                sum[l] += s * x[l];
            if (c->grad) {
                hora_f32(&c->saved[0])[i * most + edges] = s;
                hora_f32(&c->saved[1])[i * most + edges++] = (float)j;
            }
        }
        for (; c->grad && edges < most; edges++)
            hora_f32(&c->saved[0])[i * most + edges] = hora_f32(&c->saved[1])[i * most + edges] =
                -1;
        hora_cpu_put_line(&c->out, i * d, d, sum, true, more);
    }
}

static void backward(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t n = hora_cpu_rows(&c->dout), d = hora_cpu_width(&c->dout);
    const int64_t most = 2 * c->attr.heads, from = tile * PANEL, w = hora_min(PANEL, d - from);
    float *dx = hora_cpu_own(c, thread, own_floats(c)), *row = dx + n * PANEL, *more = row + PANEL;
    memset(dx, 0, (size_t)(n * PANEL) * sizeof *dx);
    for (int64_t i = 0; i < n; i++) {
        const float *s = hora_f32(&c->saved[0]) + i * most, *j = hora_f32(&c->saved[1]) + i * most;
        const float *dy = hora_cpu_line(&c->dout, i * d + from, w, row);
        for (int64_t e = 0; e < most && j[e] >= 0; e++)
            for (int64_t l = 0; l < w; l++)
                dx[(int64_t)j[e] * PANEL + l] += s[e] * dy[l];
    }
    for (int64_t i = 0; i < n; i++)
        hora_cpu_put_line(&c->din[2], i * d + from, w, dx + i * PANEL, hora_cpu_overwrites(c, 2),
                          more);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int threads = *(const int *)impl->state;
    if (c->phase == HORA_FORWARD)
        hora_cpu_parallel(threads, hora_ceil_div(hora_cpu_rows(&c->in[0]), ROWS), forward,
                          (void *)(uintptr_t)c);
    else if (hora_cpu_wants(c, 2))
        hora_cpu_parallel(threads, hora_ceil_div(hora_cpu_width(&c->dout), PANEL), backward,
                          (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_isomorph;
const hora_cpu_op hora_cpu_op_isomorph = {query, hora_cpu_count_threads, run, true, 0};
