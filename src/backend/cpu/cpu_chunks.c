/*
 * Element by element work in fixed chunks over the threads, and the two sums that several gradients
 * share.
 */
#include "backend/cpu/cpu_impl.h"

typedef struct chunks {
    int64_t n, chunk;
    void (*fn)(void *arg, int64_t from, int64_t to);
    void *arg;
} chunks;

static void one_chunk(void *arg, int64_t tile, int thread) {
    (void)thread;
    const chunks *p = arg;
    p->fn(p->arg, tile * p->chunk, hora_min(p->n, (tile + 1) * p->chunk));
}

void hora_cpu_chunks(int64_t n, int64_t chunk, void (*fn)(void *arg, int64_t from, int64_t to),
                     void *arg) {
    chunks p = {n, chunk, fn, arg};
    hora_parallel(hora_ceil_div(n, chunk), one_chunk, &p);
}

typedef struct adding {
    float alpha;
    const hora_view *a, *y;
    bool overwrite;
} adding;

static void add_chunk(void *arg, int64_t from, int64_t to) {
    const adding *d = arg;
    void *y = hora_cpu_at(d->y, from);
    hora_cpu_loops(d->y)->add(to - from, d->alpha, d->overwrite ? NULL : y, hora_cpu_at(d->a, from),
                              y);
}

void hora_cpu_add(int64_t n, float alpha, const hora_view *a, const hora_view *y, bool overwrite) {
    adding d = {alpha, a, y, overwrite};
    hora_cpu_chunks(n, HORA_CPU_CHUNK, add_chunk, &d);
}

typedef struct summing {
    int64_t rows, width;
    float alpha;
    const hora_view *x, *b;
    float *y;
    bool overwrite;
} summing;

static void sum_chunk(void *arg, int64_t from, int64_t to) {
    const summing *s = arg;
    hora_cpu_loops(s->x)->column_sums(s->rows, to - from, s->alpha, hora_cpu_at(s->x, from),
                                      s->b ? hora_cpu_at(s->b, from) : NULL, s->width, s->y + from,
                                      s->overwrite);
}

void hora_cpu_column_sums(int64_t rows, int64_t width, float alpha, const hora_view *x,
                          const hora_view *b, float *y, bool overwrite) {
    summing s = {rows, width, alpha, x, b, y, overwrite};
    hora_cpu_chunks(width, 64, sum_chunk, &s);
}
