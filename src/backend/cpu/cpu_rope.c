/*
 * Kernels of op_rope.c and op_rope_reach.c. Cosines and sines of the positions below the largest
 * row count are made once, in double, and shared by all calls with the same frequencies; positions
 * beyond are computed for their row.
 *
 *   table: row pos = cos of head_dim/2 angles, then their sines; several such runs where heads
 *   have frequencies of their own; of two sets one behind the other
 *
 * Frequencies that grow with the sequence have a table for short ones alone.
 */
#include "backend/cpu/cpu_impl.h"

#include <math.h>

#include "base/rng.h"

/* Positions of a decoder pass its few rows soon; a table that small would not help it. */
static int64_t positions(const hora_call *c) {
    int64_t n = hora_cpu_rows(&c->out);
    return n >= 64 ? n : 0;
}

static int64_t sets(const hora_attr *a) {
    return a->far && !(a->stretch > 0) ? 2 : 1;
}

static int64_t runs(const hora_attr *a) {
    return hora_max(a->groups, 1);
}

/* Numbers of a position. */
static int64_t numbers(const hora_attr *a) {
    return runs(a) * a->head_dim;
}

/* `grown`: of op_rope_reach.c's g, by which the pair's frequency is divided for each j; 1: not. */
static void angles(const hora_attr *a, int64_t set, double grown, int64_t pos, float *row) {
    int64_t half = a->head_dim / 2, all = runs(a) * half;
    double less = 1;
    for (int64_t j = 0; j < all; j++, less /= grown) {
        double t = (double)pos * less * a->freq[set * all + j];
        float *to = row + j / half * a->head_dim + j % half;
        to[0] = (float)(a->rope_scale * cos(t));
        to[half] = (float)(a->rope_scale * sin(t));
    }
}

typedef struct table {
    const hora_attr *attr;
    int64_t rows;
    float *data;
} table;

static void fill_rows(void *arg, int64_t from, int64_t to) {
    const table *t = arg;
    for (int64_t i = from; i < to; i++)
        angles(t->attr, i / t->rows, 1, i % t->rows, t->data + i * numbers(t->attr));
}

static void fill(void *dst, const void *arg) {
    table t = *(const table *)arg;
    t.data = dst;
    hora_cpu_chunks(sets(t.attr) * t.rows, 64, fill_rows, &t);
}

static uint64_t layout_of(const hora_attr *a, int64_t rows) {
    const size_t bytes = (size_t)(sets(a) * numbers(a) / 2) * sizeof *a->freq;
    uint64_t h = hora_hash64(a->freq, bytes, (uint64_t)rows ^ (uint64_t)a->head_dim << 40);
    return hora_hash64(&a->rope_scale, sizeof a->rope_scale, h);
}

static size_t table_bytes(const hora_call *c) {
    return (size_t)(sets(&c->attr) * positions(c) * numbers(&c->attr)) * sizeof(float);
}

/* Tables hang on this address: their content is in the layout number. */
static const char tables = 0;

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_aligned((size_t)numbers(&c->attr) * sizeof(float)) *
                    (size_t)hora_device_threads(d);
    if (positions(c) && !hora_device_has(d, &tables, layout_of(&c->attr, positions(c))))
        need->packed = table_bytes(c);
    return hora_cpu_alike(c, 1);
}

typedef struct state {
    int threads;
    int64_t rows;
    const float *table;
} state;

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    state *s = hora_calloc(1, sizeof *s);
    impl->state = s;
    s->threads = hora_device_threads(d);
    s->rows = positions(c);
    table t = {&c->attr, s->rows, NULL};
    void *data = NULL;
    if (s->rows)
        HORA_TRY(hora_device_pack(d, &tables, layout_of(&c->attr, s->rows), table_bytes(c), fill,
                                  &t, &data));
    s->table = data;
    return HORA_OK;
}

/* What each pair's frequency is divided by more than its neighbour's. */
static double step_of(const hora_attr *a, int64_t length) {
    const double g = a->stretch * (double)length / (double)a->far - a->stretch + 1;
    return pow(g, 2 / (double)(a->head_dim - 2));
}

typedef struct rotation {
    const hora_call *c;
    const state *s;
    int64_t rows, chunk;
} rotation;

static void rotate(void *arg, int64_t tile, int thread) {
    const rotation *t = arg;
    const hora_call *c = t->c;
    const hora_attr *a = &c->attr;
    bool forward = c->phase == HORA_FORWARD;
    int64_t width = a->heads * a->head_dim, end = hora_min(t->rows, (tile + 1) * t->chunk);
    float *own = (float *)((char *)c->scratch +
                           (size_t)thread * hora_cpu_aligned((size_t)numbers(a) * sizeof(float)));
    for (int64_t i = tile * t->chunk; i < end; i++) {
        int64_t pos = c->batch->pos[i] + a->shift;
        const int64_t length = a->far ? c->batch->reach[i] + a->shift : 0;
        const int64_t set = length > a->far && sets(a) == 2;
        const double grown = length > a->far && sets(a) == 1 ? step_of(a, length) : 1;
        const float *row = own;
        if (pos >= 0 && pos < t->s->rows && grown == 1)
            row = t->s->table + (set * t->s->rows + pos) * numbers(a);
        else
            angles(a, set, grown, pos, own);
        const hora_view *x = forward ? &c->in[0] : &c->dout, *y = forward ? &c->out : &c->din[0];
        const int64_t heads = a->heads / runs(a), part = heads * a->head_dim;
        for (int64_t g = 0; g < runs(a); g++, row += a->head_dim)
            hora_cpu_loops(x)->rope(heads, a->head_dim / 2, row, row + a->head_dim / 2,
                                    forward ? 1.0f : -1.0f, hora_cpu_at(x, i * width + g * part),
                                    hora_cpu_at(y, i * width + g * part),
                                    forward || hora_cpu_overwrites(c, 0));
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    bool forward = c->phase == HORA_FORWARD;
    rotation t = {c, impl->state, hora_cpu_rows(forward ? &c->out : &c->dout),
                  hora_cpu_rows_in_chunk(c->attr.heads * c->attr.head_dim)};
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_parallel(t.s->threads, hora_ceil_div(t.rows, t.chunk), rotate, &t);
}

extern const hora_cpu_op hora_cpu_op_rope, hora_cpu_op_rope_reach;
const hora_cpu_op hora_cpu_op_rope = {query, prepare, run, true, 0};
const hora_cpu_op hora_cpu_op_rope_reach = {query, prepare, run, true, 0};
