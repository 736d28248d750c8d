/*
 * Backward of attention. Spans are runs of rows that attend to themselves alone (a segment, or
 * several). A chunk of work is a key-value head of a span, or one of `parts` equal shares of it:
 * blocks of query rows, the query heads of each, one after another. A block meets the keys it sees
 * tile by tile; scores and their gradient are made transposed, so that both lie as the three
 * products that follow want them. dq of a block is complete when it has met its keys; dk and dv of
 * a chunk are summed over its blocks, those of the parts of a span at the end, in f32 and a fixed
 * order. Spans follow from lo and hi, parts from their number: nothing depends on threads.
 *
 * A prefix is met behind the own keys, from the same packed rows. All rows see it, so its dk and dv
 * are sums over all chunks of a head: these are dealt to a few slots, one after another in each.
 */
#include "backend/cpu/cpu_attention.h"

#define BLOCK  HORA_ROWS
#define CHUNKS 16                  /* that are worth having at once */
#define SUMS   ((size_t)64 << 20)  /* bytes of sums of parts, at most */
#define NEAR   ((size_t)512 << 10) /* bytes of sums of one chunk that stay with its thread */
#define SLOTS  64                  /* of all heads, of chunks that see a prefix */

/* Bytes of one thread: packed rows of q and dout, both ways, and of k; two tiles of scores, and
 * what becomes of them; log2(e) L and dy y' of the rows; sums dq; sums dk and dv of short spans. */
typedef struct thread_layout {
    size_t qc, qr, dc, dr, k, s, dp, p, ds, pairs, lse2, d, dq, sums, total;
} thread_layout;

static int64_t near_rows(const hora_attention *a) {
    return (int64_t)(NEAR / sizeof(float) / 2) / a->dh;
}

static thread_layout thread_layout_of(const hora_attention *a) {
    thread_layout r;
    size_t columns = hora_attention_pack_bytes(a, a->dh, BLOCK);
    size_t rows = hora_attention_pack_bytes(a, BLOCK, a->dh);
    size_t tile = (size_t)HORA_KEYS * BLOCK * (size_t)a->elem;
    size_t scores = (size_t)HORA_KEYS * HORA_LANES * sizeof(float);
    r.qc = 0;
    r.qr = r.qc + columns;
    r.dc = r.qr + rows;
    r.dr = r.dc + columns;
    r.k = r.dr + rows;
    r.s = r.k + hora_attention_pack_bytes(a, HORA_KEYS, a->dh);
    r.dp = r.s + scores;
    r.p = r.dp + scores;
    r.ds = r.p + tile;
    r.pairs = r.ds + tile;
    r.lse2 = r.pairs + (a->elem == 2 ? tile : 0);
    r.d = r.lse2 + BLOCK * sizeof(float);
    r.dq = r.d + BLOCK * sizeof(float);
    r.sums = r.dq + hora_cpu_aligned((size_t)(BLOCK * a->dh) * sizeof(float));
    r.total = r.sums + hora_cpu_aligned((size_t)(2 * near_rows(a) * a->dh) * sizeof(float));
    return r;
}

/* Bytes of a call of at most n rows: ends of spans and a running minimum, sums (parts, G, dk and
 * dv, n, dh), those of a prefix (slots, G, dk and dv, p, dh), scratch of the threads. */
typedef struct call_layout {
    int64_t parts, slots;                      /* most */
    size_t sums, prefix, keys, threads, total; /* keys: of the prefix, where they are converted */
} call_layout;

static call_layout call_layout_of(const hora_attention *a, int64_t n, int threads) {
    call_layout l;
    size_t part = (size_t)(2 * a->groups * n * a->dh) * sizeof(float);
    l.parts = hora_max(1, hora_min(hora_ceil_div(CHUNKS, a->groups), (int64_t)(SUMS / part)));
    l.slots = hora_max(1, SLOTS / a->groups);
    l.sums = hora_cpu_aligned((size_t)(2 * n + 1) * sizeof(int32_t));
    l.prefix = l.sums;
    if (l.parts > 1 || n > near_rows(a))
        l.prefix += hora_cpu_aligned((size_t)l.parts * part);
    l.keys = l.prefix + hora_cpu_aligned((size_t)(2 * l.slots * a->groups * a->prefix * a->dh) *
                                         sizeof(float));
    l.threads = l.keys + hora_attention_prefix_bytes(a);
    l.total = l.threads + thread_layout_of(a).total * (size_t)threads;
    return l;
}

