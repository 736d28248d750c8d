/*
 * Serial bottleneck adapters: behind the output of attention and of the feed-forward, before each
 * is added to the residual stream. [arXiv 1902.00751]
 *
 *   y <- y + s f(y)      f(y) = W_up act(W_down y + b_down) + b_up
 *
 * Pfeiffer's placement (arXiv 2005.00247) is where=mlp. Does not merge: f is not linear.
 */
#include "base/text.h"
#include "peft/bottleneck.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t width;
    double scale, dropout;
    int act, where; /* choices: .., attn+mlp attn mlp */
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(width, "bottleneck", "k", "64", 1, 65536, "width of the hidden layer"),
    OPT_REAL(scale, "scale", "s", "1", -1e6, 1e6, "factor of what is added"),
    OPT_CHOICE(act, "act", NULL, "relu", hora_bottleneck_acts, "of the hidden layer"),
    OPT_CHOICE(where, "where", NULL, "attn+mlp", "attn+mlp attn mlp", "behind which sublayers"),
    OPT_REAL(dropout, "dropout", NULL, "0", 0, 0.99, "probability of dropping a hidden number"),
};
static const hora_options options = {"Method serial", rows, HORA_COUNT(rows)};

enum { BEHIND = 2 }; /* attention, feed-forward */
typedef struct state {
    hora_bottleneck (*layer)[BEHIND];
} state;

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)a->base->layers, sizeof *st->layer);
    for (int i = 0; i < a->base->layers; i++) {
        if (c->where != 2)
            hora_bottleneck_declare(&st->layer[i][0], a, i, "attn", c->width);
        if (c->where != 1)
            hora_bottleneck_declare(&st->layer[i][1], a, i, "mlp", c->width);
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    const int k = where == HORA_BLOCK_MLP;
    const hora_bottleneck *b = &((const state *)a->state)->layer[layer][k];
    if ((where != HORA_BLOCK_ATTN && where != HORA_BLOCK_MLP) || !b->down)
        return s->y;
    hora_t f = hora_bottleneck_record(b, n, a, s->y, hora_bottleneck_act(c->act), c->dropout, k);
    return hora_add(n->g, s->y, f, c->scale);
}

const hora_method hora_method_serial = {
    .name = "serial",
    .summary = "bottleneck adapters behind attention and feed-forward",
    .paper = "arXiv 1902.00751",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.block = block},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
