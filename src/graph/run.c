/*
 * Prepare and replay. Prepare takes memory of the device, fills every call with pointers and lets
 * the backends build; after that a step is a loop over calls: no decision, no allocation. A device
 * that can keep a run of calls makes the loop once for each row class and replays it.
 */
#include "base/log.h"
#include "graph/graph_impl.h"

static const hora_device_kind *kind_of(const hora_graph *g) {
    return hora_device_kind_of(g->config.device);
}

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
    void *slot = &g->loss_grad[g->loss_count++], *copy;
    HORA_ASSERT(g->loss_count <= (int)HORA_COUNT(g->loss_grad));
    if (t->view.dtype == HORA_F64)
        *(double *)slot = t->loss_weight;
    else
        *(float *)slot = (float)t->loss_weight;
    hora_status s = hora_device_mirror(g->config.device, &copy, slot, sizeof(double), "");
    HORA_ASSERT(s == HORA_OK); /* prepare has mirrored them all */
    (void)s;
    return copy;
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

/* The leaves where the device reads them. */
static hora_status place_leaf(hora_graph *g, tensor *t) {
    hora_device *d = g->config.device;
    const size_t bytes = hora_view_bytes(&t->view);
    if (!t->view.data)
        HORA_BUG("leaf %s has no memory", t->name);
    void *host = t->view.data;
    HORA_TRY(hora_device_mirror(d, &t->view.data, host, bytes, t->name));
    if (t->kind == LEAF_PARAMETER)
        hora_device_push(d, host, bytes); /* an older copy may be there */
    if (t->grad_data)
        HORA_TRY(hora_device_mirror(d, &t->grad_data, t->grad_data, bytes, t->name));
    return HORA_OK;
}

static hora_status take_memory(hora_graph *g, void *arena) {
    const hora_device_kind *k = kind_of(g);
    void *copy;
    g->arena = arena;
    g->leaves = hora_graph_leaves(g);
    const size_t stage = k->stage_bytes(&g->leaves, g->config.rows);
    if (stage)
        HORA_TRY(k->alloc(g->config.device, &g->staged, stage, "a batch"));
    return hora_device_mirror(g->config.device, &copy, g->loss_grad, sizeof g->loss_grad,
                              "gradients of losses");
}

void hora_graph_release(hora_graph *g) {
    const hora_device_kind *k = kind_of(g);
    for (int i = 0; i < g->replay_count; i++)
        if (g->replays[i].kept)
            k->forget(g->config.device, g->replays[i].kept);
    hora_free(g->replays);
    if (g->staged)
        k->free(g->config.device, g->staged, k->stage_bytes(&g->leaves, g->config.rows));
    if (!hora_device_is_host(g->config.device))
        hora_device_drop(g->config.device, g->loss_grad);
}

hora_status hora_graph_prepare(hora_graph *g, void *arena) {
    HORA_ASSERT(g->planned && !g->prepared);
    HORA_TRY(take_memory(g, arena));
    g->loss_count = 0;
    for (int i = 0; i < g->tensor_count; i++) {
        tensor *t = &g->tensors[i];
        if (t->kind == NODE_OUTPUT)
            t->view.data = at(g, t->value_buffer[FIRST]);
        else if (t->needed)
            HORA_TRY(place_leaf(g, t));
    }
    for (int i = 0; i < g->step_count; i++)
        HORA_TRY(prepare_step(g, &g->steps[i]));
    hora_device_push(g->config.device, g->loss_grad, sizeof g->loss_grad);
    for (int i = 0; i < g->buffer_count; i++)
        if (g->buffers[i].offset + g->buffers[i].bytes > g->arena_used)
            g->arena_used = g->buffers[i].offset + g->buffers[i].bytes;
    hora_graph_prepare_packed(g);
    g->prepared = true;
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
            kind_of(g)->fill(g->config.device, g->arena + g->buffers[i].offset, 0xff,
                             g->buffers[i].bytes);
}

/* Runs step i and those joined to it; returns how many. */
static int run_step(hora_graph *g, int i, const hora_batch *batch, int micro) {
    const hora_impl *impls[HORA_MAX_JOINED];
    const hora_call *calls[HORA_MAX_JOINED];
    int n = 1 + g->steps[i].joined;
    for (int k = 0; k < n; k++) {
        step *s = &g->steps[i + k];
        s->call.batch = s->packed ? hora_graph_packed_rows(g, s) : batch;
        s->call.overwrite = s->overwrite | (micro == 0 ? s->overwrite_in_first : 0);
        impls[k] = &g->impls[g->nodes[s->node].impl[s->phase]];
        calls[k] = &s->call;
    }
    if (g->steps[i].packed && !calls[0]->batch->rows)
        return n;
    if (n > 1 && impls[0]->run_joined && !g->steps[i].apart)
        impls[0]->run_joined(impls, calls, n);
    else
        for (int k = 0; k < n; k++)
            if (!g->steps[i + k].idle)
                impls[k]->run(impls[k], calls[k]);
    if (calls[0]->op_id == HORA_OP_pack)
        hora_graph_packed_by(g, &g->steps[i], batch);
    return n;
}

