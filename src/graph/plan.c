/*
 * The plan: schedule, kernels that accept each step, live range of every buffer, placement. Takes
 * no memory but its own lists; `hora plan` stops after it.
 *
 * Live ranges follow from `reads`: a value lives from the step that makes it to the last step that
 * reads it. What crosses the loop over micro-batches (values of `before`, their gradients, outputs)
 * lives through the whole body.
 */
#include "base/text.h"
#include "graph/graph_impl.h"

int hora_graph_value_buffer(const hora_graph *g, const step *s, hora_t t) {
    const tensor *v = &g->tensors[t];
    if (v->kind != NODE_OUTPUT)
        return -1;
    const node *p = &g->nodes[v->producer];
    const bool after_forward = s->recomputed || s->phase == HORA_BACKWARD;
    const bool reaches = p->recompute_before >= 0 || p->segment == g->nodes[s->node].segment;
    return v->value_buffer[after_forward && p->recomputed && reaches];
}

static int new_buffer(hora_graph *g, size_t bytes, int at) {
    buffer b = {.bytes = bytes ? (size_t)hora_round_up((int64_t)bytes, 64) : 64,
                .first_step = at,
                .last_step = at};
    HORA_PUSH(g->buffers, g->buffer_count, g->buffer_capacity, b);
    return g->buffer_count - 1;
}

static void extend(hora_graph *g, int b, int at) {
    if (b >= 0 && g->buffers[b].last_step < at)
        g->buffers[b].last_step = at;
}

static void live_forward(hora_graph *g, int at) {
    const step *s = &g->steps[at];
    node *n = &g->nodes[s->node];
    tensor *out = &g->tensors[n->out];
    out->value_buffer[s->recomputed] = new_buffer(g, hora_view_bytes(&out->view), at);
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        if (!hora_absent(&n->saved[k]))
            n->saved_buffer[k][s->recomputed] = new_buffer(g, hora_view_bytes(&n->saved[k]), at);
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] != HORA_NONE)
            extend(g, hora_graph_value_buffer(g, s, n->in[k]), at);
}

/* The gradient of input k is dout, which nobody reads after this step. */
static bool takes_over(const hora_graph *g, const step *s, int k) {
    const node *n = &g->nodes[s->node];
    const tensor *in = &g->tensors[n->in[k]], *out = &g->tensors[n->out];
    if (!(hora_op_at(n->op)->passes & s->overwrite & HORA_IN(k)) || n->before || in->before ||
        out->grad_buffer < 0 || in->view.dtype != out->view.dtype)
        return false;
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (i != k && n->in[i] == n->in[k])
            return false;
    return true;
}

static void live_backward(hora_graph *g, int at) {
    step *s = &g->steps[at];
    node *n = &g->nodes[s->node];
    unsigned reads = hora_op_at(n->op)->reads(n->grad_inputs);
    for (int k = 0; k < HORA_MAX_IN; k++) {
        if (n->in[k] == HORA_NONE)
            continue;
        if (reads & HORA_IN(k))
            extend(g, hora_graph_value_buffer(g, s, n->in[k]), at);
        tensor *in = &g->tensors[n->in[k]];
        if (n->grad_inputs & HORA_IN(k) && in->kind == NODE_OUTPUT) {
            if (in->grad_buffer < 0 && takes_over(g, s, k)) {
                in->grad_buffer = g->tensors[n->out].grad_buffer;
                s->grads_in_dout |= HORA_IN(k);
            } else if (in->grad_buffer < 0) {
                in->grad_buffer = new_buffer(g, hora_view_bytes(&in->view), at);
            }
            extend(g, in->grad_buffer, at);
        }
    }
    if (reads & HORA_OUT)
        extend(g, hora_graph_value_buffer(g, s, n->out), at);
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        if (reads & HORA_SAVED)
            extend(g, n->saved_buffer[k][n->recomputed], at);
    extend(g, g->tensors[n->out].grad_buffer, at);
}

