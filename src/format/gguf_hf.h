#ifndef HORA_FORMAT_GGUF_HF_H
#define HORA_FORMAT_GGUF_HF_H
/*
 * A GGUF file as the Hugging Face directory it was made from: config.json out of its keys, tensors
 * under their names there. Families, tokenizers and everything behind them need not know the
 * difference. What a file says and we would compute otherwise is refused by its key.
 * Source: github.com/ggml-org/llama.cpp, gguf-py/gguf/constants.py, src/llama-model.cpp.
 */
#include "base/json.h"
#include "format/gguf.h"
#include "format/gguf_names.h"

/* A model in one file: GGUF, or a JAX checkpoint (format/jax_vit.h). */
bool hora_model_file(const char *path);
/* A model's folder, or such a file. */
bool hora_model_path(const char *path);
/* config.json of a model of the LLaMA family, in the spelling of hf_config.h; new. HORA_EFORMAT for
 * keys that are missing, of another type or contradict each other, HORA_EUNSUPPORTED for other
 * architectures and what they have that the family has not. */
hora_status hora_gguf_config(hora_json **out, const hora_gguf *g);
/* Rows of a head, an even number; HORA_EFORMAT where the keys give none. */
hora_status hora_gguf_head_dim(const hora_gguf *g, const hora_gguf_arch *arch, int64_t *out);
/* The lists of the vocabulary agree with each other and with the tensors, and the special ids are
 * among them. *tokens: how many. */
hora_status hora_gguf_vocabulary(const hora_gguf *g, int64_t *tokens);
#endif
