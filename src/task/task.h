#ifndef HORA_TASK_TASK_H
#define HORA_TASK_TASK_H
/*
 * What a model is trained to do: head and loss on top of the last hidden state.
 */
#include "nn/recording.h"

/* What a task records on top of the last hidden state, and where it is found afterwards. */
typedef struct hora_outputs {
    bool want_loss, want_logits; /* in */
    bool differentiate;          /* in: the loss is what backward starts from */
    hora_t loss, logits;         /* out; NONE where not wanted */
} hora_outputs;
/* Causal language modelling, as `outputs` of a recording; `user` is a hora_outputs. */
void hora_task_causal(hora_net *n, hora_t hidden, void *user);
#endif
