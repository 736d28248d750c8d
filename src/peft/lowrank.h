#ifndef HORA_PEFT_LOWRANK_H
#define HORA_PEFT_LOWRANK_H
/* What low-rank methods share: free factors of a site, and PEFT's names for them. */
#include "peft/targets.h"

/* "base_model.model.MODULE.lora_A.weight" (side 'A' or 'B'); new string. */
char *hora_lowrank_name(const hora_site *s, char side);
/* Declares A (rank, in) with LoRA's draw and B (out, rank) = 0 under PEFT's names. */
void hora_lowrank_params(hora_adapter *ad, const hora_site *s, int64_t rank, hora_param **a,
                         hora_param **b);
#endif
