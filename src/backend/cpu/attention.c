/*
 * Forward attention. Spans are runs of rows that attend to themselves alone, a segment or several;
 * over a cache all rows are one. A chunk of work is a key-value head and a few blocks of the query
 * rows of a span: query heads of the same rows first, then rows. Blocks and tiles of keys begin
 * with their span, so an encoder's samples have neither masks nor tiles of two of them. Blocks go
 * over the keys that they see tile by tile, with a running softmax, and share each packed tile of
 * values; keys are read in place. Tiles of a prefix follow in the same way. A few rows (decoding)
 * read both in place.
 */
#include "backend/cpu/cpu_attention.h"

#define BLOCK HORA_LANES /* rows */
#define ITEMS 4          /* blocks of a chunk */
#define FEW   4          /* rows */

/* Bytes of one thread: packed values, a tile of scores, its weights; then per block packed
 * queries, sums o, and m, l, correction. */
typedef struct layout {
    size_t v, s, p, q, o, m, item, total;
} layout;

static layout layout_of(const hora_attention *a) {
    layout r;
    size_t tile = (size_t)HORA_KEYS * BLOCK * sizeof(float);
    r.v = 0;
    r.s = r.v + hora_attention_pack_bytes(a, HORA_KEYS, a->dh);
    r.p = r.s + tile;
    r.q = r.p + (a->elem == 2 ? tile / 2 : 0);
    r.o = hora_attention_pack_bytes(a, a->dh, BLOCK);
    r.m = r.o + hora_cpu_aligned((size_t)(BLOCK * a->dh) * sizeof(float));
    r.item = r.m + 3 * BLOCK * sizeof(float);
    r.total = r.q + ITEMS * r.item;
    return r;
}

size_t hora_attention_scratch(const hora_attention *a) {
    return layout_of(a).total;
}

typedef struct forward {
    const hora_attention *a;
    int64_t n, spans;
    const int32_t *ends;   /* of spans; NULL: one of all rows, over a cache */
    const int32_t *chunks; /* of a key-value head up to and including each span */
    layout layout;         /* of the scratch of one thread */
    char *scratch;
} forward;

/* A block of rows of one query head. */
typedef struct item {
    int64_t i0, head;
    hora_packed q;
    float *o, *m, *l, *correction;
    hora_key_bounds bounds;
} item;

/* The block against one tile of a's keys, whose values are packed. */
static void attend(const forward *f, const hora_attention *a, char *own, const item *w,
                   const hora_tile *t, int64_t g, const hora_packed *v) {
    float *s = (float *)(own + f->layout.s);
    void *p = a->elem == 2 ? own + f->layout.p : own + f->layout.s;
    for (hora_key_run r = {0}; hora_tile_keys(t, &r);)
        hora_attention_across(
            a, &w->q, a->k + ((t->j0 + r.from) * a->ldk + g * a->dh) * a->elem, a->ldk,
            r.to - r.from, r.s0 * HORA_CELL, hora_min(r.s1 * HORA_CELL, w->bounds.rows),
            (float)(a->c->attr.scale * HORA_LOG2E), s + r.from * BLOCK + r.s0 * HORA_CELL, BLOCK);
    for (hora_key_run r = {0}; hora_tile_subtiles(t, &r);) {
        int64_t i = r.s0 * HORA_CELL, rows = hora_min(r.s1 * HORA_CELL, w->bounds.rows) - i;
        int64_t at = r.from * BLOCK + i;
        hora_scores e = {.keys = r.to - r.from,
                         .rows = rows,
                         .first = t->j0 + r.from,
                         .from = r.masked ? w->bounds.from + i : NULL,
                         .to = r.masked ? w->bounds.to + i : NULL,
                         .s = s + at,
                         .ld = BLOCK,
                         .p = s + at,
                         .pairs = (uint32_t *)p + r.from / 2 * BLOCK + i,
                         .ldp = BLOCK};
        a->kern->softmax_update(&e, w->m + i, w->l + i, w->correction + i);
        a->kern->softmax_rescale(rows, a->dh, w->correction + i, w->o + i * a->dh);
        hora_left x = {a->elem == 2 ? (void *)e.pairs : e.p, 4, BLOCK * 4, rows, e.keys};
        hora_attention_down(a, v, r.from, x, w->o + i * a->dh);
    }
}