/* May step b run together with step a, some steps before it and like it? */
static bool can_join(const hora_graph *g, const step *a, const step *b) {
    const node *m = &g->nodes[a->node], *n = &g->nodes[b->node];
    const unsigned options = hora_op_at(m->op)->options & hora_op_at(n->op)->options;
    if (!(options & HORA_OP_JOINS) || a->phase != b->phase || a->recomputed != b->recomputed ||
        a->backend != b->backend || m->in[0] != n->in[0] || m->before || n->before)
        return false;
    if (a->phase == HORA_BACKWARD)
        return m->grad_inputs & n->grad_inputs & HORA_IN(0) &&
               g->tensors[m->in[0]].kind == NODE_OUTPUT;
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] == m->out)
            return false;
    return true;
}

/* Backward of m writes a gradient that backward of n reads. */
static bool feeds(const node *m, const node *n) {
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (m->grad_inputs & HORA_IN(k) && m->in[k] == n->out)
            return true;
    return false;
}

static void join_steps(hora_graph *g) {
    for (int i = 0; i < g->step_count; i++)
        g->steps[i].joined = 0;
    for (int i = 0; i < g->step_count; i += 1 + g->steps[i].joined)
        for (int j = i + 1; j < g->step_count && j - i < HORA_MAX_JOINED; j++) {
            bool may = true;
            for (int k = i; k < j; k++)
                may &= can_join(g, &g->steps[k], &g->steps[j]) &&
                       (g->steps[j].phase == HORA_FORWARD ||
                        !feeds(&g->nodes[g->steps[k].node], &g->nodes[g->steps[j].node]));
            if (!may)
                break;
            g->steps[i].joined = j - i;
            g->steps[j].joined = -1;
        }
}

/* What lives in part of a run of joined steps lives in all of it. */
static void widen_ranges(hora_graph *g) {
    for (int i = 0; i < g->buffer_count; i++) {
        buffer *b = &g->buffers[i];
        while (b->first_step > 0 && g->steps[b->first_step].joined < 0)
            b->first_step--;
        while (b->last_step + 1 < g->step_count && g->steps[b->last_step + 1].joined < 0)
            b->last_step++;
    }
}

static void live_ranges(hora_graph *g) {
    int body = g->part_end[PART_BEFORE], body_end = g->part_end[PART_BACKWARD] - 1;
    g->buffer_count = 0;
    for (int i = 0; i < g->step_count; i++)
        g->steps[i].phase == HORA_FORWARD ? live_forward(g, i) : live_backward(g, i);
    for (int i = 0; i < g->tensor_count; i++) {
        tensor *t = &g->tensors[i];
        if (t->output && t->value_buffer[FIRST] >= 0)
            extend(g, t->value_buffer[FIRST], g->step_count); /* read after the run */
        if (t->kind != NODE_OUTPUT || !t->before)
            continue;
        if (t->value_buffer[FIRST] >= 0 && g->buffers[t->value_buffer[FIRST]].last_step >= body)
            extend(g, t->value_buffer[FIRST], body_end);
        if (t->grad_buffer >= 0 && g->buffers[t->grad_buffer].first_step <= body_end) {
            g->buffers[t->grad_buffer].first_step = body;
            extend(g, t->grad_buffer, body_end);
        }
    }
    for (int i = 0; i < g->step_count; i++)
        if (g->steps[i].scratch_bytes)
            g->steps[i].scratch_buffer = new_buffer(g, g->steps[i].scratch_bytes, i);
    widen_ranges(g);
}

/* --- the call of a step, without pointers ----------------------------------------------------- */
static void make_call(const hora_graph *g, step *s) {
    const node *n = &g->nodes[s->node];
    hora_call *c = &s->call;
    *c = (hora_call){.op = hora_op_at(n->op), .op_id = n->op, .phase = s->phase, .attr = n->attr};
    c->grad = n->has_backward ? n->grad_inputs : 0;
    s->packed = n->op == HORA_OP_pack ? 0 : g->tensors[n->out].packed;
    for (int k = 0; k < HORA_MAX_IN; k++) {
        c->in[k] = c->din[k] = *hora_graph_view(g, n->in[k]);
        c->in[k].data = c->din[k].data = NULL;
        if (n->in[k] == HORA_NONE)
            continue;
        const tensor *t = &g->tensors[n->in[k]];
        if (t->row_tensor)
            c->rows |= HORA_IN(k);
        if (t->kind == LEAF_FROZEN) {
            c->frozen |= HORA_IN(k);
            c->in[k].data = t->view.data;
        }
    }
    c->out = c->dout = g->tensors[n->out].view;
    c->out.data = c->dout.data = NULL;
    if (g->tensors[n->out].row_tensor)
        c->rows |= HORA_OUT;
    if (c->rows & HORA_IN(0) && c->op->options & HORA_OP_SAVED_ROWS)
        c->rows |= HORA_SAVED;
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        c->saved[k] = n->saved[k];
}

