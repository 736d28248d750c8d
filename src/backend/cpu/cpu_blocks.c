/* Kernels of op_blocks.c. Rows go to the threads; for R's gradient its blocks do, and rows are
 * added in order. */
#include "backend/cpu/cpu_lines.h"

#include "op/op_blocks.h"

static int64_t room(const hora_call *c) {
    return 4 * hora_cpu_width(c->phase == HORA_FORWARD ? &c->in[0] : &c->dout);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, room(c));
    return hora_cpu_weights_f32(c, 1, 1) && hora_cpu_alike(c, 1);
}

/* P x into u. */
static void exchange(const float *x, float *u, int64_t d, int64_t b, int64_t level) {
    for (int64_t p = 0; p < d; p++)
        u[hora_butterfly(p, b, level)] = x[p];
}

/* v_k = u_k R_k, or u_k R_k'. */
static void rotate(const hora_call *c, const float *u, float *v, int64_t d, bool transpose) {
    const int64_t b = hora_cpu_width(&c->in[1]);
    const bool shared = hora_cpu_rows(&c->in[1]) == b;
    for (int64_t k = 0; k < d; k += b) {
        const float *r = hora_f32(&c->in[1]) + (shared ? 0 : k * b);
        for (int64_t l = 0; l < b; l++)
            v[k + l] = 0;
        for (int64_t j = 0; j < b; j++)
            for (int64_t l = 0; l < b; l++)
                if (transpose)
                    v[k + j] += u[k + l] * r[j * b + l];
                else
                    v[k + l] += u[k + j] * r[j * b + l];
    }
}

enum { ROWS = 16 }; /* of a tile */

static void some_rows(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const bool fwd = c->phase == HORA_FORWARD;
    const hora_view *x = fwd ? &c->in[0] : &c->dout, *y = fwd ? &c->out : &c->din[0];
    const int64_t d = hora_cpu_width(x), b = hora_cpu_width(&c->in[1]), level = c->attr.a;
    float *u = hora_cpu_own(c, thread, room(c)), *v = u + d, *w = v + d, *z = w + d;
    for (int64_t i = tile * ROWS; i < hora_min(hora_cpu_rows(x), (tile + 1) * ROWS); i++) {
        const float *from = hora_cpu_line(x, i * d, d, w);
        if (level) {
            exchange(from, u, d, b, level);
            from = u;
        }
        rotate(c, from, v, d, !fwd);
        for (int64_t p = 0; level && p < d; p++)
            z[p] = v[hora_butterfly(p, b, level)];
        hora_cpu_put_line(y, i * d, d, level ? z : v, fwd || hora_cpu_overwrites(c, 0), w);
    }
}

/* dR of one block: rows of u and of P dy of its columns. A shared block gets those of all. */
static void one_block(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t n = hora_cpu_rows(&c->dout), d = hora_cpu_width(&c->dout);
    const int64_t b = hora_cpu_width(&c->in[1]), level = c->attr.a;
    const bool shared = hora_cpu_rows(&c->in[1]) == b;
    float *dr = hora_f32(&c->din[1]) + tile * b * b;
    float *u = hora_cpu_own(c, thread, room(c)), *g = u + d, *w = g + d;
    for (int64_t k = 0; hora_cpu_overwrites(c, 1) && k < b * b; k++)
        dr[k] = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *x = hora_cpu_line(&c->in[0], i * d, d, w), *ux = x, *gy;
        if (level) {
            exchange(x, u, d, b, level);
            ux = u;
        } else if (c->in[0].dtype != HORA_F32) {
            for (int64_t k = 0; k < d; k++)
                u[k] = x[k];
            ux = u;
        }
        gy = hora_cpu_line(&c->dout, i * d, d, w);
        if (level) {
            exchange(gy, g, d, b, level);
            gy = g;
        }
        for (int64_t k = shared ? 0 : tile * b; k < (shared ? d : (tile + 1) * b); k += b)
            for (int64_t j = 0; j < b; j++)
                for (int64_t l = 0; l < b; l++)
                    dr[j * b + l] += ux[k + j] * gy[k + l];
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int threads = *(const int *)impl->state;
    const hora_view *x = c->phase == HORA_FORWARD ? &c->out : &c->dout;
    if (c->phase == HORA_FORWARD || hora_cpu_wants(c, 0))
        hora_cpu_parallel(threads, hora_ceil_div(hora_cpu_rows(x), ROWS), some_rows,
                          (void *)(uintptr_t)c);
    if (hora_cpu_wants(c, 1))
        hora_cpu_parallel(threads, hora_cpu_rows(&c->in[1]) / hora_cpu_width(&c->in[1]), one_block,
                          (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_blocks;
const hora_cpu_op hora_cpu_op_blocks = {query, hora_cpu_count_threads, run, true, 0};
