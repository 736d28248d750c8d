#ifndef HORA_MODEL_VOCABULARY_H
#define HORA_MODEL_VOCABULARY_H
/* Embedding and head that come with an adapter, because tokens were added to its base: PEFT writes
 * both beside it, whole, and loads it onto a base that was resized first. */
#include "format/safetensors.h"
#include "nn/base.h"

typedef struct hora_vocabulary {
    hora_st *st; /* the adapter's file; NULL: its vocabulary is the base's */
    int64_t rows;
} hora_vocabulary;

/*
 * Looks into adapter_model.safetensors of folder `dir`. v->st stays NULL where there is none, where
 * it holds no embedding, or one of as many rows as the base's. HORA_EMISMATCH: of another number,
 * but what else has as many rows (the head) is missing. `b` is configured and without data.
 */
hora_status hora_vocabulary_open(hora_vocabulary *v, const hora_base *b, const char *dir);
/* The tensor that is weight `w` of the resized base; NULL: it is the base's own. */
const hora_st_tensor *hora_vocabulary_find(const hora_vocabulary *v, const hora_base *b,
                                           const hora_weight *w);
/* A tokenizer lies in the folder. */
bool hora_vocabulary_tokenizer(const char *dir);
void hora_vocabulary_close(hora_vocabulary *v);
#endif
