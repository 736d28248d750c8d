/*
 * The schedule: what is computed, in which order, and who writes first. Passes over the recording:
 *
 *   needed         from losses and outputs backwards; what nobody reads is dropped
 *   carries_grad   a tensor carries gradient if an input does (a leaf: if it trains) and its op
 *                  has a backward
 *   wants_grad     from the losses backwards, the tensors whose gradient is computed
 *   recomputed     what the backward of a recomputed segment reads, computed before that segment's
 *                  backward; in the other segments, what is cheaper recomputed than kept, computed
 *                  just before the node that reads it first (recompute_before)
 *
 * Then the steps: before | forward | backward, segment by segment in reverse, each recomputed
 * segment and each recomputed cheap node ahead of its first reader | after. Frozen branches fall
 * out: nothing below the lowest parameter carries gradient.
 */
#include "graph/graph_impl.h"

static void mark_needed(hora_graph *g) {
    for (int i = 0; g->options.hold && i < g->node_count; i++)
        if (hora_op_at(g->nodes[i].op)->options & HORA_OP_HELD)
            g->tensors[g->nodes[i].out].output = true;
    for (int i = 0; i < g->tensor_count; i++)
        g->tensors[i].needed = g->tensors[i].output || is_loss(&g->tensors[i]);
    for (int i = g->node_count - 1; i >= 0; i--) {
        node *n = &g->nodes[i];
        const hora_op *op = hora_op_at(n->op);
        if (op->options & HORA_OP_EFFECT)
            g->tensors[n->out].needed = true;
        for (int k = 0; k < op->nin; k++)
            if (n->in[k] != HORA_NONE && g->tensors[n->out].needed)
                g->tensors[n->in[k]].needed = true;
    }
}

static void mark_gradients(hora_graph *g, bool backward) {
    for (int i = 0; i < g->tensor_count; i++) {
        tensor *t = &g->tensors[i];
        t->carries_grad = backward && t->kind == LEAF_PARAMETER && t->needed;
        t->wants_grad = t->exported = false;
        t->value_buffer[FIRST] = t->value_buffer[RECOMPUTED] = t->grad_buffer = -1;
    }
    for (int i = 0; i < g->node_count; i++) {
        node *n = &g->nodes[i];
        const hora_op *op = hora_op_at(n->op);
        n->grad_inputs = 0;
        n->has_backward = n->recomputed = false;
        n->recompute_before = -1;
        if (op->reads && g->tensors[n->out].needed)
            for (int k = 0; k < op->nin; k++)
                if (n->in[k] != HORA_NONE && g->tensors[n->in[k]].carries_grad)
                    n->grad_inputs |= HORA_IN(k);
        g->tensors[n->out].carries_grad = n->grad_inputs != 0;
    }
    for (int i = g->node_count - 1; i >= 0; i--) {
        node *n = &g->nodes[i];
        tensor *out = &g->tensors[n->out];
        if (is_loss(out) && out->carries_grad)
            out->wants_grad = true;
        n->has_backward = out->wants_grad && n->grad_inputs;
        for (int k = 0; k < HORA_MAX_IN; k++)
            if (n->has_backward && n->grad_inputs & HORA_IN(k))
                g->tensors[n->in[k]].wants_grad = true;
        n->live_inputs = n->has_backward ? n->grad_inputs : 0;
    }
}

static void ask_what_is_saved(hora_graph *g) {
    for (int i = 0; i < g->node_count; i++) {
        node *n = &g->nodes[i];
        const hora_op *op = hora_op_at(n->op);
        hora_view in[HORA_MAX_IN];
        for (int k = 0; k < HORA_MAX_IN; k++)
            in[k] = *hora_graph_view(g, n->in[k]);
        for (int k = 0; k < HORA_MAX_SAVED; k++) {
            n->saved[k] = (hora_view){NULL, g->config.dtype, {-1, {0}}};
            n->saved_buffer[k][FIRST] = n->saved_buffer[k][RECOMPUTED] = -1;
        }
        if (op->saves && n->has_backward)
            op->saves(in, &n->attr, n->grad_inputs, n->saved);
    }
}

static bool is_recomputed_segment(const hora_graph *g, int segment) {
    return segment >= 0 && segment < g->recomputed_segments;
}

static void recompute_node(hora_graph *g, int i, int segment);