/* A span: its rows [from, to), its chunks from number `chunk` on, and where its blocks begin. */
typedef struct span {
    int64_t from, to, chunk;
} span;

static span span_of(const forward *f, int64_t chunk) {
    int64_t low = 0, high = f->spans - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (f->chunks[middle] <= chunk)
            low = middle + 1;
        else
            high = middle;
    }
    return (span){low ? f->ends[low - 1] : 0, f->ends ? f->ends[low] : f->n,
                  chunk - (low ? f->chunks[low - 1] : 0)};
}

/* Block k of a span begins there: the cells are dealt out evenly. */
static int64_t block_at(const span *s, int64_t k) {
    const int64_t cells = hora_ceil_div(s->to - s->from, HORA_CELL);
    const int64_t blocks = hora_ceil_div(s->to - s->from, BLOCK);
    return hora_min(s->to, s->from + cells * k / blocks * HORA_CELL);
}

static void begin(const forward *f, char *own, item *w, int64_t g, const span *s, int64_t number) {
    const hora_attention *a = f->a;
    w->i0 = block_at(s, number / a->each);
    w->head = g * a->each + number % a->each;
    hora_key_bounds_make(&w->bounds, a, w->i0, block_at(s, number / a->each + 1));
    w->q = hora_attention_pack(a, a->q + (w->i0 * a->ldq + w->head * a->dh) * a->elem, a->ldq, true,
                               a->dh, w->bounds.rows, own);
    w->o = (float *)(own + f->layout.o);
    w->m = (float *)(own + f->layout.m);
    w->l = w->m + BLOCK;
    w->correction = w->l + BLOCK;
    memset(w->o, 0, (size_t)(w->bounds.rows * a->dh) * sizeof(float));
    for (int i = 0; i < BLOCK; i++) {
        w->m[i] = HORA_NO_SCORE;
        w->l[i] = 0;
    }
}

/* The blocks against keys [from, to) of `a`, in tiles from j0 on. */
static void over(const forward *f, const hora_attention *a, char *own, item *w, int count,
                 int64_t g, int64_t j0, int64_t to) {
    for (; j0 < to; j0 += HORA_KEYS) {
        int64_t j1 = hora_min(to, j0 + HORA_KEYS);
        hora_packed v = {.b = NULL};
        for (int i = 0; i < count; i++) {
            hora_tile t;
            if (!hora_tile_make(&t, &w[i].bounds, j0, j1))
                continue;
            if (!v.b)
                v = hora_attention_pack(a, a->v + (j0 * a->ldk + g * a->dh) * a->elem, a->ldk,
                                        false, j1 - j0, a->dh, own + f->layout.v);
            attend(f, a, own, &w[i], &t, g, &v);
        }
    }
}

static void over_prefix(const forward *f, char *own, item *w, int count, int64_t g) {
    const hora_attention before = hora_attention_before(f->a);
    for (int i = 0; i < count; i++)
        hora_prefix_bounds_make(&w[i].bounds, f->a, w[i].i0, w[i].i0 + w[i].bounds.rows);
    over(f, &before, own, w, count, g, 0, before.prefix);
}

static void rows(void *arg, int64_t tile, int thread) {
    const forward *f = arg;
    const hora_attention *a = f->a;
    char *own = f->scratch + (size_t)thread * f->layout.total;
    /* last rows first: under a causal mask they have most to do */
    const int64_t g = tile % a->groups;
    const span s = span_of(f, f->chunks[f->spans - 1] - 1 - tile / a->groups);
    const int64_t base = f->ends ? s.from : 0; /* of keys */
    int64_t items = hora_ceil_div(s.to - s.from, BLOCK) * a->each - s.chunk * ITEMS;
    int count = (int)hora_min(items, ITEMS);
    int32_t from = INT32_MAX, to = 0;
    item w[ITEMS];
    for (int i = 0; i < count; i++) {
        begin(f, own + f->layout.q + (size_t)i * f->layout.item, &w[i], g, &s, s.chunk * ITEMS + i);
        from = (int32_t)hora_min(from, w[i].bounds.least);
        to = (int32_t)hora_max(to, w[i].bounds.most);
    }
    /* tiles of keys begin at multiples of their size from the span's first: a row's bits do not
     * depend on its neighbours */
    over(f, a, own, w, count, g, base + (from - base) / HORA_KEYS * HORA_KEYS, to);
    if (a->prefix)
        over_prefix(f, own, w, count, g);
    for (int i = 0; i < count; i++) {
        int64_t i0 = w[i].i0, h = w[i].head;
        a->kern->softmax_finish(w[i].bounds.rows, a->dh, w[i].m, w[i].l, w[i].o,
                                a->out + (i0 * a->ldq + h * a->dh) * a->elem, a->ldq,
                                a->lse ? a->lse + i0 * a->heads + h : NULL, a->heads);
    }
}

