#ifndef HORA_PEFT_BOTTLENECK_H
#define HORA_PEFT_BOTTLENECK_H
/*
 * A small network with one hidden layer beside or behind a sublayer: what bottleneck adapters
 * share.
 *
 *   f(z) = W_up act(W_down dropout?(z) + b_down) + b_up     W_down (k, d), W_up (d, k)
 *
 * W_up = 0, b_up = 0: training starts at the base.
 */
#include "peft/peft.h"

typedef struct hora_bottleneck { /* of one sublayer; zeroed: none */
    hora_param *down, *down_bias, *up, *up_bias;
} hora_bottleneck;

/* Declares "layers.LAYER.LABEL.{down,up}.{weight,bias}". */
void hora_bottleneck_declare(hora_bottleneck *b, hora_adapter *a, int layer, const char *label,
                             int64_t width);
/* f(z); `dropout` of the hidden layer. */
hora_t hora_bottleneck_record(const hora_bottleneck *b, hora_net *n, const hora_adapter *a,
                              hora_t z, hora_act act, double dropout, int index);

/* One at the attention and one at the feed-forward of every block: all the state of a method,
 * which needs no release. Labels as above; NULL: none there. */
void hora_bottleneck_pairs(hora_adapter *a, const char *attn, const char *mlp, int64_t width);
/* y + scale f(z), or y where that sublayer has none: what the hook `block` gives. */
hora_t hora_bottleneck_pairs_add(hora_net *n, const hora_adapter *a, int layer, hora_where where,
                                 hora_t y, hora_t z, hora_act act, double dropout, double scale);

extern const char hora_bottleneck_acts[]; /* choices of an option, in the order of .. */
hora_act hora_bottleneck_act(int choice);
#endif
