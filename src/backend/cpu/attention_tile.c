/* Bounds, tiles and products of attention; see cpu_attention.h. */
#include "backend/cpu/cpu_attention.h"

static int64_t prefix_of(const hora_call *c) {
    return c->op_id == HORA_OP_attention && !hora_absent(&c->in[3]) ? hora_cpu_rows(&c->in[3]) : 0;
}

bool hora_attention_takes(const hora_call *c) {
    const hora_dtype t = c->in[0].dtype, p = c->in[3].dtype;
    const bool prefix = prefix_of(c) > 0;
    return (t == HORA_F32 || t == HORA_BF16) && c->in[1].dtype == t && c->in[2].dtype == t &&
           c->out.dtype == t && (!prefix || ((p == t || p == HORA_F32) && c->in[4].dtype == p));
}

size_t hora_attention_prefix_bytes(const hora_attention *a) {
    const bool other = a->prefix && a->c->in[3].dtype != a->c->in[0].dtype;
    return other ? hora_cpu_aligned((size_t)(2 * a->prefix * a->ldk * a->elem)) : 0;
}

void hora_attention_prefix(hora_attention *a, void *memory) {
    const int64_t n = a->prefix * a->ldk;
    uint16_t *to = memory;
    if (!a->prefix)
        return;
    a->kp = a->c->in[3].data;
    a->vp = a->c->in[4].data;
    if (!hora_attention_prefix_bytes(a))
        return;
    for (int64_t i = 0; i < n; i++) {
        to[i] = hora_f32_to_bf16(((const float *)a->c->in[3].data)[i]);
        to[n + i] = hora_f32_to_bf16(((const float *)a->c->in[4].data)[i]);
    }
    a->kp = (const char *)to;
    a->vp = (const char *)(to + n);
}

hora_attention hora_attention_before(const hora_attention *a) {
    hora_attention b = *a;
    b.k = a->kp;
    b.v = a->vp;
    return b;
}

hora_attention hora_attention_of(const hora_call *c, const hora_view *k, const hora_view *v) {
    const hora_attr *a = &c->attr;
    bool bf16 = c->in[0].dtype == HORA_BF16;
    const hora_kern *kern = hora_kern_get();
    return (hora_attention){.c = c,
                            .gemm = kern->gemm[bf16],
                            .kern = kern->attention[bf16],
                            .heads = a->heads,
                            .groups = a->kv_heads,
                            .each = a->heads / a->kv_heads,
                            .dh = a->head_dim,
                            .ldq = a->heads * a->head_dim,
                            .ldk = a->kv_heads * a->head_dim,
                            .elem = bf16 ? 2 : 4,
                            .prefix = prefix_of(c),
                            .q = c->in[0].data,
                            .k = k->data,
                            .v = v->data,
                            .out = c->out.data};
}

typedef hora_seen sees(const hora_attention *a, int64_t i);

static hora_seen sees_prefix(const hora_attention *a, int64_t i) {
    const bool any = a->c->batch->lo[i] < a->c->batch->hi[i];
    return (hora_seen){0, any ? a->prefix : 0};
}

static hora_seen sees_keys(const hora_attention *a, int64_t i) {
    return hora_attention_sees(a, i);
}

static void make_bounds(hora_key_bounds *s, const hora_attention *a, int64_t i0, int64_t i1,
                        sees *what) {
    s->rows = i1 - i0;
    s->subtiles = (int)hora_ceil_div(s->rows, HORA_CELL);
    s->pairs = s->most = s->all_from = 0;
    s->least = s->all_to = INT32_MAX;
    for (int g = 0; g < s->subtiles; g++) {
        int32_t from = INT32_MAX, to = 0, all_from = 0, all_to = INT32_MAX;
        for (int64_t r = g * HORA_CELL; r < (g + 1) * HORA_CELL; r++) {
            hora_seen e = r < s->rows ? what(a, i0 + r) : (hora_seen){0, 0};
            bool any = e.from < e.to;
            s->from[r] = any ? (int32_t)e.from : 0;
            s->to[r] = any ? (int32_t)e.to : 0;
            if (r >= s->rows)
                continue; /* nobody reads what this lane makes */
            s->pairs += s->to[r] - s->from[r];
            from = any && e.from < from ? (int32_t)e.from : from;
            to = s->to[r] > to ? s->to[r] : to;
            all_from = s->from[r] > all_from ? s->from[r] : all_from;
            all_to = s->to[r] < all_to ? s->to[r] : all_to;
        }
        s->subtile[g].from = from;
        s->subtile[g].to = to;
        s->subtile[g].all_from = all_from;
        s->subtile[g].all_to = all_to;
        s->least = (int32_t)hora_min(s->least, from);
        s->most = (int32_t)hora_max(s->most, to);
        s->all_from = (int32_t)hora_max(s->all_from, all_from);
        s->all_to = (int32_t)hora_min(s->all_to, all_to);
    }
}