/* A backward of `segment` reads tensor t: recompute it unless something else keeps it. */
static void recompute_value(hora_graph *g, hora_t t, int segment) {
    const tensor *v = &g->tensors[t];
    if (v->kind == NODE_OUTPUT && !v->before && g->nodes[v->producer].segment == segment &&
        !v->exported && !v->output)
        recompute_node(g, v->producer, segment);
}

static void recompute_node(hora_graph *g, int i, int segment) {
    node *n = &g->nodes[i];
    if (n->recomputed)
        return;
    n->recomputed = true;
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] != HORA_NONE)
            recompute_value(g, n->in[k], segment);
}

static void mark_recomputed_segments(hora_graph *g) {
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < HORA_MAX_IN; k++) {
            hora_t in = g->nodes[i].in[k];
            if (in == HORA_NONE || g->tensors[in].kind != NODE_OUTPUT ||
                !g->tensors[g->nodes[i].out].needed)
                continue;
            if (g->nodes[g->tensors[in].producer].segment != g->nodes[i].segment)
                g->tensors[in].exported = true;
        }
    for (int i = 0; i < g->node_count; i++) {
        node *n = &g->nodes[i];
        if (!n->has_backward || n->before || !is_recomputed_segment(g, n->segment))
            continue;
        unsigned reads = hora_op_at(n->op)->reads(n->grad_inputs);
        for (int k = 0; k < HORA_MAX_IN; k++)
            if (reads & HORA_IN(k) && n->in[k] != HORA_NONE)
                recompute_value(g, n->in[k], n->segment);
        if (reads & HORA_OUT)
            recompute_value(g, n->out, n->segment);
        if (reads & HORA_SAVED)
            recompute_node(g, i, n->segment);
    }
}

/* --- what is cheap ----------------------------------------------------------------------------
 * The output of a cheap op that backward reads is not kept from forward, but recomputed just
 * before: in segments that are not recomputed as a whole, and where all that it reads is kept for
 * others' sake until then. Time runs backwards here: the backward of a node of larger index comes
 * first. */

static bool reads_in_backward(const node *n, hora_t t) {
    if (!n->has_backward)
        return false;
    unsigned reads = hora_op_at(n->op)->reads(n->grad_inputs);
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (reads & HORA_IN(k) && n->in[k] == t)
            return true;
    return reads & HORA_OUT && n->out == t;
}

static bool has_input(const node *n, hora_t t) {
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] == t)
            return true;
    return false;
}

/* Tensor t is there until the backward of node `at`, recomputed cheap nodes left aside. */
static bool kept_until(const hora_graph *g, hora_t t, int at) {
    const tensor *v = &g->tensors[t];
    if (v->kind != NODE_OUTPUT || v->before || v->output)
        return true;
    for (int i = at; i >= 0; i--)
        if (reads_in_backward(&g->nodes[i], t))
            return true;
    return false;
}

/* The first of the backward steps that might be joined with that of node i: nothing comes between
 * them, or a sum would be in other bits where segments are recomputed. */
static int first_joined(const hora_graph *g, int i) {
    const node *n = &g->nodes[i];
    if (!(hora_op_at(n->op)->options & HORA_OP_JOINS))
        return i;
    for (int k = i + 1; k < g->node_count; k++) {
        const node *m = &g->nodes[k];
        if (!m->has_backward || m->before)
            continue;
        if (!(hora_op_at(m->op)->options & HORA_OP_JOINS) || m->in[0] != n->in[0])
            break;
        i = k;
    }
    return i;
}

/* The node before whose backward the output of node i has to be there; -1: backward never reads it.
 */
static int needed_by(const hora_graph *g, int i) {
    hora_t t = g->nodes[i].out;
    int first = -1;
    for (int k = i + 1; k < g->node_count; k++) {
        const node *n = &g->nodes[k];
        if (!has_input(n, t))
            continue;
        if (n->recomputed && n->recompute_before < 0)
            return -1; /* read while a whole segment is recomputed */
        if (reads_in_backward(n, t))
            first = k;
        if (n->recompute_before > first)
            first = n->recompute_before;
    }
    return first < 0 ? -1 : first_joined(g, first);
}

