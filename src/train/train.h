#ifndef HORA_TRAIN_TRAIN_H
#define HORA_TRAIN_TRAIN_H
/*
 * Training: from an opened base, attached adapters and a data set to trained adapters on disk.
 *
 *   hora_training *t;                              records and plans; takes no large memory
 *   hora_training_open(&t, &parts, &config);
 *   hora_training_report(t) ..                     `hora plan` stops here
 *   hora_training_prepare(t);                      refuses what cannot fit; then takes memory
 *   while (!(s = hora_training_step(t, &info))) ..  HORA_DONE after the last step
 *   hora_training_save(t, out);                    checkpoint-N in an output folder
 *   hora_training_free(t);
 *
 * run.h drives all of this from settings to a finished output folder. A training belongs to one
 * thread; only hora_training_stop may be called from another one or from a signal handler.
 */
#include "base/outdir.h"
#include "comm/comm.h"
#include "data/data.h"
#include "graph/graph.h"
#include "optim/optim.h"
#include "peft/peft.h"
#include "task/task.h"

/* --- options ---------------------------------------------------------------------------------- */
typedef enum { HORA_TRAIN_AUTO, HORA_TRAIN_F32, HORA_TRAIN_BF16 } hora_train_dtypes;
typedef struct hora_train_config { /* filled from hora_train_options */
    int64_t steps;                 /* 0: from epochs */
    double epochs;
    int64_t batch_size; /* sequences per micro-batch */
    int64_t grad_accum; /* micro-batches per step */
    double lr;          /* 0: the method's own default */
    int optimizer;      /* row of optimizers.def */
    int schedule;       /* row of schedules.def */
    double warmup;      /* below 1: share of the steps (rounded up); else steps */
    double min_lr;      /* linear, cosine and wsd end here */
    double decay_share; /* wsd: share of the steps that the final decay takes */
    double weight_decay;
    bool decay_all; /* biases and norms too */
    double beta1, beta2, eps, momentum;
    int64_t sync_every; /* local steps between two meetings of the ranks; 0: gradients are added */
    double outer_lr, outer_momentum; /* of the meetings */
    double clip;                     /* largest gradient norm; 0: no clipping */
    double drop_path;                /* stochastic depth of the last layer; 0: none */
    bool body_dropout;               /* dropout of an encoder's body, as its config.json says */
    double loraplus;                 /* factor of the learning rate of B matrices; 1: off */
    int dtype;       /* choice: auto f32 bf16; once a base is open, what it was opened in */
    int pack;        /* choice: auto both one */
    char *recompute; /* none all auto N */
    int64_t memory;  /* bytes the training may take; 0: what the machine has free */
    int64_t seed;
    int64_t save_every; /* steps between checkpoints; 0: only at the end */
    int64_t save_limit; /* checkpoints kept (the best one is kept besides); 0: all */
    int64_t eval_every; /* steps between evaluations; 0: only before and after */
    bool eval_start;    /* evaluate before the first step too */
    int64_t patience;   /* evaluations without improvement before stopping; 0: never */
    double min_delta;   /* what counts as improvement */
    int64_t log_every;  /* steps between lines of progress off a terminal */
    double label_smoothing;
    int class_weights;       /* 0: none, 1: balanced */
    double similarity_scale; /* embedding: of cosines */
    int segment_head;        /* 0: linear, 1: upsampled */
    double dice;             /* segment: of soft Dice loss */
    double explode; /* stop when loss > explode * max(first loss, ln vocabulary); 0: never */
    char *backends; /* order of preference; NULL: the registry's */
    char *device;   /* host cuda; NULL: as hora_device_open has it */
} hora_train_config;
extern const hora_options hora_train_options;
/* What to open a base in: bf16 for `auto` where the device multiplies bf16, else f32. */
hora_dtype hora_train_dtype(const hora_train_config *c);

