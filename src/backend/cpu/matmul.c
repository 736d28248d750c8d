/*
 * Products cut into tiles: chunks of rows x panels of columns, the whole sum over k in one tile by
 * one thread. The cut follows from n, k and the row count of the call, never from threads.
 *
 *              panel 0   panel 1  ..                 tile index = chunk * panels + panel
 *   chunk 0  |         |         |
 *   chunk 1  |         |         |
 *
 * Own gemm kernels read w from its packing or pack the panel into the thread's scratch first, which
 * pays with some hundred rows; a w in blocks leaves them on the way into that scratch. Bias,
 * addend, scale and the low-rank term are done in registers. A library's product runs a dense tile
 * in scratch, to which the kernels add the same in one pass.
 */
#include "backend/cpu/cpu_impl.h"

#include "base/rng.h"

enum {
    UNIT_OF_BLOCKS = 32, /* values that come out of blocks together */
    UNIT = 64,           /* every row class is a multiple of it */
    FEW = 4,             /* rows for which packing w does not pay */
    DEPTH = 4096,        /* f32: elements of k that are summed in registers at once */
    BLOCK_DEPTH = 512,   /* elements of k that come out of their blocks at a time */
    AHEAD = 16,
    LINE = 64 /* rows between what comes out of blocks and what is fetched; bytes */
};

void hora_cpu_parallel(int threads, int64_t tiles, void (*fn)(void *arg, int64_t tile, int thread),
                       void *arg) {
    if (hora_threads() <= threads) {
        hora_parallel(tiles, fn, arg);
        return;
    }
    for (int64_t i = 0; i < tiles; i++)
        fn(arg, i, 0);
}

void hora_cpu_few_or_parallel(int threads, double products, int64_t tiles,
                              void (*fn)(void *arg, int64_t tile, int thread), void *arg) {
    if (products > 2e6) {
        hora_cpu_parallel(threads, tiles, fn, arg);
        return;
    }
    for (int64_t i = 0; i < tiles; i++)
        fn(arg, i, 0);
}

void hora_cpu_widen(const hora_view *v, int64_t at, int64_t n, float *to) {
    if (v->dtype == HORA_F32)
        memcpy(to, (const float *)v->data + at, (size_t)n * sizeof(float));
    else
        hora_kern_get()->rows->widen(n, (const uint16_t *)v->data + at, to);
}

static bool in_blocks(const hora_cpu_matmul_spec *s) {
    return hora_dtype_block(s->wdtype) > 1;
}

/* Blocks stay blocks: a packed copy would be what they are there to avoid. */
static bool may_pack(hora_device *d, const hora_cpu_matmul_spec *s) {
    return (s->frozen || s->will_freeze) && !in_blocks(s) &&
           hora_device_packing(d) == HORA_PACK_BOTH;
}

static int64_t width_of(const hora_cpu_matmul *p, int64_t panel) {
    return hora_min(p->panel, p->spec.n - panel * p->panel);
}

static size_t elem(const hora_cpu_matmul *p) {
    return p->gemm->elem;
}

/* --- the library's side ----------------------------------------------------------------------- */

/* Columns of a panel: multiples of 64 near 192 or 256, about equal. By n alone, so that recordings
 * with other row counts share the packing. */
static int64_t library_panel(int64_t n) {
    int64_t count = hora_ceil_div(n, n >= 2048 ? 256 : 192);
    return hora_round_up(hora_ceil_div(n, count), UNIT);
}

static int64_t ldx_of(const hora_cpu_matmul *p) {
    return p->spec.ldx ? p->spec.ldx : p->spec.k;
}

static hora_matmul_shape shape_of(const hora_cpu_matmul *p, int64_t m, int64_t n) {
    const hora_cpu_matmul_spec *s = &p->spec;
    return (hora_matmul_shape){.m = m,
                               .n = n,
                               .k = s->k,
                               .ldx = ldx_of(p),
                               .ldw = s->trans_w ? s->k : s->n,
                               .ldy = n,
                               .trans_w = s->trans_w,
                               .dtype = s->dtype,
                               .ydtype = HORA_F32,
                               .alpha = 1,
                               .packed = true};
}

