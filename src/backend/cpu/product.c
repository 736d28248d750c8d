/*
 * Products cut into tiles: rows x column panels, the whole sum over k in one tile by one thread.
 * The cut follows from n, k and the row count of the call, never from threads.
 *
 *              panel 0   panel 1  ..                 tile index = panel * row tiles + row tile:
 *   tile 0   |         |         |                   neighbours share a panel of w in the cache
 *   tile 1   |         |         |
 *   rest     | 64-row products, then own blocks for fewer rows
 *
 * A provider's product runs a dense tile in scratch, which `merge` turns into y with bias, addend
 * and scale in one pass. Thin products (k or n of a low rank) and few rows go to the own blocks,
 * which do all that in registers.
 */
#include "backend/cpu/cpu_impl.h"

#include "base/rng.h"

#define UNIT 64 /* every row class is a multiple of it */
#define THIN 64

void hora_cpu_parallel(int threads, int64_t tiles, void (*fn)(void *arg, int64_t tile, int thread),
                       void *arg) {
    if (hora_threads() <= threads) {
        hora_parallel(tiles, fn, arg);
        return;
    }
    for (int64_t i = 0; i < tiles; i++)
        fn(arg, i, 0);
}

/* Waking a thread costs microseconds, so tiles of a product that one finishes in a few run one
 * after another; the tiles, and with them the bits, are the same. */
static void few_or_parallel(double products, int64_t tiles,
                            void (*fn)(void *arg, int64_t tile, int thread), void *arg) {
    if (products > 2e6) {
        hora_parallel(tiles, fn, arg);
        return;
    }
    for (int64_t i = 0; i < tiles; i++)
        fn(arg, i, 0);
}

/* Columns of a panel: multiples of 64 near 192 or 256, about equal. By n alone, so that recordings
 * with other row counts share the packing. */
static int64_t panel_of(int64_t n) {
    int64_t most = n >= 2048 ? 256 : 192;
    int64_t count = hora_ceil_div(n, most);
    return hora_round_up(hora_ceil_div(n, count), UNIT);
}

static bool thin(const hora_product_spec *s) {
    return s->rows < UNIT || s->k <= THIN || s->n < THIN;
}

static int64_t width_of(const hora_product *p, int64_t panel) {
    return hora_min(p->panel, p->spec.n - panel * p->panel);
}

static hora_mm_shape shape_of(const hora_product *p, int64_t m, int64_t n) {
    const hora_product_spec *s = &p->spec;
    return (hora_mm_shape){.m = m,
                           .n = n,
                           .k = s->k,
                           .ldx = s->k,
                           .ldw = s->trans_w ? s->k : s->n,
                           .ldy = n,
                           .trans_w = s->trans_w,
                           .dtype = HORA_F32,
                           .ydtype = HORA_F32,
                           .alpha = 1,
                           .packed = p->packs};
}

static void cut(hora_product *p, hora_device *d, const hora_product_spec *s) {
    *p = (hora_product){.spec = *s,
                        .kern = hora_kern_get(),
                        .provider = hora_device_products(d),
                        .threads = hora_device_threads(d),
                        .tile = s->rows >= 8 * UNIT ? 2 * UNIT : UNIT,
                        .panel = panel_of(s->n)};
    p->count = hora_ceil_div(s->n, p->panel);
}

/* Bytes of the packing; the last panel is padded to a whole one where it is narrower. */
static size_t packing_bytes(hora_product *p) {
    hora_mm_shape s = shape_of(p, UNIT, hora_min(p->panel, p->spec.n));
    s.packed = true;
    p->panel_bytes = hora_cpu_aligned(p->provider->pack_bytes(&s));
    return p->panel_bytes * (size_t)p->count;
}

static uint64_t layout_of(const hora_product *p) {
    const int64_t key[] = {p->spec.n, p->spec.k, p->spec.trans_w, p->panel};
    return hora_hash64(key, sizeof key, hora_hash_text(p->provider->name));
}

typedef struct filling {
    const hora_product *p;
    char *dst;
} filling;

static void fill_panel(void *arg, int64_t j, int thread) {
    (void)thread;
    const filling *f = arg;
    const hora_product *p = f->p;
    const float *w = p->spec.frozen;
    hora_mm_shape s = shape_of(p, UNIT, width_of(p, j));
    s.packed = true;
    w += j * p->panel * (p->spec.trans_w ? p->spec.k : 1);
    p->provider->pack(&s, w, f->dst + (size_t)j * p->panel_bytes);
}

