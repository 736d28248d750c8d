/* Record, plan, bind, prepare, run, free: written once. */
#include "nn/recording.h"

void hora_recording_init(hora_recording *r, const hora_recording_parts *p) {
    const hora_graph_config c = {.dtype = p->model ? p->base->dtype : p->adapters[0]->dtype,
                                 .rows = p->rows,
                                 .device = p->device,
                                 .backends = p->backends};
    *r = (hora_recording){.g = hora_graph_new(&c), .device = p->device};
    hora_net_init(&r->net, r->g, p->base, p->adapters, p->nadapters, p->mode);
    r->net.drops = p->drops;
    r->net.kcache = p->kcache;
    r->net.vcache = p->vcache;
    r->net.kept = p->kept;
    r->net.answers = p->answers;
    hora_t hidden = HORA_NONE;
    if (p->model)
        hidden = p->model(&r->net);
    else
        hora_net_preludes(&r->net);
    if (p->outputs)
        p->outputs(&r->net, hidden, p->user);
}

hora_status hora_recordings_prepare(hora_recording *const *r, int n, const char *what) {
    size_t bytes = 64;
    for (int i = 0; i < n; i++)
        if (r[i]->g && hora_graph_info(r[i]->g)->arena > bytes)
            bytes = hora_graph_info(r[i]->g)->arena;
    HORA_ASSERT(n > 0 && !r[0]->arena);
    HORA_TRY(hora_device_alloc(r[0]->device, &r[0]->arena, bytes, what));
    r[0]->arena_bytes = bytes;
    for (int i = 0; i < n; i++) {
        if (!r[i]->g)
            continue;
        for (int a = 0; a < r[i]->net.nadapters; a++)
            hora_adapter_refresh(r[i]->net.adapters[a]);
        hora_net_bind(&r[i]->net);
        HORA_TRY(hora_graph_prepare(r[i]->g, r[0]->arena));
    }
    return HORA_OK;
}

hora_status hora_recording_open(hora_recording *r, const hora_recording_parts *p,
                                const hora_plan_options *o, const char *what) {
    hora_recording_init(r, p);
    r->backward = o->backward;
    HORA_TRY(hora_graph_plan(r->g, o));
    return hora_recordings_prepare((hora_recording *[]){r}, 1, what);
}

void hora_recording_run(hora_recording *r, const hora_batch *batch) {
    hora_graph_before(r->g);
    hora_graph_body(r->g, batch, 0);
    if (r->backward)
        hora_graph_after(r->g);
}

void hora_recording_release(hora_recording *r) {
    if (!r->g)
        return;
    hora_net_release(&r->net);
    hora_graph_free(r->g);
    if (r->arena)
        hora_device_release(r->device, r->arena, r->arena_bytes);
    *r = (hora_recording){0};
}