static hora_status make_library(hora_cpu_matmul *p, hora_device *d) {
    int64_t widths[2] = {hora_min(p->panel, p->spec.n), width_of(p, p->count - 1)};
    int64_t rows[2] = {p->chunk, UNIT};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            hora_matmul_shape s = shape_of(p, rows[i], widths[j]);
            HORA_TRY(hora_device_matmul(d, &s, &p->made[i][j]));
            p->library_scratch = (size_t)hora_max((int64_t)p->library_scratch,
                                                  (int64_t)p->library->scratch(p->made[i][j]));
        }
    p->library_scratch = hora_cpu_aligned(p->library_scratch);
    p->sums = hora_cpu_aligned((size_t)(p->chunk * p->panel) * sizeof(float));
    return HORA_OK;
}

/* --- cutting and packing ---------------------------------------------------------------------- */

static void cut(hora_cpu_matmul *p, hora_device *d, const hora_cpu_matmul_spec *s) {
    *p = (hora_cpu_matmul){.spec = *s,
                           .kern = hora_kern_get(),
                           .library = hora_device_matmul_provider(d),
                           .threads = hora_device_threads(d)};
    p->gemm = p->kern->gemm[s->dtype == HORA_BF16];
    hora_matmul_shape like = shape_of(p, UNIT, UNIT);
    /* thin products and weights that are rounded on the way are not worth a library's tiles */
    if (s->rows < UNIT || s->k <= UNIT || s->n < UNIT || s->wdtype != s->dtype ||
        (p->library && !p->library->pack_bytes(&like)))
        p->library = NULL;
    if (p->library) {
        p->chunk = s->rows >= 8 * UNIT ? 2 * UNIT : UNIT;
        p->panel = library_panel(s->n);
        like = shape_of(p, UNIT, hora_min(p->panel, s->n));
        p->panel_bytes = hora_cpu_aligned(p->library->pack_bytes(&like));
    } else {
        p->chunk = in_blocks(s)                     ? 64 * UNIT /* blocks are read once */
                   : may_pack(d, s) || s->n <= UNIT ? 4 * UNIT
                                                    : 16 * UNIT;
        p->panel = p->gemm->panel;
        p->panel_bytes = hora_cpu_aligned(p->gemm->pack_bytes(s->k, hora_min(p->panel, s->n)));
    }
    p->count = hora_ceil_div(s->n, p->panel);
}

static size_t blocks_bytes(const hora_cpu_matmul_spec *s, int64_t values) {
    return (size_t)(values / hora_dtype_block(s->wdtype)) * hora_dtype_block_bytes(s->wdtype);
}

/* Values [from, from + n) of row i of w, as elements. Pieces of rows lie on pages of their own,
 * where no hardware prefetcher follows: those of a later row are fetched. */
static void take_out(const hora_cpu_matmul *p, const void *w, int64_t i, int64_t from, int64_t n,
                     void *to) {
    const hora_cpu_matmul_spec *s = &p->spec;
    const hora_kern_blocks *b = p->kern->blocks;
    const size_t row = blocks_bytes(s, s->trans_w ? s->k : s->n);
    const char *x = (const char *)w + (size_t)i * row;
    if (!s->trans_w) {
        const char *later = x + AHEAD * row + blocks_bytes(s, from);
        const int64_t end = hora_round_up(from + n, hora_dtype_block(s->wdtype));
        const size_t bytes = blocks_bytes(s, end) - blocks_bytes(s, from);
        for (size_t line = 0; line <= bytes; line += LINE)
            __builtin_prefetch(later + line);
    }
    if (s->dtype == HORA_BF16)
        b->dequantize_bf16(to, x, s->wdtype, from, n);
    else
        b->dequantize(to, x, s->wdtype, from, n);
}

/* A part of the depth at a time: a rectangle of w in elements that stays in cache, then as any
 * other. Its columns are taken from whole groups of blocks. */
