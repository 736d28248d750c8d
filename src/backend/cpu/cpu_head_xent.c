/*
 * Kernels of op_head_xent.c. Only rows with a target go through the head, gathered in chunks whose
 * logits fill at most LOGITS floats of scratch, BLOCKS_LOGITS for a W in blocks. In a chunk: logits
 * in f32 by a tiled product, then row by row the log-sum-exp and, where needed, logits turned into
 * dz of x's dtype in place, then the products that read dz. Loss terms are added in the order of
 * rows, in double; chunks follow from the targets.
 */
#include "backend/cpu/cpu_impl.h"

#define LOGITS        ((int64_t)12 << 20)
#define BLOCKS_LOGITS ((int64_t)48 << 20) /* blocks are dear to read: in fewer chunks */

enum { X, W, BIAS, U, F }; /* inputs: u F' is the low-rank term */

typedef struct state {
    hora_cpu_matmul logits, back; /* back: dx = dz W */
    hora_cpu_matmul low;          /* du = alpha dz F */
    int64_t rows, chunk;
    int threads;
} state;

static bool small(const hora_view *x) {
    return x->dtype == HORA_BF16;
}
static size_t elem(const hora_view *x) {
    return hora_dtype_size(x->dtype);
}

static bool only_x(const hora_call *c) {
    return c->grad == HORA_IN(0);
}

/* dz is needed in this phase. */
static bool differentiates(const hora_call *c) {
    return c->phase == HORA_FORWARD ? only_x(c) : !only_x(c);
}

static int64_t rank(const hora_call *c) {
    return hora_absent(&c->in[U]) ? 0 : hora_cpu_width(&c->in[U]);
}

static int64_t chunk_of(const hora_call *c) {
    int64_t logits = hora_dtype_block(c->in[W].dtype) > 1 ? BLOCKS_LOGITS : LOGITS;
    int64_t most = hora_max(64, hora_min(512, logits / hora_cpu_rows(&c->in[1]) / 64 * 64));
    return hora_min(most, hora_round_up(hora_cpu_rows(&c->in[0]), 64));
}

static void specs(const hora_call *c, hora_cpu_matmul_spec *logits, hora_cpu_matmul_spec *back,
                  hora_cpu_matmul_spec *low) {
    const hora_view *w = &c->in[W];
    bool frozen = c->frozen & HORA_IN(W);
    *logits = (hora_cpu_matmul_spec){.rows = chunk_of(c),
                                     .n = hora_cpu_rows(w),
                                     .k = hora_cpu_width(w),
                                     .trans_w = true,
                                     .dtype = c->in[0].dtype,
                                     .wdtype = w->dtype,
                                     .frozen = frozen ? w->data : NULL,
                                     .will_freeze = frozen,
                                     .rank = rank(c)};
    *back = *logits;
    back->rank = 0;
    back->n = logits->k;
    back->k = logits->n;
    back->trans_w = false;
    *low = *back;
    low->n = rank(c);
    low->wdtype = HORA_F32;
    low->frozen = NULL;
    low->will_freeze = false;
    if (c->phase == HORA_FORWARD && small(&c->in[X]))
        back->ldx = 2 * back->k; /* dz in the front half of z's rows */
}

/* Pieces of scratch, in bytes from its start. */
typedef struct layout {
    size_t rows, lse, terms, x, u, z, dx, matmul, total;
} layout;