static void fill(void *dst, const void *arg) {
    filling f = {arg, dst};
    hora_parallel(f.p->count, fill_panel, &f);
}

/* Column panels of a plain (k, n) are strided: the own blocks copy them chunk by chunk, a provider
 * would copy whole panels. */
static bool by_provider(const hora_product *p) {
    return p->packs || p->spec.trans_w || p->count == 1;
}

/* Products of the provider for whole tiles and 64 rows, whole panels and the last one. */
static hora_status make_products(hora_product *p, hora_device *d) {
    if (!by_provider(p))
        return HORA_OK;
    int64_t widths[2] = {hora_min(p->panel, p->spec.n), width_of(p, p->count - 1)};
    int64_t rows[2] = {p->tile, UNIT};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            hora_mm_shape s = shape_of(p, rows[i], widths[j]);
            HORA_TRY(hora_device_mm(d, &s, &p->mm[i][j]));
            p->mm_scratch = (size_t)hora_max((int64_t)p->mm_scratch,
                                             (int64_t)p->provider->scratch(p->mm[i][j]));
        }
    p->mm_scratch = hora_cpu_aligned(p->mm_scratch);
    p->thread_scratch =
        p->mm_scratch + hora_cpu_aligned((size_t)(p->tile * p->panel) * sizeof(float));
    return HORA_OK;
}

void hora_product_query(hora_device *d, const hora_product_spec *s, hora_need *need) {
    hora_product p;
    if (thin(s))
        return;
    cut(&p, d, s);
    if (s->frozen || s->will_freeze) {
        size_t bytes = packing_bytes(&p);
        if (bytes) {
            p.packs = true;
            if (!s->frozen || !hora_device_has(d, s->frozen, layout_of(&p)))
                need->packed += bytes;
        }
    }
    /* a product that cannot be made fails in prepare, with its reason */
    if (make_products(&p, d) == HORA_OK)
        need->scratch = (size_t)hora_max((int64_t)need->scratch, (int64_t)hora_product_scratch(&p));
}

hora_status hora_product_make(hora_product *p, hora_device *d, const hora_product_spec *s) {
    cut(p, d, s);
    if (thin(s))
        return HORA_OK;
    if (s->frozen) {
        size_t bytes = packing_bytes(p);
        void *data = NULL;
        if (bytes)
            HORA_TRY(hora_device_pack(d, s->frozen, layout_of(p), bytes, fill, p, &data));
        p->packed = data;
        p->packs = data != NULL;
    }
    return make_products(p, d);
}

size_t hora_product_scratch(const hora_product *p) {
    return p->thread_scratch * (size_t)p->threads;
}

const char *hora_product_variant(const hora_product *p) {
    return p->mm[0][0] ? p->provider->variant(p->mm[0][0]) : p->kern->name;
}

typedef struct product_run {
    const hora_product *p;
    int64_t m, tiles, columns;
    float alpha;
    const float *x, *w, *add, *bias;
    float *y;
    char *scratch;
} product_run;

/* Own blocks on rows [i0, i1) and columns [j0, j1), from the plain weight. */
static void own(const product_run *r, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    const hora_product_spec *s = &r->p->spec;
    hora_gemm g = {.m = i1 - i0,
                   .n = j1 - j0,
                   .k = s->k,
                   .ldx = s->k,
                   .ldw = s->trans_w ? s->k : s->n,
                   .ldy = s->n,
                   .ldadd = s->n,
                   .trans_w = s->trans_w,
                   .alpha = r->alpha,
                   .x = r->x + i0 * s->k,
                   .w = r->w + j0 * (s->trans_w ? s->k : 1),
                   .add = r->add ? r->add + i0 * s->n + j0 : NULL,
                   .bias = r->bias ? r->bias + j0 : NULL,
                   .y = r->y + i0 * s->n + j0};
    r->p->kern->products->gemm(&g);
}

