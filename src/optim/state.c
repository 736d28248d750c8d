/*
 * Parameters, gradients and moments. Gradients and moments are one span each over all adapters, in
 * the order of declaration, every parameter on a cache line; values stay in their adapters' spans.
 *
 * LoRA+ (arXiv 2402.12354) is a factor of the learning rate of what methods declare as lora_b.
 *
 * Work is cut into pieces by shapes alone; walking over them is the device's business. The host's
 * spans are what files are read into and written from; another device trains on copies of them.
 */
#include <math.h>

#include "optim/optim.h"

enum { TILE = 1 << 14 };

hora_status hora_state_layout(hora_state *s, hora_adapter *const *adapters, int n,
                              const hora_optimizer *optimizer, double lr, double loraplus,
                              double decay, bool decay_all) {
    int count = 0, bs = 0;
    for (int a = 0; a < n; a++)
        count += adapters[a]->nparams;
    s->optimizer = optimizer;
    s->slots = hora_calloc((size_t)count + 1, sizeof *s->slots);
    for (int a = 0; a < n; a++) {
        const double own = adapters[a]->lr > 0 ? adapters[a]->lr / lr : 1;
        const double own_decay = adapters[a]->own_decay ? adapters[a]->weight_decay : decay;
        for (int i = 0; i < adapters[a]->nparams; i++) {
            hora_param *p = adapters[a]->params[i];
            hora_state_slot *slot = &s->slots[s->nslots];
            *slot = (hora_state_slot){p, s->elems, own * p->lr_factor * (p->lora_b ? loraplus : 1),
                                      p->decay || decay_all ? own_decay : 0, false};
            bs += p->lora_b;
            s->elems += p->fixed ? 0 : hora_round_up(p->elems, 16);
            s->nslots++;
        }
    }
    if (loraplus != 1 && !bs)
        return hora_fail(HORA_EUSAGE,
                         "loraplus: no B matrix trains here; leave it out or use method lora");
    return HORA_OK;
}

uint64_t hora_state_bytes(const hora_state *s) {
    return (uint64_t)s->elems * sizeof(float);
}

/* The pieces of every parameter, for the device to walk over; cut by shapes alone. */
static hora_status list_pieces(hora_state *s) {
    hora_param_spans *l = &s->spans;
    int room = 0;
    *l = (hora_param_spans){.rule = s->optimizer->name, .update = s->optimizer->update};
    for (int i = 0; i < s->nslots; i++) {
        const hora_state_slot *slot = &s->slots[i];
        for (int64_t from = 0; from < slot->p->elems && !slot->p->fixed; from += TILE) {
            const int64_t at = slot->offset + from;
            hora_param_piece p = {.value = (float *)slot->p->value + from,
                                  .grad = s->grad + at,
                                  .n = hora_min(TILE, slot->p->elems - from),
                                  .lr = slot->lr_factor,
                                  .decay = slot->decay,
                                  .active = slot->active,
                                  .least = (float)slot->p->least};
            for (int k = 0; k < s->optimizer->moments; k++)
                p.moment[k] = s->moment[k] + at;
            HORA_PUSH(l->piece, l->n, room, p);
        }
    }
    l->partial = hora_calloc((size_t)l->n + 1, sizeof *l->partial);
    const hora_device_kind *kind = hora_device_kind_of(s->device);
    return kind->attach ? kind->attach(s->device, l) : HORA_OK;
}

/* f(device, memory, bytes) of the spans that `what` names. */
enum { VALUES = 1, MOMENTS = 2, GRADS = 4 };
static void each_span(hora_state *s, int what, void (*f)(hora_device *, void *, size_t)) {
    const size_t bytes = hora_state_bytes(s);
    const hora_adapter *last = NULL;
    for (int i = 0; what & VALUES && i < s->nslots; i++) {
        const hora_adapter *a = s->slots[i].p->adapter;
        if (a != last && a->value_bytes)
            f(s->device, a->values, a->value_bytes);
        last = a;
    }
    for (int k = 0; k < 2; k++)
        if (what & MOMENTS && s->moment[k])
            f(s->device, s->moment[k], bytes);
    if (what & GRADS && s->grad)
        f(s->device, s->grad, bytes);
}