void hora_key_bounds_make(hora_key_bounds *s, const hora_attention *a, int64_t i0, int64_t i1) {
    make_bounds(s, a, i0, i1, sees_keys);
}

void hora_prefix_bounds_make(hora_key_bounds *s, const hora_attention *a, int64_t i0, int64_t i1) {
    make_bounds(s, a, i0, i1, sees_prefix);
}

/* Subtiles [*s0, *s1) compute `key`; false: there are others between them. */
static bool who(const hora_tile *t, int64_t key, int *s0, int *s1) {
    *s0 = *s1 = 0;
    bool dense = true;
    for (int g = 0; g < t->subtiles; g++)
        if (t->subtile[g].from <= key && key < t->subtile[g].to) {
            if (*s0 == *s1)
                *s0 = g;
            else
                dense &= *s1 == g;
            *s1 = g + 1;
        }
    return dense;
}

/* Every subtile computes keys [from, to). */
static void fill(hora_tile *t, int64_t from, int64_t to, bool masked) {
    for (int g = 0; g < t->subtiles; g++) {
        t->subtile[g].from = from;
        t->subtile[g].to = to;
        t->subtile[g].masked = masked;
    }
}

bool hora_tile_make(hora_tile *t, const hora_key_bounds *s, int64_t j0, int64_t j1) {
    if (s->most <= j0 || s->least >= j1)
        return false;
    *t = (hora_tile){.j0 = j0, .keys = j1 - j0, .subtiles = s->subtiles};
    t->whole = s->all_from <= j0 && s->all_to >= j1;
    if (t->whole) {
        fill(t, 0, t->keys, false);
        return true;
    }
    bool dense = true;
    int64_t least = t->keys, most = 0;
    for (int g = 0; g < t->subtiles; g++) {
        int64_t from = hora_max(s->subtile[g].from, j0), to = hora_min(s->subtile[g].to, j1);
        if (from >= to)
            continue;
        t->subtile[g].from = from = (from - j0) / HORA_CELL * HORA_CELL;
        t->subtile[g].to = to = hora_min(hora_round_up(to - j0, HORA_CELL), t->keys);
        t->subtile[g].masked = s->subtile[g].all_from > j0 + from || s->subtile[g].all_to < j0 + to;
        least = hora_min(least, from);
        most = hora_max(most, to);
    }
    for (int64_t key = 0; key < t->keys; key += HORA_CELL) {
        int s0, s1;
        dense &= who(t, key, &s0, &s1);
    }
    if (!dense) /* rows in an order that batches do not have */
        fill(t, least, most, true);
    return least < most;
}

hora_tile hora_tile_part(const hora_tile *t, int from, int to) {
    hora_tile part = *t;
    part.whole = t->whole && from == 0 && to >= t->subtiles;
    for (int g = 0; g < t->subtiles; g++)
        if (g < from || g >= to)
            part.subtile[g].from = part.subtile[g].to = 0;
    return part;
}