/* --- the plan --------------------------------------------------------------------------------- */
typedef struct hora_train_report {
    int64_t trainable, parameters; /* numbers: adapters'; base's (tied weights once) */
    int64_t batch_size, seq_len, grad_accum,
        rows;                 /* rows: token rows of a micro-batch, rounded up */
    int64_t steps, sequences; /* of the run; of the training data */
    double epochs;
    double lr;                /* as it will be used */
    char own_lr[128];         /* ", NAME 0.001" of adapters with one (or a decay) of their own */
    hora_dtype dtype;         /* of activations and frozen weights */
    bool pack_both;           /* frozen weights are packed for both directions */
    bool copied;              /* they go to a device's own memory */
    uint64_t weights, packed; /* bytes: base weights in memory; packed copies */
    uint64_t values, gradients, moments; /* bytes: state */
    uint64_t sums;      /* bytes: gradients of micro-batches that wait to be added, of ranks too */
    uint64_t exchanged; /* bytes: gradients that ranks add up in a step, once */
    int64_t sync_every; /* local steps between two exchanges; 0: none */
    int ranks;          /* that train together */
    int neighbours;     /* of them on this machine: weights are the part of each in one copy */
    uint64_t step_arena, eval_arena, scratch; /* bytes; the two share the larger */
    uint64_t batches;                         /* bytes: staging */
    uint64_t data;                            /* bytes: tokens and sequences of both sets */
    uint64_t total, limit;                    /* bytes: all of it; what may be used, 0 unknown */
    int segments, recomputed, nodes, calls;   /* of the training graph */
    double flops_step;                        /* forward and backward, all sequences full */
    double peak_flops;                        /* per second, measured; 0 unknown */
    double seconds_step, seconds_total;       /* estimate: half of the measured peak */
    bool pictures;     /* they are decoded on the way, by the rank that needs them */
    bool config_alone; /* no weights are there: sizes come from config.json */
    bool fits;
    char advice[256]; /* what would help when it does not fit; "" otherwise */
} hora_train_report;
/* The table that `hora plan` prints. */
void hora_train_report_text(const hora_train_report *r, hora_str *out);
hora_json *hora_train_report_json(const hora_train_report *r); /* owned by the caller */
/* HORA_ENOMEM with both sizes and the advice when it does not fit. */
hora_status hora_train_report_fits(const hora_train_report *r);

/* --- a training ------------------------------------------------------------------------------- */
typedef struct hora_training_parts { /* all borrowed until hora_training_free */
    hora_base *base;                 /* headers only: the training can be planned, not prepared */
    hora_adapter *const *adapters;   /* allocated here when they are not yet */
    int nadapters;
    hora_device *device; /* NULL, or config.device is set: its own */
    hora_dataset *train; /* NULL: only hora_training_step_on works; config.steps is needed */
    hora_dataset *eval;  /* NULL: none */
    int64_t seq_len;     /* of both data sets */
    const hora_objective *objective; /* settled; NULL: language modelling */
    /* The ranks that train together: each has all of these parts, in equal form; NULL: one alone */
    hora_comm *comm;
    uint64_t memory; /* bytes that may be taken, as hora_train_memory says; 0: what is free */
    bool poison;     /* tests: dead memory is filled with NaN */
} hora_training_parts;

typedef struct hora_step_info {
    int64_t step; /* 1 after the first */
    double epoch, loss, grad_norm, lr;
    int64_t tokens, supervised;     /* of this step */
    double seconds, tok_per_s, mfu; /* mfu: 0 where the peak is unknown */
    double mem_mib;                 /* resident now */
    bool updated;                   /* false: nothing supervised, parameters stayed */
    /* of several ranks: how many; tokens per second that the slowest would reach without waiting
     * for others; seconds of the step in communication and waiting, the mean of the ranks */
    int ranks;
    double slowest, comm_seconds;
    int64_t sync_every; /* local steps: another algorithm; 0: none */
} hora_step_info;

typedef struct hora_eval_info {
    int64_t step;
    double loss, seconds;
    hora_metrics metrics; /* of the task; loss is the first */
    int64_t tokens;       /* that were predicted, or samples */
    bool best;            /* of all evaluations after step 0 */
    bool worn;            /* patience is at its end: stop */
} hora_eval_info;

typedef struct hora_training_status {
    int64_t step, steps, sequences; /* taken; of the run; sequences consumed */
    double epoch, lr;
    double first_loss, last_loss; /* NaN before the first step */
    double best_loss;             /* NaN before an evaluation */
    int64_t best_step;            /* 0: none */
    int64_t evaluated;            /* step of the last evaluation; -1: none */
    bool worn;                    /* patience is used up: the run is over */
    bool stopped;
} hora_training_status;

typedef struct hora_training hora_training;

/* What of the configuration can be refused before anything is opened: names of backends and device,
 * recompute. */
hora_status hora_train_check(const hora_train_config *c);
/* What each rank may take: the least of all, so that all of them plan the same. 0: one alone. */
hora_status hora_train_memory(hora_comm *c, uint64_t *out);
hora_status hora_training_open(hora_training **out, const hora_training_parts *parts,
                               const hora_train_config *config);