static layout layout_of(const hora_call *c, int64_t rows, size_t matmul) {
    size_t chunk = (size_t)chunk_of(c), d = (size_t)hora_cpu_width(&c->in[1]);
    size_t classes = (size_t)hora_cpu_rows(&c->in[1]);
    layout l;
    l.rows = 0;
    l.lse = l.rows + hora_cpu_aligned((size_t)rows * sizeof(int32_t));
    l.terms = l.lse + hora_cpu_aligned(chunk * sizeof(float));
    l.x = l.terms + hora_cpu_aligned(chunk * sizeof(double));
    l.u = l.x + hora_cpu_aligned(chunk * d * elem(&c->in[0]));
    l.z = l.u + hora_cpu_aligned(chunk * (size_t)rank(c) * elem(&c->in[0]));
    l.dx = l.z + hora_cpu_aligned(chunk * classes * sizeof(float));
    l.matmul =
        l.dx + hora_cpu_aligned(chunk * (size_t)hora_max((int64_t)d, rank(c)) * elem(&c->in[0]));
    l.total = l.matmul + matmul;
    return l;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    if (c->phase == HORA_BACKWARD && only_x(c))
        return true;
    if (!hora_cpu_multiplies(&c->in[X], &c->in[W]) ||
        (rank(c) && (c->in[F].dtype != HORA_F32 || c->in[U].dtype != c->in[X].dtype)))
        return false;
    hora_cpu_matmul_spec logits, back, low;
    specs(c, &logits, &back, &low);
    hora_cpu_matmul_query(d, &logits, need);
    if (differentiates(c))
        hora_cpu_matmul_query(d, &back, need);
    if (hora_cpu_wants(c, U))
        hora_cpu_matmul_query(d, &low, need);
    if (hora_cpu_wants(c, W) || hora_cpu_wants(c, F))
        need->scratch = (size_t)hora_max((int64_t)need->scratch,
                                         (int64_t)hora_cpu_weight_grad_scratch(d, c->in[0].dtype));
    need->scratch = layout_of(c, hora_cpu_rows(&c->in[0]), need->scratch).total;
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    if (c->phase == HORA_BACKWARD && only_x(c))
        return HORA_OK;
    state *s = hora_calloc(1, sizeof *s);
    impl->state = s;
    s->rows = hora_cpu_rows(&c->in[0]);
    s->chunk = chunk_of(c);
    s->threads = hora_device_threads(d);
    hora_cpu_matmul_spec logits, back, low;
    specs(c, &logits, &back, &low);
    HORA_TRY(hora_cpu_matmul_make(&s->logits, d, &logits));
    if (hora_cpu_wants(c, U))
        HORA_TRY(hora_cpu_matmul_make(&s->low, d, &low));
    return differentiates(c) ? hora_cpu_matmul_make(&s->back, d, &back) : HORA_OK;
}

/* One chunk of rows with targets. */
typedef struct chunk {
    const hora_call *c;
    const int32_t *row; /* their numbers */
    int64_t n, classes, d;
    bool dense; /* rows follow each other */
    const char *x, *u;
    float *z, *lse; /* dz is z's memory, rows side by side in x's dtype */
    double *terms;
} chunk;

static int64_t find_rows(const hora_call *c, int32_t *row) {
    int64_t n = 0;
    for (int64_t i = 0; i < hora_cpu_rows(&c->in[0]); i++) {
        HORA_ASSERT(c->batch->target[i] >= -1 && c->batch->target[i] < hora_cpu_rows(&c->in[1]));
        if (c->batch->target[i] >= 0)
            row[n++] = (int32_t)i;
    }
    return n;
}

static void copy_row(const chunk *k, const hora_view *from, const char *to, int64_t i) {
    size_t bytes = (size_t)hora_cpu_width(from) * elem(from);
    memcpy((char *)(uintptr_t)to + (size_t)i * bytes,
           (const char *)from->data + (size_t)k->row[i] * bytes, bytes);
}

static void copy_rows(void *arg, int64_t from, int64_t to) {
    const chunk *k = arg;
    for (int64_t i = from; i < to; i++) {
        copy_row(k, &k->c->in[X], k->x, i);
        if (k->u)
            copy_row(k, &k->c->in[U], k->u, i);
    }
}

/* The chunk's rows of an input: where they are, or the place to gather them. */
static const char *rows_of(const chunk *k, const hora_view *in, char *gathered) {
    return k->dense ? (const char *)in->data + (size_t)(k->row[0] * hora_cpu_width(in)) * elem(in)
                    : gathered;
}

static void compute_logits(const state *s, chunk *k, const layout *l, const int32_t *rows,
                           int64_t first, int64_t n) {
    const hora_call *c = k->c;
    char *scratch = c->scratch;
    k->row = rows + first;
    k->n = n;
    k->dense = k->row[n - 1] - k->row[0] == n - 1;
    k->x = rows_of(k, &c->in[X], scratch + l->x);
    k->u = rank(c) ? rows_of(k, &c->in[U], scratch + l->u) : NULL;
    if (!k->dense)
        hora_cpu_chunks(n, hora_cpu_rows_in_chunk(k->d), copy_rows, k);
    hora_cpu_matmul_args a = {.m = n,
                              .alpha = 1,
                              .x = k->x,
                              .w = c->in[W].data,
                              .bias = &c->in[BIAS],
                              .y = k->z,
                              .wide = true,
                              .scratch = scratch + l->matmul};
    if (k->u) {
        a.low.rank = rank(c);
        a.low.z = k->u;
        a.low.f = c->in[F].data;
        a.low.trans = true;
        a.low.scale = (float)c->attr.alpha;
    }
    hora_cpu_matmul_run(&s->logits, &a);
}