static void mark_recomputed_cheap_nodes(hora_graph *g) {
    for (int i = g->node_count - 1; i >= 0; i--) {
        node *n = &g->nodes[i];
        if (!(hora_op_at(n->op)->options & HORA_OP_CHEAP) || n->before ||
            is_recomputed_segment(g, n->segment) || g->tensors[n->out].output ||
            !g->tensors[n->out].needed)
            continue;
        int at = needed_by(g, i);
        bool kept = at >= 0;
        for (int k = 0; k < HORA_MAX_IN; k++)
            kept = kept && (n->in[k] == HORA_NONE || kept_until(g, n->in[k], at));
        n->recomputed = kept;
        n->recompute_before = kept ? at : -1;
    }
}

static void push_step(hora_graph *g, int n, hora_phase phase, bool recomputed) {
    step s = {.node = n, .phase = phase, .recomputed = recomputed, .scratch_buffer = -1};
    HORA_PUSH(g->steps, g->step_count, g->step_capacity, s);
}

static void order_steps(hora_graph *g) {
    g->step_count = 0;
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].before && g->tensors[g->nodes[i].out].needed)
            push_step(g, i, HORA_FORWARD, false);
    g->part_end[PART_BEFORE] = g->step_count;
    for (int i = 0; i < g->node_count; i++)
        if (!g->nodes[i].before && g->tensors[g->nodes[i].out].needed)
            push_step(g, i, HORA_FORWARD, false);
    g->part_end[PART_FORWARD] = g->step_count;
    for (int i = g->node_count - 1, done = -1; i >= 0; i--) {
        const node *n = &g->nodes[i];
        if (n->before || !n->has_backward)
            continue;
        if (is_recomputed_segment(g, n->segment) && n->segment != done) {
            done = n->segment;
            for (int k = 0; k < g->node_count; k++)
                if (g->nodes[k].recomputed && g->nodes[k].recompute_before < 0 &&
                    g->nodes[k].segment == done)
                    push_step(g, k, HORA_FORWARD, true);
        }
        for (int k = 0; k < i; k++)
            if (g->nodes[k].recompute_before == i)
                push_step(g, k, HORA_FORWARD, true);
        push_step(g, i, HORA_BACKWARD, false);
    }
    g->part_end[PART_BACKWARD] = g->step_count;
    for (int i = g->node_count - 1; i >= 0; i--)
        if (g->nodes[i].before && g->nodes[i].has_backward)
            push_step(g, i, HORA_BACKWARD, false);
    g->part_end[PART_AFTER] = g->step_count;
}

/* The first step to write a gradient overwrites. Gradients of parameters and `before` tensors
 * written in the body do so in micro-batch 0 only. */
static void mark_first_writers(hora_graph *g) {
    bool *written = hora_calloc((size_t)g->tensor_count + 1, sizeof *written);
    for (int i = 0; i < g->step_count; i++) {
        step *s = &g->steps[i];
        s->overwrite = s->overwrite_in_first = 0;
        if (s->phase != HORA_BACKWARD)
            continue;
        const node *n = &g->nodes[s->node];
        for (int k = 0; k < HORA_MAX_IN; k++) {
            if (!(n->grad_inputs & HORA_IN(k)) || written[n->in[k]])
                continue;
            written[n->in[k]] = true;
            bool outlives = g->tensors[n->in[k]].before && !n->before;
            *(outlives ? &s->overwrite_in_first : &s->overwrite) |= HORA_IN(k);
        }
    }
    hora_free(written);
}

hora_status hora_graph_build_schedule(hora_graph *g) {
    g->segment_count = 0;
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].segment + 1 > g->segment_count)
            g->segment_count = g->nodes[i].segment + 1;
    if (g->recomputed_segments > g->segment_count)
        g->recomputed_segments = g->segment_count;
    mark_needed(g);
    mark_gradients(g, g->options.backward);
    if (g->options.backward) {
        bool any = false;
        for (int i = 0; i < g->tensor_count; i++)
            any |= g->tensors[i].kind == LEAF_PARAMETER && g->tensors[i].wants_grad;
        if (!any)
            return hora_fail(
                HORA_EUSAGE,
                "nothing trains: no parameter has a path to the loss; choose other targets");
    }
    mark_recomputed_segments(g);
    mark_recomputed_cheap_nodes(g);
    ask_what_is_saved(g);
    order_steps(g);
    mark_first_writers(g);
    return HORA_OK;
}