void hora_training_free(hora_training *t); /* accepts NULL */
const hora_train_report *hora_training_report(hora_training *t);
void hora_training_dump(hora_training *t, hora_str *out); /* schedule with buffers, for people */
hora_device *hora_training_device(hora_training *t);      /* borrowed */
/* The graph of a step, for profiles (graph.h); borrowed. */
hora_graph *hora_training_graph(hora_training *t);
/* HORA_ENOMEM with the report's advice when it does not fit. */
hora_status hora_training_prepare(hora_training *t);
/* One optimizer step. HORA_DONE when all were taken, HORA_EINTERRUPTED after hora_training_stop (a
 * step that had begun is given up before its next micro-batch and has changed nothing),
 * HORA_ENUMERIC before an update that a loss or gradient forbids: parameters are those of the step
 * before. */
hora_status hora_training_step(hora_training *t, hora_step_info *info);
/* The same on given micro-batches (borrowed): for outside programs and tests. Several ranks are all
 * given the same ones, at most grad_accum, and share them. */
hora_status hora_training_step_on(hora_training *t, const hora_batch *micro, int n,
                                  hora_step_info *info);
/* Mean loss over the evaluation data; decides what is best. */
hora_status hora_training_eval(hora_training *t, hora_eval_info *info);
void hora_training_get(const hora_training *t, hora_training_status *s);
void hora_training_stop(hora_training *t);
/* The same by a flag that a signal handler sets; an evaluation heeds it too. NULL: no more. */
void hora_training_watch(hora_training *t, const volatile int *flag);
/* Writes checkpoint-N into the folder whole or not at all, then deletes the oldest of hora's beyond
 * save_limit. */
hora_status hora_training_save(hora_training *t, hora_outdir *o);
/* Local steps: brings to rank 0 what the others keep, all of which a checkpoint holds. Before
 * hora_training_save, by all ranks; nothing otherwise. */
hora_status hora_training_collect(hora_training *t);
/* The second half alone: for what a kill between the two left. */
hora_status hora_training_prune(const hora_training *t, hora_outdir *o);
/* Renames a whole checkpoint that a kill left under its unfinished name. */
hora_status hora_training_mend(hora_outdir *o);
/* Takes a folder from before the mark for hora's: what a training of that time wrote there, by its
 * own manifests. */
hora_status hora_training_adopt(hora_outdir *o);
/* Goes on from the newest whole checkpoint in `dir`; damaged ones are named in a warning and passed
 * over. HORA_ENOTFOUND: there is none. HORA_EMISMATCH: of another base, data, method or options;
 * the text names the difference. */
hora_status hora_training_resume(hora_training *t, const char *dir);
/* Rank 0's parameters, moments and position in all ranks. */
hora_status hora_training_share(hora_training *t);
/* What has to be the same in all ranks for their sum to mean anything: program, kernels, model,
 * data, every option. HORA_EMISMATCH names the first difference, on every rank. */
hora_status hora_training_compare(hora_training *t);
/* Objects of objects that have to be equal in all ranks; the same failure. Nothing for one rank. */
hora_status hora_ranks_compare(hora_comm *c, const hora_json *here);
/* The program that runs, for such a comparison: builds may differ in what they compute. Owned. */
hora_json *hora_ranks_program(void);
/* Appends the options of a table to such an object, but for those that `skip` (words) names. */
void hora_ranks_options(hora_json *out, const hora_options *table, const void *config,
                        const char *skip);
/* One checkpoint folder by its own name: written whole (it must not exist), read back. */
hora_status hora_training_save_to(hora_training *t, const char *checkpoint);
hora_status hora_training_resume_from(hora_training *t, const char *checkpoint);
/* Puts the values of the best evaluation back (from its checkpoint in `dir`); nothing to do when
 * there is none. */
hora_status hora_training_take_best(hora_training *t, const char *dir);

/* --- evaluation alone (hora eval) ------------------------------------------------------------- */
typedef struct hora_eval_parts {
    hora_base *base;
    hora_adapter *const *adapters; /* allocated */
    int nadapters;
    hora_device *device;             /* NULL: its own */
    const hora_objective *objective; /* settled; NULL: language modelling */
    hora_dataset *data; /* gets the rows that adapters ask for; so do those of a training */
    int64_t seq_len, batch_size;
    const char *backends; /* NULL: the registry's order */
} hora_eval_parts;
/* detail: confusion and numbers per class, owned by the caller, NULL where the task has none; may
 * be NULL. */
hora_status hora_evaluate(const hora_eval_parts *parts, hora_eval_info *info, hora_json **detail);
/* Refuses sequences that are longer than the model's context. */
hora_status hora_check_context(const hora_base *b, int64_t seq_len);
#endif