static void forget(hora_device *d, void *host, size_t bytes) {
    (void)bytes;
    if (!hora_device_is_host(d))
        hora_device_drop(d, host);
}

hora_status hora_state_allocate(hora_state *s, hora_device *device) {
    size_t bytes = hora_state_bytes(s);
    void *copy;
    s->device = device;
    each_span(s, VALUES | MOMENTS, forget); /* what an evaluation alone left of the values */
    HORA_TRY(hora_block_new((void **)&s->grad, bytes, "gradients"));
    HORA_TRY(hora_device_mirror(device, &copy, s->grad, bytes, "gradients"));
    for (int k = 0; k < s->optimizer->moments; k++) {
        HORA_TRY(hora_block_new((void **)&s->moment[k], bytes, "optimizer state"));
        HORA_TRY(hora_device_mirror(device, &copy, s->moment[k], bytes, "optimizer state"));
    }
    for (int i = 0; i < s->nslots; i++) {
        hora_state_slot *slot = &s->slots[i];
        const hora_adapter *a = slot->p->adapter;
        HORA_TRY(hora_device_mirror(device, &copy, a->values, a->value_bytes, "parameters"));
        if (slot->p->fixed) /* values alone */
            continue;
        slot->p->grad = s->grad + slot->offset;
        for (int k = 0; k < s->optimizer->moments; k++)
            slot->p->moment[k] = s->moment[k] + slot->offset;
    }
    return list_pieces(s);
}

void hora_state_release(hora_state *s) {
    size_t bytes = hora_state_bytes(s);
    const hora_device_kind *kind = hora_device_kind_of(s->device);
    if (kind->detach && s->spans.piece)
        kind->detach(s->device, &s->spans);
    if (s->device)
        each_span(s, VALUES | MOMENTS | GRADS, forget);
    for (int i = 0; i < s->nslots; i++) {
        hora_param *p = s->slots[i].p;
        p->grad = p->moment[0] = p->moment[1] = NULL;
    }
    if (s->grad)
        hora_block_free(s->grad, bytes);
    for (int k = 0; k < 2; k++)
        if (s->moment[k])
            hora_block_free(s->moment[k], bytes);
    hora_free(s->slots);
    hora_free(s->spans.piece);
    hora_free(s->spans.partial);
    *s = (hora_state){0};
}

void hora_state_activate(hora_state *s, const hora_graph *g) {
    for (int i = 0, n = hora_graph_params(g); i < n; i++) {
        void *user;
        bool has_grad;
        hora_graph_param_at(g, i, &user, &has_grad);
        for (int k = 0; k < s->nslots; k++)
            if (s->slots[k].p == user)
                s->slots[k].active = has_grad;
    }
}

void hora_state_choose(hora_state *s, const bool *layer, const int64_t *skipped) {
    int k = 0;
    HORA_ASSERT(hora_device_is_host(s->device));
    for (int i = 0; i < s->nslots; i++) {
        const hora_state_slot *slot = &s->slots[i];
        const int at = slot->p->layer;
        for (int64_t from = 0; from < slot->p->elems && !slot->p->fixed; from += TILE, k++) {
            s->spans.piece[k].active = slot->active && (!layer || at < 0 || layer[at]);
            s->spans.piece[k].skipped = skipped && at >= 0 ? skipped[at] : 0;
        }
    }
}

double hora_state_norm(hora_state *s) {
    return sqrt(hora_device_kind_of(s->device)->squares(s->device, &s->spans));
}

void hora_state_update(hora_state *s, const hora_update *u) {
    hora_device_kind_of(s->device)->update(s->device, &s->spans, u);
}

static void push(hora_device *d, void *host, size_t bytes) {
    hora_device_push(d, host, bytes);
}

void hora_state_push(hora_state *s) {
    each_span(s, VALUES | MOMENTS, push);
}

void hora_state_pull_values(hora_state *s) {
    each_span(s, VALUES, hora_device_pull);
}

void hora_state_pull(hora_state *s) {
    each_span(s, VALUES | MOMENTS, hora_device_pull);
}

void hora_state_pull_gradients(hora_state *s) {
    each_span(s, GRADS, hora_device_pull);
}
