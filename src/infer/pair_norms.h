#ifndef HORA_INFER_PAIR_NORMS_H
#define HORA_INFER_PAIR_NORMS_H
/*
 * How large the rotary pairs of queries and keys are on a text: what decides which of them stay
 * rotary in a latent model (2-norm contribution, MHA2MLA, arXiv 2502.14837, section on partial
 * rotary positions).
 */
#include "graph/graph.h"
#include "nn/net.h"

typedef struct hora_pair_norms {
    double *q, *k; /* (layers, H, head_dim / 2), (layers, G, head_dim / 2): means over the tokens of
                      |(x_l, x_(l + head_dim/2))|, in front of the rotation */
    int64_t tokens;
} hora_pair_norms;
/* ids (n >= 1) in pieces of at most 512 tokens, each on its own. HORA_EUNSUPPORTED for an encoder
 * or a model of pictures. adapters: as of a decoder. */
hora_status hora_pair_norms_run(hora_pair_norms *out, const hora_base *b,
                                hora_adapter *const *adapters, int nadapters, hora_device *device,
                                const int32_t *ids, size_t n);
void hora_pair_norms_release(hora_pair_norms *p);
#endif