/* z becomes dz = factor (exp(z - lse) - e_t); bf16 goes to the front half of its row. */
static void to_dz(const chunk *k, int64_t i, double factor) {
    float *z = k->z + i * k->classes, f = (float)factor;
    hora_kern_get()->softmax->weigh(k->classes, k->lse[i], f, z);
    z[k->c->batch->target[k->row[i]]] -= f;
    if (small(&k->c->in[0]))
        hora_kern_get()->rows->narrow(k->classes, z, (uint16_t *)z);
}

/* bf16 rows of dz move together for the sums over rows; row 0 is there already. */
static void close_ranks(const chunk *k) {
    if (small(&k->c->in[0]))
        for (int64_t i = 1; i < k->n; i++)
            memmove((uint16_t *)k->z + i * k->classes, k->z + i * k->classes,
                    (size_t)k->classes * sizeof(uint16_t));
}

static void forward_rows(void *arg, int64_t from, int64_t to) {
    const chunk *k = arg;
    const hora_batch *b = k->c->batch;
    for (int64_t i = from; i < to; i++) {
        const float *z = k->z + i * k->classes;
        int32_t row = k->row[i];
        k->lse[i] = hora_kern_get()->softmax->lse(k->classes, z);
        k->terms[i] = (double)b->weight[row] * ((double)k->lse[i] - (double)z[b->target[row]]);
        if (only_x(k->c))
            to_dz(k, i, b->scale * (double)b->weight[row]);
        else if (k->c->grad)
            hora_f32(&k->c->saved[0])[row] = k->lse[i];
    }
}

static void backward_rows(void *arg, int64_t from, int64_t to) {
    const chunk *k = arg;
    const hora_batch *b = k->c->batch;
    double scale = *(const double *)k->c->dout.data * b->scale;
    for (int64_t i = from; i < to; i++) {
        k->lse[i] = hora_f32(&k->c->saved[0])[k->row[i]];
        to_dz(k, i, scale * (double)b->weight[k->row[i]]);
    }
}

/* Rows of the chunk of dx (+)= dz W, or of du (+)= alpha dz F; rows outside of any chunk were
 * cleared before. */
static void put_rows(const hora_cpu_matmul *p, const chunk *k, const layout *l, float alpha,
                     const void *w, const hora_view *dx, bool overwrite) {
    char *scratch = k->c->scratch;
    const int64_t d = hora_cpu_width(dx);
    size_t bytes = (size_t)d * elem(dx);
    char *y = k->dense ? (char *)dx->data + (size_t)k->row[0] * bytes : scratch + l->dx;
    hora_cpu_matmul_run(p, &(hora_cpu_matmul_args){.m = k->n,
                                                   .alpha = alpha,
                                                   .x = k->z,
                                                   .w = w,
                                                   .add = k->dense && !overwrite ? y : NULL,
                                                   .y = y,
                                                   .scratch = scratch + l->matmul});
    for (int64_t i = 0; !k->dense && i < k->n; i++) {
        hora_view from = {y + (size_t)i * bytes, dx->dtype, HORA_SHAPE1(d)}, to = from;
        to.data = (char *)dx->data + (size_t)k->row[i] * bytes;
        hora_cpu_add(d, 1, &from, &to, overwrite);
    }
}

/* Zero in rows without a target. */
static void clear_others(const hora_call *c, const hora_view *y) {
    size_t bytes = (size_t)hora_row_elems(&y->shape) * elem(y);
    for (int64_t i = 0; i < hora_cpu_rows(&c->in[0]); i++)
        if (c->batch->target[i] < 0)
            memset((char *)y->data + (size_t)i * bytes, 0, bytes);
}

