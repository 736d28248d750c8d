#ifndef HORA_TASK_TASK_H
#define HORA_TASK_TASK_H
/*
 * What a model is trained to do: head and loss on top of the last hidden state.
 */
#include "nn/net.h"

typedef struct hora_recording {
    hora_graph *g; /* NULL: not recorded */
    hora_net net;
    hora_t loss;
} hora_recording;
typedef struct hora_recording_parts {
    const hora_base *base;
    hora_adapter *const *adapters;
    int nadapters;
    hora_device *device;
    const char *backends;
    int64_t rows;
    bool train; /* dropout and a loss to differentiate */
} hora_recording_parts;
void hora_recording_init(hora_recording *r, const hora_recording_parts *p);
void hora_recording_release(hora_recording *r);
/* Causal language modelling: head and cross-entropy on top of the last hidden state. */
hora_t hora_task_causal(hora_net *n, hora_t hidden);
#endif
