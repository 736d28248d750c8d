#ifndef HORA_INFER_ATTENTION_MAPS_H
#define HORA_INFER_ATTENTION_MAPS_H
/*
 * What a Vision Transformer looks at: the attention of every head, and how it flows through the
 * layers. An adapter without parameters stands in front of the others and keeps what q and k gave;
 * softmax(q k' / sqrt(head_dim)) is computed from them afterwards.
 */
#include "infer/forward.h"

typedef struct hora_attention_maps {
    int64_t layers, heads, rows; /* rows: of the sample */
    float *at;                   /* (layers, heads, rows, rows): share of key j for query i */
} hora_attention_maps;
/* Of sample 0 of a batch of pictures. HORA_EUNSUPPORTED for a model of text, or an adapter that
 * puts keys of its own in front. */
hora_status hora_attention_maps_run(hora_attention_maps *m, const hora_forward *f,
                                    const hora_forward_batch *b);
void hora_attention_maps_release(hora_attention_maps *m);
/* out (rows): what query i reads through all layers: products of (mean over heads + I) / 2
 * [Abnar and Zuidema 2020, rollout]; i -1: mean over the queries. */
void hora_attention_rollout(const hora_attention_maps *m, int64_t i, float *out);
#endif
