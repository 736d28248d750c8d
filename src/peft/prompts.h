#ifndef HORA_PEFT_PROMPTS_H
#define HORA_PEFT_PROMPTS_H
/*
 * How prompts lie on disk: PEFT's files with `prompt_embeddings` alone; and where a network makes
 * them, hora_state.safetensors beside, with the parameters "prompt_encoder...", from which training
 * goes on.
 */
#include "peft/typed.h"

/* `values`: the prompts that a network made, f32 of that shape; NULL: they are parameters. */
hora_status hora_prompt_save(hora_adapter *a, const char *dir, float *values, hora_shape shape);
hora_status hora_prompt_load(hora_adapter *a, const hora_foreign *f);
#endif
