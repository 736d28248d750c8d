/* Kernels of op_tokenmix.c: panels of columns and groups of segments go to the threads; each does
 * its lines in order, a block of rows after another. Gradients of the factors are a sum per tile,
 * and those are added in order. */
#include "backend/cpu/cpu_lines.h"
#include "backend/cpu/small.h"
#include "op/op_tokenmix.h"

enum { PANEL = 64, BLOCK = 256, GROUPS = 8 };

typedef struct sizes {
    int64_t n, d, r, t, block, panels, groups;
} sizes;
static sizes sizes_of(const hora_call *c) {
    const int64_t n = hora_cpu_rows(&c->in[0]), d = hora_cpu_width(&c->in[0]);
    const int64_t r = hora_cpu_rows(&c->in[1]), t = hora_cpu_width(&c->in[1]);
    return (sizes){n,
                   d,
                   r,
                   t,
                   hora_min(BLOCK, t),
                   hora_ceil_div(d, PANEL),
                   hora_max(1, hora_min(GROUPS, hora_ceil_div(n, t)))};
}

static int64_t room(sizes s) {
    return hora_max(hora_max(hora_small_room(s.block, PANEL), hora_small_room(PANEL, s.block)),
                    hora_max(hora_small_room(s.r, PANEL), hora_small_room(PANEL, s.r)));
}
/* z, s(z), its gradient; two blocks; a row; two packed matrices. */
static int64_t own_floats(sizes s) {
    return (3 * s.r + 2 * s.block + 1) * PANEL + 2 * room(s);
}
static bool sums(const hora_call *c) {
    return hora_cpu_wants(c, 1) || hora_cpu_wants(c, 2);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const sizes s = sizes_of(c);
    need->scratch = hora_cpu_own_bytes(d, own_floats(s));
    if (sums(c))
        need->scratch += (size_t)(s.panels * s.groups * 2 * s.r * s.t) * sizeof(float);
    return hora_cpu_weights_f32(c, 1, 2) && hora_cpu_alike(c, 1);
}

typedef struct job {
    const hora_call *c;
    float *sums;               /* per tile: dV (r, t), dU (t, r) */
    int64_t first[GROUPS + 1]; /* rows where groups begin, and where the last ends */
} job;

/* What is (.., PANEL) has numbers in its first w columns; there are zeros in the others of z. */
typedef struct panel {
    const hora_call *c;
    sizes s;
    int64_t from, w;            /* columns */
    float *z, *a, *da;          /* (r, PANEL) */
    float *x, *y;               /* (block, PANEL) */
    float *row, *packed, *kept; /* (PANEL); matrices as hora_small_pack has them */
    float *dv, *du;
} panel;

static int64_t place(const panel *p, const hora_token_line *l, int64_t k) {
    return (l->first + k * l->step) * p->s.d + p->from;
}

/* Rows [at, at + m) of a line as floats in p->x. */
static void take(const panel *p, const hora_view *v, const hora_token_line *l, int64_t at,
                 int64_t m) {
    for (int64_t j = 0; j < m; j++)
        hora_cpu_widen(v, place(p, l, at + j), p->w, p->x + j * PANEL);
}

/* Rows [at, at + m) of a line (+)= p->y */
static void give(const panel *p, const hora_view *v, const hora_token_line *l, int64_t at,
                 int64_t m, bool overwrite) {
    for (int64_t j = 0; j < m; j++)
        hora_cpu_put_line(v, place(p, l, at + j), p->w, p->y + j * PANEL, overwrite, p->row);
}

/* Places from `at` on get nothing. */
static void give_nothing(const panel *p, const hora_view *v, const hora_token_line *l, int64_t at,
                         bool overwrite) {
    for (; overwrite && at < l->n; at++) {
        memset(p->y, 0, PANEL * sizeof *p->y);
        give(p, v, l, at, 1, true);
    }
}

