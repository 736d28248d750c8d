/* See cpu_mix.h. */
#include "backend/cpu/cpu_mix.h"

#include "backend/cpu/cpu_lines.h"

enum { BLOCK = 64 }; /* rows */

/* A block at work. Maps are (H, rows, n): of the block's rows over the keys [j0, j0 + n). */
typedef struct block {
    const hora_mix *x;
    const hora_kern *kern;
    int64_t heads, each, dh, ldq, ldk;
    const float *q, *k, *v, *m, *dy;
    float *p, *dpp, *ds;            /* maps; dP+, dZ: backward */
    float *dq, *dk, *dv, *dm;       /* sums in f32; NULL: not wanted */
    char *own;                      /* scratch of a thread, `own_bytes` each */
    size_t own_bytes, pack, map;    /* of it: a packed matrix, a map, rows of one head */
    int64_t i0, rows, j0, n;        /* this block */
    int64_t from[BLOCK], to[BLOCK]; /* what its rows see, counted from j0 */
} block;

static const hora_kern_gemm *gemm_of(const block *b) {
    return b->kern->gemm[0];
}

/* --- memory ----------------------------------------------------------------------------------- */

static size_t floats(int64_t n) {
    return hora_cpu_aligned((size_t)n * sizeof(float));
}

static size_t pack_bytes(const hora_mix *x) {
    const hora_kern_gemm *g = hora_kern_get()->gemm[0];
    const int64_t dh = x->c->attr.head_dim;
    size_t most = g->pack_bytes(dh, x->keys);
    most = hora_max(most, g->pack_bytes(x->keys, dh));
    return hora_cpu_aligned(hora_max(most, g->pack_bytes(BLOCK, dh)));
}

static size_t own_bytes(const hora_mix *x) {
    return pack_bytes(x) + floats(BLOCK * x->keys) + floats(2 * BLOCK * x->c->attr.head_dim);
}

/* Rows of v that are read, in f32; *at: memory for the copy, where one is needed. */
static const float *wide(const hora_view *v, int64_t rows, char **at) {
    if (v->dtype == HORA_F32)
        return v->data;
    float *to = (float *)*at;
    *at += floats(rows * hora_cpu_width(v));
    hora_cpu_widen(v, 0, rows * hora_cpu_width(v), to);
    return to;
}

static size_t wide_bytes(const hora_view *v) {
    return v->dtype == HORA_F32 ? 0 : floats(hora_elems(v));
}

bool hora_mix_takes(const hora_call *c, const hora_view *m) {
    const hora_dtype t = c->in[0].dtype;
    return (t == HORA_F32 || t == HORA_BF16) && c->in[1].dtype == t && c->in[2].dtype == t &&
           c->out.dtype == t && (m->dtype == HORA_F32 || m->dtype == HORA_BF16) &&
           hora_cpu_sums_f32(c, 3);
}

size_t hora_mix_scratch(const hora_mix *x) {
    const hora_call *c = x->c;
    const int64_t h = c->attr.heads, maps = c->phase == HORA_BACKWARD ? 3 : 1;
    size_t sum = wide_bytes(&c->in[0]) + wide_bytes(x->k) + wide_bytes(x->v) + wide_bytes(x->m) +
                 (size_t)maps * floats(h * BLOCK * x->keys) + own_bytes(x) * (size_t)x->threads;
    if (c->phase == HORA_BACKWARD)
        sum += wide_bytes(&c->dout) + floats(hora_elems(&c->in[0])) +
               2 * floats(hora_elems(&c->in[1])) + floats(h * h);
    return sum;
}

/* --- pieces ----------------------------------------------------------------------------------- */

static float *map_of(const block *b, float *maps, int64_t h) {
    return maps + h * b->rows * b->n;
}

/* Columns of head h's keys and values. */
static int64_t group(const block *b, int64_t h) {
    return h / b->each * b->dh;
}

/* y (m, n) = add + alpha x B, with B (k, n) = w (k, n), or w' where w is (n, k); x f32 (m, k) with
 * sxi and sxp floats between its rows and columns. */
static void product(const block *b, void *room, const float *w, int64_t ldw, bool trans_w,
                    int64_t m, int64_t n, int64_t k, float alpha, const float *x, int64_t sxi,
                    int64_t sxp, const float *add, float *y, int64_t ldy) {
    const hora_kern_gemm *g = gemm_of(b);
    const int64_t whole = n / g->panel * g->panel;
    g->pack(&(hora_pack){w, ldw, trans_w, true, 1, k, n}, room);
    hora_gemm a = {.m = m, .alpha = alpha, .ldy = ldy, .ldadd = ldy, .wide = true};
    a.t[0] = (hora_gemm_term){.k = k, .x = x, .sxi = sxi * 4, .sxp = sxp * 4};
    a.t[0].sb = (int64_t)g->pack_bytes(k, g->panel);
    for (int64_t c = 0; c < n; c += a.n) { /* whole panels, then what is left */
        a.n = c < whole ? whole : n - whole;
        a.t[0].b = (char *)room + c * k * 4;
        a.add = add ? add + c : NULL;
        a.y = y + c;
        g->gemm(&a);
    }
}

