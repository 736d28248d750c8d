/*
 * Prepare and replay. Prepare fills every call with pointers and lets the backends build; after
 * that a step is a loop over calls: no decision, no allocation.
 */
#include "base/log.h"
#include "graph/graph_impl.h"

static void *at(const hora_graph *g, int b) {
    return b < 0 ? NULL : g->arena + g->buffers[b].offset;
}

static void *value_of(const hora_graph *g, const step *s, hora_t t) {
    if (t == HORA_NONE)
        return NULL;
    return g->tensors[t].kind == NODE_OUTPUT ? at(g, hora_graph_value_buffer(g, s, t))
                                             : g->tensors[t].view.data;
}

static void *loss_gradient(hora_graph *g, const tensor *t) {
    void *slot = &g->loss_grad[g->loss_count++];
    HORA_ASSERT(g->loss_count <= (int)HORA_COUNT(g->loss_grad));
    if (t->view.dtype == HORA_F64)
        *(double *)slot = t->loss_weight;
    else
        *(float *)slot = (float)t->loss_weight;
    return slot;
}

static void point_forward(hora_graph *g, step *s) {
    const node *n = &g->nodes[s->node];
    for (int k = 0; k < HORA_MAX_IN; k++)
        s->call.in[k].data = value_of(g, s, n->in[k]);
    s->call.out.data = at(g, g->tensors[n->out].value_buffer[s->recomputed]);
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        s->call.saved[k].data = at(g, n->saved_buffer[k][s->recomputed]);
}

static void point_backward(hora_graph *g, step *s) {
    const node *n = &g->nodes[s->node];
    unsigned reads = s->call.op->reads(n->grad_inputs);
    for (int k = 0; k < HORA_MAX_IN; k++) {
        s->call.in[k].data = reads & HORA_IN(k) ? value_of(g, s, n->in[k]) : NULL;
        if (!(n->grad_inputs & HORA_IN(k)))
            continue;
        const tensor *in = &g->tensors[n->in[k]];
        s->call.din[k].data = in->kind == LEAF_PARAMETER ? in->grad_data : at(g, in->grad_buffer);
        if (!s->call.din[k].data)
            HORA_BUG("parameter %s has no memory for its gradient", in->name);
    }
    if (reads & HORA_OUT)
        s->call.out.data = value_of(g, s, n->out);
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        if (reads & HORA_SAVED)
            s->call.saved[k].data = at(g, n->saved_buffer[k][n->recomputed]);
    s->call.grad &= ~s->grads_in_dout;
    const tensor *out = &g->tensors[n->out];
    s->call.dout.data = is_loss(out) ? loss_gradient(g, out) : at(g, out->grad_buffer);
}

static hora_status prepare_step(hora_graph *g, step *s) {
    node *n = &g->nodes[s->node];
    if (!s->recomputed) { /* recomputation runs the impl of the first forward */
        hora_impl impl = {0};
        hora_call c = s->call;
        HORA_TRY(s->backend->prepare(g->config.device, &c, &impl));
        n->impl[s->phase] = g->impl_count;
        HORA_PUSH(g->impls, g->impl_count, g->impl_capacity, impl);
        hora_log(HORA_LOG_DEBUG, "%s %s: %s", c.op->name, s->phase == HORA_FORWARD ? "fwd" : "bwd",
                 impl.variant);
    }
    s->phase == HORA_FORWARD ? point_forward(g, s) : point_backward(g, s);
    s->call.scratch = at(g, s->scratch_buffer);
    return HORA_OK;
}

void hora_graph_release_kernels(hora_graph *g) {
    int made = 0;
    for (int i = 0; i < g->step_count && made < g->impl_count; i++)
        if (!g->steps[i].recomputed) {
            hora_impl *impl = &g->impls[made++];
            if (g->steps[i].backend->release)
                g->steps[i].backend->release(impl);
        }
    g->impl_count = 0;
}

hora_status hora_graph_prepare(hora_graph *g, void *arena) {
    HORA_ASSERT(g->planned && !g->prepared);
    g->arena = arena;
    g->loss_count = 0;
    for (int i = 0; i < g->tensor_count; i++) {
        tensor *t = &g->tensors[i];
        if (t->kind != NODE_OUTPUT && t->needed && !t->view.data)
            HORA_BUG("leaf %s has no memory", t->name);
        if (t->kind == NODE_OUTPUT)
            t->view.data = at(g, t->value_buffer[FIRST]);
    }
    for (int i = 0; i < g->step_count; i++)
        HORA_TRY(prepare_step(g, &g->steps[i]));
    for (int i = 0; i < g->buffer_count; i++)
        if (g->buffers[i].offset + g->buffers[i].bytes > g->arena_used)
            g->arena_used = g->buffers[i].offset + g->buffers[i].bytes;
    g->prepared = true;
    g->leaves = hora_graph_leaves(g);
    g->current_rows = g->config.rows;
    return HORA_OK;
}

