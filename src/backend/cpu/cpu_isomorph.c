/*
 * Kernels of op_isomorph.c: forward by tiles of rows, whose scores of a head are one product;
 * backward by panels of columns, along saved edges.
 */
#include <math.h>

#include "backend/cpu/cpu_lines.h"
#include "backend/cpu/small.h"

enum { ROWS = 64, PANEL = 64 };

/* What a thread has of a tile of ROWS rows, which see keys of n in all. */
typedef struct own {
    float *a, *z;     /* (ROWS, n): sums over the heads' maps; scores of a head */
    float *q;         /* (ROWS, dh), times the scale */
    float *k, *keys;  /* (n, dh) of a head, and packed */
    float *sum, *row; /* (d) */
} own;

/* Cuts it out of `at`, which may be NULL; returns its floats. */
static int64_t cut(const hora_call *c, float *at, own *o) {
    const int64_t n = hora_cpu_rows(&c->in[0]), dh = c->attr.head_dim,
                  d = hora_cpu_width(&c->in[2]);
    const int64_t parts[] = {ROWS * n, ROWS * n, ROWS * dh, n * dh, hora_small_room(dh, n), d, d};
    float **const to[] = {&o->a, &o->z, &o->q, &o->k, &o->keys, &o->sum, &o->row};
    int64_t sum = 0;
    for (size_t i = 0; i < HORA_COUNT(parts); sum += hora_round_up(parts[i++], 16))
        *to[i] = at ? at + sum : NULL;
    return sum;
}

/* Backward: a panel of rows, summed in f32. */
static int64_t own_floats(const hora_call *c) {
    own o;
    return c->phase == HORA_FORWARD ? cut(c, NULL, &o) : (hora_cpu_rows(&c->in[0]) + 2) * PANEL;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, own_floats(c));
    return hora_cpu_alike(c, 3);
}

/* o->a (m, keys) = sums over heads of the maps of m rows from `from`, keys from..to of them. */
static void map(const hora_call *c, int64_t from, int64_t m, int64_t first, int64_t keys,
                const own *o) {
    const hora_kern *kern = hora_kern_get();
    const int64_t dh = c->attr.head_dim, heads = c->attr.heads, w = hora_cpu_width(&c->in[1]);
    int64_t packed = -1;
    memset(o->a, 0, (size_t)(m * keys) * sizeof *o->a);
    for (int64_t h = 0; h < heads && keys > 0; h++) {
        const int64_t at = h * c->attr.kv_heads / heads * dh;
        for (int64_t j = 0; at != packed && j < keys; j++)
            hora_cpu_widen(&c->in[1], (first + j) * w + at, dh, o->k + j * dh);
        if (at != packed)
            hora_small_pack(o->k, dh, true, dh, keys, o->keys);
        packed = at;
        for (int64_t i = 0; i < m; i++) {
            float *q = o->q + i * dh;
            hora_cpu_widen(&c->in[0], ((from + i) * heads + h) * dh, dh, q);
            for (int64_t l = 0; l < dh; l++)
                q[l] *= (float)c->attr.scale;
        }
        hora_small_product(&(hora_small){.m = m,
                                         .n = keys,
                                         .k = dh,
                                         .a = o->q,
                                         .lda = dh,
                                         .b = o->keys,
                                         .y = o->z,
                                         .ldy = keys});
        for (int64_t i = 0; i < m; i++) {
            int64_t lo, hi;
            hora_call_sees(c, from + i, &lo, &hi);
            float *z = o->z + i * keys + lo - first, *a = o->a + i * keys + lo - first;
            if (hi <= lo)
                continue;
            kern->softmax->weigh(hi - lo, kern->softmax->lse(hi - lo, z), 1, z);
            kern->rows->add(hi - lo, 1, a, z, a);
        }
    }
}

/* Row i of the result from its line of the map. */
static void gather(const hora_call *c, int64_t i, int64_t lo, int64_t hi, const float *a,
                   const own *o) {
    const int64_t d = hora_cpu_width(&c->in[2]), most = 2 * c->attr.heads;
    int64_t edges = 0;
    memset(o->sum, 0, (size_t)d * sizeof *o->sum);
    for (int64_t j = lo; j < hi; j++) {
        if (!(a[j - lo] > 0.5f))
            continue;
        const float s = 1 / (1 + expf(-10 * (fminf(1, a[j - lo]) - 0.5f)));
        const float *x = hora_cpu_line(&c->in[2], j * d, d, o->row);
        hora_kern_get()->rows->add(d, s, o->sum, x, o->sum);
        if (c->grad) {
            hora_f32(&c->saved[0])[i * most + edges] = s;
            hora_f32(&c->saved[1])[i * most + edges++] = (float)j;
        }
    }
    for (; c->grad && edges < most; edges++)
        hora_f32(&c->saved[0])[i * most + edges] = hora_f32(&c->saved[1])[i * most + edges] = -1;
    hora_cpu_put_line(&c->out, i * d, d, o->sum, true, o->row);
}

static void forward(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const int64_t n = hora_cpu_rows(&c->in[0]), from = tile * ROWS, m = hora_min(ROWS, n - from);
    int64_t first = n, end = 0, lo, hi;
    own o;
    cut(c, hora_cpu_own(c, thread, own_floats(c)), &o);
    for (int64_t i = from; i < from + m; i++) {
        hora_call_sees(c, i, &lo, &hi);
        first = hi > lo ? hora_min(first, lo) : first;
        end = hi > lo ? hora_max(end, hi) : end;
    }
    const int64_t keys = hora_max(0, end - first);
    map(c, from, m, first, keys, &o);
    for (int64_t i = from; i < from + m; i++) {
        hora_call_sees(c, i, &lo, &hi);
        gather(c, i, lo, hi, o.a + (i - from) * keys + lo - first, &o);
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