/* P_h of the block. */
static void softmax(const block *b, float *p) {
    for (int64_t i = 0; i < b->rows; i++) {
        float *z = p + i * b->n;
        const int64_t from = b->from[i], to = b->to[i];
        for (int64_t j = 0; j < b->n; j++)
            if (j < from || j >= to)
                z[j] = 0;
        if (from < to) {
            const float lse = b->kern->softmax->lse(to - from, z + from);
            b->kern->softmax->weigh(to - from, lse, 1, z + from);
        }
    }
}

/* y = x_h + sum_g m[g stride] x_g: a map of recombined maps. */
static void recombine(const block *b, float *maps, int64_t h, const float *m, int64_t stride,
                      float *y) {
    const int64_t size = b->rows * b->n;
    memcpy(y, map_of(b, maps, h), (size_t)size * sizeof *y);
    for (int64_t g = 0; g < b->heads; g++)
        b->kern->rows->add(size, m[g * stride], y, map_of(b, maps, g), y);
}

static void *own(const block *b, int thread, float **map, float **line) {
    char *at = b->own + (size_t)thread * b->own_bytes;
    *map = (float *)(at + b->pack);
    *line = (float *)(at + b->pack + b->map);
    return at;
}

/* --- phases: a head is a tile ----------------------------------------------------------------- */

static void make_maps(void *arg, int64_t h, int thread) {
    const block *b = arg;
    float *map, *line;
    void *room = own(b, thread, &map, &line);
    const int64_t at = b->j0 * b->ldk + group(b, h), row = b->i0 * b->ldq + h * b->dh;
    product(b, room, b->k + at, b->ldk, true, b->rows, b->n, b->dh, (float)b->x->c->attr.scale,
            b->q + row, b->ldq, 1, NULL, map_of(b, b->p, h), b->n);
    softmax(b, map_of(b, b->p, h));
    if (b->dy)
        product(b, room, b->v + at, b->ldk, true, b->rows, b->n, b->dh, 1, b->dy + row, b->ldq, 1,
                NULL, map_of(b, b->dpp, h), b->n);
}

static void make_values(void *arg, int64_t h, int thread) {
    const block *b = arg;
    float *map, *line;
    void *room = own(b, thread, &map, &line);
    const hora_view *out = &b->x->c->out;
    recombine(b, b->p, h, b->m + h * b->heads, 1, map);
    product(b, room, b->v + b->j0 * b->ldk + group(b, h), b->ldk, false, b->rows, b->dh, b->n, 1,
            map, b->n, 1, NULL, line, b->dh);
    for (int64_t i = 0; i < b->rows; i++)
        hora_cpu_put_line(out, (b->i0 + i) * b->ldq + h * b->dh, b->dh, line + i * b->dh, true,
                          line + BLOCK * b->dh);
}

/* Row h of dM, dZ_h and dq_h. */
static void make_queries(void *arg, int64_t h, int thread) {
    const block *b = arg;
    float *map, *line;
    void *room = own(b, thread, &map, &line);
    const int64_t size = b->rows * b->n;
    for (int64_t g = 0; b->dm && g < b->heads; g++)
        b->dm[h * b->heads + g] += hora_cpu_dot(size, map_of(b, b->dpp, h), map_of(b, b->p, g));
    if (!b->dq && !b->dk)
        return;
    recombine(b, b->dpp, h, b->m + h, b->heads, map);
    float *ds = map_of(b, b->ds, h);
    for (int64_t i = 0; i < b->rows; i++) {
        const float *p = map_of(b, b->p, h) + i * b->n, *dp = map + i * b->n;
        const float mean = hora_cpu_dot(b->n, p, dp);
        for (int64_t j = 0; j < b->n; j++)
            ds[i * b->n + j] = p[j] * (dp[j] - mean);
    }
    if (b->dq)
        product(b, room, b->k + b->j0 * b->ldk + group(b, h), b->ldk, false, b->rows, b->dh, b->n,
                (float)b->x->c->attr.scale, ds, b->n, 1, NULL, b->dq + b->i0 * b->ldq + h * b->dh,
                b->ldq);
}

/* dk and dv of a key-value head; P+ goes where dP+ was. */
static void make_keys(void *arg, int64_t tile, int thread) {
    const block *b = arg;
    float *map, *line;
    void *room = own(b, thread, &map, &line);
    const int64_t at = b->j0 * b->ldk + tile * b->dh;
    for (int64_t h = tile * b->each; h < (tile + 1) * b->each; h++) {
        const int64_t row = b->i0 * b->ldq + h * b->dh;
        if (b->dk)
            product(b, room, b->q + row, b->ldq, false, b->n, b->dh, b->rows,
                    (float)b->x->c->attr.scale, map_of(b, b->ds, h), 1, b->n, b->dk + at,
                    b->dk + at, b->ldk);
        if (!b->dv)
            continue;
        recombine(b, b->p, h, b->m + h * b->heads, 1, map);
        product(b, room, b->dy + row, b->ldq, false, b->n, b->dh, b->rows, 1, map, 1, b->n,
                b->dv + at, b->dv + at, b->ldk);
    }
}

