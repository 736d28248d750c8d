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
    const tensor *v = &g->t[t];
    if (v->kind != NODE_OUT)
        return -1;
    const node *p = &g->n[v->node];
    bool late = s->again || s->phase == HORA_BACKWARD;
    return v->value[late && p->again && (p->late >= 0 || p->segment == g->n[s->node].segment)];
}

static int new_buffer(hora_graph *g, const hora_view *v, bool rows, int at) {
    size_t bytes = (size_t)hora_round_up((int64_t)hora_view_bytes(v), 64);
    buffer b = {.bytes = bytes ? bytes : 64, .first = at, .last = at, .rows = rows};
    HORA_PUSH(g->b, g->nb, g->cb, b);
    return g->nb - 1;
}

static void extend(hora_graph *g, int b, int at) {
    if (b >= 0 && g->b[b].last < at)
        g->b[b].last = at;
}

static void live_forward(hora_graph *g, int at) {
    const step *s = &g->s[at];
    node *n = &g->n[s->node];
    tensor *out = &g->t[n->out];
    out->value[s->again] = new_buffer(g, &out->view, out->rows, at);
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        if (!hora_absent(&n->saved[k]))
            n->saved_buffer[k][s->again] = new_buffer(g, &n->saved[k], out->rows, at);
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] != HORA_NONE)
            extend(g, hora_graph_value_buffer(g, s, n->in[k]), at);
}

/* The gradient of input k is dout, which nobody reads after this step. */
static bool takes_over(const hora_graph *g, const step *s, int k) {
    const node *n = &g->n[s->node];
    const tensor *in = &g->t[n->in[k]], *out = &g->t[n->out];
    if (!(hora_op_at(n->op)->passes & s->overwrite & HORA_IN(k)) || n->before || in->before ||
        out->grad < 0 || in->view.dtype != out->view.dtype)
        return false;
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (i != k && n->in[i] == n->in[k])
            return false;
    return true;
}

static void live_backward(hora_graph *g, int at) {
    step *s = &g->s[at];
    node *n = &g->n[s->node];
    unsigned reads = hora_op_at(n->op)->reads(n->grad);
    for (int k = 0; k < HORA_MAX_IN; k++) {
        if (n->in[k] == HORA_NONE)
            continue;
        if (reads & HORA_IN(k))
            extend(g, hora_graph_value_buffer(g, s, n->in[k]), at);
        tensor *in = &g->t[n->in[k]];
        if (n->grad & HORA_IN(k) && in->kind == NODE_OUT) {
            if (in->grad < 0 && takes_over(g, s, k)) {
                in->grad = g->t[n->out].grad;
                s->passed |= HORA_IN(k);
            } else if (in->grad < 0) {
                in->grad = new_buffer(g, &in->view, in->rows, at);
            }
            extend(g, in->grad, at);
        }
    }
    if (reads & HORA_OUT)
        extend(g, hora_graph_value_buffer(g, s, n->out), at);
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        if (reads & HORA_SAVED)
            extend(g, n->saved_buffer[k][n->again], at);
    extend(g, g->t[n->out].grad, at);
}

/* May step b run together with step a, some steps before it and like it? */
static bool can_join(const hora_graph *g, const step *a, const step *b) {
    const node *m = &g->n[a->node], *n = &g->n[b->node];
    const unsigned options = hora_op_at(m->op)->options & hora_op_at(n->op)->options;
    if (!(options & HORA_OP_JOINS) || a->phase != b->phase || a->again != b->again ||
        a->backend != b->backend || m->in[0] != n->in[0] || m->before || n->before)
        return false;
    if (a->phase == HORA_BACKWARD)
        return m->grad & n->grad & HORA_IN(0) && g->t[m->in[0]].kind == NODE_OUT;
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (n->in[k] == m->out)
            return false;
    return true;
}

/* Backward of m writes a gradient that backward of n reads. */
static bool feeds(const node *m, const node *n) {
    for (int k = 0; k < HORA_MAX_IN; k++)
        if (m->grad & HORA_IN(k) && m->in[k] == n->out)
            return true;
    return false;
}

static void join_steps(hora_graph *g) {
    for (int i = 0; i < g->ns; i++)
        g->s[i].joined = 0;
    for (int i = 0; i < g->ns; i += 1 + g->s[i].joined)
        for (int j = i + 1; j < g->ns && j - i < HORA_MAX_JOINED; j++) {
            bool may = true;
            for (int k = i; k < j; k++)
                may &= can_join(g, &g->s[k], &g->s[j]) &&
                       (g->s[j].phase == HORA_FORWARD ||
                        !feeds(&g->n[g->s[k].node], &g->n[g->s[j].node]));
            if (!may)
                break;
            g->s[i].joined = j - i;
            g->s[j].joined = -1;
        }
}

