#ifndef HORA_PEFT_REPLACED_H
#define HORA_PEFT_REPLACED_H
/*
 * What methods share that train base weights (hora_adapter_replace), and the ready-made callbacks
 * of two folders: delta.safetensors with delta_config.json, which names the method and its options;
 * or a whole model directory. The first serves any method that PEFT does not know.
 */
#include "peft/peft.h"

#define HORA_DELTA_CALLBACKS                                                                       \
    .claims = hora_delta_claims, .configure = hora_delta_configure, .save = hora_delta_save,       \
    .load = hora_delta_load
#define HORA_DELTA_FOLDER                                                                          \
    HORA_DELTA_CALLBACKS, .merge = hora_replaced_merge, .combine = hora_replaced_combine
#define HORA_MODEL_FOLDER                                                                          \
    .claims = hora_model_claims, .save = hora_model_save, .load = hora_model_load,                 \
    .merge = hora_replaced_merge

bool hora_delta_claims(const hora_method *m, const hora_foreign *f);
/* The options that were saved; folders of version 0.1 have none, and mean the defaults. */
hora_status hora_delta_configure(const hora_method *m, void *config, const hora_foreign *f);
hora_status hora_delta_save(hora_adapter *a, const char *dir);
hora_status hora_delta_load(hora_adapter *a, const hora_foreign *f);

bool hora_model_claims(const hora_method *m, const hora_foreign *f);
hora_status hora_model_save(hora_adapter *a, const char *dir);
hora_status hora_model_load(hora_adapter *a, const hora_foreign *f);

hora_status hora_replaced_merge(hora_adapter *a, const hora_merging *m); /* nothing is left to do */
/* W + sum of w_i (W_i - W) in each place: changes of whole weights add up [ours: PEFT puts none of
 * these together]. The first adapter's options stand; what another trains and it does not, a task's
 * head, parameters of another kind are HORA_EUNSUPPORTED. */
hora_status hora_replaced_combine(hora_adapter **out, hora_adapter *const *at, int n);
#endif
