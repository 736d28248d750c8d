/*
 * Causal language modelling. Every row predicts the next token of its segment; the loss is the
 * cross-entropy summed over rows whose target counts, times the batch's scale.
 */
#include "model/family.h"
#include "task/task.h"

hora_t hora_task_causal(hora_net *n, hora_t hidden) {
    return hora_head_xent(n->g, hidden, hora_net_head(n), HORA_NONE);
}

void hora_recording_init(hora_recording *r, const hora_recording_parts *p) {
    hora_graph_config c = {p->base->dtype, p->rows, p->device, p->backends};
    r->g = hora_graph_new(&c);
    hora_net_init(&r->net, r->g, p->base, p->adapters, p->nadapters,
                  p->train ? HORA_NET_TRAIN : HORA_NET_EVAL);
    r->loss = hora_task_causal(&r->net, hora_model_record(&r->net));
    if (p->train)
        hora_graph_loss(r->g, r->loss, 1);
    hora_graph_output(r->g, r->loss);
}

void hora_recording_release(hora_recording *r) {
    if (!r->g)
        return;
    hora_net_release(&r->net);
    hora_graph_free(r->g);
    r->g = NULL;
}
