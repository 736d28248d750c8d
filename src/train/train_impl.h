#ifndef HORA_TRAIN_TRAIN_IMPL_H
#define HORA_TRAIN_TRAIN_IMPL_H
/*
 * Inside of a training. Files: train_plan.c records, plans, reports; step.c is one step; ranks.c
 * what ranks tell each other; local.c steps that they take apart; eval.c evaluation; checkpoint.c
 * and resume.c the folders; train.c opens, prepares and frees.
 */
#include <stdatomic.h>

#include "comm/tree.h"
#include "task/task.h"
#include "train/train.h"

/* --- the training ----------------------------------------------------------------------------- */
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
    hora_recording train, eval;
    hora_outputs out, eval_out; /* of these */
    hora_state state;
    hora_prefetch *feed;
    hora_tree *tree; /* adds up micro-batches; NULL: there is but one, or the device adds them */
    struct hora_local *local; /* of local steps; NULL: gradients are added up in every step */
    double *said, *heard;     /* of the ranks, once a step; NULL: one alone */
    /* when this rank last said how it goes: seconds of communication until then, the time */
    double comm_before, said_before;
    int64_t limit; /* sequences of the whole run */
    bool prepared;
    hora_adapter *chooser; /* of the blocks that train in a step; NULL: all of them do */
    bool *trains, *chosen; /* per block; per parameter of the graph */
    int64_t *skipped;      /* per block */
    int *param_layer;      /* per parameter of the graph: its block, -1: none */
    int nchosen;
    /* what a checkpoint holds */
    int64_t step, best_step;
    double first_loss, last_loss, best_loss;
    int64_t since_best;
    past_eval *evals;
    int nevals, cevals;
    atomic_bool stop;
    const volatile int *watch; /* not 0: stop; NULL: nobody asks */
};

/* What a step adds up over its micro-batches: this rank's, then those of all. */
typedef struct hora_step_tally {
    double started, scale, loss;
    double weight; /* of this rank's losses in that of all */
    double work[HORA_WORKS];
    int64_t tokens, supervised, row0;
    int64_t first, sequences; /* sequences of the data set that stand in the step; -1: unknown */
    int64_t bad_sequence, bad_sequences; /* of the first micro-batch whose loss is not finite */
    int64_t own, owns;                   /* micro-batches of this rank: the first, how many */
    int64_t micro;                       /* of all ranks */
    int64_t counts;                      /* supervised tokens of this rank alone */
    bool stop;                           /* a rank was asked to stop: nothing is to be updated */
    double slowest;                      /* as in hora_step_info */
    double comm; /* share of the ranks' time in communication and waiting, their mean: 0 to 1 */
} hora_step_tally;

/* --- ranks ------------------------------------------------------------------------------------ */
int64_t hora_training_micro(const hora_training *t); /* micro-batches of a full step */
/* Takes the memory that adding up micro-batches needs. */
hora_status hora_training_gather_up(hora_training *t);
/* Bytes of it. */
uint64_t hora_training_sum_bytes(hora_training *t);
/* Memory for a step of n micro-batches that are given. */
hora_status hora_training_sums_of(hora_training *t, int64_t n);
/* Notes the loss of this rank's micro-batch i, which all will hear of. */
void hora_training_say(hora_training *t, int64_t i, double loss);
/* Makes the tally of this rank that of all; losses are added in the order of micro-batches. */
hora_status hora_training_meet(hora_training *t, hora_step_tally *a);

/* --- local steps (sync_every): nothing of it where they are off ------------------------------- */
typedef struct hora_local hora_local;
bool hora_local_on(const hora_training *t);
hora_status hora_local_check(const hora_training *t); /* refuses what they do not go with */
uint64_t hora_local_bytes(const hora_training *t);
hora_status hora_local_new(hora_training *t); /* when the state has its memory */
void hora_local_free(hora_training *t);
bool hora_local_meets(const hora_training *t, int64_t step); /* all are equal after so many steps */
void hora_local_begin(hora_training *t);                     /* of a step */
hora_status hora_local_meet(hora_training *t);               /* behind a step, if one is due */
/* What else a checkpoint holds, in the folder `dir`; written after hora_training_collect. */
hora_status hora_local_write(hora_training *t, const char *dir);
hora_status hora_local_read(hora_training *t, const char *dir);
/* What rank 0 has read, to whom it belongs. */
hora_status hora_local_share(hora_training *t);

bool hora_training_stopping(const hora_training *t);
/* HORA_EINTERRUPTED, with the step that is whole. */
hora_status hora_training_halted(const hora_training *t);
bool hora_training_worn(const hora_training *t); /* patience is used up */

/* Sequences of step `step` (from 0): the first, and how many there are. */
void hora_training_sequences(const hora_training *t, int64_t step, int64_t *first, int64_t *n);
double hora_training_epoch(const hora_training *t);
double hora_training_lr(const hora_training *t); /* of the coming step */
/* Records, plans and fills the report. */
hora_status hora_training_plan(hora_training *t);
/* Starts the prefetch thread at the present step. */
hora_status hora_training_feed(hora_training *t);

/* Lets each method warn of values that cannot learn. */
void hora_training_diagnose(const hora_training *t);

/* --- checkpoints ------------------------------------------------------------------------------ */
#define CHECKPOINT_PREFIX "checkpoint-"
/* N of a name that begins with checkpoint-N, and what follows it; -1: no such name. */
int64_t hora_checkpoint_number(const char *name, const char **tail);
#define CHECKPOINT_TMP ".tmp"
/* Numbers of the checkpoint folders in `dir`, ascending; free with hora_free. */
hora_status hora_checkpoint_list(const char *dir, int64_t **steps, int *n);
char *hora_checkpoint_path(const char *dir, int64_t step);
/* What must be equal for a resume to be exact: options, methods, base, data. Owned by the caller.
 * there: what to compare it with, so that options that are younger are left out where they stand at
 * their defaults; NULL: all are written. */
hora_status hora_checkpoint_identity(hora_training *t, const hora_json *there, hora_json **out);
/* The 16 digits of the text of a state.json that are its hash (of the text with zeros there); NULL
 * when there are none. */
char *hora_checkpoint_hash_at(char *text);
/* Every file of a folder with size and hash; `skip` is left out. */
hora_status hora_checkpoint_manifest(const char *dir, const char *skip, hora_json **out);
/* Name of a span's tensor in state.safetensors; kind -1 is the value, else a moment. */
char *hora_checkpoint_tensor(const hora_training *t, const hora_state_slot *s, int kind);

/* --- standing alone --------------------------------------------------------------------------- */
/* Refuses data whose tokens the model does not have: a tokenizer of another model. NULL: nothing to
 * check. */
hora_status hora_check_vocabulary(const hora_base *b, const hora_dataset *d);
/* Refuses sequences that do not fit into the model's context behind the rows and the keys that
 * adapters put in front of each. */
hora_status hora_check_positions(const hora_base *b, hora_adapter *const *at, int n,
                                 int64_t seq_len);
/* Where adapters are for tasks: has the set (NULL: none) say whose each record is, or refuses it.
 * Leaves room for the rows that they put in front. */
hora_status hora_route_data(hora_adapter *const *at, int n, hora_dataset *d);
/* " (records 3, 17 and 20 more)": where the sequences came from; "" when `d` is NULL or `sequence`
 * is negative. ordered: as the sequences lie in the data, not as they are shuffled. */
void hora_name_records(const hora_dataset *d, int64_t sequence, int64_t sequences, bool ordered,
                       char *text, size_t n);
#endif