size_t hora_attention_grad_scratch(const hora_attention *a, int64_t n, int threads) {
    return call_layout_of(a, n, threads).total;
}

typedef struct backward {
    hora_attention a;
    int64_t n;
    const char *dout;
    char *dq, *dk, *dv; /* NULL: not wanted */
    char *dkp, *dvp;    /* of the prefix, likewise */
    int32_t *ends;      /* of spans */
    int64_t spans, parts;
    float *sums;
    int64_t slots;
    float *prefix; /* sums of the slots */
    char *scratch; /* of all threads */
    thread_layout layout;
} backward;

int64_t hora_attention_spans(const hora_attention *a, int64_t n, int32_t *ends, int32_t *least) {
    int64_t spans = 0, far = 0;
    least[n] = (int32_t)n;
    for (int64_t i = n - 1; i >= 0; i--) {
        hora_seen r = hora_attention_sees(a, i);
        least[i] = r.from < r.to ? (int32_t)hora_min(r.from, least[i + 1]) : least[i + 1];
    }
    for (int64_t i = 0; i < n; i++) {
        hora_seen r = hora_attention_sees(a, i);
        if (i && r.from < r.to && far <= i && least[i] >= i)
            ends[spans++] = (int32_t)i;
        far = hora_max(far, r.from < r.to ? hora_max(r.to, i + 1) : far);
    }
    ends[spans++] = (int32_t)n;
    return spans;
}

/* What a chunk works with. */
typedef struct chunk {
    const backward *b;
    const hora_attention *a; /* whose keys and values are met */
    char *own;               /* scratch of the thread */
    int64_t g, from, to;     /* span; of a prefix all of it */
    float *dk, *dv;          /* sums, row 0 is key `from` */
    bool want_dk, want_dv;
} chunk;

/* A block of rows of a query head. */
typedef struct block {
    int64_t i0, head;
    const hora_key_bounds *bounds;
    hora_packed qc, qr, dc, dr; /* q and dout, rows as columns and as rows */
    float *lse2, *d, *dq;
} block;

/* p and ds of one tile. */
static void scores(const chunk *w, const block *k, const hora_tile *t) {
    const backward *b = w->b;
    const hora_attention *a = w->a;
    float *s = (float *)(w->own + b->layout.s), *dp = (float *)(w->own + b->layout.dp);
    for (int half = 0; half < BLOCK / HORA_LANES; half++) {
        const int s0 = half * (HORA_LANES / HORA_CELL);
        hora_tile part = hora_tile_part(t, s0, s0 + HORA_LANES / HORA_CELL);
        for (hora_key_run r = {0}; hora_tile_keys(&part, &r);) {
            int64_t c0 = r.s0 * HORA_CELL, c1 = hora_min(r.s1 * HORA_CELL, k->bounds->rows);
            int64_t row = ((t->j0 + r.from) * a->ldk + w->g * a->dh) * a->elem;
            int64_t at = r.from * HORA_LANES + c0 - half * HORA_LANES, m = r.to - r.from;
            hora_attention_across(a, &k->qc, a->k + row, a->ldk, m, c0, c1,
                                  (float)(a->c->attr.scale * HORA_LOG2E), s + at, HORA_LANES);
            hora_attention_across(a, &k->dc, a->v + row, a->ldk, m, c0, c1, 1, dp + at, HORA_LANES);
        }
        for (hora_key_run r = {0}; hora_tile_subtiles(&part, &r);) {
            int64_t i = r.s0 * HORA_CELL, in = r.from * HORA_LANES + i - half * HORA_LANES;
            int64_t out = r.from * BLOCK + i;
            hora_scores e = {.keys = r.to - r.from,
                             .rows = hora_min(r.s1 * HORA_CELL, k->bounds->rows) - i,
                             .first = t->j0 + r.from,
                             .from = r.masked ? k->bounds->from + i : NULL,
                             .to = r.masked ? k->bounds->to + i : NULL,
                             .s = s + in,
                             .dp = dp + in,
                             .ld = HORA_LANES,
                             .p = w->own + b->layout.p + out * a->elem,
                             .ds = w->own + b->layout.ds + out * a->elem,
                             .pairs =
                                 (uint32_t *)(w->own + b->layout.pairs) + r.from / 2 * BLOCK + i,
                             .ldp = BLOCK};
            a->kern->grad(&e, k->lse2 + i, k->d + i);
        }
    }
}