/* What lives in part of a run of joined steps lives in all of it. */
static void widen_ranges(hora_graph *g) {
    for (int i = 0; i < g->nb; i++) {
        buffer *b = &g->b[i];
        while (b->first > 0 && g->s[b->first].joined < 0)
            b->first--;
        while (b->last + 1 < g->ns && g->s[b->last + 1].joined < 0)
            b->last++;
    }
}

static void live_ranges(hora_graph *g) {
    int body = g->part_end[PART_BEFORE], body_end = g->part_end[PART_BACKWARD] - 1;
    g->nb = 0;
    for (int i = 0; i < g->ns; i++)
        g->s[i].phase == HORA_FORWARD ? live_forward(g, i) : live_backward(g, i);
    for (int i = 0; i < g->nt; i++) {
        tensor *t = &g->t[i];
        if (t->output && t->value[0] >= 0)
            extend(g, t->value[0], g->ns); /* read after the run */
        if (t->kind != NODE_OUT || !t->before)
            continue;
        if (t->value[0] >= 0 && g->b[t->value[0]].last >= body)
            extend(g, t->value[0], body_end);
        if (t->grad >= 0 && g->b[t->grad].first <= body_end) {
            g->b[t->grad].first = body;
            extend(g, t->grad, body_end);
        }
    }
    for (int i = 0; i < g->ns; i++)
        if (g->s[i].scratch) {
            hora_view v = {NULL, HORA_I8, HORA_SHAPE1((int64_t)g->s[i].scratch)};
            g->s[i].scratch_buffer = new_buffer(g, &v, false, i);
        }
    widen_ranges(g);
}

/* --- the call of a step, without pointers ----------------------------------------------------- */
static void make_call(const hora_graph *g, step *s) {
    const node *n = &g->n[s->node];
    hora_call *c = &s->call;
    *c = (hora_call){.op = hora_op_at(n->op), .op_id = n->op, .phase = s->phase, .attr = n->attr};
    c->grad = n->backward ? n->grad : 0;
    for (int k = 0; k < HORA_MAX_IN; k++) {
        c->in[k] = c->din[k] = *hora_graph_view(g, n->in[k]);
        c->in[k].data = c->din[k].data = NULL;
        if (n->in[k] == HORA_NONE)
            continue;
        const tensor *t = &g->t[n->in[k]];
        if (t->rows)
            c->rows |= HORA_IN(k);
        if (t->kind == LEAF_FROZEN) {
            c->frozen |= HORA_IN(k);
            c->in[k].data = t->view.data;
        }
    }
    c->out = c->dout = g->t[n->out].view;
    c->out.data = c->dout.data = NULL;
    if (g->t[n->out].rows)
        c->rows |= HORA_OUT;
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        c->saved[k] = n->saved[k];
}

static hora_status ask_kernels(hora_graph *g) {
    g->info.scratch = g->info.packed = 0;
    for (int i = 0; i < g->ns; i++) {
        step *s = &g->s[i];
        make_call(g, s);
        s->backend = NULL;
        for (int b = 0; b < g->nbackends && !s->backend; b++) {
            hora_need need = {0, 0};
            if (!g->backends[b]->query(g->config.device, &s->call, &need))
                continue;
            s->backend = g->backends[b];
            s->scratch = need.scratch;
            if (need.scratch > g->info.scratch)
                g->info.scratch = need.scratch;
            g->info.packed += s->again ? 0 : need.packed;
        }
        if (!s->backend)
            return hora_fail(HORA_EUNSUPPORTED,
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
    f->nodes = g->nn;
    f->steps = g->ns;
    f->segments = g->segments;
    f->recomputed = g->recomputed;
    f->kept = 0;
    for (int i = 0; i < g->nb; i++)
        if (g->b[i].first < g->part_end[PART_FORWARD] && g->b[i].last >= g->part_end[PART_FORWARD])
            f->kept += g->b[i].bytes;
    hora_graph_sum_flops(g);
}

static hora_status plan_with(hora_graph *g, int recompute) {
    g->recomputed = g->options.backward ? recompute : 0;
    HORA_TRY(hora_graph_build_schedule(g));
    HORA_TRY(ask_kernels(g));
    join_steps(g);
    live_ranges(g);
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
    HORA_TRY(plan_with(g, g->segments));
    if (!fits(g)) {
        char need[32], has[32], was[32];
        return hora_fail(HORA_ENOMEM,
                         "a step needs %s (%s without recomputing), but %s are left; lower "
                         "--batch-size or --seq-len, or raise --grad-accum instead of --batch-size",
                         hora_human_bytes(need, (double)(g->info.arena + g->info.packed)),
                         hora_human_bytes(was, (double)none),
                         hora_human_bytes(has, (double)g->options.limit));
    }
    int low = 0, high = g->segments; /* low does not fit, high does */
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
