#ifndef HORA_NN_RECORDING_H
#define HORA_NN_RECORDING_H
/*
 * One recording of a model with methods attached, from graph to memory: record, plan, bind,
 * prepare, run, free. Training, evaluation, one pass, decoding and the evaluation of generated
 * factors differ in the two functions that they record:
 *
 *   hora_recording r;
 *   hora_recording_init(&r, &parts);                    model(net), then outputs(net, hidden, user)
 *   hora_graph_plan(r.g, &options);                     no memory yet
 *   hora_recordings_prepare((hora_recording *[]){&r}, 1, "evaluation");
 *   hora_recording_run(&r, &batch);                     or before, body, after of graph.h
 *   hora_recording_release(&r);
 */
#include "nn/net.h"

typedef struct hora_recording_parts { /* all borrowed for the life of the recording */
    const hora_base *base;
    hora_adapter *const *adapters;
    int nadapters;
    hora_device *device;
    const char *backends; /* NULL: the registry's order */
    int64_t rows;         /* largest batch */
    hora_net_mode mode;
    hora_drops drops; /* of HORA_NET_TRAIN */
    /* The family's recording, from the batch to the last hidden state (rows, hidden). NULL: what
     * methods make of parameters alone, in the dtype of these. */
    hora_t (*model)(hora_net *n);
    /* Head, loss and what is to be read, on top of it; NULL: nothing. */
    void (*outputs)(hora_net *n, hora_t hidden, void *user);
    void *user;
    const hora_view *kcache, *vcache; /* of HORA_NET_DECODE */
    const hora_view *kept;            /* likewise: net.h */
    bool answers;
} hora_recording_parts;

typedef struct hora_recording {
    hora_graph *g; /* NULL: not recorded */
    hora_net net;
    hora_device *device; /* borrowed */
    void *arena;         /* its memory; of the first of those that were prepared together */
    size_t arena_bytes;
    bool backward;
} hora_recording;

/* Records; errors are latched in the graph until it is planned. */
void hora_recording_init(hora_recording *r, const hora_recording_parts *p);
/* Gives n planned recordings that never run at the same time one arena, as large as the largest
 * needs (owned by the first, `what` names it when memory is short), binds parameters and frozen
 * weights, prepares the kernels. Recordings without a graph are passed over. */
hora_status hora_recordings_prepare(hora_recording *const *r, int n, const char *what);
/* The three of them for a recording on its own. */
hora_status hora_recording_open(hora_recording *r, const hora_recording_parts *p,
                                const hora_plan_options *o, const char *what);
/* One whole pass: before, body, and after where there is a backward. */
void hora_recording_run(hora_recording *r, const hora_batch *batch);
void hora_recording_release(hora_recording *r); /* accepts one without a graph */
#endif