/* --- the pass --------------------------------------------------------------------------------- */

/* What the rows of the block see; false: nothing. */
static bool bounds(block *b) {
    const hora_call *c = b->x->c;
    int64_t least = INT64_MAX, most = 0;
    for (int64_t i = 0; i < b->rows; i++) {
        const int64_t row = b->i0 + i, at = b->x->first + row;
        int64_t from = c->batch->lo[row], to = c->batch->hi[row];
        if (c->attr.window)
            from = hora_max(from, at - c->attr.window + 1);
        if (c->attr.ahead)
            to = hora_min(to, at + c->attr.ahead + 1);
        b->from[i] = from;
        b->to[i] = hora_max(from, to);
        if (from < to) {
            least = hora_min(least, from);
            most = hora_max(most, to);
        }
    }
    b->j0 = least < most ? least : 0;
    b->n = least < most ? most - least : 0;
    for (int64_t i = 0; i < b->rows; i++) {
        b->from[i] = hora_max(0, b->from[i] - b->j0);
        b->to[i] = b->to[i] - b->j0;
    }
    return b->n > 0;
}

static void zero_rows(const block *b) {
    const hora_view *v = b->dy ? NULL : &b->x->c->out;
    const size_t size = (size_t)(b->rows * b->ldq);
    if (v)
        memset(hora_cpu_at(v, b->i0 * b->ldq), 0, size * (v->dtype == HORA_BF16 ? 2 : 4));
    else if (b->dq)
        memset(b->dq + b->i0 * b->ldq, 0, size * sizeof *b->dq);
}

/* Memory of the pass, from c->scratch on. */
static void lay_out(block *b, int64_t rows, int64_t keys) {
    const hora_mix *x = b->x;
    const hora_call *c = x->c;
    char *at = x->scratch;
    b->q = wide(&c->in[0], rows, &at);
    b->k = wide(x->k, keys, &at);
    b->v = wide(x->v, keys, &at);
    b->m = wide(x->m, b->heads, &at);
    const size_t maps = floats(b->heads * BLOCK * x->keys);
    b->p = (float *)at;
    at += maps;
    if (c->phase == HORA_BACKWARD) {
        b->dy = wide(&c->dout, rows, &at);
        b->dpp = (float *)at;
        b->ds = (float *)(at + maps);
        at += 2 * maps;
        const int64_t size[] = {rows * b->ldq, rows * b->ldk, rows * b->ldk, b->heads * b->heads};
        float **const to[] = {&b->dq, &b->dk, &b->dv, &b->dm};
        for (int i = 0; i < 4; i++) {
            if (hora_cpu_wants(c, i)) {
                *to[i] = (float *)at;
                memset(at, 0, (size_t)size[i] * sizeof(float));
            }
            at += floats(size[i]);
        }
    }
    b->own = at;
    b->pack = pack_bytes(x);
    b->map = floats(BLOCK * x->keys);
    b->own_bytes = own_bytes(x);
}

/* Gradients go where they belong, from the sums. */
static void put(const block *b, int64_t rows) {
    const hora_call *c = b->x->c;
    float *const from[] = {b->dq, b->dk, b->dv, b->dm};
    for (int i = 0; i < 4; i++) {
        const int64_t width = hora_cpu_width(&c->in[i]), n = i < 3 ? rows : b->heads;
        for (int64_t r = 0; from[i] && r < n; r++)
            hora_cpu_put_line(&c->din[i], r * width, width, from[i] + r * width,
                              hora_cpu_overwrites(c, i), b->p);
    }
}

void hora_mix_run(const hora_mix *x) {
    const hora_call *c = x->c;
    const bool back = c->phase == HORA_BACKWARD;
    const int64_t rows = hora_cpu_rows(&c->in[0]);
    int64_t keys = 0;
    for (int64_t i = 0; i < rows; i++)
        keys = hora_max(keys, c->batch->hi[i]);
    block b = {.x = x,
               .kern = hora_kern_get(),
               .heads = c->attr.heads,
               .each = c->attr.heads / c->attr.kv_heads,
               .dh = c->attr.head_dim,
               .ldq = c->attr.heads * c->attr.head_dim,
               .ldk = c->attr.kv_heads * c->attr.head_dim};
    lay_out(&b, rows, keys);
    for (b.i0 = 0; b.i0 < rows; b.i0 += BLOCK) {
        b.rows = hora_min(BLOCK, rows - b.i0);
        if (!bounds(&b)) {
            zero_rows(&b);
            continue;
        }
        hora_cpu_parallel(x->threads, b.heads, make_maps, &b);
        hora_cpu_parallel(x->threads, b.heads, back ? make_queries : make_values, &b);
        if (b.dk || b.dv)
            hora_cpu_parallel(x->threads, c->attr.kv_heads, make_keys, &b);
    }
    put(&b, rows);
}
