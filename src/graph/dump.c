/* The plan as text, a line per step: what runs where, which bytes of the arena it touches and until
 * when they live. */
#include "base/text.h"
#include "graph/graph_impl.h"

static void put_buffer(const hora_graph *g, const char *label, int b, hora_str *out) {
    if (b >= 0)
        hora_str_printf(out, " %s[%zu+%zu until %d]", label, g->buffers[b].offset,
                        g->buffers[b].bytes, g->buffers[b].last_step);
}

void hora_graph_dump(const hora_graph *g, hora_str *out) {
    static const char *const parts[PARTS] = {"before", "forward", "backward", "after"};
    char arena[32];
    hora_str_printf(out, "arena %s, %d nodes, %d steps, %d of %d segments recomputed\n",
                    hora_human_bytes(arena, (double)g->info.arena), g->node_count, g->step_count,
                    g->recomputed_segments, g->segment_count);
    for (int i = 0, p = 0; i < g->step_count; i++) {
        while (p < PARTS - 1 && i >= g->part_end[p])
            p++;
        const step *s = &g->steps[i];
        const node *n = &g->nodes[s->node];
        char shape[128];
        hora_str_printf(out, "%5d %-8s %-10s%s node %d layer %d out %s", i,
                        s->recomputed ? "again" : parts[p], s->call.op->name,
                        s->phase == HORA_FORWARD ? " " : "'", s->node, n->segment,
                        hora_shape_text(shape, &g->tensors[n->out].view.shape));
        if (s->phase == HORA_FORWARD)
            put_buffer(g, "value", g->tensors[n->out].value_buffer[s->recomputed], out);
        for (int k = 0; k < HORA_MAX_IN && s->phase == HORA_BACKWARD; k++)
            if (n->grad_inputs & HORA_IN(k))
                put_buffer(g, s->overwrite & HORA_IN(k) ? "grad=" : "grad+=",
                           g->tensors[n->in[k]].grad_buffer, out);
        put_buffer(g, "scratch", s->scratch_buffer, out);
        hora_str_printf(out, " %s\n",
                        g->prepared ? g->impls[n->impl[s->phase]].variant : s->backend->name);
    }
}
