/*
 * Kernels of op_attention.c after T. Dao et al., "FlashAttention" (2022): scores live in a tile of
 * BLOCK rows x BLOCK keys and nowhere else. What no row of a tile sees is skipped, so causal,
 * windowed and packed batches pay for what they use. Calls with a prefix are left to ref.
 *
 * Forward: a tile of work is a key-value head and a block of rows; its query heads share each
 * packed block of keys and values. Backward: a tile of work is a key-value head and a span, a run
 * of rows that attends to itself alone (a segment, or several); its sums over query heads, rows and
 * keys run in a fixed order, so nothing depends on threads. Spans follow from lo and hi.
 */
#include "backend/cpu/cpu_attention.h"

#define BLOCK HORA_CPU_BLOCK

static bool refuses(const hora_call *c) {
    return !hora_absent(&c->in[3]);
}

static hora_attention attention_of(const hora_call *c) {
    const hora_attr *a = &c->attr;
    return (hora_attention){.c = c,
                            .heads = a->heads,
                            .groups = a->kv_heads,
                            .dh = a->head_dim,
                            .first = 0,
                            .q = c->in[0].data,
                            .k = c->in[1].data,
                            .v = c->in[2].data,
                            .out = c->out.data,
                            .lse = c->grad ? c->saved[0].data : NULL};
}

/* Floats of one thread in backward: keys and values packed three ways, scores, their gradient, and
 * the sums dk and dv. */
typedef struct room {
    size_t kt, vt, k, s, dp, dk, dv, total;
} room;

static room room_of(const hora_call *c) {
    const hora_kern_products *p = hora_kern_get()->products;
    int64_t dh = c->attr.head_dim;
    room r;
    r.kt = 0;
    r.vt = r.kt + (size_t)hora_round_up(p->pack_size(dh, BLOCK), 16);
    r.k = r.vt + (size_t)hora_round_up(p->pack_size(dh, BLOCK), 16);
    r.s = r.k + (size_t)hora_round_up(p->pack_size(BLOCK, dh), 16);
    r.dp = r.s + BLOCK * BLOCK;
    r.dk = r.dp + BLOCK * BLOCK;
    r.dv = r.dk + (size_t)hora_round_up(BLOCK * dh, 16);
    r.total = r.dv + (size_t)hora_round_up(BLOCK * dh, 16);
    return r;
}

/* Backward's scratch: D (n, H), the ends of spans (n), a running minimum (n + 1), then rooms. */
static size_t rows_bytes(const hora_call *c, int64_t n) {
    return hora_cpu_aligned((size_t)(n * c->attr.heads) * sizeof(float)) +
           hora_cpu_aligned((size_t)(2 * n + 1) * sizeof(int32_t));
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    if (refuses(c))
        return false;
    size_t threads = (size_t)hora_device_threads(d);
    if (c->phase == HORA_FORWARD)
        need->scratch = hora_attention_scratch(c) * threads;
    else
        need->scratch =
            rows_bytes(c, hora_cpu_rows(&c->in[0])) + room_of(c).total * sizeof(float) * threads;
    return true;
}

typedef struct state {
    int threads;
    int64_t rows; /* largest: where rooms begin follows from it */
} state;

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    state *s = hora_calloc(1, sizeof *s);
    s->threads = hora_device_threads(d);
    s->rows = hora_cpu_rows(&c->in[0]);
    impl->state = s;
    return HORA_OK;
}

typedef struct backward {
    hora_attention a;
    const hora_kern *kern;
    const float *dout;
    float *dq, *dk, *dv; /* NULL: not wanted */
    float *d;            /* (n, H): dy_i y_i' */
    const int32_t *ends; /* of spans */
    int64_t spans;
    float *rooms;
    room room;
} backward;

