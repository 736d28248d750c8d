#ifndef HORA_INFER_WATCH_H
#define HORA_INFER_WATCH_H
/*
 * What q and k of every layer give in a recording: an adapter without parameters stands in front of
 * the others and makes them outputs of the graph.
 */
#include "nn/net.h"

typedef struct hora_watch {
    hora_t *q, *k;      /* per layer, once the recording is made */
    hora_adapter spy;   /* the first of `all`; the watch must stay where it is */
    hora_adapter **all; /* for hora_recording_parts */
    int n;
} hora_watch;

/* `adapters` are borrowed until hora_watch_close. */
void hora_watch_open(hora_watch *w, const hora_base *b, hora_adapter *const *adapters, int n);
void hora_watch_close(hora_watch *w);
/* For hora_recording_parts.outputs: nothing more than what is watched. */
void hora_watch_outputs(hora_net *n, hora_t hidden, void *user);
#endif