bool hora_tile_keys(const hora_tile *t, hora_key_run *r) {
    int s0, s1;
    if (t->whole) {
        bool more = r->to == 0;
        *r = (hora_key_run){0, t->subtiles, 0, t->keys, false};
        return more;
    }
    for (r->from = r->to;; r->from += HORA_CELL) {
        if (r->from >= t->keys)
            return false;
        who(t, r->from, &r->s0, &r->s1);
        if (r->s0 < r->s1)
            break;
    }
    for (r->to = r->from + HORA_CELL; r->to < t->keys; r->to += HORA_CELL) {
        who(t, r->to, &s0, &s1);
        if (s0 != r->s0 || s1 != r->s1)
            break;
    }
    r->to = hora_min(r->to, t->keys);
    return true;
}

bool hora_tile_subtiles(const hora_tile *t, hora_key_run *r) {
    int g = r->s1;
    while (g < t->subtiles && t->subtile[g].from >= t->subtile[g].to)
        g++;
    if (g == t->subtiles)
        return false;
    *r = (hora_key_run){g, g, t->subtile[g].from, t->subtile[g].to, t->subtile[g].masked};
    while (r->s1 < t->subtiles && t->subtile[r->s1].from == r->from &&
           t->subtile[r->s1].to == r->to && t->subtile[r->s1].masked == r->masked)
        r->s1++;
    return true;
}

size_t hora_attention_pack_bytes(const hora_attention *a, int64_t k, int64_t n) {
    return hora_cpu_aligned(a->gemm->pack_bytes(k, n));
}

hora_packed hora_attention_pack(const hora_attention *a, const char *w, int64_t ldw, bool trans_w,
                                int64_t k, int64_t n, void *to) {
    hora_pack p = {
        .w = w, .ldw = ldw, .trans_w = trans_w, .wide = a->elem == 4, .scale = 1, .k = k, .n = n};
    a->gemm->pack(&p, to);
    return (hora_packed){to, k, n};
}

/* Bytes of a unit of all columns of the panel that begins at column c. */
static int64_t unit_bytes(const hora_attention *a, const hora_packed *b, int64_t c) {
    return (int64_t)a->gemm->pack_bytes(1, hora_min(a->gemm->panel, b->n - c));
}

/* Rows of units. */
static int64_t units(const hora_attention *a, int64_t k) {
    return hora_ceil_div(k * a->elem, 4);
}

void hora_attention_across(const hora_attention *a, const hora_packed *b, const char *x,
                           int64_t ldx, int64_t m, int64_t c0, int64_t c1, float alpha, float *y,
                           int64_t ldy) {
    const int64_t panel = a->gemm->panel, whole = (int64_t)a->gemm->pack_bytes(b->k, panel);
    hora_gemm g = {.m = m, .alpha = alpha, .ldy = ldy, .wide = true};
    g.t[0] = (hora_gemm_term){.k = b->k, .x = x, .sxi = ldx * a->elem, .sxp = 4, .sb = whole};
    for (int64_t c = c0; c < c1; c += g.n) {
        int64_t at = c / panel * panel;
        bool apart = c > at || c1 - c < panel;
        g.n = apart ? hora_min(c1, at + panel) - c : (c1 - c) / panel * panel;
        g.t[0].su = apart ? unit_bytes(a, b, at) : 0;
        g.t[0].b = b->b + at / panel * whole + (c - at) * 4;
        g.y = y + (c - c0);
        a->gemm->gemm(&g);
    }
}

void hora_attention_down(const hora_attention *a, const hora_packed *b, int64_t k0, hora_left x,
                         float *y) {
    const int64_t panel = a->gemm->panel, whole = b->n / panel * panel;
    hora_gemm g = {.m = x.m, .alpha = 1, .ldy = b->n, .ldadd = b->n, .wide = true};
    g.t[0] = (hora_gemm_term){.k = x.k, .x = x.x, .sxi = x.sxi, .sxp = x.sxp};
    g.t[0].sb = (int64_t)a->gemm->pack_bytes(b->k, panel);
    for (int64_t c = 0; c < b->n; c += g.n) { /* whole panels, then what is left */
        g.n = c < whole ? whole : b->n - whole;
        g.t[0].b = b->b + c * units(a, b->k) * 4 + units(a, k0) * unit_bytes(a, b, c);
        g.add = g.y = y + c;
        a->gemm->gemm(&g);
    }
}
