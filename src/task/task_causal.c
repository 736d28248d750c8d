/*
 * Causal language modelling. Every row predicts the next token of its segment; the loss is the
 * cross-entropy summed over rows whose target counts, times the batch's scale.
 */
#include "task/task.h"

void hora_task_causal(hora_net *n, hora_t hidden, void *user) {
    hora_outputs *o = user;
    hora_t head = hora_net_head(n);
    o->loss = o->logits = HORA_NONE;
    if (o->want_logits) {
        o->logits = hora_linear(n->g, hidden, head, HORA_NONE, HORA_NONE, 1);
        hora_graph_output(n->g, o->logits);
    }
    if (o->want_loss) {
        o->loss = hora_head_xent(n->g, hidden, head, HORA_NONE);
        hora_graph_output(n->g, o->loss);
    }
    if (o->differentiate)
        hora_graph_loss(n->g, o->loss, 1);
}
