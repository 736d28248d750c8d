/*
 * Fewer parameters than were planned, from one run to the next: backward passes that lead to none
 * of the chosen are left out, and the others are asked for fewer gradients. Addresses, buffers and
 * who writes first stay as planned: what is live has all its readers running, so its first writer
 * is among them. Forward runs whole.
 */
#include "graph/graph_impl.h"

/* live[t]: a chosen parameter, or made of one where the plan has a gradient. */
static void mark_live(hora_graph *g, const bool *chosen, bool *live) {
    int k = 0;
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].kind == LEAF_PARAMETER) {
            live[i] = g->tensors[i].wants_grad && (!chosen || chosen[k]);
            k++;
        }
    for (int i = 0; i < g->node_count; i++) {
        node *n = &g->nodes[i];
        n->live_inputs = 0;
        for (int in = 0; in < HORA_MAX_IN; in++)
            if (n->has_backward && n->grad_inputs & HORA_IN(in) && live[n->in[in]])
                n->live_inputs |= HORA_IN(in);
        /* such a loss keeps in forward what suits the gradients that were planned */
        if (n->live_inputs && hora_op_at(n->op)->options & HORA_OP_TARGETS)
            n->live_inputs = n->grad_inputs;
        live[n->out] = n->live_inputs != 0;
    }
}

/* What is computed again runs where a live backward, or another such forward, reads it. From the
 * last step to the first: a reader stands behind what it reads. */
static void mark_steps(hora_graph *g, bool *read, bool *saved_read) {
    for (int i = g->step_count - 1; i >= 0; i--) {
        step *s = &g->steps[i];
        const node *n = &g->nodes[s->node];
        unsigned reads = 0;
        if (s->phase == HORA_BACKWARD) {
            s->idle = !n->live_inputs;
            s->call.grad = n->live_inputs & ~s->grads_in_dout;
            reads = s->idle ? 0 : s->call.op->reads(n->live_inputs);
            saved_read[s->node] |= reads & HORA_SAVED;
            read[n->out] |= (reads & HORA_OUT) != 0;
        } else if (s->recomputed) {
            s->idle = !read[n->out] && !saved_read[s->node];
            reads = s->idle ? 0 : ~0u;
        }
        for (int in = 0; in < HORA_MAX_IN; in++)
            if (reads & HORA_IN(in) && n->in[in] != HORA_NONE)
                read[n->in[in]] = true;
    }
}

/* Neighbours that were to run as one, into the gradient of one input, do so where all of them have
 * it to write: the sum keeps its order. */
static void mark_joined(hora_graph *g) {
    for (int i = 0; i < g->step_count; i++) {
        step *first = &g->steps[i];
        first->apart = false;
        for (int k = 0; k <= first->joined && first->phase == HORA_BACKWARD; k++) {
            const node *n = &g->nodes[g->steps[i + k].node];
            first->apart |= g->steps[i + k].idle || (n->live_inputs ^ n->grad_inputs) & HORA_IN(0);
        }
    }
}

void hora_graph_choose(hora_graph *g, const bool *chosen) {
    HORA_ASSERT(g->prepared && hora_device_is_host(g->config.device));
    const size_t tensors = (size_t)g->tensor_count + 1, nodes = (size_t)g->node_count + 1;
    if (!g->flags)
        g->flags = hora_calloc(2 * tensors + nodes, sizeof *g->flags);
    memset(g->flags, 0, (2 * tensors + nodes) * sizeof *g->flags);
    mark_live(g, chosen, g->flags);
    mark_steps(g, g->flags + tensors, g->flags + 2 * tensors);
    mark_joined(g);
    hora_graph_sum_flops(g);
}
