#ifndef HORA_PEFT_BESIDE_H
#define HORA_PEFT_BESIDE_H
/*
 * Methods that PEFT does not know and that are a plain LoRA to everybody else: PEFT's files for
 * others, and beside them hora_state.safetensors, the parameters from which training goes on. Its
 * metadata holds the method, its options as text and a hash of the factors. Parameters of the state
 * have names that begin with "layers."; what is trained whole lies in PEFT's file.
 */
#include "peft/lowrank.h"

#define HORA_BESIDE_FOLDER                                                                         \
    .claims = hora_beside_claims, .configure = hora_beside_configure, .save = hora_beside_save,    \
    .load = hora_beside_load

bool hora_beside_claims(const hora_method *m, const hora_foreign *f);
hora_status hora_beside_configure(const hora_method *m, void *config, const hora_foreign *f);
/* State first: a folder that a kill left half done is then never taken for a plain LoRA. */
hora_status hora_beside_save(hora_adapter *a, const char *dir);
/* The same with metadata of one's own; a hash of the factors is added. */
hora_status hora_beside_write(hora_adapter *a, const char *dir, hora_pair *meta, int n);
/* Reads the state and compares it with the factors beside it: by hash where one is stored, else by
 * value. */
hora_status hora_beside_load(hora_adapter *a, const hora_foreign *f);
#endif