/* Where runs of rows that see only each other end. Rows that see nothing go with those before. */
static int64_t cut_spans(const hora_attention *a, int64_t n, int32_t *ends, int32_t *least) {
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

/* One block of rows against the packed block of keys [j0, j1), for query head h. */
static void pair(const backward *b, const float *room, int64_t g, int64_t h, int64_t i0, int64_t i1,
                 int64_t j0, int64_t j1, const int32_t *from, const int32_t *to) {
    const hora_attention *a = &b->a;
    void (*gemm)(const hora_gemm *) = b->kern->products->gemm;
    int64_t dh = a->dh, wide = a->heads * dh, m = i1 - i0, n = j1 - j0;
    float *s = (float *)(uintptr_t)room + b->room.s, *dp = (float *)(uintptr_t)room + b->room.dp;
    const float *q = a->q + i0 * wide + h * dh, *dy = b->dout + i0 * wide + h * dh;
    hora_gemm t = {.m = m, .n = n, .k = dh, .ldx = wide, .ldy = BLOCK, .trans_w = true};
    t.packed = true;
    t.alpha = (float)a->c->attr.scale;
    t.x = q;
    t.w = room + b->room.kt;
    t.y = s;
    gemm(&t);
    t.alpha = 1;
    t.x = dy;
    t.w = room + b->room.vt;
    t.y = dp;
    gemm(&t);
    b->kern->softmax->grad(m, n, (float)a->c->attr.scale, s, dp, BLOCK, from, to,
                           a->lse + i0 * a->heads + h, b->d + i0 * a->heads + h, a->heads);
    if (b->dq) {
        hora_gemm u = {.m = m, .n = dh, .k = n, .ldx = BLOCK, .ldy = wide, .ldadd = wide};
        u.packed = true;
        u.alpha = 1;
        u.x = dp;
        u.w = room + b->room.k;
        u.add = u.y = b->dq + i0 * wide + h * dh;
        gemm(&u);
    }
    hora_gemm u = {.m = n, .n = dh, .k = m, .ldx = BLOCK, .ldw = wide, .ldy = dh, .ldadd = dh};
    u.trans_x = true;
    u.alpha = 1;
    if (b->dk) {
        u.x = dp;
        u.w = q;
        u.add = u.y = (float *)(uintptr_t)room + b->room.dk;
        gemm(&u);
    }
    if (b->dv) {
        u.x = s;
        u.w = dy;
        u.add = u.y = (float *)(uintptr_t)room + b->room.dv;
        gemm(&u);
    }
    (void)g;
}

/* All rows of the span [from, to) that see keys [j0, j1) of head g. */
static void keys(const backward *b, float *room, int64_t g, int64_t from, int64_t to, int64_t j0,
                 int64_t j1) {
    const hora_attention *a = &b->a;
    const hora_kern_products *p = b->kern->products;
    int64_t dh = a->dh, narrow = a->groups * dh, each = a->heads / a->groups;
    const float *k = a->k + j0 * narrow + g * dh, *v = a->v + j0 * narrow + g * dh;
    bool packed = false;
    for (int64_t i0 = from; i0 < to; i0 += BLOCK) {
        int64_t i1 = hora_min(to, i0 + BLOCK);
        int32_t lo[BLOCK], hi[BLOCK];
        if (!hora_attention_window(a, i0, i1, j0, j1, lo, hi))
            continue;
        if (!packed) {
            p->pack(k, narrow, true, dh, j1 - j0, room + b->room.kt);
            p->pack(v, narrow, true, dh, j1 - j0, room + b->room.vt);
            p->pack(k, narrow, false, j1 - j0, dh, room + b->room.k);
            memset(room + b->room.dk, 0, (b->room.total - b->room.dk) * sizeof(float));
            packed = true;
        }
        for (int64_t h = g * each; h < (g + 1) * each; h++)
            pair(b, room, g, h, i0, i1, j0, j1, lo, hi);
    }
    if (!packed)
        return;
    for (int which = 0; which < 2; which++) {
        float *y = which ? b->dv : b->dk;
        if (y)
            p->merge(j1 - j0, dh, 1, room + (which ? b->room.dv : b->room.dk), dh,
                     y + j0 * narrow + g * dh, narrow, NULL, y + j0 * narrow + g * dh, narrow);
    }
}

static void clear(float *y, int64_t from, int64_t to, int64_t ld, int64_t at, int64_t width) {
    for (int64_t i = from; i < to; i++)
        memset(y + i * ld + at, 0, (size_t)width * sizeof(float));
}

static void span(void *arg, int64_t tile, int thread) {
    const backward *b = arg;
    const hora_attention *a = &b->a;
    int64_t g = tile % a->groups, which = tile / a->groups, dh = a->dh;
    int64_t from = which ? b->ends[which - 1] : 0, to = b->ends[which];
    int64_t each = a->heads / a->groups, wide = a->heads * dh, narrow = a->groups * dh;
    if (b->dq && hora_cpu_overwrites(a->c, 0))
        clear(b->dq, from, to, wide, g * each * dh, each * dh);
    if (b->dk && hora_cpu_overwrites(a->c, 1))
        clear(b->dk, from, to, narrow, g * dh, dh);
    if (b->dv && hora_cpu_overwrites(a->c, 2))
        clear(b->dv, from, to, narrow, g * dh, dh);
    for (int64_t i = from; i < to; i++)
        for (int64_t h = g * each; h < (g + 1) * each; h++)
            b->d[i * a->heads + h] =
                b->kern->softmax->dot(dh, b->dout + i * wide + h * dh, a->out + i * wide + h * dh);
    for (int64_t j = from; j < to; j += BLOCK)
        keys(b, b->rooms + (size_t)thread * b->room.total, g, from, to, j, hora_min(to, j + BLOCK));
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *s = impl->state;
    hora_attention a = attention_of(c);
    int64_t n = hora_cpu_rows(&c->in[0]);
    if (c->phase == HORA_FORWARD) {
        hora_attention_run(&a, n, s->threads, c->scratch);
        return;
    }
    a.lse = c->saved[0].data;
    char *scratch = c->scratch;
    int32_t *ends =
        (int32_t *)(scratch + hora_cpu_aligned((size_t)(s->rows * a.heads) * sizeof(float)));
    backward b = {.a = a,
                  .kern = hora_kern_get(),
                  .dout = c->dout.data,
                  .dq = hora_cpu_wants(c, 0) ? c->din[0].data : NULL,
                  .dk = hora_cpu_wants(c, 1) ? c->din[1].data : NULL,
                  .dv = hora_cpu_wants(c, 2) ? c->din[2].data : NULL,
                  .d = c->scratch,
                  .ends = ends,
                  .spans = cut_spans(&a, n, ends, ends + n),
                  .rooms = (float *)(scratch + rows_bytes(c, s->rows)),
                  .room = room_of(c)};
    hora_cpu_parallel(s->threads, b.spans * a.groups, span, &b);
}

extern const hora_cpu_op hora_cpu_op_attention;
const hora_cpu_op hora_cpu_op_attention = {query, prepare, run, false};
