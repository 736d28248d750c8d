#ifndef HORA_PEFT_PROMPTS_H
#define HORA_PEFT_PROMPTS_H
/*
 * How prompts lie on disk: PEFT's files with `prompt_embeddings` alone; and where a network makes
 * them, hora_state.safetensors beside, with the parameters "prompt_encoder...", from which training
 * goes on. And what prompts in front of texts share.
 */
#include "peft/typed.h"

/* Configurations begin with it where prompts are rows in front of texts. */
typedef struct hora_prompt_config {
    hora_typed typed;
    int64_t n;
    int64_t layers, heads, width, submodules; /* of the model, for PEFT's file */
} hora_prompt_config;

#define HORA_PROMPT_OPTIONS                                                                        \
    OPT_INT(prompt.n, "virtual_tokens", "num_virtual_tokens", "20", 1, 65536,                      \
            "rows in front of every text"),                                                        \
        OPT_INT(prompt.layers, "num_layers", NULL, NULL, 0, 1 << 20,                               \
                "of the model; written for PEFT"),                                                 \
        OPT_INT(prompt.heads, "num_attention_heads", NULL, NULL, 0, 1 << 20,                       \
                "of the model; written for PEFT"),                                                 \
        OPT_INT(prompt.width, "token_dim", NULL, NULL, 0, 1 << 20,                                 \
                "width of the model; written for PEFT"),                                           \
        OPT_INT(prompt.submodules, "num_transformer_submodules", NULL, "1", 1, 1,                  \
                "1: no encoder beside a decoder; written for PEFT")
#define HORA_PROMPT_KEYS                                                                           \
    "num_virtual_tokens num_layers num_attention_heads token_dim num_transformer_submodules"

/* Texts alone, of the width that a folder says; fills what PEFT's file says of the model. */
hora_status hora_prompt_check(hora_adapter *a);
int64_t hora_prompt_slots(const hora_adapter *a); /* hook `slots` */

/* Declares "prompt_encoder.default.NAME", a parameter of the network that makes prompts. */
hora_param *hora_prompt_network(hora_adapter *a, const char *name, hora_shape shape,
                                hora_init init);
/* The tensor *made of the preludes from the parameters' present values, f32, as it lies. */
hora_status hora_prompt_evaluate(hora_adapter *a, const hora_t *made, float *out);
/* `values`: the prompts that a network made, f32 of that shape; NULL: they are parameters. */
hora_status hora_prompt_save(hora_adapter *a, const char *dir, float *values, hora_shape shape);
/* PEFT's type, with a network beside it or without. */
bool hora_prompt_claims(const hora_method *m, const hora_foreign *f);
hora_status hora_prompt_load(hora_adapter *a, const hora_foreign *f);
#endif
