#ifndef HORA_INFER_DIFFER_H
#define HORA_INFER_DIFFER_H
/* How far two models are apart on one batch: what `hora verify` says. */
#include "infer/forward.h"

/* What one of them gave. */
typedef struct hora_outcome {
    float *logits; /* of hora_forward_logits' shape */
    float *blocks; /* (layers, b, rows of a sample, hidden) */
    hora_shape shape, hidden;
    int64_t layers;
} hora_outcome;
/* f: base, objective, adapters and device; memory for results is given and taken here. */
hora_status hora_outcome_run(hora_outcome *o, hora_forward *f, const hora_forward_batch *b);
void hora_outcome_release(hora_outcome *o);

typedef struct hora_difference {
    double largest, mean; /* of logits, absolute */
    double kl;            /* mean of KL(first || second) over rows, in nats */
    double agree;         /* share of rows with the same largest logit */
    int64_t rows;         /* that were compared: padding does not count */
    int layer;            /* the first whose result parts by more than `apart`; -1: none */
    double *blocks;       /* per layer: largest difference beside the largest number; owned */
} hora_difference;
/* HORA_EMISMATCH where shapes differ: other vocabulary or classes. Layers are compared where both
 * have as many of one width. */
hora_status hora_differ(hora_difference *d, const hora_outcome *x, const hora_outcome *y,
                        const hora_forward_batch *b, double apart);
#endif