static void pack_blocks(const hora_cpu_matmul *p, const void *w, int64_t j, char *to,
                        char *rectangle) {
    const hora_cpu_matmul_spec *s = &p->spec;
    const int64_t n = width_of(p, j), j0 = j * p->panel;
    const int64_t first = s->trans_w ? 0 : j0 / UNIT_OF_BLOCKS * UNIT_OF_BLOCKS;
    const int64_t width = hora_round_up(j0 + n - first, UNIT_OF_BLOCKS);
    for (int64_t k0 = 0; k0 < s->k; k0 += BLOCK_DEPTH) {
        const int64_t depth = hora_min(BLOCK_DEPTH, s->k - k0);
        const int64_t rows = s->trans_w ? n : depth, ld = s->trans_w ? depth : width;
        for (int64_t i = 0; i < rows; i++)
            take_out(p, w, (s->trans_w ? j0 : k0) + i, s->trans_w ? k0 : first, ld,
                     rectangle + (size_t)(i * ld) * elem(p));
        p->gemm->pack(
            &(hora_pack){.w = rectangle + (s->trans_w ? 0 : (size_t)(j0 - first) * elem(p)),
                         .ldw = ld,
                         .trans_w = s->trans_w,
                         .wide = s->dtype == HORA_F32,
                         .scale = 1,
                         .k = depth,
                         .n = n},
            to + p->gemm->pack_bytes(k0, n));
    }
}

static void pack_panel(const hora_cpu_matmul *p, const void *w, int64_t j, char *to,
                       char *scratch) {
    const hora_cpu_matmul_spec *s = &p->spec;
    if (in_blocks(s)) {
        pack_blocks(p, w, j, to, scratch + p->thread_scratch - p->rectangle);
        return;
    }
    bool wide = s->wdtype == HORA_F32;
    int64_t first = j * p->panel * (s->trans_w ? s->k : 1);
    w = (const char *)w + (size_t)first * (wide ? sizeof(float) : elem(p));
    if (p->library) {
        hora_matmul_shape shape = shape_of(p, UNIT, width_of(p, j));
        p->library->pack(&shape, w, to);
    } else {
        p->gemm->pack(&(hora_pack){.w = w,
                                   .ldw = s->trans_w ? s->k : s->n,
                                   .trans_w = s->trans_w,
                                   .wide = wide,
                                   .scale = 1,
                                   .k = s->k,
                                   .n = width_of(p, j)},
                      to);
    }
}

static uint64_t layout_of(const hora_cpu_matmul *p) {
    const int64_t key[] = {p->spec.n, p->spec.k, p->spec.trans_w, p->panel,
                           p->spec.dtype == HORA_BF16};
    return hora_hash64(key, sizeof key, hora_hash_text(p->library ? p->library->name : "own"));
}

typedef struct filling {
    const hora_cpu_matmul *p;
    char *dst;
} filling;

static void fill_panel(void *arg, int64_t j, int thread) {
    (void)thread;
    const filling *f = arg;
    pack_panel(f->p, f->p->spec.frozen, j, f->dst + (size_t)j * f->p->panel_bytes, NULL);
}

static void fill(void *dst, const void *arg) {
    filling f = {arg, dst};
    hora_parallel(f.p->count, fill_panel, &f);
}

static size_t low_bytes(const hora_cpu_matmul *p) {
    return p->spec.rank ? hora_cpu_aligned(p->gemm->pack_bytes(p->spec.rank, p->panel)) : 0;
}

/* Scratch of a thread: the library's own and its tile | a panel of w | a panel of f. */
static hora_status lay_out(hora_cpu_matmul *p, hora_device *d) {
    if (p->library)
        HORA_TRY(make_library(p, d));
    else if (p->spec.summed)
        p->sums = hora_cpu_aligned((size_t)(p->chunk * p->panel) * sizeof(float));
    if (in_blocks(&p->spec))
        p->rectangle =
            hora_cpu_aligned(sizeof(float) * BLOCK_DEPTH * (size_t)(p->panel + 2 * UNIT_OF_BLOCKS));
    p->thread_scratch = p->library_scratch + p->sums + p->panel_bytes + low_bytes(p) + p->rectangle;
    return HORA_OK;
}

static size_t scratch_bytes(const hora_cpu_matmul *p) {
    return p->thread_scratch * (size_t)p->threads;
}

void hora_cpu_matmul_query(hora_device *d, const hora_cpu_matmul_spec *s, hora_need *need) {
    hora_cpu_matmul p;
    cut(&p, d, s);
    if (may_pack(d, s) && (!s->frozen || !hora_device_has(d, s->frozen, layout_of(&p))))
        need->packed += p.panel_bytes * (size_t)p.count;
    /* a product that cannot be made fails in prepare, with its reason */
    if (lay_out(&p, d) == HORA_OK)
        need->scratch = (size_t)hora_max((int64_t)need->scratch, (int64_t)scratch_bytes(&p));
}