/* The provider's product on `rows` rows from i0 of one panel. */
static void tile_of(const product_run *r, int64_t i0, int64_t panel, bool whole, int thread) {
    const hora_product *p = r->p;
    const hora_product_spec *s = &p->spec;
    int64_t j0 = panel * p->panel, n = width_of(p, panel);
    const hora_mm *mm = p->mm[whole ? 0 : 1][panel == p->count - 1];
    char *scratch = r->scratch + (size_t)thread * p->thread_scratch;
    float *c = (float *)(scratch + p->mm_scratch);
    const void *w = p->packs ? (const void *)(p->packed + (size_t)panel * p->panel_bytes)
                             : r->w + j0 * (s->trans_w ? s->k : 1);
    p->provider->run(mm, r->x + i0 * s->k, w, c, scratch);
    p->kern->products->merge(whole ? p->tile : UNIT, n, r->alpha, c, n,
                             r->add ? r->add + i0 * s->n + j0 : NULL, s->n,
                             r->bias ? r->bias + j0 : NULL, r->y + i0 * s->n + j0, s->n);
}

static void run_tile(void *arg, int64_t tile, int thread) {
    const product_run *r = arg;
    const hora_product *p = r->p;
    int64_t panel = tile / r->tiles, i = tile % r->tiles * p->tile;
    int64_t end = hora_min(r->m, i + p->tile);
    if (end - i == p->tile) {
        tile_of(r, i, panel, true, thread);
        return;
    }
    for (; end - i >= UNIT; i += UNIT)
        tile_of(r, i, panel, false, thread);
    if (i < end)
        own(r, i, end, panel * p->panel, panel * p->panel + width_of(p, panel));
}

/* Thin products, few rows and strided weights: tiles of own blocks. Few rows are cut into more
 * columns. */
static void run_own(void *arg, int64_t tile, int thread) {
    (void)thread;
    const product_run *r = arg;
    int64_t i = tile % r->tiles * r->p->tile, j = tile / r->tiles * r->columns;
    own(r, i, hora_min(r->m, i + r->p->tile), j, hora_min(r->p->spec.n, j + r->columns));
}

void hora_product_run(const hora_product *p, int64_t m, float alpha, const float *x, const float *w,
                      const float *add, const float *bias, float *y, void *scratch) {
    product_run r = {p, m, hora_ceil_div(m, p->tile), 0, alpha, x, w, add, bias, y, scratch};
    if (!p->mm[0][0] || m < UNIT) {
        r.columns = m <= UNIT ? UNIT : p->panel;
        few_or_parallel((double)m * (double)p->spec.n * (double)p->spec.k,
                        r.tiles * hora_ceil_div(p->spec.n, r.columns), run_own, &r);
        return;
    }
    hora_cpu_parallel(p->threads, r.tiles * p->count, run_tile, &r);
}

typedef struct outer_run {
    const hora_kern *kern;
    int64_t rows, o, k, tile_o, tile_k, across;
    float alpha;
    const float *a, *b;
    float *y;
    bool overwrite;
} outer_run;

static void outer_tile(void *arg, int64_t tile, int thread) {
    (void)thread;
    const outer_run *r = arg;
    int64_t i = tile / r->across * r->tile_o, j = tile % r->across * r->tile_k;
    hora_gemm g = {.m = hora_min(r->tile_o, r->o - i),
                   .n = hora_min(r->tile_k, r->k - j),
                   .k = r->rows,
                   .ldx = r->o,
                   .ldw = r->k,
                   .ldy = r->k,
                   .ldadd = r->k,
                   .trans_x = true,
                   .alpha = r->alpha,
                   .x = r->a + i,
                   .w = r->b + j,
                   .y = r->y + i * r->k + j};
    g.add = r->overwrite ? NULL : g.y;
    r->kern->products->gemm(&g);
}

void hora_cpu_outer(int64_t rows, int64_t o, int64_t k, float alpha, const float *a, const float *b,
                    float *y, bool overwrite) {
    outer_run r = {hora_kern_get(), rows, o, k, 128, 128, 0, alpha, a, b, y, overwrite};
    if (o * k < 64 * 128 * 128) /* a low-rank factor or a small matrix: more, smaller tiles */
        r.tile_o = r.tile_k = 64;
    r.across = hora_ceil_div(k, r.tile_k);
    few_or_parallel((double)rows * (double)o * (double)k, hora_ceil_div(o, r.tile_o) * r.across,
                    outer_tile, &r);
}
