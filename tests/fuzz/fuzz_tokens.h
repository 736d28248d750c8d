#ifndef HORA_FUZZ_TOKENS_H
#define HORA_FUZZ_TOKENS_H
/* What must hold of every tokenizer that opens, for the targets of its files. */
#include "token/tokenizer.h"

/* Takes the tokenizer; `s` is how it was opened. */
bool hora_fuzz_tokens(hora_tokenizer *own_t, hora_status s);
/* A text of any bytes through a tokenizer. */
void hora_fuzz_text(const hora_tokenizer *t, const char *text, size_t n);
#endif
