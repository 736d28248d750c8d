/*
 * AdaptFormer: a bottleneck beside the feed-forward. [arXiv 2205.13535]
 *
 *   y <- y + s f(z)      f(z) = W_up act(W_down z + b_down) + b_up, y the sublayer's own result
 *
 * z is what the feed-forward reads (after the norm), as the paper prints it; or the residual stream
 * before the norm, as its authors' code runs it (input=residual). `parallel` (arXiv 2110.04366, its
 * parallel adapter) is the same beside both sublayers with s = 1. Does not merge: f is not linear.
 */
#include "base/text.h"
#include "peft/bottleneck.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t width;
    double scale, dropout;
    int act, where, input; /* choices: .., mlp attn attn+mlp, norm residual */
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(width, "bottleneck", "k", "64", 1, 65536, "width of the hidden layer"),
    OPT_REAL(scale, "scale", "s", "0.1", -1e6, 1e6, "factor of what is added"),
    OPT_CHOICE(act, "act", NULL, "relu", hora_bottleneck_acts, "of the hidden layer"),
    OPT_CHOICE(where, "where", NULL, "mlp", "mlp attn attn+mlp", "beside which sublayers"),
    OPT_CHOICE(input, "input", NULL, "norm", "norm residual",
               "what it reads: the sublayer's input, or the residual stream before the norm"),
    OPT_REAL(dropout, "dropout", NULL, "0.1", 0, 0.99, "probability of dropping a hidden number"),
};
static const hora_options options = {"Method adaptformer", rows, HORA_COUNT(rows)};

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    hora_bottleneck_pairs(a, c->where == 0 ? NULL : "attn_adapter",
                          c->where == 1 ? NULL : "adapter", c->width);
    return HORA_OK;
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    return hora_bottleneck_pairs_add(n, a, layer, where, s->y, c->input ? s->res : s->x,
                                     hora_bottleneck_act(c->act), c->dropout, c->scale);
}

const hora_method hora_method_adaptformer = {
    .name = "adaptformer",
    .summary = "a bottleneck beside the feed-forward, its result scaled down",
    .form = "y <- y + s f(z), f(z) = W_up act(W_down z + b_down) + b_up, z the sublayer's input",
    .paper = "arXiv 2205.13535",
    .alias = "parallel",
    .alias_options = "where=attn+mlp,scale=1,dropout=0",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.block = block},
    .setup = setup,
    HORA_DELTA_CALLBACKS,
};
