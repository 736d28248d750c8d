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

/* Options of the fields rank, alpha and dropout. */
#define HORA_RANK_OPTION OPT_INT(rank, "rank", "r", "8", 1, 65536, "rank of the update")
#define HORA_ALPHA_OPTION                                                                          \
    OPT_REAL(alpha, "alpha", "lora_alpha", NULL, 0, 0,                                             \
             "scale is alpha / rank; default twice the rank")
#define HORA_DROPOUT_OPTION                                                                        \
    OPT_REAL(dropout, "dropout", "lora_dropout", "0", 0, 0.99,                                     \
             "probability of dropping an input of A")
#define HORA_LOWRANK_OPTIONS HORA_RANK_OPTION, HORA_ALPHA_OPTION, HORA_DROPOUT_OPTION

/* `alpha`, or its default. */
double hora_lowrank_alpha(int64_t rank, double alpha);
/* In setup: fills in the default of *alpha, and puts the three into PEFT's structure. */
void hora_lowrank_scale(hora_peft_config *p, int64_t rank, double *alpha, double dropout);

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
