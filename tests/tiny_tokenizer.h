#ifndef HORA_TINY_TOKENIZER_H
#define HORA_TINY_TOKENIZER_H
/*
 * A tokenizer small enough to work out by hand, for tests of the data room: a token per printable
 * ASCII character and line break, four merges (yz before xy; ab, then abc), BOS put in front by the
 * post-processor, EOS, and three special tokens for conversations: <|u|> <|a|> <|end|>.
 */
#include "token/tokenizer.h"

enum { TINY_UNK, TINY_BOS, TINY_EOS, TINY_U, TINY_A, TINY_END, TINY_FIRST };
hora_tokenizer *tiny_tokenizer(void); /* its files lie in the test's temporary folder */
int32_t tiny_id(const hora_tokenizer *t, const char *token); /* fails the test when absent */
/* Its chat template: <|u|>..<|end|><|a|>..<|end|> */
extern const char tiny_chat[];
#endif