/* A block against keys [j0, j1). */
static void meet(const chunk *w, const block *k, int64_t j0, int64_t j1) {
    const backward *b = w->b;
    const hora_attention *a = w->a;
    hora_tile t;
    if (!hora_tile_make(&t, k->bounds, j0, j1))
        return;
    scores(w, k, &t);
    for (hora_key_run r = {0}; hora_tile_keys(&t, &r);) {
        int64_t i = r.s0 * HORA_CELL, at = (r.from * BLOCK + i) * a->elem;
        int64_t key = (j0 - w->from + r.from) * a->dh;
        hora_left x = {w->own + b->layout.p + at, BLOCK * a->elem, 4, r.to - r.from,
                       hora_min(r.s1 * HORA_CELL, k->bounds->rows) - i};
        if (w->want_dv)
            hora_attention_down(a, &k->dr, i, x, w->dv + key);
        x.x = w->own + b->layout.ds + at;
        if (w->want_dk)
            hora_attention_down(a, &k->qr, i, x, w->dk + key);
    }
    if (!b->dq)
        return;
    hora_packed keys = hora_attention_pack(a, a->k + (j0 * a->ldk + w->g * a->dh) * a->elem, a->ldk,
                                           false, j1 - j0, a->dh, w->own + b->layout.k);
    for (hora_key_run r = {0}; hora_tile_subtiles(&t, &r);) {
        int64_t i = r.s0 * HORA_CELL, row = a->elem == 2 ? r.from / 2 : r.from;
        hora_left x = {
            w->own + (a->elem == 2 ? b->layout.pairs : b->layout.ds) + (row * BLOCK + i) * 4, 4,
            BLOCK * 4, hora_min(r.s1 * HORA_CELL, k->bounds->rows) - i, r.to - r.from};
        hora_attention_down(a, &keys, r.from, x, k->dq + i * a->dh);
    }
}

/* What the block's tiles need of its rows; k->dq is cleared. */
static void prepare(const chunk *w, block *k, int64_t at) {
    const backward *b = w->b;
    const hora_attention *a = &b->a;
    const int64_t rows = k->bounds->rows;
    const char *q = a->q + at, *dout = b->dout + at;
    k->qc = hora_attention_pack(a, q, a->ldq, true, a->dh, rows, w->own + b->layout.qc);
    k->qr = hora_attention_pack(a, q, a->ldq, false, rows, a->dh, w->own + b->layout.qr);
    k->dc = hora_attention_pack(a, dout, a->ldq, true, a->dh, rows, w->own + b->layout.dc);
    k->dr = hora_attention_pack(a, dout, a->ldq, false, rows, a->dh, w->own + b->layout.dr);
    a->kern->dots(rows, a->dh, dout, a->out + at, a->ldq, k->d);
    for (int64_t i = 0; i < rows; i++)
        k->lse2[i] = (float)HORA_LOG2E * a->lse[(k->i0 + i) * a->heads + k->head];
}

/* Everything that one block of one query head has to do; before: with the prefix, or NULL. */
static void one_block(const chunk *w, const chunk *before, const hora_key_bounds bounds[2],
                      int64_t i0, int64_t head) {
    const backward *b = w->b;
    const hora_attention *a = &b->a;
    const int64_t at = (i0 * a->ldq + head * a->dh) * a->elem;
    block k = {.i0 = i0,
               .head = head,
               .bounds = bounds,
               .lse2 = (float *)(w->own + b->layout.lse2),
               .d = (float *)(w->own + b->layout.d),
               .dq = (float *)(w->own + b->layout.dq)};
    memset(k.dq, 0, (size_t)(bounds->rows * a->dh) * sizeof(float));
    if (bounds->pairs || bounds[1].pairs)
        prepare(w, &k, at);
    if (bounds->pairs)
        for (int64_t j0 = w->from + (bounds->least - w->from) / HORA_KEYS * HORA_KEYS;
             j0 < bounds->most; j0 += HORA_KEYS)
            meet(w, &k, j0, hora_min(bounds->most, j0 + HORA_KEYS));
    k.bounds = &bounds[1];
    for (int64_t j0 = 0; before && j0 < before->to; j0 += HORA_KEYS)
        meet(before, &k, j0, hora_min(before->to, j0 + HORA_KEYS));
    if (b->dq)
        a->kern->store(bounds->rows, a->dh, (float)a->c->attr.scale, k.dq, 1, 0, b->dq + at, a->ldq,
                       hora_cpu_overwrites(a->c, 0));
}

