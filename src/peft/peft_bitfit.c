/* BitFit: the biases train, nothing else. [bitfit, arXiv 2106.10199] */
#include "peft/replaced.h"
#include "peft/targets.h"

typedef struct config {
    hora_target_options target;
    hora_peft_config peft;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_LIST(target.targets, "targets", "target_modules", NULL, "LIST",
             "biases of these sites only: q k v o gate up down, module names, re:REGEX"),
    OPT_LIST(target.layers, "layers", "layers_to_transform", NULL, "LIST", "only these layers"),
};
static const hora_options options = {"Method bitfit", rows, HORA_COUNT(rows)};

static bool in_layers(const hora_peft_config *c, int layer) {
    bool found = !c->n_layers;
    for (int i = 0; i < c->n_layers; i++)
        found |= c->layers[i] == layer;
    return found;
}

/* Index of a weight -> whether it trains. */
static hora_status choose(const hora_adapter *a, config *c, bool *on) {
    const hora_base *b = a->base;
    HORA_TRY(hora_targets_parse(&c->peft, &c->target, b));
    for (int w = 0; w < b->nweights && !c->target.targets; w++)
        on[w] = b->weights[w].role == HORA_ROLE_BIAS && in_layers(&c->peft, b->weights[w].layer);
    if (!c->target.targets)
        return HORA_OK;
    bool *site = hora_calloc((size_t)b->nsites + 1, sizeof *site);
    hora_status s = hora_targets_match(&c->peft, b, b->nsites, true, site);
    for (int i = 0; i < b->nsites; i++)
        if (site[i] && b->sites[i].bias >= 0)
            on[b->sites[i].bias] = in_layers(&c->peft, b->sites[i].layer);
    hora_free(site);
    return s;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    bool *on = hora_calloc((size_t)a->base->nweights + 1, sizeof *on);
    hora_status s = choose(a, c, on);
    for (int w = 0; w < a->base->nweights && !s; w++)
        if (on[w])
            hora_adapter_replace(a, w, a->base->weights[w].name);
    hora_free(on);
    if (s || a->nparams)
        return s;
    return hora_fail(HORA_EUNSUPPORTED,
                     "this model (%s) has no biases to train%s; Qwen2 has, or use lora",
                     a->base->model_type, c->target.targets ? " at these targets" : "");
}

static void release(hora_adapter *a) {
    config *c = a->config;
    hora_peft_config_release(&c->peft);
}

const hora_method hora_method_bitfit = {
    .name = "bitfit",
    .summary = "biases only",
    .form = "every b trains",
    .paper = "arXiv 2106.10199",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "it puts other values in the place of base weights",
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
    .release = release,
    HORA_DELTA_FOLDER,
};