hora_status hora_cpu_matmul_make(hora_cpu_matmul *p, hora_device *d,
                                 const hora_cpu_matmul_spec *s) {
    cut(p, d, s);
    if (s->frozen && may_pack(d, s)) {
        void *data = NULL;
        HORA_TRY(hora_device_pack(d, s->frozen, layout_of(p), p->panel_bytes * (size_t)p->count,
                                  fill, p, &data));
        p->packed = data;
    }
    return lay_out(p, d);
}

const char *hora_cpu_matmul_variant(const hora_cpu_matmul *p) {
    return p->library ? p->library->variant(p->made[0][0]) : p->kern->name;
}

/* --- running ---------------------------------------------------------------------------------- */

typedef struct matmul_run {
    const hora_cpu_matmul *p;
    const hora_cpu_matmul_args *a;
    int64_t columns; /* few rows: of a tile */
} matmul_run;

static char *scratch_of(const matmul_run *r, int thread) {
    return (char *)r->a->scratch + (size_t)thread * r->p->thread_scratch;
}

/* All but the sum over k: rows [i0, i1) and n columns from j0. */
static hora_gemm around(const matmul_run *r, int64_t i0, int64_t i1, int64_t j0, int64_t n,
                        float *bias, char *low) {
    const hora_cpu_matmul *p = r->p;
    const hora_cpu_matmul_args *a = r->a;
    int64_t ld = p->spec.n;
    size_t size = a->wide ? sizeof(float) : elem(p), at = (size_t)(i0 * ld + j0) * size;
    hora_gemm g = {
        .m = i1 - i0, .n = n, .alpha = a->alpha, .ldy = ld, .ldadd = ld, .wide = a->wide};
    g.y = (char *)a->y + at;
    g.add = a->add ? (const char *)a->add + at : NULL;
    if (a->bias && !hora_absent(a->bias)) {
        hora_cpu_widen(a->bias, j0, n, bias);
        g.bias = bias;
    }
    if (a->low.rank) {
        int64_t q = a->low.rank;
        p->gemm->pack(&(hora_pack){.w = a->low.f + (a->low.trans ? j0 * q : j0),
                                   .ldw = a->low.trans ? q : p->spec.n,
                                   .trans_w = a->low.trans,
                                   .wide = true,
                                   .scale = a->low.scale,
                                   .k = q,
                                   .n = n},
                      low);
        g.t[1] = (hora_gemm_term){.k = q,
                                  .x = (const char *)a->low.z + (size_t)(i0 * q) * elem(p),
                                  .sxi = q * (int64_t)elem(p),
                                  .sxp = 4,
                                  .b = low,
                                  .sb = (int64_t)p->gemm->pack_bytes(q, p->gemm->panel)};
    }
    return g;
}

/* Own gemm on a panel b of w: in f32 a long sum is cut, for accuracy. */
static void by_own_gemm(const matmul_run *r, hora_gemm *g, int64_t i0, const char *b) {
    const hora_cpu_matmul *p = r->p;
    int64_t k = p->spec.k, depth = p->spec.dtype == HORA_F32 ? DEPTH : k;
    int64_t ldx = ldx_of(p);
    int64_t step = (int64_t)p->gemm->pack_bytes(1, g->n);
    hora_gemm_term low = g->t[1];
    for (int64_t k0 = 0; k0 < k; k0 += depth) {
        g->t[0] = (hora_gemm_term){.k = hora_min(depth, k - k0),
                                   .x = (const char *)r->a->x + (size_t)(i0 * ldx + k0) * elem(p),
                                   .sxi = ldx * (int64_t)elem(p),
                                   .sxp = 4,
                                   .b = b + k0 * step};
        p->gemm->gemm(g);
        g->t[1].k = 0;
        g->c = NULL;
        g->bias = NULL;
        g->add = g->y;
    }
    g->t[1] = low;
}

/* The library's product on `rows` rows from i0 of one panel. */
static void by_library(const matmul_run *r, const hora_gemm *around, int64_t i0, int64_t j,
                       bool whole, const char *b, int thread) {
    const hora_cpu_matmul *p = r->p;
    char *scratch = scratch_of(r, thread);
    float *c = (float *)(scratch + p->library_scratch);
    const char *x = (const char *)r->a->x + (size_t)(i0 * ldx_of(p)) * elem(p);
    p->library->run(p->made[whole ? 0 : 1][j == p->count - 1], x, b, c, scratch);
    hora_gemm g = *around;
    g.c = c;
    g.ldc = g.n;
    p->gemm->gemm(&g);
}