/* (r, w) (+)= f x, where f (r, block) is a piece of V, or of U as it is stored, transposed. */
static void squeeze(const panel *p, const float *f, int64_t ldf, bool transpose, int64_t m,
                    float *to, bool add) {
    hora_small_pack(p->x, PANEL, false, m, p->w, p->packed);
    hora_small_product(&(hora_small){.m = p->s.r,
                                     .n = p->w,
                                     .k = m,
                                     .a = f,
                                     .lda = ldf,
                                     .transpose = transpose,
                                     .b = p->packed,
                                     .y = to,
                                     .ldy = PANEL,
                                     .add = add});
}

/* y (m, w) = f times the (r, w) that is packed in `kept`; f as above, the other way round */
static void spread(const panel *p, const float *f, int64_t ldf, bool transpose, int64_t m) {
    hora_small_product(&(hora_small){.m = m,
                                     .n = p->w,
                                     .k = p->s.r,
                                     .a = f,
                                     .lda = ldf,
                                     .transpose = transpose,
                                     .b = p->kept,
                                     .y = p->y,
                                     .ldy = PANEL});
}

/* z and s(z) of the first n places of a line. */
static void hidden(const panel *p, const hora_token_line *l, int64_t n) {
    for (int64_t at = 0; at < n; at += p->s.block) {
        const int64_t m = hora_min(p->s.block, n - at);
        take(p, &p->c->in[0], l, at, m);
        squeeze(p, hora_f32(&p->c->in[1]) + at, p->s.t, false, m, p->z, at > 0);
    }
    hora_kern_get()->rows->act(p->c->attr.act, p->s.r * PANEL, p->z, p->a);
}

static void forward_line(const panel *p, const hora_token_line *l) {
    const int64_t n = hora_min(l->n, p->s.t), r = p->s.r;
    hidden(p, l, n);
    hora_small_pack(p->a, PANEL, false, r, p->w, p->kept);
    for (int64_t at = 0; at < n; at += p->s.block) {
        const int64_t m = hora_min(p->s.block, n - at);
        spread(p, hora_f32(&p->c->in[2]) + at * r, r, false, m);
        give(p, &p->c->out, l, at, m, true);
    }
    give_nothing(p, &p->c->out, l, n, true);
}

/* dU, and the gradient of s(z). */
static void backward_out(const panel *p, const hora_token_line *l, int64_t n) {
    const int64_t r = p->s.r;
    hora_small_pack(p->a, PANEL, true, p->w, r, p->kept);
    for (int64_t at = 0; at < n; at += p->s.block) {
        const int64_t m = hora_min(p->s.block, n - at);
        take(p, &p->c->dout, l, at, m);
        squeeze(p, hora_f32(&p->c->in[2]) + at * r, r, true, m, p->da, at > 0);
        if (hora_cpu_wants(p->c, 2))
            hora_small_product(&(hora_small){.m = m,
                                             .n = r,
                                             .k = p->w,
                                             .a = p->x,
                                             .lda = PANEL,
                                             .b = p->kept,
                                             .y = p->du + at * r,
                                             .ldy = r,
                                             .add = true});
    }
}

/* dV and dx; p->a is dz. */
static void backward_in(const panel *p, const hora_token_line *l, int64_t n) {
    const int64_t r = p->s.r, t = p->s.t;
    hora_small_pack(p->a, PANEL, false, r, p->w, p->kept);
    for (int64_t at = 0; at < n; at += p->s.block) {
        const int64_t m = hora_min(p->s.block, n - at);
        if (hora_cpu_wants(p->c, 1)) {
            take(p, &p->c->in[0], l, at, m);
            hora_small_pack(p->x, PANEL, true, p->w, m, p->packed);
            hora_small_product(&(hora_small){.m = r,
                                             .n = m,
                                             .k = p->w,
                                             .a = p->a,
                                             .lda = PANEL,
                                             .b = p->packed,
                                             .y = p->dv + at,
                                             .ldy = t,
                                             .add = true});
        }
        if (hora_cpu_wants(p->c, 0)) {
            spread(p, hora_f32(&p->c->in[1]) + at, t, true, m);
            give(p, &p->c->din[0], l, at, m, hora_cpu_overwrites(p->c, 0));
        }
    }
    if (hora_cpu_wants(p->c, 0))
        give_nothing(p, &p->c->din[0], l, n, hora_cpu_overwrites(p->c, 0));
}

