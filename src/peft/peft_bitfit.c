/* BitFit: the biases train, nothing else. [bitfit, arXiv 2106.10199] */
#include "peft/peft.h"

static hora_status setup(hora_adapter *a) {
    for (int w = 0; w < a->base->nweights; w++)
        if (a->base->weights[w].role == HORA_ROLE_BIAS)
            hora_adapter_replace(a, w, a->base->weights[w].name);
    if (!a->nparams)
        return hora_fail(HORA_EUNSUPPORTED,
                         "this model (%s) has no biases to train; Qwen2 has, or use lora",
                         a->base->model_type);
    return HORA_OK;
}

const hora_method hora_method_bitfit = {
    .name = "bitfit",
    .summary = "biases only",
    .paper = "arXiv 2106.10199",
    .default_lr = 1e-3,
    .traits = HORA_TRAIT_WEIGHTS,
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
};
