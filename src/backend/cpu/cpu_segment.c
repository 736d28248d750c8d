/* Kernels of op_segment.c: a tile per picture. Its cells are gathered in floats; a row of pixels
 * is made of two rows of cells, then each pixel of two neighbours in that. Backward does the same
 * the other way round, so each sum has one owner and one order. */
#include <math.h>

#include "backend/cpu/cpu_lines.h"
#include "op/op_segment.h"

static const double smooth = 1e-5;

/* Floats of a thread: sums, cells and their gradient, a row of each, z, its gradient, slopes. */
static int64_t own_floats(const hora_mesh *m) {
    const int64_t line = hora_mesh_cells_wide(m) * m->k;
    return 2 * (hora_mesh_cells_high(m) + 1) * line + 4 * m->k + 2 * 3 * m->k;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const hora_mesh m = hora_mesh_of(&c->attr, hora_cpu_width(&c->in[0]));
    need->scratch =
        hora_cpu_own_bytes(d, own_floats(&m)) + (size_t)hora_cpu_rows(&c->in[0]) * sizeof(double);
    return true;
}

typedef struct job {
    const hora_call *c;
    hora_mesh m;
    double *loss; /* per row */
} job;

typedef struct picture {
    const hora_call *c;
    const hora_mesh *m;
    int64_t first, line;
    const int32_t *classes;
    double *both, *made, *true_, n; /* per class; pixels that count */
    float *cells, *dcells, *row, *drow, *z, *dz, *slopes;
} picture;

/* z of all cells, in their order on the grid, or dz back to where they lie. */
static void gather(const picture *p, bool back) {
    const hora_mesh *m = p->m;
    const hora_view *v = back ? &p->c->din[0] : &p->c->in[0];
    const int64_t from = p->first * hora_cpu_width(v);
    for (int64_t y = 0; y < hora_mesh_cells_high(m); y++)
        for (int64_t x = 0; x < hora_mesh_cells_wide(m); x++) {
            const int64_t at = from + hora_mesh_at(m, y, x), cell = y * p->line + x * m->k;
            if (back)
                hora_cpu_put_line(v, at, m->k, p->dcells + cell, hora_cpu_overwrites(p->c, 0),
                                  p->z);
            else
                memcpy(p->cells + cell, hora_cpu_line(v, at, m->k, p->z),
                       (size_t)m->k * sizeof(float));
        }
}

static void mix(int64_t n, float share, const float *a, const float *b, float *out) {
    for (int64_t i = 0; i < n; i++)
        out[i] = (1 - share) * a[i] + share * b[i];
}

static void row_of(const picture *p, const hora_between *v) {
    mix(p->line, (float)v->share, p->cells + v->at[0] * p->line, p->cells + v->at[1] * p->line,
        p->row);
}

/* Adds share of d to a and the rest to b. */
static void unmix(int64_t n, float share, const float *d, float *a, float *b) {
    for (int64_t i = 0; i < n; i++) {
        a[i] += (1 - share) * d[i];
        b[i] += share * d[i];
    }
}

/* softmax of a pixel into z, which is read first; returns lse - z_t */
static double softmax(const picture *p, const hora_between *u, int32_t t) {
    const int64_t k = p->m->k;
    const hora_kern_softmax *s = hora_kern_get()->softmax;
    mix(k, (float)u->share, p->row + u->at[0] * k, p->row + u->at[1] * k, p->z);
    const float lse = s->lse(k, p->z), own = p->z[t];
    s->weigh(k, lse, 1, p->z);
    return (double)(lse - own);
}

static double overlap(const picture *p, int64_t j) {
    return (2 * p->both[j] + smooth) / (p->made[j] + p->true_[j] + smooth);
}

/* The sums of a picture; returns the summed cross-entropy. */
static double count(picture *p) {
    const hora_mesh *m = p->m;
    const int64_t high = m->high * m->side, wide = m->wide * m->side;
    double xent = 0;
    for (int64_t y = 0; y < high; y++) {
        const hora_between v = hora_mesh_between(y, high, hora_mesh_cells_high(m));
        row_of(p, &v);
        for (int64_t x = 0; x < wide; x++) {
            const int32_t t = p->classes[hora_mesh_pixel(m, y, x)];
            if (t < 0)
                continue;
            const hora_between u = hora_mesh_between(x, wide, hora_mesh_cells_wide(m));
            xent += softmax(p, &u, t);
            for (int64_t j = 0; j < m->k; j++)
                p->made[j] += (double)p->z[j];
            p->both[t] += (double)p->z[t];
            p->true_[t]++;
            p->n++;
        }
    }
    return xent;
}

/* dz of a pixel from its softmax, without factors of the picture; a, b (k): the two terms of g */
static void slope(const picture *p, int32_t t, const float *a, const float *b) {
    const int64_t k = p->m->k;
    const float each = (float)(1 / p->n);
    float mean = p->z[t] * a[t];
    for (int64_t j = 0; j < k; j++)
        mean += p->z[j] * b[j];
    for (int64_t j = 0; j < k; j++)
        p->dz[j] = p->z[j] * (each + b[j] - mean);
    p->dz[t] += p->z[t] * a[t] - each;
}

