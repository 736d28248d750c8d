/* The last blocks train whole, nothing else: the cheap end of full fine-tuning. */
#include "peft/replaced.h"

typedef struct config {
    int64_t layers;
    bool norm;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(layers, "last", "k", "2", 1, 1 << 20, "blocks that train, counted from the last"),
    OPT_BOOL(norm, "final_norm", NULL, "true", "the norm behind the last block trains too"),
};
static const hora_options options = {"Method last_layers", rows, HORA_COUNT(rows)};

/* A norm outside of the blocks, behind all of them. */
static bool is_final_norm(const hora_base *b, int w) {
    int last = -1;
    for (int i = 0; i < b->nweights; i++)
        if (b->weights[i].layer >= 0)
            last = i;
    return b->weights[w].layer < 0 && b->weights[w].role == HORA_ROLE_NORM && w > last;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const hora_base *b = a->base;
    if (c->layers > b->layers)
        return hora_fail(HORA_EUSAGE, "last=%lld: the model has %lld blocks", (long long)c->layers,
                         (long long)b->layers);
    for (int w = 0; w < b->nweights; w++)
        if (b->weights[w].layer >= b->layers - c->layers || (c->norm && is_final_norm(b, w)))
            hora_adapter_replace(a, w, b->weights[w].name);
    return HORA_OK;
}

const hora_method hora_method_last_layers = {
    .name = "last_layers",
    .summary = "the last blocks train whole",
    .form = "every W and b of the last k blocks trains",
    .default_lr = 2e-5,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "it puts other values in the place of base weights",
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
    HORA_DELTA_FOLDER,
};
