/*
 * Element by element work in fixed pieces over the threads, and the two sums that several gradients
 * share.
 */
#include "backend/cpu/cpu_impl.h"

typedef struct pieces {
    int64_t n, piece;
    void (*fn)(void *arg, int64_t from, int64_t to);
    void *arg;
} pieces;

static void one_piece(void *arg, int64_t tile, int thread) {
    (void)thread;
    const pieces *p = arg;
    p->fn(p->arg, tile * p->piece, hora_min(p->n, (tile + 1) * p->piece));
}

void hora_cpu_pieces(int64_t n, int64_t piece, void (*fn)(void *arg, int64_t from, int64_t to),
                     void *arg) {
    pieces p = {n, piece, fn, arg};
    hora_parallel(hora_ceil_div(n, piece), one_piece, &p);
}

typedef struct adding {
    float alpha;
    const hora_view *a, *y;
    bool overwrite;
} adding;

static void add_piece(void *arg, int64_t from, int64_t to) {
    const adding *d = arg;
    if (d->y->dtype == HORA_F32) {
        float *y = hora_f32(d->y) + from;
        hora_kern_get()->rows->merge(1, to - from, d->alpha, hora_f32(d->a) + from, 0,
                                     d->overwrite ? NULL : y, 0, NULL, y, 0);
        return;
    }
    const uint16_t *a = d->a->data;
    uint16_t *y = d->y->data;
    for (int64_t i = from; i < to; i++)
        y[i] = hora_f32_to_bf16(d->alpha * hora_bf16_to_f32(a[i]) +
                                (d->overwrite ? 0 : hora_bf16_to_f32(y[i])));
}

void hora_cpu_add(int64_t n, float alpha, const hora_view *a, const hora_view *y, bool overwrite) {
    adding d = {alpha, a, y, overwrite};
    hora_cpu_pieces(n, HORA_CPU_PIECE, add_piece, &d);
}

typedef struct summing {
    int64_t rows, width;
    float alpha;
    const hora_view *x, *b;
    float *y;
    bool overwrite;
} summing;

static void sum_piece(void *arg, int64_t from, int64_t to) {
    const summing *s = arg;
    if (s->x->dtype == HORA_F32) {
        hora_kern_get()->rows->column_sums(s->rows, to - from, s->alpha, hora_f32(s->x) + from,
                                           s->b ? hora_f32(s->b) + from : NULL, s->width,
                                           s->y + from, s->overwrite);
        return;
    }
    for (int64_t j = from; j < to; j++) {
        float sum = 0;
        for (int64_t i = 0; i < s->rows; i++) {
            float v = hora_bf16_to_f32(((const uint16_t *)s->x->data)[i * s->width + j]);
            sum +=
                s->b ? v * hora_bf16_to_f32(((const uint16_t *)s->b->data)[i * s->width + j]) : v;
        }
        s->y[j] = (s->overwrite ? 0 : s->y[j]) + s->alpha * sum;
    }
}

void hora_cpu_column_sums(int64_t rows, int64_t width, float alpha, const hora_view *x,
                          const hora_view *b, float *y, bool overwrite) {
    summing s = {rows, width, alpha, x, b, y, overwrite};
    hora_cpu_pieces(width, 64, sum_piece, &s);
}
