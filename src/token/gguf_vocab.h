#ifndef HORA_TOKEN_GGUF_VOCAB_H
#define HORA_TOKEN_GGUF_VOCAB_H
/* A model's vocabulary as llama.cpp's converter writes it into a GGUF file. */
#include "format/gguf.h"
#include "token/tokenizer.h"

/* Puts tokenizer.* keys: tokens (filled up to `rows`, the embedding's rows, with unused ones),
 * types, scores or merges, special ids, the chat template. `model`: the folder or the GGUF file
 * that `t` was opened from. Scores are tokenizer.model's, else minus the rank of the first merge
 * that makes the piece. HORA_EUNSUPPORTED for tokenizers that llama.cpp has no name for. */
hora_status hora_gguf_put_vocabulary(hora_gguf_out *o, const hora_tokenizer *t, const char *model,
                                     int64_t rows);
/* The tokenizer.ggml.pre of a tokenizer.json, a constant; *out NULL: none that hora knows. Fails
 * without memory. */
hora_status hora_gguf_pre_tokenizer(const hora_json *tokenizer, const char **out);
#endif
