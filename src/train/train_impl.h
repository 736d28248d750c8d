#ifndef HORA_TRAIN_TRAIN_IMPL_H
#define HORA_TRAIN_TRAIN_IMPL_H
/*
 * Inside of a training. Files: train_plan.c records, plans, reports; state.c owns the spans of
 * gradients and moments; step.c is one step; eval.c evaluation; checkpoint.c and resume.c the
 * folders; train.c opens, prepares and frees.
 */
#include <stdatomic.h>

#include "train/train.h"

/* --- one recording of the model with its loss
 * ---------------------------------------------------- */
typedef struct recording {
    hora_graph *g; /* NULL: not recorded */
    hora_net net;
    hora_t loss;
} recording;
typedef struct recording_parts {
    const hora_base *base;
    hora_adapter *const *adapters;
    int nadapters;
    hora_device *device;
    const char *backends;
    int64_t rows;
    bool train; /* dropout and a loss to differentiate */
} recording_parts;
void hora_recording_init(recording *r, const recording_parts *p);
void hora_recording_release(recording *r);
/* Causal language modelling: head and cross-entropy on top of the last hidden state. */
hora_t hora_task_causal(hora_net *n, hora_t hidden);

/* --- parameters, gradients, moments
 * -------------------------------------------------------------- */
typedef struct state_slot { /* one parameter */
    hora_param *p;
    int64_t offset;     /* in gradients and moments */
    double lr_factor;   /* LoRA+ included */
    bool decay, active; /* active: the gradient reaches it */
} state_slot;
typedef struct state_tile { /* a piece of one parameter; cut by shapes alone */
    int slot;
    int64_t from, n;
} state_tile;
typedef struct train_state {
    const hora_optimizer *optimizer;
    state_slot *slots;
    int nslots;
    state_tile *tiles;
    int ntiles, ctiles;
    double *partial; /* sum of squares of each tile */
    int64_t elems;   /* of one span, padding included */
    float *grad, *moment[2];
} train_state;
hora_status hora_state_layout(train_state *s, hora_adapter *const *adapters, int n,
                              const hora_train_config *c);
hora_status hora_state_allocate(train_state *s);
void hora_state_release(train_state *s);
/* Marks the parameters that the graph's backward reaches; the others are never updated. */
void hora_state_activate(train_state *s, const hora_graph *g);
uint64_t hora_state_bytes(const train_state *s); /* of one span */
double hora_state_norm(train_state *s);          /* of all gradients, in fixed order */
/* u->lr and u->decay are the run's; factors of the parameters are applied here. */
void hora_state_update(train_state *s, const hora_update *u);

/* --- the training
 * -------------------------------------------------------------------------------- */
typedef struct past_eval {
    int64_t step;
    double loss;
} past_eval;

struct hora_training {
    hora_training_parts parts;
    hora_train_config config; /* strings are copies */
    hora_device *own_device;
    hora_train_report report;
    hora_schedule_shape shape;
    double lr;
    recording train, eval;
    train_state state;
    void *arena;
    size_t arena_bytes;
    hora_prefetch *feed;
    int64_t limit; /* data rows of the whole run */
    bool prepared;
    /* what a checkpoint holds */
    int64_t step, best_step;
    double first_loss, last_loss, best_loss;
    int64_t since_best;
    past_eval *evals;
    int nevals, cevals;
    atomic_bool stop;
};

/* Data rows of step `step` (from 0): the first, and how many there are. */
void hora_training_rows(const hora_training *t, int64_t step, int64_t *first, int64_t *n);
double hora_training_epoch(const hora_training *t);
/* Records, plans and fills the report. */
hora_status hora_training_plan(hora_training *t);
/* Starts the prefetch thread at the present step. */
hora_status hora_training_feed(hora_training *t);

/* --- checkpoints
 * --------------------------------------------------------------------------------- */
#define CHECKPOINT_PREFIX "checkpoint-"
#define CHECKPOINT_TMP    ".tmp"
/* Numbers of the checkpoint folders in `dir`, ascending; free with hora_free. */
hora_status hora_checkpoint_list(const char *dir, int64_t **steps, int *n);
char *hora_checkpoint_path(const char *dir, int64_t step);
/* What must be equal for a resume to be exact: options, methods, base, data. Owned by the caller.
 */
hora_status hora_checkpoint_identity(hora_training *t, hora_json **out);
/* Every file of a folder with size and hash; `skip` is left out. */
hora_status hora_checkpoint_manifest(const char *dir, const char *skip, hora_json **out);
/* Name of a span's tensor in state.safetensors; kind -1 is the value, else a moment. */
char *hora_checkpoint_tensor(const hora_training *t, const state_slot *s, int kind);

/* --- standing alone
 * ------------------------------------------------------------------------------ */
/* Refuses data whose tokens the model does not have: a tokenizer of another model. NULL: nothing to
 * check. */
hora_status hora_check_vocabulary(const hora_base *b, const hora_dataset *d);
hora_status hora_eval_over(recording *r, const hora_dataset *data, int64_t batch_size,
                           hora_eval_info *info);
#endif
