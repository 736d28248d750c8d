/* Full fine-tuning: every weight trains. OUT is a model directory. */
#include "peft/peft.h"

static hora_status setup(hora_adapter *a) {
    for (int w = 0; w < a->base->nweights; w++)
        hora_adapter_replace(a, w, a->base->weights[w].name);
    return HORA_OK;
}

const hora_method hora_method_full = {
    .name = "full",
    .summary = "every weight trains; the yardstick of the others",
    .default_lr = 2e-5,
    .traits = HORA_TRAIT_WEIGHTS | HORA_TRAIT_MODEL,
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
};