static chunk chunk_in(const hora_call *c, const layout *l) {
    char *scratch = c->scratch;
    return (chunk){.c = c,
                   .classes = hora_cpu_rows(&c->in[1]),
                   .d = hora_cpu_width(&c->in[1]),
                   .z = (float *)(scratch + l->z),
                   .lse = (float *)(scratch + l->lse),
                   .terms = (double *)(scratch + l->terms)};
}

static void forward(const state *s, const hora_call *c) {
    layout l = layout_of(c, s->rows, 0);
    chunk k = chunk_in(c, &l);
    int32_t *rows = c->scratch;
    int64_t n = find_rows(c, rows);
    double loss = 0;
    if (c->grad)
        clear_others(c, &c->saved[0]);
    for (int64_t at = 0; at < n; at += s->chunk) {
        compute_logits(s, &k, &l, rows, at, hora_min(s->chunk, n - at));
        hora_cpu_chunks(k.n, 1, forward_rows, &k);
        for (int64_t i = 0; i < k.n; i++)
            loss += k.terms[i];
        if (only_x(c))
            put_rows(&s->back, &k, &l, 1, c->in[W].data, &c->saved[0], true);
    }
    *(double *)c->out.data = c->batch->scale * loss;
}

/* What is summed over rows. */
static void sums(const state *s, const chunk *k, const layout *l, bool fresh) {
    const hora_call *c = k->c;
    const hora_view dz = {k->z, c->in[X].dtype, HORA_SHAPE2(k->n, k->classes)};
    char *scratch = (char *)c->scratch + l->matmul;
    if (hora_cpu_wants(c, W))
        hora_cpu_weight_grad(dz.dtype, s->threads, k->n, k->classes, k->d, 1, k->z, k->x,
                             c->din[W].data, fresh && hora_cpu_overwrites(c, W), scratch);
    if (hora_cpu_wants(c, BIAS))
        hora_cpu_column_sums(k->n, k->classes, 1, &dz, NULL, c->din[BIAS].data,
                             fresh && hora_cpu_overwrites(c, BIAS));
    if (hora_cpu_wants(c, F))
        hora_cpu_weight_grad(dz.dtype, s->threads, k->n, k->classes, rank(c), (float)c->attr.alpha,
                             k->z, k->u, c->din[F].data, fresh && hora_cpu_overwrites(c, F),
                             scratch);
}

static void backward(const state *s, const hora_call *c) {
    layout l = layout_of(c, s->rows, 0);
    chunk k = chunk_in(c, &l);
    int32_t *rows = c->scratch;
    int64_t n = find_rows(c, rows);
    bool fresh = true;
    if (hora_cpu_wants(c, X) && hora_cpu_overwrites(c, X))
        clear_others(c, &c->din[X]);
    if (hora_cpu_wants(c, U) && hora_cpu_overwrites(c, U))
        clear_others(c, &c->din[U]);
    for (int64_t at = 0; at < n; at += s->chunk, fresh = false) {
        compute_logits(s, &k, &l, rows, at, hora_min(s->chunk, n - at));
        hora_cpu_chunks(k.n, 1, backward_rows, &k);
        close_ranks(&k);
        if (hora_cpu_wants(c, X))
            put_rows(&s->back, &k, &l, 1, c->in[W].data, &c->din[X], hora_cpu_overwrites(c, X));
        if (hora_cpu_wants(c, U))
            put_rows(&s->low, &k, &l, (float)c->attr.alpha, c->in[F].data, &c->din[U],
                     hora_cpu_overwrites(c, U));
        sums(s, &k, &l, fresh);
    }
    for (int i = W; n == 0 && i <= F; i++)
        if (hora_cpu_wants(c, i) && hora_cpu_overwrites(c, i))
            memset(c->din[i].data, 0, hora_view_bytes(&c->din[i]));
}

static void run(const hora_impl *impl, const hora_call *c) {
    if (c->phase == HORA_FORWARD)
        forward(impl->state, c);
    else if (!only_x(c))
        backward(impl->state, c);
    else /* made in forward */
        hora_cpu_add(hora_elems(&c->din[0]), (float)*(const double *)c->dout.data, &c->saved[0],
                     &c->din[0], hora_cpu_overwrites(c, 0));
}

extern const hora_cpu_op hora_cpu_op_head_xent;
const hora_cpu_op hora_cpu_op_head_xent = {query, prepare, run, true, HORA_IN(W)};
