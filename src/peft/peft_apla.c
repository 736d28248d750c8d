/*
 * APLA: of each block only the projection behind attention trains, whole. [arXiv 2503.11335; its
 * variant that trains a random part of the columns is not here]
 */
#include "peft/replaced.h"
#include "peft/targets.h"

typedef struct config {
    hora_target_options target;
    hora_peft_config peft;
    bool bias;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_LIST(target.layers, "layers", "layers_to_transform", NULL, "LIST", "only these layers"),
    OPT_BOOL(bias, "bias", NULL, "true", "its bias trains too, where there is one"),
};
static const hora_options options = {"Method apla", rows, HORA_COUNT(rows)};

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    const hora_base *b = a->base;
    const hora_target_options t = {.targets = (char[]){"o"}, .layers = c->target.layers};
    HORA_TRY(hora_targets_parse(&c->peft, &t, b));
    bool *on = hora_calloc((size_t)b->nsites + 1, sizeof *on);
    hora_status s = hora_targets_match(&c->peft, b, b->nsites, true, on);
    for (int i = 0; i < b->nsites && !s; i++) {
        if (!on[i])
            continue;
        hora_adapter_replace(a, b->sites[i].weight, b->weights[b->sites[i].weight].name);
        if (c->bias && b->sites[i].bias >= 0)
            hora_adapter_replace(a, b->sites[i].bias, b->weights[b->sites[i].bias].name);
    }
    hora_free(on);
    return s;
}

static void release(hora_adapter *a) {
    hora_peft_config_release(&((config *)a->config)->peft);
}

const hora_method hora_method_apla = {
    .name = "apla",
    .summary = "the projection behind attention trains whole",
    .form = "W_o and b_o of each block train",
    .paper = "arXiv 2503.11335",
    .default_lr = 1e-4,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "it puts other values in the place of base weights",
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
    .release = release,
    HORA_DELTA_FOLDER,
};