static void run_tile(const matmul_run *r, int64_t chunk, int64_t j, int thread) {
    const hora_cpu_matmul *p = r->p;
    int64_t i = chunk * p->chunk, n = width_of(p, j);
    int64_t end = hora_min(r->a->m, i + p->chunk);
    char *panel = scratch_of(r, thread) + p->library_scratch + p->sums;
    char *low = panel + p->panel_bytes;
    const char *b = p->packed ? p->packed + (size_t)j * p->panel_bytes : panel;
    float bias[256];
    HORA_ASSERT(p->panel <= (int64_t)HORA_COUNT(bias));
    if (!p->packed)
        pack_panel(p, r->a->w, j, panel, scratch_of(r, thread));
    int64_t rows = p->library ? (end - i == p->chunk ? p->chunk : UNIT) : end - i;
    for (; end - i >= rows && i < end; i += rows) {
        hora_gemm g = around(r, i, i + rows, j * p->panel, n, bias, low);
        if (p->library) {
            by_library(r, &g, i, j, rows == p->chunk, b, thread);
        } else {
            by_own_gemm(r, &g, i, b);
        }
    }
    for (int64_t at = 0; i < end && at < n; at += p->gemm->panel) { /* what a library left over */
        int64_t j0 = j * p->panel + at, left = hora_min(p->gemm->panel, n - at);
        hora_gemm g = around(r, i, end, j0, left, bias, low);
        p->gemm->pack(&(hora_pack){.w = (const char *)r->a->w +
                                        (size_t)(j0 * (p->spec.trans_w ? p->spec.k : 1)) * elem(p),
                                   .ldw = p->spec.trans_w ? p->spec.k : p->spec.n,
                                   .trans_w = p->spec.trans_w,
                                   .wide = p->spec.wdtype == HORA_F32,
                                   .scale = 1,
                                   .k = p->spec.k,
                                   .n = left},
                      panel);
        by_own_gemm(r, &g, i, panel);
    }
}

/* Few rows: w is read once, in place, or a few rows of it at a time out of their blocks. */
static void run_few(void *arg, int64_t tile, int thread) {
    const matmul_run *r = arg;
    const hora_cpu_matmul *p = r->p;
    const hora_cpu_matmul_args *a = r->a;
    int64_t j0 = tile * r->columns, n = hora_min(r->columns, p->spec.n - j0), k = p->spec.k;
    int64_t step = in_blocks(&p->spec) ? FEW : n;
    float sums[FEW * UNIT], bias[UNIT];
    char *panel = scratch_of(r, thread) + p->library_scratch + p->sums;
    char *low = panel + p->panel_bytes;
    for (int64_t j = 0; j < n; j += step) {
        hora_few f = {.m = a->m,
                      .n = hora_min(step, n - j),
                      .k = k,
                      .ldx = ldx_of(p),
                      .ldw = k,
                      .ldy = n,
                      .x = a->x,
                      .y = sums + j};
        f.w = (const char *)a->w + (size_t)((j0 + j) * k) * elem(p);
        for (int64_t i = 0; in_blocks(&p->spec) && i < f.n; i++)
            take_out(p, a->w, j0 + j + i, 0, k, panel + (size_t)(i * k) * elem(p));
        if (in_blocks(&p->spec))
            f.w = panel;
        p->gemm->few(&f);
    }
    hora_gemm g = around(r, 0, a->m, j0, n, bias, low);
    g.c = sums;
    g.ldc = n;
    p->gemm->gemm(&g);
}

static bool is_few(const hora_cpu_matmul *p, const hora_cpu_matmul_args *a) {
    return a->m <= FEW && p->spec.trans_w && a->w &&
           (p->spec.wdtype == p->spec.dtype || in_blocks(&p->spec));
}

static double products_of(const hora_cpu_matmul *p, const hora_cpu_matmul_args *a) {
    return (double)a->m * (double)p->spec.n * (double)p->spec.k;
}

/* Products that go together. */
typedef struct all_run {
    matmul_run of[HORA_MAX_JOINED];
    int n;
    int64_t across; /* panels of all */
} all_run;

