/*
 * The schedule: what is computed, in which order, and who writes first. Passes over the recording:
 *
 *   needed    from losses and outputs backwards; what nobody reads is dropped
 *   carries   a tensor carries gradient if an input does (a leaf: if it trains) and its op has a
 *             backward
 *   wants     from the losses backwards, the tensors whose gradient is computed
 *   again     what the backward of a recomputed segment reads
 *   late      what is cheaper computed again than kept, in the other segments
 *
 * Then the steps: before | forward | backward, segment by segment in reverse, each recomputed one
 * preceded by what its backward reads, late nodes by their first reader | after. Frozen branches
 * fall out: nothing below the lowest parameter `carries`.
 */
#include "graph/graph_impl.h"

static void mark_needed(hora_graph *g) {
    for (int i = 0; i < g->nt; i++)
        g->t[i].needed = g->t[i].output || is_loss(&g->t[i]);
    for (int i = g->nn - 1; i >= 0; i--) {
        node *n = &g->n[i];
        const hora_op *op = hora_op_at(n->op);
        if (op->options & HORA_OP_EFFECT)
            g->t[n->out].needed = true;
        for (int k = 0; k < op->nin; k++)
            if (n->in[k] != HORA_NONE && g->t[n->out].needed)
                g->t[n->in[k]].needed = true;
    }
}

static void mark_gradients(hora_graph *g, bool backward) {
    for (int i = 0; i < g->nt; i++) {
        tensor *t = &g->t[i];
        t->carries = backward && t->kind == LEAF_PARAM && t->needed;
        t->wants = t->exported = false;
        t->value[0] = t->value[1] = t->grad = -1;
    }
    for (int i = 0; i < g->nn; i++) {
        node *n = &g->n[i];
        const hora_op *op = hora_op_at(n->op);
        n->grad = 0;
        n->backward = n->again = false;
        n->late = -1;
        if (op->reads && g->t[n->out].needed)
            for (int k = 0; k < op->nin; k++)
                if (n->in[k] != HORA_NONE && g->t[n->in[k]].carries)
                    n->grad |= HORA_IN(k);
        g->t[n->out].carries = n->grad != 0;
    }
    for (int i = g->nn - 1; i >= 0; i--) {
        node *n = &g->n[i];
        tensor *out = &g->t[n->out];
        if (is_loss(out) && out->carries)
            out->wants = true;
        n->backward = out->wants && n->grad;
        for (int k = 0; k < HORA_MAX_IN; k++)
            if (n->backward && n->grad & HORA_IN(k))
                g->t[n->in[k]].wants = true;
    }
}

static void ask_saved(hora_graph *g) {
    for (int i = 0; i < g->nn; i++) {
        node *n = &g->n[i];
        const hora_op *op = hora_op_at(n->op);
        hora_view in[HORA_MAX_IN];
        for (int k = 0; k < HORA_MAX_IN; k++)
            in[k] = *hora_graph_view(g, n->in[k]);
        for (int k = 0; k < HORA_MAX_SAVED; k++) {
            n->saved[k] = (hora_view){NULL, g->config.dtype, {-1, {0}}};
            n->saved_buffer[k][0] = n->saved_buffer[k][1] = -1;
        }
        if (op->saves && n->backward)
            op->saves(in, &n->attr, n->grad, n->saved);
    }
}

static bool recomputed(const hora_graph *g, int segment) {
    return segment >= 0 && segment < g->recomputed;
}

static void need_again(hora_graph *g, int i, int segment);

/* A backward of `segment` reads tensor t: compute it again unless something else keeps it. */
static void need_value(hora_graph *g, hora_t t, int segment) {
    const tensor *v = &g->t[t];
    if (v->kind == NODE_OUT && !v->before && g->n[v->node].segment == segment && !v->exported &&
        !v->output)
        need_again(g, v->node, segment);
}

static void need_again(hora_graph *g, int i, int segment) {
    node *n = &g->n[i];
    if (n->again)
        return;
    n->again = true;
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] != HORA_NONE)
            need_value(g, n->in[k], segment);
}

static void mark_again(hora_graph *g) {
    for (int i = 0; i < g->nn; i++)
        for (int k = 0; k < HORA_MAX_IN; k++) {
            hora_t in = g->n[i].in[k];
            if (in == HORA_NONE || g->t[in].kind != NODE_OUT || !g->t[g->n[i].out].needed)
                continue;
            if (g->n[g->t[in].node].segment != g->n[i].segment)
                g->t[in].exported = true;
        }
    for (int i = 0; i < g->nn; i++) {
        node *n = &g->n[i];
        if (!n->backward || n->before || !recomputed(g, n->segment))
            continue;
        unsigned reads = hora_op_at(n->op)->reads(n->grad);
        for (int k = 0; k < HORA_MAX_IN; k++)
            if (reads & HORA_IN(k) && n->in[k] != HORA_NONE)
                need_value(g, n->in[k], n->segment);
        if (reads & HORA_OUT)
            need_value(g, n->out, n->segment);
        if (reads & HORA_SAVED)
            need_again(g, i, n->segment);
    }
}

/* --- what is cheap ----------------------------------------------------------------------------
 * The output of a cheap op that backward reads is not kept from forward, but computed again just
 * before: in segments that are not recomputed as a whole, and where all that it reads is kept for
 * others' sake until then. Time runs backwards here: the backward of a node of larger index comes
 * first. */

