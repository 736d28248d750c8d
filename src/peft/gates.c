#include "peft/gates.h"

#include "base/text.h"

static hora_param *declare(hora_adapter *a, int layer, const char *label, const char *what,
                           hora_shape shape, double value) {
    char *name = hora_format("layers.%d.%s.%s", layer, label, what);
    hora_param *p =
        hora_adapter_param(a, name, shape, (hora_init){.kind = HORA_INIT_CONST, .value = value});
    p->layer = layer;
    p->decay = shape.n == 2;
    hora_free(name);
    return p;
}

void hora_gates_declare(hora_gate_params *p, hora_adapter *a, const hora_gates_config *c, int layer,
                        const char *label, int64_t k) {
    p->w = declare(a, layer, label, "weight", HORA_SHAPE2(k, a->base->hidden), 0);
    p->b = declare(a, layer, label, "bias", HORA_SHAPE1(k), c->start);
}

hora_t hora_gates_record(const hora_gate_params *p, hora_net *n, const hora_adapter *a,
                         const hora_gates_config *c, hora_t x, int64_t lead, bool whole) {
    const bool train = n->mode == HORA_NET_TRAIN;
    hora_t z = hora_linear(n->g, x, hora_net_param(n, p->w), hora_net_param(n, p->b), HORA_NONE, 1);
    hora_t s = hora_gumbel(n->g, z, train ? c->tau : 1, lead, train && c->noise, whole,
                           hora_net_stream(n, a, p->b->name, 0));
    return hora_choice(n->g, s);
}

void hora_gates_count(hora_net *n, const hora_gates_config *c, hora_t m, double weight,
                      int64_t lead, bool last, hora_t *sum) {
    if (n->mode != HORA_NET_TRAIN || c->weight == 0)
        return;
    if (last)
        hora_net_loss(n, hora_over_budget(n->g, m, *sum, weight, lead, c->budget), c->weight);
    else
        *sum = hora_share(n->g, m, *sum, weight, lead);
}

int64_t hora_gates_lead(const hora_base *b) {
    return b->vision ? b->vision->heads : b->encoder;
}