static void run_all_tile(void *arg, int64_t tile, int thread) {
    const all_run *all = arg;
    int64_t chunk = tile / all->across, j = tile % all->across;
    int i = 0;
    for (; j >= all->of[i].p->count; i++)
        j -= all->of[i].p->count;
    run_tile(&all->of[i], chunk, j, thread);
}

void hora_cpu_matmul_run(const hora_cpu_matmul *p, const hora_cpu_matmul_args *a) {
    all_run all = {.of = {{p, a, hora_min(UNIT, p->gemm->panel)}}, .n = 1, .across = p->count};
    if (is_few(p, a))
        hora_cpu_few_or_parallel(p->threads, products_of(p, a),
                                 hora_ceil_div(p->spec.n, all.of[0].columns), run_few, &all.of[0]);
    else
        hora_cpu_few_or_parallel(p->threads, products_of(p, a),
                                 hora_ceil_div(a->m, p->chunk) * p->count, run_all_tile, &all);
}

void hora_cpu_matmul_run_all(const hora_cpu_matmul *const *p, const hora_cpu_matmul_args *a,
                             int n) {
    all_run all = {.n = n};
    double work = 0;
    bool alike = n <= HORA_MAX_JOINED;
    for (int i = 0; i < n && alike; i++) {
        alike = p[i]->chunk == p[0]->chunk && a[i].m == a[0].m && !is_few(p[i], &a[i]);
        all.of[i] = (matmul_run){p[i], &a[i], 0};
        all.across += p[i]->count;
        work += products_of(p[i], &a[i]);
    }
    if (n > 1 && alike)
        hora_cpu_few_or_parallel(p[0]->threads, work,
                                 hora_ceil_div(a[0].m, p[0]->chunk) * all.across, run_all_tile,
                                 &all);
    else
        for (int i = 0; i < n; i++)
            hora_cpu_matmul_run(p[i], &a[i]);
}

/* One tile of a sum: shares are added up in f32 in scratch, the last one finishes. */
static void sum_tile(void *arg, int64_t tile, int thread) {
    const all_run *all = arg;
    const hora_cpu_matmul *p0 = all->of[0].p;
    int64_t j = tile % p0->count, i0 = tile / p0->count * p0->chunk, n = width_of(p0, j);
    int64_t i1 = hora_min(all->of[0].a->m, i0 + p0->chunk);
    float *sums = (float *)scratch_of(&all->of[0], thread);
    for (int i = 0; i < all->n; i++) {
        const matmul_run *r = &all->of[i];
        const hora_cpu_matmul *p = r->p;
        char *panel = scratch_of(r, thread) + p->sums;
        const char *b = p->packed ? p->packed + (size_t)j * p->panel_bytes : panel;
        if (!p->packed)
            pack_panel(p, r->a->w, j, panel, scratch_of(r, thread));
        hora_gemm g = around(r, i0, i1, j * p->panel, n, NULL, panel + p->panel_bytes);
        g.c = i ? sums : NULL;
        g.ldc = n;
        if (i + 1 < all->n) {
            g.add = NULL;
            g.y = sums;
            g.ldy = n;
            g.wide = true;
        }
        by_own_gemm(r, &g, i0, b);
    }
}

void hora_cpu_matmul_sum(const hora_cpu_matmul *const *p, const hora_cpu_matmul_args *a, int n) {
    all_run all = {.n = n};
    double work = 0;
    bool alike = n <= HORA_MAX_JOINED;
    hora_cpu_matmul_args last = n ? a[n - 1] : (hora_cpu_matmul_args){0};
    last.add = n ? a[0].add : NULL;
    for (int i = 0; i < n && alike; i++) {
        alike = !p[i]->library && p[i]->spec.summed && p[i]->chunk == p[0]->chunk &&
                a[i].alpha == 1 && p[i]->spec.k <= DEPTH;
        all.of[i] = (matmul_run){p[i], i + 1 < n ? &a[i] : &last, 0};
        work += products_of(p[i], &a[i]);
    }
    if (n > 1 && alike) {
        hora_cpu_few_or_parallel(p[0]->threads, work,
                                 hora_ceil_div(a[0].m, p[0]->chunk) * p[0]->count, sum_tile, &all);
        return;
    }
    for (int i = 0; i < n; i++) {
        hora_cpu_matmul_args one = a[i];
        one.add = i ? one.y : one.add;
        hora_cpu_matmul_run(p[i], &one);
    }
}
