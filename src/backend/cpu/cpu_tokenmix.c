/* Kernels of op_tokenmix.c: panels of columns go to the threads; each does the lines in order.
 * Gradients of the factors are a sum per panel, and those are added in order. */
#include "backend/cpu/cpu_lines.h"
#include "op/op_tokenmix.h"

enum { PANEL = 64 };

typedef struct sizes {
    int64_t n, d, r, t, panels;
} sizes;
static sizes sizes_of(const hora_call *c) {
    const int64_t d = hora_cpu_width(&c->in[0]);
    return (sizes){hora_cpu_rows(&c->in[0]), d, hora_cpu_rows(&c->in[1]), hora_cpu_width(&c->in[1]),
                   hora_ceil_div(d, PANEL)};
}

/* z, s(z), their gradient; a row in floats, twice. */
static int64_t own_floats(sizes s) {
    return (3 * s.r + 2) * PANEL;
}
static bool sums(const hora_call *c) {
    return hora_cpu_wants(c, 1) || hora_cpu_wants(c, 2);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const sizes s = sizes_of(c);
    need->scratch = hora_cpu_own_bytes(d, own_floats(s));
    if (sums(c))
        need->scratch += (size_t)(s.panels * 2 * s.r * s.t) * sizeof(float);
    return hora_cpu_weights_f32(c, 1, 2) && hora_cpu_alike(c, 1);
}

typedef struct job {
    const hora_call *c;
    float *sums; /* per panel: dV (r, t), dU (t, r) */
} job;

typedef struct panel {
    const hora_call *c;
    sizes s;
    int64_t from, w; /* columns */
    float *z, *a, *da, *row, *room, *dv, *du;
} panel;

static void add_scaled(float *y, float alpha, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}
static float dot(const float *x, const float *y, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static int64_t place(const panel *p, const hora_token_line *l, int64_t k) {
    return (l->first + k * l->step) * p->s.d + p->from;
}

/* z and s(z) of a line. */
static void hidden(const panel *p, const hora_token_line *l, int64_t n) {
    const float *v = hora_f32(&p->c->in[1]);
    memset(p->z, 0, (size_t)(p->s.r * PANEL) * sizeof *p->z);
    for (int64_t j = 0; j < n; j++) {
        const float *x = hora_cpu_line(&p->c->in[0], place(p, l, j), p->w, p->row);
        for (int64_t k = 0; k < p->s.r; k++)
            add_scaled(p->z + k * PANEL, v[k * p->s.t + j], x, p->w);
    }
    hora_kern_get()->rows->act(p->c->attr.act, p->s.r * PANEL, p->z, p->a);
}

static void forward_line(const panel *p, const hora_token_line *l) {
    const int64_t n = hora_min(l->n, p->s.t);
    const float *u = hora_f32(&p->c->in[2]);
    hidden(p, l, n);
    for (int64_t j = 0; j < l->n; j++) {
        memset(p->row, 0, PANEL * sizeof *p->row);
        for (int64_t k = 0; j < n && k < p->s.r; k++)
            add_scaled(p->row, u[j * p->s.r + k], p->a + k * PANEL, p->w);
        hora_cpu_put_line(&p->c->out, place(p, l, j), p->w, p->row, true, p->room);
    }
}

static void backward_line(const panel *p, const hora_token_line *l) {
    const int64_t n = hora_min(l->n, p->s.t), r = p->s.r, t = p->s.t;
    const float *v = hora_f32(&p->c->in[1]), *u = hora_f32(&p->c->in[2]);
    hidden(p, l, n);
    memset(p->da, 0, (size_t)(r * PANEL) * sizeof *p->da);
    for (int64_t j = 0; j < n; j++) {
        const float *dy = hora_cpu_line(&p->c->dout, place(p, l, j), p->w, p->row);
        for (int64_t k = 0; k < r; k++) {
            add_scaled(p->da + k * PANEL, u[j * r + k], dy, p->w);
            if (hora_cpu_wants(p->c, 2))
                p->du[j * r + k] += dot(p->a + k * PANEL, dy, p->w);
        }
    }
    hora_kern_get()->rows->act_grad(p->c->attr.act, r * PANEL, p->z, p->da, p->a, true); /* dz */
    for (int64_t j = 0; j < l->n; j++) {
        if (j < n && hora_cpu_wants(p->c, 1)) {
            const float *x = hora_cpu_line(&p->c->in[0], place(p, l, j), p->w, p->row);
            for (int64_t k = 0; k < r; k++)
                p->dv[k * t + j] += dot(p->a + k * PANEL, x, p->w);
        }
        if (!hora_cpu_wants(p->c, 0))
            continue;
        memset(p->row, 0, PANEL * sizeof *p->row);
        for (int64_t k = 0; j < n && k < r; k++)
            add_scaled(p->row, v[k * t + j], p->a + k * PANEL, p->w);
        hora_cpu_put_line(&p->c->din[0], place(p, l, j), p->w, p->row, hora_cpu_overwrites(p->c, 0),
                          p->room);
    }
}

static void one_panel(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const hora_call *c = j->c;
    const sizes s = sizes_of(c);
    float *own = hora_cpu_own(c, thread, own_floats(s));
    panel p = {.c = c, .s = s, .from = tile * PANEL, .w = hora_min(PANEL, s.d - tile * PANEL)};
    p.z = own;
    p.a = p.z + s.r * PANEL;
    p.da = p.a + s.r * PANEL;
    p.row = p.da + s.r * PANEL;
    p.room = p.row + PANEL;
    p.dv = j->sums ? j->sums + tile * 2 * s.r * s.t : NULL;
    p.du = p.dv ? p.dv + s.r * s.t : NULL;
    if (p.dv)
        memset(p.dv, 0, (size_t)(2 * s.r * s.t) * sizeof *p.dv);
    memset(p.da, 0, (size_t)(s.r * PANEL) * sizeof *p.da);
    hora_token_line l;
    for (int64_t from = 0, to; from < s.n; from = to) {
        to = hora_segment_end(c->batch, from, s.n);
        for (int64_t k = 0; hora_token_line_at(&c->attr, from, to, k, &l); k++)
            c->phase == HORA_FORWARD ? forward_line(&p, &l) : backward_line(&p, &l);
    }
}

static void add_up(const hora_call *c, const float *sums, int input) {
    const sizes s = sizes_of(c);
    float *to = hora_f32(&c->din[input]);
    for (int64_t i = 0; hora_cpu_wants(c, input) && i < s.r * s.t; i++) {
        float sum = hora_cpu_overwrites(c, input) ? 0 : to[i];
        for (int64_t p = 0; p < s.panels; p++)
            sum += sums[(2 * p + input - 1) * s.r * s.t + i];
        to[i] = sum;
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const sizes s = sizes_of(c);
    const int threads = *(const int *)impl->state;
    job j = {c, NULL};
    if (sums(c))
        j.sums =
            (float *)((char *)c->scratch +
                      (size_t)threads * hora_cpu_aligned((size_t)own_floats(s) * sizeof(float)));
    hora_cpu_parallel(threads, s.panels, one_panel, &j);
    if (sums(c)) {
        add_up(c, j.sums, 1);
        add_up(c, j.sums, 2);
    }
}

extern const hora_cpu_op hora_cpu_op_tokenmix;
const hora_cpu_op hora_cpu_op_tokenmix = {query, hora_cpu_count_threads, run, true, 0};
