/*
 * Rows that take part, and no others: between op pack and op unpack steps run with as many rows as
 * were chosen while running. Their batch holds the leaves of those rows; ranges are counted among
 * them. On the host, without a backward. A step that no row takes part in is left out.
 */
#include "graph/graph_impl.h"

#include "base/text.h"

static void *room_for(const hora_graph *g, int leaf) {
    const hora_leaf_row *l = hora_leaf_at((hora_leaf)leaf);
    return g->leaves.columns[leaf] == 1 && l->dtype == HORA_I32
               ? hora_malloc((size_t)g->config.rows * sizeof(int32_t))
               : NULL;
}

static void **leaf_at(hora_batch *b, int leaf) {
    return (void **)((char *)b + hora_leaf_at((hora_leaf)leaf)->offset);
}

void hora_graph_prepare_packed(hora_graph *g) {
    if (!g->packed_count)
        return;
    g->packed = hora_calloc((size_t)g->packed_count + 1, sizeof *g->packed);
    g->packed_before = hora_malloc(((size_t)g->config.rows + 1) * sizeof *g->packed_before);
    for (int p = 1; p <= g->packed_count; p++)
        for (int k = 0; k < HORA_LEAVES; k++)
            *leaf_at(&g->packed[p].batch, k) = room_for(g, k);
}

void hora_graph_free_packed(hora_graph *g) {
    for (int p = 1; g->packed && p <= g->packed_count; p++)
        for (int k = 0; k < HORA_LEAVES; k++)
            hora_free(*leaf_at(&g->packed[p].batch, k));
    hora_free(g->packed);
    hora_free(g->packed_before);
}

static bool takes_part(const hora_view *m, int64_t i) {
    return m->dtype == HORA_F64    ? ((const double *)m->data)[i] != 0
           : m->dtype == HORA_BF16 ? (((const uint16_t *)m->data)[i] & 0x7fff) != 0
                                   : ((const float *)m->data)[i] != 0;
}

/* The leaves of the rows that take part; lo and hi as numbers among them, but where they are rows
 * of a cache: what takes part of a step beside a cache attends to none of its own. */
static void put_leaves(hora_graph *g, struct packed *p, const hora_batch *from,
                       const hora_view *m) {
    for (int k = 0; k < HORA_LEAVES; k++) {
        int32_t *to = *leaf_at(&p->batch, k);
        const int32_t *is = hora_batch_leaf(from, (hora_leaf)k);
        const bool range = k == HORA_LEAF_lo || k == HORA_LEAF_hi;
        for (int64_t i = 0, at = 0; to && is && i < from->rows; i++)
            if (takes_part(m, i))
                to[at++] = range && is[i] <= from->rows ? (int32_t)g->packed_before[is[i]] : is[i];
    }
}

void hora_graph_packed_by(hora_graph *g, const step *s, const hora_batch *from) {
    struct packed *p = &g->packed[g->tensors[g->nodes[s->node].out].packed];
    const hora_view *m = &s->call.in[1];
    int64_t n = 0;
    for (int64_t i = 0; i < from->rows; i++) {
        g->packed_before[i] = n;
        n += takes_part(m, i);
    }
    g->packed_before[from->rows] = n;
    p->batch.scale = from->scale;
    p->batch.seed = from->seed;
    p->batch.step = from->step;
    p->batch.row0 = from->row0;
    p->batch.rows = p->batch.capacity = n;
    put_leaves(g, p, from, m);
}

const hora_batch *hora_graph_packed_rows(const hora_graph *g, step *s) {
    const struct packed *p = &g->packed[s->packed];
    hora_call *c = &s->call;
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (c->rows & HORA_IN(k))
            c->in[k].shape.d[0] = p->batch.rows;
    if (c->rows & HORA_OUT)
        c->out.shape.d[0] = p->batch.rows;
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        if (c->rows & HORA_SAVED && !hora_absent(&c->saved[k]))
            c->saved[k].shape.d[0] = p->batch.rows;
    return &p->batch;
}
