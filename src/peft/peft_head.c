/* Head only: the output layer trains on frozen features; the linear probe. */
#include "peft/replaced.h"

static hora_status setup(hora_adapter *a) {
    if (a->base->tied)
        return hora_fail(HORA_EUNSUPPORTED,
                         "this model's head is its embedding (tie_word_embeddings); training it "
                         "would change both, use method full");
    const hora_base *b = a->base;
    if (b->head < 0)
        return hora_fail(HORA_EUNSUPPORTED,
                         "this model has no head as it stands; say what it is for (--task)");
    hora_adapter_replace(a, b->head, b->weights[b->head].name);
    if (b->head_bias >= 0)
        hora_adapter_replace(a, b->head_bias, b->weights[b->head_bias].name);
    for (int i = 0; b->neck_trains && i < b->nneck; i++)
        hora_adapter_replace(a, b->neck[i], b->weights[b->neck[i]].name);
    return HORA_OK;
}

const hora_method hora_method_head = {
    .name = "head",
    .summary = "output head only",
    .form = "the output head trains",
    .default_lr = 1e-3,
    .unrouted = "it puts other values in the place of base weights",
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
    HORA_DELTA_FOLDER,
};
