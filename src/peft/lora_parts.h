#ifndef HORA_PEFT_LORA_PARTS_H
#define HORA_PEFT_LORA_PARTS_H
/*
 * PEFT's folder of a LoRA whose sites may be rows of one module on disk (timm's qkv, ModernBERT's
 * Wqkv and Wi). PEFT knows the module alone: A's stand one below the other, B in blocks, magnitudes
 * and biases in the rows of their site; rows without a LoRA have their norms and 0. Exact.
 */
#include "peft/lowrank.h"

/* Writes it: the parameters under their names, those of parts as their module's. */
hora_status hora_parts_save(hora_adapter *a, const char *dir);
/* Reads it, whichever of the two spellings the folder has. HORA_ESHAPE for a file whose module is
 * more than the parts that `a` has. */
hora_status hora_parts_load(hora_adapter *a, const hora_foreign *f);
#endif
