#ifndef HORA_BACKEND_CPU_CPU_ATTENTION_H
#define HORA_BACKEND_CPU_CPU_ATTENTION_H
/*
 * What attention's two passes share, after T. Dao et al., "FlashAttention" (2022): scores live in
 * tiles and nowhere else. A tile is a block of keys times a block of query rows of one head,
 * transposed (see kern.h), and is cut into cells: what no row of a cell sees is not computed where
 * it costs much, and only cells that are seen in part are masked. Causal, windowed and packed
 * batches so pay for little more than what they use.
 */
#include "backend/cpu/cpu_impl.h"

#define HORA_CELL     16  /* keys and rows of a cell */
#define HORA_KEYS     64  /* keys of a tile, at most */
#define HORA_ROWS     128 /* rows of a block, at most */
#define HORA_LANES    64  /* rows whose scores are made at a time: they stay in the first cache */
#define HORA_SUBTILES (HORA_ROWS / HORA_CELL) /* of rows */
#define HORA_LOG2E    1.4426950408889634

typedef struct hora_attention {
    const hora_call *c;
    const hora_kern_gemm *gemm;
    const hora_kern_attention *kern;
    int64_t heads, groups, each, dh; /* each: query heads of a key-value head */
    int64_t ldq, ldk;                /* elements of a row of q and of k */
    int64_t elem;                    /* bytes of an element of q, k, v and out */
    int64_t first;                   /* number of row 0 among the keys */
    /* keys of op attention's prefix, which every row sees that sees anything; and they, their
     * values in elements as those of k (hora_attention_prefix) */
    int64_t prefix;
    const char *kp, *vp;
    const char *q, *k, *v;
    char *out;
    float *lse; /* (n, heads) or NULL */
} hora_attention;

/* Are q, k, v and y all f32 or all bf16? A prefix may be f32 beside bf16. */
bool hora_attention_takes(const hora_call *c);
/* first and lse are 0. */
hora_attention hora_attention_of(const hora_call *c, const hora_view *k, const hora_view *v);

/* Keys that row i sees, [from, to); from >= to: none. */
typedef struct hora_seen {
    int64_t from, to;
} hora_seen;
static inline hora_seen hora_attention_sees(const hora_attention *a, int64_t i) {
    hora_seen s = {a->c->batch->lo[i], a->c->batch->hi[i]};
    if (a->c->attr.window)
        s.from = hora_max(s.from, a->first + i - a->c->attr.window + 1);
    if (a->c->attr.ahead)
        s.to = hora_min(s.to, a->first + i + a->c->attr.ahead + 1);
    return s;
}

/* Finds the prefix, or makes it in memory of that size where its elements are others. */
size_t hora_attention_prefix_bytes(const hora_attention *a);
void hora_attention_prefix(hora_attention *a, void *memory);
/* The same call over the prefix's keys and values. */
hora_attention hora_attention_before(const hora_attention *a);

/* What a block of rows sees. Rows that see nothing, and those past the end, have 0, 0. */
typedef struct hora_key_bounds {
    int64_t rows, pairs; /* pairs: of a row and a key that it sees */
    int subtiles;        /* that have rows */
    int32_t from[HORA_ROWS], to[HORA_ROWS];
    int32_t least, most;      /* nobody sees keys outside [least, most) */
    int32_t all_from, all_to; /* what every row sees */
    struct {
        int32_t from, to, all_from, all_to; /* the same for a subtile of rows */
    } subtile[HORA_SUBTILES];
} hora_key_bounds;
void hora_key_bounds_make(hora_key_bounds *s, const hora_attention *a, int64_t i0, int64_t i1);
/* The same of the prefix, counted from its first key. */
void hora_prefix_bounds_make(hora_key_bounds *s, const hora_attention *a, int64_t i0, int64_t i1);

/* Cells that are computed: of each subtile of rows the keys [from, to), counted from j0; whole
 * cells, or up to the last key. */
typedef struct hora_tile {
    int64_t j0, keys;
    int subtiles;
    bool whole; /* all cells of all subtiles, none masked */
    struct {
        int64_t from, to;
        bool masked;
    } subtile[HORA_SUBTILES];
} hora_tile;
/* False: nothing to compute. The subtiles that compute a key follow each other. */
bool hora_tile_make(hora_tile *t, const hora_key_bounds *s, int64_t j0, int64_t j1);
/* Subtiles [from, to) alone. */
hora_tile hora_tile_part(const hora_tile *t, int from, int to);

/* Rectangles of cells: keys [from, to) of subtiles [s0, s1). */
typedef struct hora_key_run {
    int s0, s1;
    int64_t from, to;
    bool masked; /* of runs by subtiles */
} hora_key_run;
/* The next run of keys that the same subtiles compute, of subtiles that compute the same keys; r
 * zeroed for the first. False: no more. */
bool hora_tile_keys(const hora_tile *t, hora_key_run *r);
bool hora_tile_subtiles(const hora_tile *t, hora_key_run *r);

/* A packed B (k, n), see kern.h. */
typedef struct hora_packed {
    const char *b;
    int64_t k, n;
} hora_packed;
/* Bytes, in whole cache lines. */
size_t hora_attention_pack_bytes(const hora_attention *a, int64_t k, int64_t n);
hora_packed hora_attention_pack(const hora_attention *a, const char *w, int64_t ldw, bool trans_w,
                                int64_t k, int64_t n, void *to);
/* y = alpha x B for columns [c0, c1) of B; x (m, k) row-major, y at column c0 */
void hora_attention_across(const hora_attention *a, const hora_packed *b, const char *x,
                           int64_t ldx, int64_t m, int64_t c0, int64_t c1, float alpha, float *y,
                           int64_t ldy);
/* An x (m, k), see kern.h. */
typedef struct hora_left {
    const void *x;
    int64_t sxi, sxp, m, k;
} hora_left;
/* y (m, n) += x B from row k0 of B on, which is even */
void hora_attention_down(const hora_attention *a, const hora_packed *b, int64_t k0, hora_left x,
                         float *y);

size_t hora_attention_scratch(const hora_attention *a); /* bytes per thread, forward */
/* cuts: room for HORA_ATTENTION_CUTS(n) numbers; NULL: keys are those of a cache, not the rows. */
#define HORA_ATTENTION_CUTS(n) (3 * (n) + 1)
void hora_attention_run(const hora_attention *a, int64_t n, int threads, void *scratch,
                        int32_t *cuts);
/* Where runs of rows that see only each other end, and how many there are; least: n + 1 numbers.
 * Rows that see nothing go with those before. */
int64_t hora_attention_spans(const hora_attention *a, int64_t n, int32_t *ends, int32_t *least);

/* Backward: bytes for calls of at most n rows, which is `most` at run time. */
size_t hora_attention_grad_scratch(const hora_attention *a, int64_t n, int threads);
void hora_attention_grad_run(const hora_call *c, int64_t most, int threads);
#endif
