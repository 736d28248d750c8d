#include "peft/bottleneck.h"

#include <math.h>

#include "base/text.h"

const char hora_bottleneck_acts[] = "relu gelu silu tanh identity";

hora_act hora_bottleneck_act(int choice) {
    static const hora_act acts[] = {HORA_ACT_RELU, HORA_ACT_GELU, HORA_ACT_SILU, HORA_ACT_TANH,
                                    HORA_ACT_IDENTITY};
    return acts[choice];
}

static hora_param *declare(hora_adapter *a, int layer, const char *label, const char *what,
                           hora_shape shape, hora_init init) {
    char *name = hora_format("layers.%d.%s.%s", layer, label, what);
    hora_param *p = hora_adapter_param(a, name, shape, init);
    p->layer = layer;
    p->decay = shape.n == 2;
    hora_free(name);
    return p;
}

void hora_bottleneck_declare(hora_bottleneck *b, hora_adapter *a, int layer, const char *label,
                             int64_t width) {
    const int64_t d = a->base->hidden;
    const hora_init zero = {.kind = HORA_INIT_ZERO};
    b->down = declare(a, layer, label, "down.weight", HORA_SHAPE2(width, d),
                      (hora_init){.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)d)});
    b->down_bias = declare(a, layer, label, "down.bias", HORA_SHAPE1(width), zero);
    b->up = declare(a, layer, label, "up.weight", HORA_SHAPE2(d, width), zero);
    b->up_bias = declare(a, layer, label, "up.bias", HORA_SHAPE1(d), zero);
}

hora_t hora_bottleneck_record(const hora_bottleneck *b, hora_net *n, const hora_adapter *a,
                              hora_t z, hora_act act, double dropout, int index) {
    hora_graph *g = n->g;
    hora_t h = hora_linear(g, z, hora_net_param(n, b->down), hora_net_param(n, b->down_bias),
                           HORA_NONE, 1); /* (rows, k) */
    h = hora_dropout(g, hora_activate(g, h, act), hora_net_dropout(n, dropout),
                     hora_net_stream(n, a, a->method->name, index));
    return hora_linear(g, h, hora_net_param(n, b->up), hora_net_param(n, b->up_bias), HORA_NONE,
                       1); /* (rows, d) */
}

typedef struct pair {
    hora_bottleneck at[2]; /* attention, feed-forward */
} pair;

void hora_bottleneck_pairs(hora_adapter *a, const char *attn, const char *mlp, int64_t width) {
    pair *p = a->state = hora_calloc((size_t)a->base->layers, sizeof *p);
    for (int i = 0; i < a->base->layers; i++) {
        if (attn)
            hora_bottleneck_declare(&p[i].at[0], a, i, attn, width);
        if (mlp)
            hora_bottleneck_declare(&p[i].at[1], a, i, mlp, width);
    }
}

hora_t hora_bottleneck_pairs_add(hora_net *n, const hora_adapter *a, int layer, hora_where where,
                                 hora_t y, hora_t z, hora_act act, double dropout, double scale) {
    const int k = where == HORA_BLOCK_MLP;
    const hora_bottleneck *b = &((const pair *)a->state)[layer].at[k];
    if ((where != HORA_BLOCK_ATTN && where != HORA_BLOCK_MLP) || !b->down)
        return y;
    return hora_add(n->g, y, hora_bottleneck_record(b, n, a, z, act, dropout, k), scale);
}
