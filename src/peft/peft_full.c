/* Full fine-tuning: every weight trains. OUT is a model directory. */
#include "peft/replaced.h"

static hora_status setup(hora_adapter *a) {
    for (int w = 0; w < a->base->nweights; w++)
        if (!a->base->weights[w].tied) /* follows the embedding */
            hora_adapter_replace(a, w, a->base->weights[w].name);
    if (a->base->tied)
        a->replaces[a->base->head] = a->replaces[a->base->embed];
    return HORA_OK;
}

const hora_method hora_method_full = {
    .name = "full",
    .summary = "every weight trains; the yardstick of the others",
    .form = "every W and b trains",
    .default_lr = 2e-5,
    .unrouted = "it puts other values in the place of base weights",
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
    HORA_MODEL_FOLDER,
};