static hora_status ask_kernels(hora_graph *g) {
    g->info.scratch = g->info.packed = 0;
    for (int i = 0; i < g->step_count; i++) {
        step *s = &g->steps[i];
        make_call(g, s);
        s->backend = NULL;
        for (int b = 0; b < g->backend_count && !s->backend; b++) {
            hora_need need = {0, 0};
            if (!g->backends[b]->query(g->config.device, &s->call, &need))
                continue;
            s->backend = g->backends[b];
            s->scratch_bytes = need.scratch;
            if (need.scratch > g->info.scratch)
                g->info.scratch = need.scratch;
            g->info.packed += s->recomputed ? 0 : need.packed;
        }
        if (!s->backend)
            return hora_fail(
                HORA_EUNSUPPORTED,
                "no backend of device %s computes op %s (%s) in %s; try another dtype, "
                "backend or device",
                hora_device_kind_of(g->config.device)->name, s->call.op->name,
                s->phase == HORA_FORWARD ? "forward" : "backward",
                hora_dtype_name(g->config.dtype));
    }
    return HORA_OK;
}

static void sum_up(hora_graph *g) {
    hora_plan_info *f = &g->info;
    f->nodes = g->node_count;
    f->steps = g->step_count;
    f->segments = g->segment_count;
    f->recomputed = g->recomputed_segments;
    f->kept = 0;
    for (int i = 0; i < g->buffer_count; i++)
        if (g->buffers[i].first_step < g->part_end[PART_FORWARD] &&
            g->buffers[i].last_step >= g->part_end[PART_FORWARD])
            f->kept += g->buffers[i].bytes;
    hora_graph_sum_flops(g);
}

static hora_status plan_with(hora_graph *g, int recompute) {
    g->recomputed_segments = g->options.backward ? recompute : 0;
    HORA_TRY(hora_graph_build_schedule(g));
    HORA_TRY(ask_kernels(g));
    join_steps(g);
    live_ranges(g);
    hora_graph_branch(g);
    hora_graph_place(g);
    sum_up(g);
    return HORA_OK;
}

static bool fits(const hora_graph *g) {
    return g->info.packed <= g->options.limit && g->info.arena <= g->options.limit - g->info.packed;
}

/* The fewest recomputed segments whose arena fits beside the packed weights: arena(N) falls with N
 * but for small bumps, so bisect. */
static hora_status plan_auto(hora_graph *g) {
    HORA_TRY(plan_with(g, 0));
    if (fits(g) || !g->options.backward)
        return HORA_OK;
    size_t none = g->info.arena + g->info.packed;
    HORA_TRY(plan_with(g, g->segment_count));
    if (!fits(g)) {
        char need[32], has[32], was[32];
        return hora_fail(HORA_ENOMEM,
                         "a step needs %s (%s without recomputing), but %s are left; lower "
                         "--batch-size or --seq-len, or raise --grad-accum instead of --batch-size",
                         hora_human_bytes(need, (double)(g->info.arena + g->info.packed)),
                         hora_human_bytes(was, (double)none),
                         hora_human_bytes(has, (double)g->options.limit));
    }
    int low = 0, high = g->segment_count; /* low does not fit, high does */
    while (high - low > 1) {
        int mid = (low + high) / 2;
        HORA_TRY(plan_with(g, mid));
        *(fits(g) ? &high : &low) = mid;
    }
    return plan_with(g, high);
}

hora_status hora_graph_plan(hora_graph *g, const hora_plan_options *o) {
    if (g->error)
        return hora_fail(g->error, "%s", g->error_text);
    HORA_ASSERT(!g->prepared);
    g->options = *o;
    hora_status s = o->recompute == HORA_RECOMPUTE_AUTO  ? plan_auto(g)
                    : o->recompute == HORA_RECOMPUTE_ALL ? plan_with(g, 1 << 20)
                                                         : plan_with(g, o->recompute);
    g->planned = s == HORA_OK;
    return s;
}

const hora_plan_info *hora_graph_info(const hora_graph *g) {
    return &g->info;
}
