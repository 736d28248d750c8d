/*
 * Kernel of op_latent_attention.c. Of a few rows a tile is some heads of a row: they read the cache
 * once, KEYS of its rows at a time, and each goes on with its own maximum, sum and weighted
 * latents. What lies in bf16 is widened on the way; sums are f32. Many rows, those of a prompt,
 * have many uses for each key: head by head its keys and values are formed once, and attention goes
 * over them as it does elsewhere (cpu_attention.h), with heads of dh instead of w numbers.
 */
#include <math.h>

#include "backend/cpu/cpu_attention.h"
#include "backend/cpu/cpu_lines.h"

enum { KEYS = 32, HEADS = 8, MANY = 16 /* rows */ };

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
        hora_cpu_axpy(s->w, q[k / s->rest * s->half + s->p + k % s->rest], u, o->a);
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
        z[j] = (float)c->attr.scale * (hora_cpu_dot(2 * s->p, o->r, key + g * 2 * s->p) +
                                       hora_cpu_dot(s->w, o->a, key + s->turned));
        most = fmaxf(most, z[j]);
    }
    const float less = expf(o->most - most);
    o->all *= less;
    if (less != 1)
        hora_kern_get()->rows->add(s->w, less, NULL, o->sum, o->sum);
    for (int64_t j = 0; j < n; j++) {
        z[j] = expf(z[j] - most);
        o->all += z[j];
        hora_cpu_axpy(s->w, z[j], keys + j * s->row + s->turned, o->sum);
    }
    o->most = most;
}

