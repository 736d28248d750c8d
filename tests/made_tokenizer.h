#ifndef HORA_MADE_TOKENIZER_H
#define HORA_MADE_TOKENIZER_H
/*
 * Tokenizers written in a test, in its temporary folder. JSON here is written with ' for ".
 */
#include "hora_test.h"
#include "token/tokenizer.h"

char *made_quoted(const char *s); /* new string, ' made " */
/* A folder with one file of these bytes, and tokenizer_config.json (NULL: as it is there). */
hora_status made_open_in(hora_tokenizer **t, const char *name, const void *data, size_t n,
                         const char *config);
hora_status made_open(hora_tokenizer **t, const char *json);
hora_tokenizer *made_tokenizer(const char *json); /* must open */
/* Tokens of a text, joined by '|'. */
void made_tokens_are(const hora_tokenizer *t, const char *text, bool special, const char *want);
/* Decodes tokens given by spelling. */
void made_decodes_to(const hora_tokenizer *t, const char *const *tokens, int n, bool stable,
                     const char *want);
#define DECODES(t, stable, want, ...)                                                              \
    do {                                                                                           \
        static const char *const k_[] = {__VA_ARGS__};                                             \
        made_decodes_to(t, k_, (int)HORA_COUNT(k_), stable, want);                                 \
    } while (0)

#define MODEL(extra, vocab, merges)                                                                \
    "'model': {'type': 'BPE', " extra " 'vocab': {" vocab "}, 'merges': [" merges "]}"
#endif