static void descend(const picture *p, const float *a, const float *b) {
    const hora_mesh *m = p->m;
    const int64_t high = m->high * m->side, wide = m->wide * m->side, k = m->k;
    for (int64_t y = 0; y < high; y++) {
        const hora_between v = hora_mesh_between(y, high, hora_mesh_cells_high(m));
        row_of(p, &v);
        memset(p->drow, 0, (size_t)p->line * sizeof *p->drow);
        for (int64_t x = 0; x < wide; x++) {
            const int32_t t = p->classes[hora_mesh_pixel(m, y, x)];
            if (t < 0)
                continue;
            const hora_between u = hora_mesh_between(x, wide, hora_mesh_cells_wide(m));
            softmax(p, &u, t);
            slope(p, t, a, b);
            unmix(k, (float)u.share, p->dz, p->drow + u.at[0] * k, p->drow + u.at[1] * k);
        }
        unmix(p->line, (float)v.share, p->drow, p->dcells + v.at[0] * p->line,
              p->dcells + v.at[1] * p->line);
    }
}

/* g_pj = a_j y_pj + b_j */
static void slopes(picture *p) {
    const int64_t k = p->m->k;
    float *a = p->slopes, *b = a + k;
    for (int64_t j = 0; j < k; j++) {
        const double d = overlap(p, j), s = p->made[j] + p->true_[j] + smooth;
        const double share = p->c->attr.alpha / (double)k;
        a[j] = (float)(-2 * share / s);
        b[j] = (float)(share * d / s);
    }
    descend(p, a, b);
}

static void backward(picture *p) {
    const int64_t n = hora_mesh_cells_high(p->m) * p->line;
    const double s = *(const double *)p->c->dout.data * p->c->batch->scale *
                     (double)p->c->batch->weight[p->first];
    memset(p->dcells, 0, (size_t)n * sizeof *p->dcells);
    if (p->n > 0)
        slopes(p);
    for (int64_t i = 0; i < n; i++)
        p->dcells[i] *= (float)s;
    gather(p, true);
}

static void forward(picture *p, double xent, double *loss) {
    double dice = 0;
    for (int64_t j = 0; j < p->m->k; j++)
        dice += overlap(p, j) / (double)p->m->k;
    if (p->n > 0)
        *loss =
            (double)p->c->batch->weight[p->first] * (xent / p->n + p->c->attr.alpha * (1 - dice));
}

static bool begins(const hora_batch *b, int64_t i) {
    return b->lo[i] == i && b->hi[i] > i && b->weight[i] != 0;
}

static void one_row(void *arg, int64_t i, int thread) {
    const job *j = arg;
    const hora_mesh *m = &j->m;
    picture p = {.c = j->c, .m = m, .first = i, .line = hora_mesh_cells_wide(m) * m->k};
    j->loss[i] = 0;
    if (!begins(j->c->batch, i))
        return;
    p.classes = j->c->batch->pixels + i * m->side * m->side;
    p.both = (double *)hora_cpu_own(j->c, thread, own_floats(m));
    p.made = p.both + m->k;
    p.true_ = p.made + m->k;
    memset(p.both, 0, (size_t)(3 * m->k) * sizeof *p.both);
    p.cells = (float *)(p.true_ + m->k);
    p.dcells = p.cells + hora_mesh_cells_high(m) * p.line;
    p.row = p.dcells + hora_mesh_cells_high(m) * p.line;
    p.drow = p.row + p.line;
    p.z = p.drow + p.line;
    p.dz = p.z + m->k;
    p.slopes = p.dz + m->k;
    gather(&p, false);
    const double xent = count(&p);
    if (j->c->phase == HORA_FORWARD)
        forward(&p, xent, &j->loss[i]);
    else
        backward(&p);
}

/* Rows that are of no picture's grid have no gradient; those of one are zeroed here and added to
 * afterwards where this is the first to write. */
static void clear(const hora_call *c) {
    if (hora_cpu_overwrites(c, 0))
        memset(c->din[0].data, 0, hora_view_bytes(&c->din[0]));
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int threads = *(const int *)impl->state;
    job j = {c, hora_mesh_of(&c->attr, hora_cpu_width(&c->in[0])), NULL};
    const int64_t n = hora_cpu_rows(&c->in[0]);
    j.loss = (double *)(void *)hora_cpu_own(c, threads, own_floats(&j.m));
    if (c->phase == HORA_BACKWARD)
        clear(c);
    hora_cpu_parallel(threads, n, one_row, &j);
    if (c->phase == HORA_BACKWARD)
        return;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += j.loss[i];
    *(double *)c->out.data = c->batch->scale * sum;
}

extern const hora_cpu_op hora_cpu_op_segment;
const hora_cpu_op hora_cpu_op_segment = {query, hora_cpu_count_threads, run, true, 0};
