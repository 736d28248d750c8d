/*
 * Forward attention by tiles: a block of rows and the query heads of one key-value head go over the
 * keys they see, block by block, with a running softmax. A few rows (decoding) read keys and values
 * in place; more rows share a packed copy of each block.
 */
#include "backend/cpu/cpu_attention.h"

#include <math.h>

#define BLOCK HORA_CPU_BLOCK
#define FEW   4 /* rows: the products read w in place, see kern_gemm.c */

bool hora_attention_window(const hora_attention *a, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                           int32_t *lo, int32_t *hi) {
    bool any = false;
    for (int64_t i = i0; i < i1; i++) {
        hora_seen s = hora_attention_sees(a, i);
        int64_t from = hora_max(s.from, j0), to = hora_min(s.to, j1);
        bool sees = from < to;
        lo[i - i0] = sees ? (int32_t)(from - j0) : 0;
        hi[i - i0] = sees ? (int32_t)(to - j0) : 0;
        any |= sees;
    }
    return any;
}

/* Floats of one thread: packed keys and values, scores, then per query head sums o, and m, l. */
typedef struct room {
    size_t k, v, s, o, m, l, total;
} room;

static room room_of(const hora_attr *a) {
    const hora_kern_products *p = hora_kern_get()->products;
    size_t each = (size_t)(a->heads / a->kv_heads);
    room r;
    r.k = 0;
    r.v = r.k + (size_t)hora_round_up(p->pack_size(a->head_dim, BLOCK), 16);
    r.s = r.v + (size_t)hora_round_up(p->pack_size(BLOCK, a->head_dim), 16);
    r.o = r.s + BLOCK * BLOCK;
    r.m = r.o + each * (size_t)hora_round_up(BLOCK * a->head_dim, 16);
    r.l = r.m + each * BLOCK;
    r.total = r.l + each * BLOCK;
    return r;
}

size_t hora_attention_scratch(const hora_call *c) {
    return room_of(&c->attr).total * sizeof(float);
}

typedef struct forward {
    const hora_attention *a;
    const hora_kern *kern;
    int64_t n, blocks;
    room room;
    float *rooms;
} forward;

/* Rows [i0, i1) of every query head of g against keys [j0, j1). */
static void keys(const forward *f, float *room, int64_t g, int64_t i0, int64_t i1, int64_t j0,
                 int64_t j1, const int32_t *lo, const int32_t *hi) {
    const hora_attention *a = f->a;
    const hora_kern_products *p = f->kern->products;
    int64_t dh = a->dh, wide = a->heads * dh, narrow = a->groups * dh, each = a->heads / a->groups;
    bool packed = i1 - i0 > FEW;
    const float *k = a->k + j0 * narrow + g * dh, *v = a->v + j0 * narrow + g * dh;
    if (packed) {
        p->pack(k, narrow, true, dh, j1 - j0, room + f->room.k);
        p->pack(v, narrow, false, j1 - j0, dh, room + f->room.v);
    }
    hora_gemm s = {.m = i1 - i0, .n = j1 - j0, .k = dh, .ldx = wide, .ldw = narrow, .ldy = BLOCK};
    s.trans_w = true;
    s.packed = packed;
    s.alpha = (float)a->c->attr.scale;
    s.w = packed ? room + f->room.k : k;
    s.y = room + f->room.s;
    hora_gemm y = {.m = i1 - i0, .n = dh, .k = j1 - j0, .ldx = BLOCK, .ldw = narrow, .ldy = dh};
    y.ldadd = dh;
    y.packed = packed;
    y.alpha = 1;
    y.x = s.y;
    y.w = packed ? room + f->room.v : v;
    for (int64_t e = 0; e < each; e++) {
        float *o = room + f->room.o + e * hora_round_up(BLOCK * dh, 16);
        s.x = a->q + i0 * wide + (g * each + e) * dh;
        p->gemm(&s);
        f->kern->softmax->tile(i1 - i0, j1 - j0, s.y, BLOCK, lo, hi, room + f->room.m + e * BLOCK,
                               room + f->room.l + e * BLOCK, o, dh);
        y.add = y.y = o;
        p->gemm(&y);
    }
}

static void rows(void *arg, int64_t tile, int thread) {
    const forward *f = arg;
    const hora_attention *a = f->a;
    float *room = f->rooms + (size_t)thread * f->room.total;
    int64_t g = tile / f->blocks, i0 = tile % f->blocks * BLOCK, i1 = hora_min(f->n, i0 + BLOCK);
    int64_t dh = a->dh, wide = a->heads * dh, each = a->heads / a->groups;
    memset(room + f->room.o, 0, (f->room.total - f->room.o) * sizeof(float));
    for (int64_t e = 0; e < each * BLOCK; e++)
        room[f->room.m + (size_t)e] = -INFINITY;
    int64_t from = INT64_MAX, to = 0;
    for (int64_t i = i0; i < i1; i++) {
        hora_seen s = hora_attention_sees(a, i);
        if (s.from < s.to) {
            from = hora_min(from, s.from);
            to = hora_max(to, s.to);
        }
    }
    /* blocks of keys begin at multiples of BLOCK: a row's bits do not depend on its neighbours */
    for (int64_t j0 = from == INT64_MAX ? to : from / BLOCK * BLOCK; j0 < to; j0 += BLOCK) {
        int32_t lo[BLOCK], hi[BLOCK];
        if (hora_attention_window(a, i0, i1, j0, hora_min(to, j0 + BLOCK), lo, hi))
            keys(f, room, g, i0, i1, j0, hora_min(to, j0 + BLOCK), lo, hi);
    }
    for (int64_t e = 0; e < each; e++) {
        int64_t h = g * each + e;
        f->kern->softmax->end(
            i1 - i0, dh, room + f->room.m + e * BLOCK, room + f->room.l + e * BLOCK,
            room + f->room.o + e * hora_round_up(BLOCK * dh, 16), a->out + i0 * wide + h * dh, wide,
            a->lse ? a->lse + i0 * a->heads + h : NULL, a->heads);
    }
}

void hora_attention_run(const hora_attention *a, int64_t n, int threads, void *scratch) {
    forward f = {a, hora_kern_get(), n, hora_ceil_div(n, BLOCK), room_of(&a->c->attr), scratch};
    hora_cpu_parallel(threads, f.blocks * a->groups, rows, &f);
}
