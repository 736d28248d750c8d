#ifndef HORA_TASK_EMBED_H
#define HORA_TASK_EMBED_H
/*
 * One vector for a text, from the last hidden state, as the folder of a sentence-transformers model
 * says: modules.json (Transformer, Pooling, Normalize), the configuration of its Pooling module,
 * max_seq_length of sentence_bert_config.json. A folder without them: the mean, normalised.
 */
#include "base/json.h"

typedef enum { HORA_EMBED_MEAN, HORA_EMBED_FIRST, HORA_EMBED_LAST } hora_embed_pool;
typedef struct hora_embedding {
    hora_embed_pool pool;
    bool normalised; /* to length 1 */
    int64_t most;    /* tokens of a text, special ones included; 0: not said */
} hora_embedding;
/* HORA_EUNSUPPORTED names a module or a way of pooling that is not computed here. */
hora_status hora_embedding_read(hora_embedding *e, const char *dir);
/* hidden (t, d) of one text, of which mask (t; NULL: all) says what counts -> out (d). Sums in
 * double. */
void hora_embedding_run(const hora_embedding *e, const float *hidden, const int32_t *mask,
                        int64_t t, int64_t d, float *out);
#endif
