#ifndef HORA_PEFT_LOWRANK_H
#define HORA_PEFT_LOWRANK_H
/*
 * What low-rank methods share: free factors of a site, PEFT's names for them, and the ready-made
 * callbacks of a method that has `factors` and `peft_config`: adapter_config.json with
 * adapter_model.safetensors, which PEFT, vLLM and llama.cpp's converter load as they are.
 */
#include "peft/store.h"
#include "peft/targets.h"

#define HORA_LOWRANK_FOLDER                                                                        \
    .claims = hora_lowrank_claims, .save = hora_lowrank_save, .load = hora_peft_files_load,        \
    .merge = hora_lowrank_merge

/* PEFT's LoRA without native state beside it. */
bool hora_lowrank_claims(const hora_method *m, const hora_foreign *f);
/* Factors of all sites, whatever modules_to_save names, and the configuration. */
hora_status hora_lowrank_save(hora_adapter *a, const char *dir);
/* The same of an adapter that has been materialised. */
hora_status hora_lowrank_write(hora_adapter *a, const char *dir);
/* W + s B A, with a magnitude c (W + s B A). */
hora_status hora_lowrank_merge(hora_adapter *a, const hora_merging *m);

/* "base_model.model.MODULE.lora_A.weight" (side 'A' or 'B'), of the embedding
 * "...lora_embedding_A"; new string. */
char *hora_lowrank_name(const hora_site *s, char side);
/* Declares A (rank, in) with LoRA's draw and B (out, rank) = 0 under PEFT's names; of the embedding
 * A = 0 and B normal, as PEFT has it; whole: those of the module that holds the site and others. */
void hora_lowrank_params(hora_adapter *ad, const hora_site *s, int64_t rank, bool whole,
                         hora_param **a, hora_param **b);
#endif
