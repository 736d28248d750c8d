#include <math.h>

#include "peft/lowrank.h"

char *hora_lowrank_name(const hora_site *s, char side) {
    return hora_format("base_model.model.%s.lora_%c.weight", s->module, side);
}

void hora_lowrank_params(hora_adapter *ad, const hora_site *s, int64_t rank, hora_param **a,
                         hora_param **b) {
    char *na = hora_lowrank_name(s, 'A'), *nb = hora_lowrank_name(s, 'B');
    *a = hora_adapter_param(ad, na, HORA_SHAPE2(rank, s->in),
                            (hora_init){HORA_INIT_UNIFORM, 1 / sqrt((double)s->in), NULL});
    *b =
        hora_adapter_param(ad, nb, HORA_SHAPE2(s->out, rank), (hora_init){HORA_INIT_ZERO, 0, NULL});
    (*a)->layer = (*b)->layer = s->layer;
    (*b)->lora_b = true;
    hora_free(na);
    hora_free(nb);
}
