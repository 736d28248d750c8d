/*
 * Placement: largest buffer first, each into the lowest gap that is free for its whole life. Placed
 * buffers are kept sorted by offset, so one scan finds the gap: n log n + n * overlaps instead of
 * the cubic search.
 */
#include "graph/graph_impl.h"

#include <stdlib.h>

typedef struct order {
    size_t bytes;
    int index;
} order;

static int by_size(const void *x, const void *y) {
    const order *a = x, *b = y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->index - b->index;
}

static size_t lowest_gap(const hora_graph *g, const int *placed, int n, const buffer *b) {
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const buffer *p = &g->buffers[placed[i]];
        if (p->last_step < b->first_step || p->first_step > b->last_step)
            continue;
        if (p->offset >= at + b->bytes)
            break;
        if (p->offset + p->bytes > at)
            at = p->offset + p->bytes;
    }
    return at;
}

void hora_graph_place(hora_graph *g) {
    order *todo = hora_malloc(((size_t)g->buffer_count + 1) * sizeof *todo);
    int *placed = hora_malloc(((size_t)g->buffer_count + 1) * sizeof *placed);
    for (int i = 0; i < g->buffer_count; i++)
        todo[i] = (order){g->buffers[i].bytes, i};
    qsort(todo, (size_t)g->buffer_count, sizeof *todo, by_size);
    size_t end = 0;
    for (int i = 0; i < g->buffer_count; i++) {
        buffer *b = &g->buffers[todo[i].index];
        b->offset = lowest_gap(g, placed, i, b);
        if (b->offset + b->bytes > end)
            end = b->offset + b->bytes;
        int k = i;
        while (k > 0 && g->buffers[placed[k - 1]].offset > b->offset)
            k--;
        memmove(placed + k + 1, placed + k, (size_t)(i - k) * sizeof *placed);
        placed[k] = todo[i].index;
    }
    g->info.arena = end;
    hora_free(todo);
    hora_free(placed);
}
