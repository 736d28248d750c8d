/* The plan as text, a line per step: what runs where, which bytes of the arena it touches and until
 * when they live. */
#include "base/text.h"
#include "graph/graph_impl.h"

static void put_buffer(const hora_graph *g, const char *label, int b, hora_str *out) {
    if (b >= 0)
        hora_str_printf(out, " %s[%zu+%zu until %d]", label, g->b[b].offset, g->b[b].bytes,
                        g->b[b].last);
}

void hora_graph_dump(const hora_graph *g, hora_str *out) {
    static const char *const parts[PARTS] = {"before", "forward", "backward", "after"};
    char arena[32];
    hora_str_printf(out, "arena %s, %d nodes, %d steps, %d of %d segments recomputed\n",
                    hora_human_bytes(arena, (double)g->info.arena), g->nn, g->ns, g->recomputed,
                    g->segments);
    for (int i = 0, p = 0; i < g->ns; i++) {
        while (p < PARTS - 1 && i >= g->part_end[p])
            p++;
        const step *s = &g->s[i];
        const node *n = &g->n[s->node];
        char shape[128];
        hora_str_printf(out, "%5d %-8s %-10s%s node %d layer %d out %s", i,
                        s->again ? "again" : parts[p], s->call.op->name,
                        s->phase == HORA_FORWARD ? " " : "'", s->node, n->segment,
                        hora_shape_text(shape, &g->t[n->out].view.shape));
        if (s->phase == HORA_FORWARD)
            put_buffer(g, "value", g->t[n->out].value[s->again], out);
        for (int k = 0; k < HORA_MAX_IN && s->phase == HORA_BACKWARD; k++)
            if (n->grad & HORA_IN(k))
                put_buffer(g, s->overwrite & HORA_IN(k) ? "grad=" : "grad+=", g->t[n->in[k]].grad,
                           out);
        put_buffer(g, "scratch", s->scratch_buffer, out);
        hora_str_printf(out, " %s\n",
                        g->prepared ? g->impl[n->impl[s->phase]].variant : s->backend->name);
    }
}
