#ifndef HORA_PEFT_TOKENS_H
#define HORA_PEFT_TOKENS_H
/*
 * Trainable tokens: a few rows of the embedding (of a tied model: of the head too) train, the rest
 * stays frozen. PEFT's trainable_token_indices; format/peft_config.h has the tensor's name.
 *
 *   E' = E + P D     D = T - E[ids]     T (n, hidden) trained, starts as E[ids]
 *   z  = x W' + (x D') P'               P (V, n): 1 where a row is id k, else 0
 *
 * Both are low-rank forms that the graph has already, so nothing of the size of E is made.
 */
#include "peft/peft.h"

typedef struct hora_tokens { /* of one adapter; zeroed: none */
    hora_param *rows;        /* T */
    int32_t *ids;
    int n;
    hora_view picks; /* P, in the adapter's dtype */
    bool head;       /* the head's rows follow: it is tied */
    hora_t p, d;     /* of the recording in progress */
} hora_tokens;

/* Declares T for what `c` asks; nothing where it asks for nothing. */
hora_status hora_tokens_declare(hora_tokens *t, hora_adapter *a, const hora_peft_config *c);
void hora_tokens_release(hora_tokens *t);
/* For the hooks of the method; nothing where there is none. */
void hora_tokens_prelude(hora_tokens *t, hora_net *n);
hora_t hora_tokens_input(const hora_tokens *t, hora_net *n, hora_t h);
void hora_tokens_head(const hora_tokens *t, hora_net *n, const hora_adapter *a, hora_t x,
                      hora_head *h);
/* Puts the rows into what is being merged. */
hora_status hora_tokens_merge(const hora_tokens *t, const hora_adapter *a, const hora_merging *m);
#endif