static void finish(const hora_call *c, const shape *s, int64_t i, int64_t h, const one *o,
                   float *own) {
    const int64_t g = h * s->kv / s->heads;
    float *y = own + s->ldu, *more = y + s->dh;
    for (int64_t k = 0; k < s->dh; k++) {
        const float *v = hora_cpu_line(&c->in[4], (g * s->dh + k) * s->ldu, s->ldu, own);
        y[k] =
            o->all > 0 ? hora_cpu_dot(s->w, v, o->sum) / o->all + (s->ldu > s->w ? v[s->w] : 0) : 0;
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

/* --- many rows -------------------------------------------------------------------------------- */
/* Attention of one key-value head over keys and values of its own. */
static hora_attention attention_of(const hora_call *c) {
    hora_attention a = hora_attention_of(c, &c->in[5], &c->in[5]);
    a.heads = a.each;
    a.groups = 1;
    a.ldk = a.dh;
    a.first = c->batch ? c->batch->cache_row : 0;
    return a;
}

/* Places in the scratch of a call of many rows. */
typedef struct layout {
    size_t u, v, bias, keys, values, lines, line, attention, total;
} layout;

static layout layout_of(const hora_call *c, const shape *s, size_t from, int threads) {
    const hora_attention a = attention_of(c);
    const size_t all = (size_t)(hora_cpu_rows(&c->in[5]) * s->dh * a.elem);
    layout l = {.u = from};
    l.v = l.u + hora_attention_pack_bytes(&a, s->w, 2 * s->rest);
    l.bias = l.v + hora_attention_pack_bytes(&a, s->w, s->dh);
    l.keys = l.bias + hora_cpu_aligned((size_t)s->dh * sizeof(float));
    l.values = l.keys + hora_cpu_aligned(all);
    l.lines = l.values + hora_cpu_aligned(all);
    l.line = hora_cpu_aligned((size_t)(HORA_KEYS * s->dh + 2 * s->dh) * sizeof(float));
    l.attention = l.lines + l.line * (size_t)threads;
    l.total = l.attention + hora_attention_scratch(&a) * (size_t)threads;
    return l;
}

/* Products of bf16 take numbers two by two. */
static bool has_many(const hora_call *c, const shape *s) {
    return hora_cpu_rows(&c->in[0]) >= MANY && (c->out.dtype == HORA_F32 || s->w % 2 == 0);
}

typedef struct formed {
    const hora_call *c;
    const shape *s;
    hora_attention a;
    layout at;
    int64_t g, from, to; /* keys that some row sees */
    hora_packed u, v;
} formed;

static void put(const formed *f, size_t place, int64_t row, const float *x, int64_t rows) {
    char *to = (char *)f->c->scratch + place + row * f->s->dh * f->a.elem;
    if (f->a.elem == 4)
        memcpy(to, x, (size_t)(rows * f->s->dh) * sizeof *x);
    else
        hora_kern_get()->rows->narrow(rows * f->s->dh, x, (uint16_t *)(void *)to);
}

/* Keys and values of some rows of the cache. */
static void form(void *arg, int64_t tile, int thread) {
    const formed *f = arg;
    const shape *s = f->s;
    char *scratch = f->c->scratch;
    float *y = (float *)(void *)(scratch + f->at.lines + f->at.line * (size_t)thread);
    float *key = y + HORA_KEYS * s->dh, *room = key + s->dh;
    const float *bias = (const float *)(void *)(scratch + f->at.bias);
    const int64_t j0 = f->from + tile * HORA_KEYS, m = hora_min(HORA_KEYS, f->to - j0);
    const char *latent = hora_cpu_at(&f->c->in[5], j0 * s->row + s->turned);
    hora_attention_across(&f->a, &f->v, latent, s->row, m, 0, s->dh, 1, y, s->dh);
    for (int64_t j = 0; j < m && s->ldu > s->w; j++)
        hora_cpu_axpy(s->dh, 1, bias, y + j * s->dh);
    put(f, f->at.values, j0, y, m);
    if (s->rest)
        hora_attention_across(&f->a, &f->u, latent, s->row, m, 0, 2 * s->rest, 1, y, 2 * s->rest);
    for (int64_t j = 0; j < m; j++) {
        const float *r =
            hora_cpu_line(&f->c->in[5], (j0 + j) * s->row + f->g * 2 * s->p, 2 * s->p, room);
        for (int half = 0; half < 2; half++) {
            float *to = key + half * s->half;
            memcpy(to, r + half * s->p, (size_t)s->p * sizeof *to);
            memcpy(to + s->p, y + (2 * j + half) * s->rest, (size_t)s->rest * sizeof *to);
        }
        put(f, f->at.keys, j0 + j, key, 1);
    }
}

/* The last column of V. */
static void take_bias(const formed *f, float *bias) {
    const shape *s = f->s;
    float one;
    for (int64_t k = 0; k < s->dh && s->ldu > s->w; k++)
        bias[k] = *hora_cpu_line(&f->c->in[4], (f->g * s->dh + k) * s->ldu + s->w, 1, &one);
}

static void many_rows(const hora_call *c, const shape *s, int threads) {
    const int64_t n = hora_cpu_rows(&c->in[0]);
    char *scratch = c->scratch;
    formed f = {.c = c, .s = s, .a = attention_of(c), .from = INT64_MAX};
    const hora_attention all = f.a;
    f.at = layout_of(c, s, hora_cpu_aligned((size_t)room(s) * sizeof(float)) * (size_t)threads,
                     threads);
    for (int64_t i = 0; i < n; i++) {
        const hora_seen seen = hora_attention_sees(&f.a, i);
        f.from = seen.from < seen.to ? hora_min(f.from, seen.from) : f.from;
        f.to = seen.from < seen.to ? hora_max(f.to, seen.to) : f.to;
    }
    f.from =
        hora_min(f.from, f.to) / HORA_KEYS * HORA_KEYS; /* masked keys of a tile are read too */
    f.a.k = scratch + f.at.keys;
    f.a.v = scratch + f.at.values;
    for (f.g = 0; f.g < s->kv; f.g++) {
        const char *u = s->rest ? hora_cpu_at(&c->in[3], f.g * 2 * s->rest * s->ldu) : NULL;
        const char *v = hora_cpu_at(&c->in[4], f.g * s->dh * s->ldu);
        const int64_t at = f.g * all.each * s->dh * all.elem;
        if (u)
            f.u = hora_attention_pack(&all, u, s->ldu, true, s->w, 2 * s->rest, scratch + f.at.u);
        f.v = hora_attention_pack(&all, v, s->ldu, true, s->w, s->dh, scratch + f.at.v);
        take_bias(&f, (float *)(void *)(scratch + f.at.bias));
        hora_cpu_parallel(threads, hora_ceil_div(f.to - f.from, HORA_KEYS), form, &f);
        f.a.q = all.q + at;
        f.a.out = all.out + at;
        hora_attention_run(&f.a, n, threads, scratch + f.at.attention, NULL);
    }
}

/* --- the kernel ------------------------------------------------------------------------------- */
static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const shape s = shape_of(c);
    need->scratch = hora_cpu_own_bytes(d, room(&s));
    if (has_many(c, &s) && hora_attention_takes(c))
        need->scratch = layout_of(c, &s, need->scratch, hora_device_threads(d)).total;
    for (int i = 0; i < 6; i++)
        if (!hora_absent(&c->in[i]) && c->in[i].dtype != c->out.dtype)
            return false;
    return true;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const shape s = shape_of(c);
    append(c, &s);
    if (has_many(c, &s))
        many_rows(c, &s, *(const int *)impl->state);
    else
        hora_cpu_parallel(*(const int *)impl->state,
                          hora_cpu_rows(&c->in[0]) * hora_ceil_div(s.heads, HEADS), some,
                          (void *)(uintptr_t)c);
}

extern const hora_cpu_op hora_cpu_op_latent_attention;
const hora_cpu_op hora_cpu_op_latent_attention = {query, hora_cpu_count_threads, run, true, 0};