static bool reads_in_backward(const node *n, hora_t t) {
    if (!n->backward)
        return false;
    unsigned reads = hora_op_at(n->op)->reads(n->grad);
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

/* Tensor t is there until the backward of node `at`, late recomputations left aside. */
static bool kept_until(const hora_graph *g, hora_t t, int at) {
    const tensor *v = &g->t[t];
    if (v->kind != NODE_OUT || v->before || v->output)
        return true;
    for (int i = at; i >= 0; i--)
        if (reads_in_backward(&g->n[i], t))
            return true;
    return false;
}

/* The first of the backward steps that might be joined with that of node i: nothing comes between
 * them, or a sum would be in other bits where segments are recomputed. */
static int run_start(const hora_graph *g, int i) {
    const node *n = &g->n[i];
    if (!(hora_op_at(n->op)->options & HORA_OP_JOINS))
        return i;
    for (int k = i + 1; k < g->nn; k++) {
        const node *m = &g->n[k];
        if (!m->backward || m->before)
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
    hora_t t = g->n[i].out;
    int first = -1;
    for (int k = i + 1; k < g->nn; k++) {
        const node *n = &g->n[k];
        if (!has_input(n, t))
            continue;
        if (n->again && n->late < 0)
            return -1; /* read while a whole segment is recomputed */
        if (reads_in_backward(n, t))
            first = k;
        if (n->late > first)
            first = n->late;
    }
    return first < 0 ? -1 : run_start(g, first);
}

static void mark_late(hora_graph *g) {
    for (int i = g->nn - 1; i >= 0; i--) {
        node *n = &g->n[i];
        if (!(hora_op_at(n->op)->options & HORA_OP_CHEAP) || n->before ||
            recomputed(g, n->segment) || g->t[n->out].output || !g->t[n->out].needed)
            continue;
        int at = needed_by(g, i);
        bool kept = at >= 0;
        for (int k = 0; k < HORA_MAX_IN; k++)
            kept = kept && (n->in[k] == HORA_NONE || kept_until(g, n->in[k], at));
        n->again = kept;
        n->late = kept ? at : -1;
    }
}

static void push_step(hora_graph *g, int n, hora_phase phase, bool again) {
    step s = {.node = n, .phase = phase, .again = again, .scratch_buffer = -1};
    HORA_PUSH(g->s, g->ns, g->cs, s);
}

static void order_steps(hora_graph *g) {
    g->ns = 0;
    for (int i = 0; i < g->nn; i++)
        if (g->n[i].before && g->t[g->n[i].out].needed)
            push_step(g, i, HORA_FORWARD, false);
    g->part_end[PART_BEFORE] = g->ns;
    for (int i = 0; i < g->nn; i++)
        if (!g->n[i].before && g->t[g->n[i].out].needed)
            push_step(g, i, HORA_FORWARD, false);
    g->part_end[PART_FORWARD] = g->ns;
    for (int i = g->nn - 1, done = -1; i >= 0; i--) {
        const node *n = &g->n[i];
        if (n->before || !n->backward)
            continue;
        if (recomputed(g, n->segment) && n->segment != done) {
            done = n->segment;
            for (int k = 0; k < g->nn; k++)
                if (g->n[k].again && g->n[k].late < 0 && g->n[k].segment == done)
                    push_step(g, k, HORA_FORWARD, true);
        }
        for (int k = 0; k < i; k++)
            if (g->n[k].late == i)
                push_step(g, k, HORA_FORWARD, true);
        push_step(g, i, HORA_BACKWARD, false);
    }
    g->part_end[PART_BACKWARD] = g->ns;
    for (int i = g->nn - 1; i >= 0; i--)
        if (g->n[i].before && g->n[i].backward)
            push_step(g, i, HORA_BACKWARD, false);
    g->part_end[PART_AFTER] = g->ns;
}

/* The first step to write a gradient overwrites. Gradients of parameters and `before` tensors
 * written in the body do so in micro-batch 0 only. */
static void first_writers(hora_graph *g) {
    bool *written = hora_calloc((size_t)g->nt + 1, sizeof *written);
    for (int i = 0; i < g->ns; i++) {
        step *s = &g->s[i];
        s->overwrite = s->overwrite_first = 0;
        if (s->phase != HORA_BACKWARD)
            continue;
        const node *n = &g->n[s->node];
        for (int k = 0; k < HORA_MAX_IN; k++) {
            if (!(n->grad & HORA_IN(k)) || written[n->in[k]])
                continue;
            written[n->in[k]] = true;
            bool outlives = g->t[n->in[k]].before && !n->before;
            *(outlives ? &s->overwrite_first : &s->overwrite) |= HORA_IN(k);
        }
    }
    hora_free(written);
}

hora_status hora_graph_build_schedule(hora_graph *g) {
    g->segments = 0;
    for (int i = 0; i < g->nn; i++)
        if (g->n[i].segment + 1 > g->segments)
            g->segments = g->n[i].segment + 1;
    if (g->recomputed > g->segments)
        g->recomputed = g->segments;
    mark_needed(g);
    mark_gradients(g, g->options.backward);
    if (g->options.backward) {
        bool any = false;
        for (int i = 0; i < g->nt; i++)
            any |= g->t[i].kind == LEAF_PARAM && g->t[i].wants;
        if (!any)
            return hora_fail(
                HORA_EUSAGE,
                "nothing trains: no parameter has a path to the loss; choose other targets");
    }
    mark_again(g);
    mark_late(g);
    ask_saved(g);
    order_steps(g);
    first_writers(g);
    return HORA_OK;
}
