/*
 * Branches of `before` and `after`. Nodes that share no tensor and no parameter, the generators of
 * different layers, may run at once where the device can: small calls that would follow each other
 * with the device mostly idle. What lives in such a part then lives in all of it.
 */
#include "graph/graph_impl.h"

static int root(int *up, int i) {
    while (up[i] != i)
        i = up[i] = up[up[i]];
    return i;
}

/* `owner` of a tensor: the first node that makes or trains it, -1. */
static void join(const hora_graph *g, int *up, int *owner, int node, hora_t t) {
    if (t == HORA_NONE || g->tensors[t].kind == LEAF_FROZEN)
        return;
    if (owner[t] < 0)
        owner[t] = node;
    up[root(up, node)] = root(up, owner[t]);
}

static void number(hora_graph *g, int *up) {
    int *branch = hora_calloc((size_t)g->node_count + 1, sizeof *branch), count = 0;
    for (int i = 0; i < g->step_count; i++) {
        step *s = &g->steps[i];
        if (!g->nodes[s->node].before)
            continue;
        int *b = &branch[root(up, s->node)];
        if (!*b)
            *b = 1 + count++ % HORA_BRANCHES;
        s->branch = *b;
    }
    hora_free(branch);
}

static void widen(hora_graph *g) {
    const int before = g->part_end[PART_BEFORE], body = g->part_end[PART_BACKWARD];
    for (int i = 0; i < g->buffer_count; i++) {
        buffer *b = &g->buffers[i];
        if (b->first_step < before)
            b->first_step = 0;
        else if (b->first_step >= body)
            b->first_step = body;
        if (b->last_step < before)
            b->last_step = before - 1;
        else if (b->last_step >= body && b->last_step < g->step_count)
            b->last_step = g->step_count - 1;
    }
}

void hora_graph_branch(hora_graph *g) {
    for (int i = 0; i < g->step_count; i++)
        g->steps[i].branch = 0;
    if (!hora_device_kind_of(g->config.device)->branch)
        return;
    int *up = hora_malloc(((size_t)g->node_count + 1) * sizeof *up);
    int *owner = hora_malloc(((size_t)g->tensor_count + 1) * sizeof *owner);
    for (int i = 0; i < g->node_count; i++)
        up[i] = i;
    for (int i = 0; i < g->tensor_count; i++)
        owner[i] = -1;
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].before) {
            join(g, up, owner, i, g->nodes[i].out);
            for (int k = 0; k < HORA_MAX_IN; k++)
                join(g, up, owner, i, g->nodes[i].in[k]);
        }
    number(g, up);
    widen(g);
    hora_free(up);
    hora_free(owner);
}
