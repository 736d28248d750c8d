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

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    hora_bottleneck_pairs(a, c->where == 2 ? NULL : "attn", c->where == 1 ? NULL : "mlp", c->width);
    return HORA_OK;
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    return hora_bottleneck_pairs_add(n, a, layer, where, s->y, s->y, hora_bottleneck_act(c->act),
                                     c->dropout, c->scale);
}

const hora_method hora_method_serial = {
    .name = "serial",
    .summary = "bottleneck adapters behind attention and feed-forward",
    .form = "y <- y + s f(y), f(y) = W_up act(W_down y + b_down) + b_up",
    .paper = "arXiv 1902.00751",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.block = block},
    .setup = setup,
    HORA_DELTA_CALLBACKS,
};
