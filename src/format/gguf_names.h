#ifndef HORA_FORMAT_GGUF_NAMES_H
#define HORA_FORMAT_GGUF_NAMES_H
/*
 * The LLaMA family as llama.cpp names it: architectures, tensors, the order of rows.
 * Source: github.com/ggml-org/llama.cpp, gguf-py/gguf/constants.py and tensor_mapping.py,
 * conversion/llama.py (the permutation).
 */
#include "base/mem.h"

typedef struct hora_gguf_arch {
    const char *name; /* general.architecture */
    const char
        *model_types; /* of config.json that are written so, blanks between; the first is what
                              * a file is read as */
    bool head_keys, vocab_keys; /* its files say the width of heads; the size of the vocabulary */
    bool permuted;              /* rows of q and k lie pair by pair, not half by half */
} hora_gguf_arch;

/* NULL: llama.cpp has no such architecture, or hora does not know it. */
const hora_gguf_arch *hora_gguf_arch_of(const char *model_type);
const hora_gguf_arch *hora_gguf_arch_named(const char *name);
/* "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight"; new string, NULL: no such
 * name. And back. */
char *hora_gguf_name(const char *hf_name);
char *hora_gguf_hf_name(const char *gguf_name);
/* Row of the GGUF tensor where row `r` of a q or k projection with heads of `head_dim` rows lies:
 * (h, half, i) of 2 x head_dim/2 goes to (h, i, half). */
int64_t hora_gguf_row(int64_t r, int64_t head_dim);
int64_t hora_gguf_row_back(int64_t r, int64_t head_dim); /* the reverse */
#endif
