/*
 * Coeff-Tuning: the attention maps of a block are recombined over its heads before they meet the
 * values. [arXiv 2503.18337]
 *
 *   P+_g = P_g + sum_h M[g,h] P_h     M (H, H) of each block, dropout on its entries; y_g = P+_g V
 *
 * M = 0 at the start: the base. Query heads mix; each keeps the values of its own. With a key/value
 * cache the maps are recombined likewise. Does not merge: an attention has no weight for it.
 */
#include "base/text.h"
#include "peft/replaced.h"

typedef struct config {
    double dropout;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_REAL(dropout, "dropout", NULL, "0", 0, 0.99, "probability of dropping a coefficient"),
};
static const hora_options options = {"Method head_mix", rows, HORA_COUNT(rows)};

/* state: a parameter per block */
static hora_status setup(hora_adapter *a) {
    const hora_base *b = a->base;
    hora_param **mix = a->state = hora_calloc((size_t)b->layers + 1, sizeof *mix);
    for (int i = 0; i < b->layers; i++) {
        char *name = hora_format("layers.%d.mix", i);
        mix[i] = hora_adapter_param(a, name, HORA_SHAPE2(b->heads, b->heads),
                                    (hora_init){.kind = HORA_INIT_ZERO});
        mix[i]->layer = i;
        hora_free(name);
    }
    return HORA_OK;
}

static void attend(hora_net *n, hora_adapter *a, int layer, hora_attend *t) {
    const config *c = a->config;
    if (t->mix != HORA_NONE) {
        hora_graph_error(n->g, hora_fail(HORA_EUSAGE, "two adapters mix the heads of attention; "
                                                      "leave that to one"));
        return;
    }
    t->mix = hora_dropout(n->g, hora_net_param(n, ((hora_param **)a->state)[layer]),
                          hora_net_dropout(n, c->dropout), hora_net_stream(n, a, "head_mix", 0));
}

const hora_method hora_method_head_mix = {
    .name = "head_mix",
    .summary = "attention maps recombined over the heads: H x H numbers a block",
    .form = "y_g = (P_g + sum_h M[g,h] P_h) V",
    .paper = "arXiv 2503.18337",
    .default_lr = 1e-2,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "it recombines the heads in all of a batch",
    .hooks = {.attend = attend},
    .setup = setup,
    HORA_DELTA_CALLBACKS,
};