static void make_calls(hora_graph *g, int from, int to, const hora_batch *batch, int micro) {
    const hora_device_kind *k = kind_of(g);
    const bool branches = k->branch && !g->profile && !g->options.poison;
    for (int i = from; i < to;) {
        if (branches)
            k->branch(g->config.device, g->steps[i].branch);
        int n = run_step(g, i, batch, micro);
        if (g->profile)
            hora_graph_profile_steps(g, i, n);
        for (int end = i + n; i < end; i++)
            if (g->options.poison)
                poison_dead(g, i);
    }
    if (branches)
        k->branch(g->config.device, 0);
}

static struct replay *replay_of(hora_graph *g, int from, int micro) {
    const struct replay new = {.from = from, .rows = g->current_rows, .first = micro == 0};
    for (int i = 0; i < g->replay_count; i++)
        if (g->replays[i].from == from && g->replays[i].rows == new.rows &&
            g->replays[i].first == new.first)
            return &g->replays[i];
    HORA_PUSH(g->replays, g->replay_count, g->replay_capacity, new);
    return NULL;
}

/* The first time calls are made, since what they need may still be built; the second time they are
 * kept as well. */
static void run_steps(hora_graph *g, int from, int to, const hora_batch *batch, int micro) {
    const hora_device_kind *k = kind_of(g);
    if (g->profile)
        hora_graph_profile_begin(g, batch);
    if (batch)
        batch = k->stage(g->config.device, g->staged, &g->leaves, batch);
    struct replay *r = NULL;
    if (k->begin && from < to && !g->profile && !g->options.poison)
        r = replay_of(g, from, micro);
    if (r && !r->kept) {
        k->begin(g->config.device);
        make_calls(g, from, to, batch, micro);
        r->kept = k->end(g->config.device);
    }
    if (r)
        k->replay(g->config.device, r->kept);
    else
        make_calls(g, from, to, batch, micro);
}

static void put_held(const hora_impl *impl, const hora_call *c) {
    memcpy(c->out.data, impl->state, (size_t)hora_view_bytes(&c->out));
}

void hora_graph_hold(hora_graph *g) {
    HORA_ASSERT(g->prepared && g->options.hold && !g->held);
    HORA_ASSERT(hora_device_is_host(g->config.device));
    for (int i = 0; i < g->step_count; i++) {
        const step *s = &g->steps[i];
        const node *n = &g->nodes[s->node];
        if (!(hora_op_at(n->op)->options & HORA_OP_HELD) || s->recomputed)
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
        kind_of(g)->fill(g->config.device, g->arena, 0xff, g->info.arena);
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

bool hora_graph_sum_at(const hora_graph *g, int i, hora_graph_sum *out) {
    for (int n = g->part_end[PART_FORWARD]; n < g->part_end[PART_BACKWARD]; n++) {
        const step *s = &g->steps[n];
        for (int k = 0; k < HORA_MAX_IN; k++) {
            if (!(s->overwrite_in_first & HORA_IN(k)) || i-- > 0)
                continue;
            const tensor *t = &g->tensors[g->nodes[s->node].in[k]];
            HORA_ASSERT(t->view.dtype == HORA_F32);
            *out = (hora_graph_sum){t->kind == LEAF_PARAMETER ? t->grad_data : NULL,
                                    (int64_t)hora_view_bytes(&t->view) / (int64_t)sizeof(float)};
            if (g->prepared && t->kind == NODE_OUTPUT)
                out->data = at(g, t->grad_buffer);
            return true;
        }
    }
    return false;
}

double hora_graph_scalar(const hora_graph *g, hora_t t) {
    const hora_view *v = &g->tensors[t].view;
    double wide = 0;
    float narrow = 0;
    void *to = v->dtype == HORA_F64 ? (void *)&wide : &narrow;
    kind_of(g)->get(g->config.device, to, v->data, hora_dtype_size(v->dtype));
    return v->dtype == HORA_F64 ? wide : (double)narrow;
}

hora_status hora_graph_sync(hora_graph *g) {
    return kind_of(g)->sync(g->config.device);
}

void hora_graph_get(const hora_graph *g, hora_t t, void *to) {
    const hora_view *v = &g->tensors[t].view;
    kind_of(g)->get(g->config.device, to, v->data, hora_view_bytes(v));
}

size_t hora_graph_used(const hora_graph *g) {
    return g->arena_used;
}