/* dk and dv of keys [j0, j1) from `parts` sums, `next` floats apart. */
static void put(const backward *b, int64_t g, int64_t j0, int64_t j1, const float *dk,
                const float *dv, int64_t parts, int64_t next) {
    const hora_attention *a = &b->a;
    const int64_t at = (j0 * a->ldk + g * a->dh) * a->elem;
    if (b->dk)
        a->kern->store(j1 - j0, a->dh, (float)a->c->attr.scale, dk, parts, next, b->dk + at, a->ldk,
                       hora_cpu_overwrites(a->c, 1));
    if (b->dv)
        a->kern->store(j1 - j0, a->dh, 1, dv, parts, next, b->dv + at, a->ldk,
                       hora_cpu_overwrites(a->c, 2));
}

/* Sums of part p, dk or dv, from key j on. */
static float *sums_at(const backward *b, int64_t p, int64_t g, int which, int64_t j) {
    return b->sums + (((p * b->a.groups + g) * 2 + which) * b->n + j) * b->a.dh;
}

/* Part `part` of a span; before: with the prefix, or NULL. */
static void one_chunk(const backward *b, int64_t span, int64_t part, int64_t g, const chunk *before,
                      char *own) {
    const hora_attention *a = &b->a;
    chunk w = {.b = b,
               .a = a,
               .own = own,
               .g = g,
               .from = span ? b->ends[span - 1] : 0,
               .to = b->ends[span],
               .want_dk = b->dk,
               .want_dv = b->dv};
    const int64_t rows = w.to - w.from;
    bool near = b->parts == 1 && rows <= near_rows(a);
    w.dk = near ? (float *)(w.own + b->layout.sums) : sums_at(b, part, w.g, 0, w.from);
    w.dv = near ? w.dk + rows * a->dh : sums_at(b, part, w.g, 1, w.from);
    memset(w.dk, 0, (size_t)(rows * a->dh) * sizeof(float));
    memset(w.dv, 0, (size_t)(rows * a->dh) * sizeof(float));
    int64_t all = 0, done = 0;
    for (int64_t i = w.from; i < w.to; i++) {
        hora_seen s = hora_attention_sees(a, i);
        all += a->each * hora_max(0, s.to - s.from);
    }
    for (int64_t i0 = w.from; i0 < w.to; i0 += BLOCK) {
        hora_key_bounds bounds[2];
        bounds[1].pairs = 0;
        hora_key_bounds_make(bounds, a, i0, hora_min(w.to, i0 + BLOCK));
        if (before)
            hora_prefix_bounds_make(&bounds[1], a, i0, hora_min(w.to, i0 + BLOCK));
        for (int64_t e = 0; e < a->each; e++, done += bounds->pairs)
            if (hora_min(b->parts - 1, done * b->parts / hora_max(1, all)) == part)
                one_block(&w, before, bounds, i0, w.g * a->each + e);
    }
    if (b->parts == 1)
        put(b, w.g, w.from, w.to, w.dk, w.dv, 1, 0);
}

static void one_tile(void *arg, int64_t tile, int thread) {
    const backward *b = arg;
    one_chunk(b, tile / b->parts / b->a.groups, tile % b->parts, tile / b->parts % b->a.groups,
              NULL, b->scratch + (size_t)thread * b->layout.total);
}

/* Sums of a slot over the prefix, dk or dv. */
static float *prefix_at(const backward *b, int64_t slot, int64_t g, int which) {
    return b->prefix + ((slot * b->a.groups + g) * 2 + which) * b->a.prefix * b->a.dh;
}

