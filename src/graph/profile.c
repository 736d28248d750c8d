/*
 * Where the time of a step goes, call by call, summed by op when asked. The clock is read around
 * each call, so a profiled step is a little slower than another; nothing is measured while off.
 */
#include "base/log.h"
#include "graph/graph_impl.h"

typedef struct tally {
    int64_t calls;
    double seconds, flops, bytes;
} tally;

struct profile {
    double started;          /* of the running call */
    double work[HORA_WORKS]; /* of the running micro-batch */
    tally *of;               /* per step of the schedule */
};

void hora_graph_profile(hora_graph *g, bool on) {
    HORA_ASSERT(g->prepared);
    hora_graph_profile_free(g);
    if (!on)
        return;
    g->profile = hora_calloc(1, sizeof *g->profile);
    g->profile->of = hora_calloc((size_t)g->step_count + 1, sizeof *g->profile->of);
}

void hora_graph_profile_free(hora_graph *g) {
    if (g->profile)
        hora_free(g->profile->of);
    hora_free(g->profile);
    g->profile = NULL;
}

void hora_graph_profile_begin(hora_graph *g, const hora_batch *batch) {
    struct profile *p = g->profile;
    memset(p->work, 0, sizeof p->work);
    p->work[HORA_WORK_ONCE] = 1;
    if (batch)
        hora_graph_add_work(g, batch, p->work);
    hora_graph_sync(g);
    p->started = hora_now();
}

/* Bytes of what the call reads and writes, each once: the least that memory must move when nothing
 * is in a cache. Of a table that an op picks from, as much as it picks. */
static double bytes_of(const hora_call *c) {
    size_t sum = 0, out = hora_view_bytes(&c->out);
    for (int k = 0; k < HORA_MAX_IN; k++) {
        size_t in = c->in[k].data ? hora_view_bytes(&c->in[k]) : 0;
        sum += k == 0 && c->op->options & HORA_OP_PICKS
                   ? (size_t)hora_min((int64_t)in, (int64_t)out)
                   : in;
        sum += c->phase == HORA_BACKWARD && c->din[k].data ? hora_view_bytes(&c->din[k]) : 0;
    }
    for (int k = 0; k < HORA_MAX_SAVED; k++)
        sum += c->saved[k].data ? hora_view_bytes(&c->saved[k]) : 0;
    sum += c->out.data ? out : 0;
    sum += c->phase == HORA_BACKWARD && c->dout.data ? hora_view_bytes(&c->dout) : 0;
    return (double)sum;
}

/* Joined steps share their time by their work. */
void hora_graph_profile_steps(hora_graph *g, int first, int n) {
    struct profile *p = g->profile;
    hora_graph_sync(g); /* what fails is told at the end of the step */
    double seconds = hora_now() - p->started, all = 0, flops[HORA_MAX_JOINED] = {0};
    for (int i = 0; i < n; i++) {
        const step *s = &g->steps[first + i];
        double f[HORA_WORKS] = {0};
        hora_graph_node_flops(g, &g->nodes[s->node], s->phase, f);
        for (int k = 0; k < HORA_WORKS; k++)
            flops[i] += f[k] * p->work[k];
        all += flops[i];
    }
    for (int i = 0; i < n; i++) {
        tally *t = &p->of[first + i];
        t->seconds += n > 1 && all > 0 ? seconds * flops[i] / all : seconds / n;
        t->calls++;
        t->bytes += bytes_of(&g->steps[first + i].call);
        t->flops += flops[i];
    }
    p->started = hora_now();
}

static bool same_row(const hora_op_time *a, const hora_op_time *b) {
    return a->op == b->op && a->backend == b->backend && a->phase == b->phase &&
           a->recomputed == b->recomputed && a->frozen == b->frozen;
}

int hora_graph_profile_get(const hora_graph *g, hora_op_time *rows, int cap) {
    int n = 0;
    for (int i = 0; g->profile && i < g->step_count; i++) {
        const step *s = &g->steps[i];
        const tally *t = &g->profile->of[i];
        hora_op_time key = {.op = s->call.op->name,
                            .backend = s->backend->name,
                            .phase = s->phase,
                            .recomputed = s->recomputed};
        int k = 0;
        key.frozen = s->call.op->flops && s->call.frozen & HORA_IN(1);
        while (k < n && !same_row(&rows[k], &key))
            k++;
        if (k == cap)
            continue;
        if (k == n)
            rows[n++] = key;
        rows[k].calls += t->calls;
        rows[k].seconds += t->seconds;
        rows[k].flops += t->flops;
        rows[k].bytes += t->bytes;
    }
    return n;
}
