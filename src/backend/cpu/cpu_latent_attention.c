/*
 * Kernel of op_latent_attention.c. A tile is some heads of a row: they read the cache once, KEYS of
 * its rows at a time, and each goes on with its own maximum, sum and weighted latents. What lies in
 * bf16 is widened on the way; sums are f32.
 */
#include <math.h>

#include "backend/cpu/cpu_lines.h"

enum { KEYS = 32, HEADS = 8 };

typedef struct shape {
    int64_t heads, kv, dh, half, p, rest, turned, w, row;
    int64_t ldu; /* of U and V */
} shape;

static shape shape_of(const hora_call *c) {
    shape s = {.heads = c->attr.heads,
               .kv = c->attr.kv_heads,
               .dh = c->attr.head_dim,
               .half = c->attr.head_dim / 2,
               .turned = hora_cpu_width(&c->in[1]),
               .w = hora_cpu_width(&c->in[2]),
               .ldu = hora_cpu_width(&c->in[4])};
    s.p = s.turned / s.kv / 2;
    s.rest = s.half - s.p;
    s.row = s.turned + s.w;
    return s;
}

/* What a head has while the keys go by. */
typedef struct one {
    float *r, *a, *sum; /* (2p), (w), (w) */
    float most, all;
} one;

/* Of a thread: r, a, sum of the heads, KEYS widened rows, q or a row of a weight, an output. */
static int64_t room(const shape *s) {
    return HEADS * (2 * s->p + 2 * s->w) + KEYS * s->row + s->ldu + 2 * s->dh + KEYS;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const shape s = shape_of(c);
    need->scratch = hora_cpu_own_bytes(d, room(&s));
    for (int i = 0; i < 6; i++)
        if (!hora_absent(&c->in[i]) && c->in[i].dtype != c->out.dtype)
            return false;
    return true;
}

static const hora_kern_attention *floats(void) {
    return hora_kern_get()->attention[0];
}

static float dot(int64_t n, const float *a, const float *b) {
    float sum = 0;
    floats()->dots(1, n, a, b, n, &sum);
    return sum;
}

static void axpy(int64_t n, float x, const float *v, float *y) {
    hora_kern_get()->rows->add(n, x, y, v, y);
}

/* r and a of head h in row i; own: `ldu` + dh floats. */
static void begin(const hora_call *c, const shape *s, int64_t i, int64_t h, one *o, float *own) {
    const float *q = hora_cpu_line(&c->in[0], (i * s->heads + h) * s->dh, s->dh, own + s->ldu);
    const int64_t g = h * s->kv / s->heads;
    memcpy(o->r, q, (size_t)s->p * sizeof *q);
    memcpy(o->r + s->p, q + s->half, (size_t)s->p * sizeof *q);
    memset(o->a, 0, (size_t)s->w * sizeof *o->a);
    memset(o->sum, 0, (size_t)s->w * sizeof *o->sum);
    for (int64_t k = 0; k < 2 * s->rest; k++) {
        const float *u = hora_cpu_line(&c->in[3], (g * 2 * s->rest + k) * s->ldu, s->w, own);
        axpy(s->w, q[k / s->rest * s->half + s->p + k % s->rest], u, o->a);
    }
    o->most = -INFINITY;
    o->all = 0;
}

/* n more rows of the cache, as floats. */
static void go_on(const hora_call *c, const shape *s, int64_t g, one *o, const float *keys,
                  int64_t n, float *z) {
    float most = o->most;
    for (int64_t j = 0; j < n; j++) {
        const float *key = keys + j * s->row;
        z[j] = (float)c->attr.scale *
               (dot(2 * s->p, o->r, key + g * 2 * s->p) + dot(s->w, o->a, key + s->turned));
        most = fmaxf(most, z[j]);
    }
    const float less = expf(o->most - most);
    o->all *= less;
    if (less != 1)
        hora_kern_get()->rows->add(s->w, less, NULL, o->sum, o->sum);
    for (int64_t j = 0; j < n; j++) {
        z[j] = expf(z[j] - most);
        o->all += z[j];
        axpy(s->w, z[j], keys + j * s->row + s->turned, o->sum);
    }
    o->most = most;
}

static void finish(const hora_call *c, const shape *s, int64_t i, int64_t h, const one *o,
                   float *own) {
    const int64_t g = h * s->kv / s->heads;
    float *y = own + s->ldu, *more = y + s->dh;
    for (int64_t k = 0; k < s->dh; k++) {
        const float *v = hora_cpu_line(&c->in[4], (g * s->dh + k) * s->ldu, s->ldu, own);
        y[k] = o->all > 0 ? dot(s->w, v, o->sum) / o->all + (s->ldu > s->w ? v[s->w] : 0) : 0;
    }
    hora_cpu_put_line(&c->out, (i * s->heads + h) * s->dh, s->dh, y, true, more);
}

static void some(void *arg, int64_t tile, int thread) {
    const hora_call *c = arg;
    const shape s = shape_of(c);
    const int64_t groups = hora_ceil_div(s.heads, HEADS), i = tile / groups;
    const int64_t first = tile % groups * HEADS, n = hora_min(HEADS, s.heads - first);
    const int64_t hi = c->batch->hi[i];
    const int64_t lo = c->attr.window
                           ? hora_max(c->batch->lo[i], c->batch->cache_row + i - c->attr.window + 1)
                           : c->batch->lo[i];
    float *own = hora_cpu_own(c, thread, room(&s));
    float *keys = own + HEADS * (2 * s.p + 2 * s.w), *rest = keys + KEYS * s.row;
    float *z = rest + s.ldu + 2 * s.dh;
    one o[HEADS];
    for (int64_t h = 0; h < n; h++, own += 2 * s.p + 2 * s.w) {
        o[h] = (one){.a = own, .sum = own + s.w, .r = own + 2 * s.w};
        begin(c, &s, i, first + h, &o[h], rest);
    }
    for (int64_t j = lo; j < hi; j += KEYS) {
        const int64_t some_keys = hora_min(KEYS, hi - j);
        const float *at = hora_cpu_line(&c->in[5], j * s.row, some_keys * s.row, keys);
        for (int64_t h = 0; h < n; h++)
            go_on(c, &s, (first + h) * s.kv / s.heads, &o[h], at, some_keys, z);
    }
    for (int64_t h = 0; h < n; h++)
        finish(c, &s, i, first + h, &o[h], rest);
}

static void append(const hora_call *c, const shape *s) {
    const hora_batch *b = c->batch;
    const size_t size = hora_dtype_size(c->in[5].dtype);
    for (int64_t i = 0; i < hora_cpu_rows(&c->in[0]); i++) {
        const int64_t at = b->cache_row + i;
        if (b->lo[i] >= b->hi[i])
            continue;
        HORA_ASSERT(at < hora_cpu_rows(&c->in[5]) && b->hi[i] <= hora_cpu_rows(&c->in[5]));
        memcpy(hora_cpu_at(&c->in[5], at * s->row), hora_cpu_at(&c->in[1], i * s->turned),
               (size_t)s->turned * size);
        memcpy(hora_cpu_at(&c->in[5], at * s->row + s->turned), hora_cpu_at(&c->in[2], i * s->w),
               (size_t)s->w * size);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const shape s = shape_of(c);
    append(c, &s);
    hora_cpu_parallel(*(const int *)impl->state,
                      hora_cpu_rows(&c->in[0]) * hora_ceil_div(s.heads, HEADS), some,
                      (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_latent_attention;
const hora_cpu_op hora_cpu_op_latent_attention = {query, hora_cpu_count_threads, run, true, 0};