/* A few rows, all heads of g: the heads of a row are lanes side by side, then rows. */
static void few_rows(void *arg, int64_t g, int thread) {
    const forward *f = arg;
    const hora_attention *a = f->a;
    char *own = f->scratch + (size_t)thread * f->layout.total;
    const int64_t lanes = f->n * a->each, at = g * a->dh;
    float *s = (float *)(own + f->layout.s), *o = (float *)(own + f->layout.q + f->layout.o);
    float *m = (float *)(own + f->layout.q + f->layout.m), *l = m + BLOCK, *correction = l + BLOCK;
    int32_t from[BLOCK] = {0}, to[BLOCK] = {0};
    int64_t least = INT32_MAX, most = 0;
    for (int64_t i = 0; i < lanes; i++) {
        hora_seen e = hora_attention_sees(a, i / a->each);
        if (e.from < e.to) {
            from[i] = (int32_t)e.from;
            to[i] = (int32_t)e.to;
            least = hora_min(least, e.from);
            most = hora_max(most, e.to);
        }
    }
    memset(o, 0, (size_t)(lanes * a->dh) * sizeof(float));
    for (int i = 0; i < BLOCK; i++) {
        m[i] = HORA_NO_SCORE;
        l[i] = 0;
    }
    for (int64_t j0 = least; j0 < most; j0 += HORA_KEYS) {
        int64_t keys = hora_min(most - j0, HORA_KEYS);
        hora_few p = {.m = keys, .n = a->each, .k = a->dh, .ldx = a->ldk, .ldw = a->dh};
        p.ldy = BLOCK;
        p.x = a->k + (j0 * a->ldk + at) * a->elem;
        for (int64_t i = 0; i < f->n; i++) {
            p.w = a->q + (i * a->ldq + at * a->each) * a->elem;
            p.y = s + i * a->each;
            a->gemm->few(&p);
        }
        for (int64_t j = 0; j < keys; j++)
            for (int64_t i = 0; i < lanes; i++)
                s[j * BLOCK + i] *= (float)(a->c->attr.scale * HORA_LOG2E);
        hora_scores e = {.keys = keys, .rows = lanes, .first = j0, .from = from, .to = to, .s = s};
        e.p = s;
        e.ld = e.ldp = BLOCK;
        hora_kern_get()->attention[0]->softmax_update(&e, m, l, correction);
        a->kern->softmax_rescale(lanes, a->dh, correction, o);
        a->kern->mix(lanes, a->dh, keys, s, BLOCK, a->v + (j0 * a->ldk + at) * a->elem, a->ldk, o);
    }
    for (int64_t i = 0; i < f->n; i++)
        a->kern->softmax_finish(a->each, a->dh, m + i * a->each, l + i * a->each,
                                o + i * a->each * a->dh,
                                a->out + (i * a->ldq + at * a->each) * a->elem, a->dh,
                                a->lse ? a->lse + i * a->heads + g * a->each : NULL, 1);
}

void hora_attention_run(const hora_attention *a, int64_t n, int threads, void *scratch,
                        int32_t *cuts) {
    forward f = {.a = a, .n = n, .layout = layout_of(a), .scratch = scratch};
    int32_t all, *chunks = cuts ? cuts + 2 * n + 1 : &all, sum = 0;
    if (n <= FEW && n * a->each <= BLOCK && !a->prefix) {
        hora_cpu_parallel(threads, a->groups, few_rows, &f);
        return;
    }
    f.spans = cuts ? hora_attention_spans(a, n, cuts, cuts + n) : 1;
    f.ends = cuts;
    f.chunks = chunks;
    for (int64_t s = 0; s < f.spans; s++) {
        const int64_t length = f.ends ? f.ends[s] - (s ? f.ends[s - 1] : 0) : n;
        sum += (int32_t)hora_ceil_div(hora_ceil_div(length, BLOCK) * a->each, ITEMS);
        chunks[s] = sum;
    }
    hora_cpu_parallel(threads, sum * a->groups, rows, &f);
}