/* The chunks of a slot of a key-value head, in their order. */
static void one_slot(void *arg, int64_t tile, int thread) {
    const backward *b = arg;
    const hora_attention before = hora_attention_before(&b->a);
    const int64_t slot = tile / b->a.groups, chunks = b->spans * b->parts;
    chunk w = {.b = b,
               .a = &before,
               .own = b->scratch + (size_t)thread * b->layout.total,
               .g = tile % b->a.groups,
               .to = before.prefix,
               .want_dk = b->dkp,
               .want_dv = b->dvp};
    w.dk = prefix_at(b, slot, w.g, 0);
    w.dv = prefix_at(b, slot, w.g, 1);
    memset(w.dk, 0, (size_t)(2 * before.prefix * before.dh) * sizeof(float));
    for (int64_t i = slot * chunks / b->slots; i < (slot + 1) * chunks / b->slots; i++)
        one_chunk(b, i / b->parts, i % b->parts, w.g, &w, w.own);
}

/* dk and dv of the prefix, of one key-value head, in its own elements. */
static void join_prefix(void *arg, int64_t g, int thread) {
    const backward *b = arg;
    const hora_attention *a = &b->a;
    const hora_dtype t = a->c->in[3].dtype;
    const hora_kern_attention *kern = hora_kern_get()->attention[t == HORA_BF16];
    const int64_t next = 2 * a->groups * a->prefix * a->dh;
    const int64_t at = g * a->dh * (int64_t)hora_dtype_size(t);
    (void)thread;
    if (b->dkp)
        kern->store(a->prefix, a->dh, (float)a->c->attr.scale, prefix_at(b, 0, g, 0), b->slots,
                    next, b->dkp + at, a->ldk, hora_cpu_overwrites(a->c, 3));
    if (b->dvp)
        kern->store(a->prefix, a->dh, 1, prefix_at(b, 0, g, 1), b->slots, next, b->dvp + at, a->ldk,
                    hora_cpu_overwrites(a->c, 4));
}

/* Sums of the parts of BLOCK keys of a key-value head. */
static void join(void *arg, int64_t tile, int thread) {
    (void)thread;
    const backward *b = arg;
    int64_t g = tile % b->a.groups, j = tile / b->a.groups * BLOCK;
    put(b, g, j, hora_min(b->n, j + BLOCK), sums_at(b, 0, g, 0, j), sums_at(b, 0, g, 1, j),
        b->parts, 2 * b->a.groups * b->n * b->a.dh);
}

void hora_attention_grad_run(const hora_call *c, int64_t most, int threads) {
    hora_attention a = hora_attention_of(c, &c->in[1], &c->in[2]);
    a.lse = c->saved[0].data;
    call_layout l = call_layout_of(&a, most, threads);
    char *scratch = c->scratch;
    hora_attention_prefix(&a, scratch + l.keys);
    backward b = {.a = a,
                  .n = hora_cpu_rows(&c->in[0]),
                  .dout = c->dout.data,
                  .dq = hora_cpu_wants(c, 0) ? c->din[0].data : NULL,
                  .dk = hora_cpu_wants(c, 1) ? c->din[1].data : NULL,
                  .dv = hora_cpu_wants(c, 2) ? c->din[2].data : NULL,
                  .dkp = a.prefix && hora_cpu_wants(c, 3) ? c->din[3].data : NULL,
                  .dvp = a.prefix && hora_cpu_wants(c, 4) ? c->din[4].data : NULL,
                  .ends = c->scratch,
                  .sums = (float *)(scratch + l.sums),
                  .prefix = (float *)(scratch + l.prefix),
                  .scratch = scratch + l.threads,
                  .layout = thread_layout_of(&a)};
    b.spans = hora_attention_spans(&a, b.n, b.ends, b.ends + most);
    b.parts = hora_min(l.parts, hora_ceil_div(CHUNKS, a.groups * b.spans));
    b.slots = hora_min(l.slots, b.spans * b.parts);
    if (a.prefix)
        hora_cpu_parallel(threads, b.slots * a.groups, one_slot, &b);
    else
        hora_cpu_parallel(threads, b.spans * a.groups * b.parts, one_tile, &b);
    if (b.parts > 1)
        hora_parallel(hora_ceil_div(b.n, BLOCK) * a.groups, join, &b);
    if (a.prefix)
        hora_parallel(a.groups, join_prefix, &b);
}