/* Row tensors of every call get the actual row count; done once per change of it. */
static void set_rows(hora_graph *g, int64_t rows) {
    if (rows == g->current_rows)
        return;
    for (int i = 0; i < g->step_count; i++) {
        hora_call *c = &g->steps[i].call;
        for (int k = 0; k < HORA_MAX_IN; k++)
            if (c->rows & HORA_IN(k))
                c->in[k].shape.d[0] = c->din[k].shape.d[0] = rows;
        if (c->rows & HORA_OUT)
            c->out.shape.d[0] = c->dout.shape.d[0] = rows;
        for (int k = 0; k < HORA_MAX_SAVED; k++)
            if (c->rows & HORA_SAVED && !hora_absent(&c->saved[k]))
                c->saved[k].shape.d[0] = rows;
    }
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].row_tensor)
            g->tensors[i].view.shape.d[0] = rows;
    g->current_rows = rows;
}

/* Tests: a buffer whose life ended is filled with NaN, so that a reader that the plan does not know
 * of shows. Values of `before` serve the next micro-batch too, so the end of the body is not
 * theirs. */
static void poison_dead(hora_graph *g, int step) {
    int body = g->part_end[PART_BEFORE], body_end = g->part_end[PART_BACKWARD] - 1;
    for (int i = 0; i < g->buffer_count; i++)
        if (g->buffers[i].last_step == step &&
            !(step == body_end && g->buffers[i].first_step < body))
            memset(g->arena + g->buffers[i].offset, 0xff, g->buffers[i].bytes);
}

/* Runs step i and those joined to it; returns how many. */
static int run_step(hora_graph *g, int i, const hora_batch *batch, int micro) {
    const hora_impl *impls[HORA_MAX_JOINED];
    const hora_call *calls[HORA_MAX_JOINED];
    int n = 1 + g->steps[i].joined;
    for (int k = 0; k < n; k++) {
        step *s = &g->steps[i + k];
        s->call.batch = batch;
        s->call.overwrite = s->overwrite | (micro == 0 ? s->overwrite_in_first : 0);
        impls[k] = &g->impls[g->nodes[s->node].impl[s->phase]];
        calls[k] = &s->call;
    }
    if (n > 1 && impls[0]->run_joined)
        impls[0]->run_joined(impls, calls, n);
    else
        for (int k = 0; k < n; k++)
            impls[k]->run(impls[k], calls[k]);
    return n;
}

static void run_steps(hora_graph *g, int from, int to, const hora_batch *batch, int micro) {
    if (g->profile)
        hora_graph_profile_begin(g, batch);
    for (int i = from; i < to;) {
        int n = run_step(g, i, batch, micro);
        if (g->profile)
            hora_graph_profile_steps(g, i, n);
        for (int end = i + n; i < end; i++)
            if (g->options.poison)
                poison_dead(g, i);
    }
}

static void put_held(const hora_impl *impl, const hora_call *c) {
    memcpy(c->out.data, impl->state, (size_t)hora_view_bytes(&c->out));
}

void hora_graph_hold(hora_graph *g) {
    HORA_ASSERT(g->prepared && g->options.hold && !g->held);
    for (int i = 0; i < g->step_count; i++) {
        const step *s = &g->steps[i];
        const node *n = &g->nodes[s->node];
        if (n->op != HORA_OP_detach || s->recomputed)
            continue;
        const hora_view *out = &g->tensors[n->out].view;
        void *copy = hora_malloc((size_t)hora_view_bytes(out));
        memcpy(copy, out->data, (size_t)hora_view_bytes(out));
        HORA_PUSH(g->held, g->held_count, g->held_capacity, copy);
        hora_impl *impl = &g->impls[n->impl[s->phase]];
        HORA_ASSERT(!impl->state);
        *impl = (hora_impl){.run = put_held, .state = copy, .variant = "held"};
    }
}

void hora_graph_before(hora_graph *g) {
    if (g->options.poison)
        memset(g->arena, 0xff, g->info.arena);
    run_steps(g, 0, g->part_end[PART_BEFORE], NULL, 0);
}

void hora_graph_body(hora_graph *g, const hora_batch *batch, int micro) {
    HORA_ASSERT(batch->rows > 0 && batch->rows <= g->config.rows);
    for (int k = 0; k < HORA_LEAVES; k++)
        if (g->leaves.columns[k] && !hora_batch_leaf(batch, k))
            HORA_BUG("the batch has no %s", hora_leaf_at(k)->name);
    set_rows(g, batch->rows);
    run_steps(g, g->part_end[PART_BEFORE], g->part_end[PART_BACKWARD], batch, micro);
}

void hora_graph_after(hora_graph *g) {
    run_steps(g, g->part_end[PART_BACKWARD], g->part_end[PART_AFTER], NULL, 0);
}

double hora_graph_scalar(const hora_graph *g, hora_t t) {
    const hora_view *v = &g->tensors[t].view;
    return v->dtype == HORA_F64 ? *(const double *)v->data : (double)*(const float *)v->data;
}

size_t hora_graph_used(const hora_graph *g) {
    return g->arena_used;
}