static void backward_line(const panel *p, const hora_token_line *l) {
    const int64_t n = hora_min(l->n, p->s.t);
    hidden(p, l, n);
    backward_out(p, l, n);
    hora_kern_get()->rows->act_grad(p->c->attr.act, p->s.r * PANEL, p->z, p->da, p->a, true);
    backward_in(p, l, n);
}

/* As many segments for each group. */
static void cut(job *j, sizes s) {
    const hora_batch *b = j->c->batch;
    int64_t all = 0, i = 0, g = 0;
    for (int64_t from = 0; from < s.n; from = hora_segment_end(b, from, s.n))
        all++;
    for (int64_t from = 0; from < s.n; from = hora_segment_end(b, from, s.n), i++)
        while (g < s.groups && all * g / s.groups == i)
            j->first[g++] = from;
    while (g <= s.groups)
        j->first[g++] = s.n;
}

static void lines(const panel *p, int64_t first, int64_t end) {
    hora_token_line l;
    for (int64_t from = first, to; from < end; from = to) {
        to = hora_segment_end(p->c->batch, from, p->s.n);
        for (int64_t k = 0; hora_token_line_at(&p->c->attr, from, to, k, &l); k++)
            p->c->phase == HORA_FORWARD ? forward_line(p, &l) : backward_line(p, &l);
    }
}

static void one_tile(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const sizes s = sizes_of(j->c);
    const int64_t from = tile % s.panels * PANEL;
    panel p = {.c = j->c, .s = s, .from = from, .w = hora_min(PANEL, s.d - from)};
    p.z = hora_cpu_own(j->c, thread, own_floats(s));
    p.a = p.z + s.r * PANEL;
    p.da = p.a + s.r * PANEL;
    p.x = p.da + s.r * PANEL;
    p.y = p.x + s.block * PANEL;
    p.row = p.y + s.block * PANEL;
    p.packed = p.row + PANEL;
    p.kept = p.packed + room(s);
    p.dv = j->sums ? j->sums + tile * 2 * s.r * s.t : NULL;
    p.du = p.dv ? p.dv + s.r * s.t : NULL;
    if (p.dv)
        memset(p.dv, 0, (size_t)(2 * s.r * s.t) * sizeof *p.dv);
    memset(p.z, 0, (size_t)(3 * s.r * PANEL) * sizeof *p.z);
    lines(&p, j->first[tile / s.panels], j->first[tile / s.panels + 1]);
}

static void add_up(const hora_call *c, const float *sums, int input) {
    const sizes s = sizes_of(c);
    float *to = hora_f32(&c->din[input]);
    for (int64_t i = 0; hora_cpu_wants(c, input) && i < s.r * s.t; i++) {
        float sum = hora_cpu_overwrites(c, input) ? 0 : to[i];
        for (int64_t p = 0; p < s.panels * s.groups; p++)
            sum += sums[(2 * p + input - 1) * s.r * s.t + i];
        to[i] = sum;
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const sizes s = sizes_of(c);
    const int threads = *(const int *)impl->state;
    job j = {.c = c, .sums = sums(c) ? hora_cpu_own(c, threads, own_floats(s)) : NULL};
    cut(&j, s);
    hora_cpu_parallel(threads, s.panels * s.groups, one_tile, &j);
    if (sums(c)) {
        add_up(c, j.sums, 1);
        add_up(c, j.sums, 2);
    }
}

extern const hora_cpu_op hora_cpu_op_tokenmix;
const hora_cpu_op hora_cpu_op_tokenmix = {query, hora_cpu_count_threads, run, true, 0};
