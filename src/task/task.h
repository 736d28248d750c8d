#ifndef HORA_TASK_TASK_H
#define HORA_TASK_TASK_H
/*
 * What a model is trained to do. One file task_x.c, one row TASK(x) in tasks.def. A task says which
 * head it needs, who sees whom, what is to be predicted where, what is recorded on top of the last
 * hidden state, and which numbers tell how well it went. An objective is a task made definite for a
 * model and data: its classes, its loss.
 *
 *   hora_objective_choose(&o, "regression", config);     the row; config.json's own classes
 *   hora_base_open(.., bare = o.task->head), hora_dataset_open(.., &o.rule)
 *   hora_objective_settle(&o, base, data, eval, true, seed);    classes, the head's weights
 *   parts.outputs = hora_task_record, parts.user = &outputs     of a recording
 *   hora_tally_add(&t, &outputs, ..) ..; hora_tally_metrics(&t, &metrics);
 */
#include "base/json.h"
#include "data/data.h"
#include "nn/recording.h"
#include "task/embed.h"
#include "task/tally.h"

typedef enum { HORA_LOSS_XENT, HORA_LOSS_BCE, HORA_LOSS_MSE } hora_loss_kind;

typedef struct hora_task {
    const char *name;         /* "sequence-classification" */
    const char *summary;      /* one line */
    const char *architecture; /* what the class in config.json ends in; words, the first is ours */
    const char *task_type;    /* PEFT's word for it */
    bool pictures;            /* of models that read such */
    hora_label_kind labels;   /* of a record */
    hora_loss_kind loss;      /* unless the model or the data say otherwise */
    bool body;                /* it works on the last hidden state alone: there is no head at all */
    bool head, head_bias;     /* it brings a head of its own; that has a bias */
    double head_dropout;      /* before the head in training, unless config.json says otherwise */
    void (*ranges)(hora_batch *b, int64_t from, int64_t n, int64_t first, int64_t end);
    hora_counted (*targets)(const hora_data_rule *, const hora_segment *, hora_batch *);
    /* Head, loss, logits on top of `hidden`, as `o` wants them. */
    void (*record)(const hora_objective *, hora_net *n, hora_t hidden, hora_outputs *o);
    /* Refuses training data that are none for it; NULL: all are fine. */
    hora_status (*check)(const hora_objective *, const hora_dataset *train, int64_t batch_size,
                         int64_t grad_accum);
    /* Adds logits of a batch to an evaluation; NULL: one prediction for each row that counts. */
    void (*observe)(hora_tally *, const hora_view *logits, const hora_batch *);
    /* What all that was observed says; loss comes first by itself. */
    void (*metrics)(const hora_tally *, hora_metrics *out);
} hora_task;

/* Names of all rows, for help; unit/task compares them. */
#define HORA_TASK_NAMES                                                                            \
    "causal, sequence-classification, regression, token-classification, image-classification, "    \
    "segment, embedding"
int hora_task_count(void);
const hora_task *hora_task_at(int i);
const hora_task *hora_task_named(const char *name); /* NULL when absent; '_' is '-' */
hora_status hora_task_unknown(const char *name);

struct hora_objective {
    const hora_task *task;
    hora_data_rule rule; /* for the data; own is this objective, which must not move from then on */
    hora_loss_kind loss;
    char **names;     /* of the classes; NULL: language modelling, or numbers */
    int64_t classes;  /* outputs of the head; 0: not known yet, or the model's own head */
    bool own_classes; /* they come from the model's config.json or an adapter */
    double smoothing; /* share of a label that all classes get, in training */
    bool soft;        /* in training labels are shares of classes: smoothed, or of mixed samples */
    bool settled;
    int32_t pad;  /* id that pads; -1: none. Sequences are pooled at the last other token */
    bool encoder; /* a token sees all of its sample, whose first row speaks for the whole */
    double head_dropout;
    float *class_weight;     /* [classes], of a row in the loss; NULL: 1 */
    bool strict;             /* entities count only as the scheme writes them */
    hora_embedding how;      /* embedding: how a vector is made of a text's last hidden state */
    double similarity_scale; /* embedding: of cosines, before their softmax */
    double dice;             /* segment: factor of soft Dice loss beside cross-entropy */
    bool upsampled;          /* segment: two layers, the second on a grid twice as fine */
    bool told;               /* segment: model or adapter said so */
    bool brought;            /* an adapter of this task brings the head */
    int64_t frames;          /* of clips for a model of pictures; 0: nobody said, 1: pictures */
    bool joint;              /* their frames see each other (tensor/vision.h) */
};
/* Language modelling, for whoever has no other. */
const hora_objective *hora_objective_causal(void);
/* The task: `name`, or (NULL) what the class in config.json is made for. */
hora_status hora_objective_choose(hora_objective *o, const char *name, const hora_json *config);
/* Classes that an adapter folder brings: task.json, or PEFT's task_type and the shape of its head.
 * `name` as above; NULL takes the adapter's task too. Nothing happens for one without. */
hora_status hora_objective_adapter(hora_objective *o, const char *name, const char *dir);
/* Numbers the classes of the data sets (either may be NULL), gives the bare base its head and its
 * config.json the names. train: classes that the model does not have make a new head, and one class
 * alone is refused; else unknown labels are. */
hora_status hora_objective_settle(hora_objective *o, hora_base *base, hora_dataset *data,
                                  hora_dataset *eval, bool train, uint64_t seed);
/* The first half of it: classes and their numbers, without a model. */
hora_status hora_objective_classes(hora_objective *o, hora_dataset *data, hora_dataset *eval,
                                   bool train, bool *fresh);
/* Weighs each class by records / (classes x its records) of `data`, whose mean over the records is
 * 1; a class without any gets 1. HORA_EUSAGE for a task whose records do not have one class. */
hora_status hora_objective_balance(hora_objective *o, const hora_dataset *data);
/* What a row of class c counts. */
static inline float hora_objective_weight(const hora_objective *o, int32_t c) {
    return o->class_weight ? o->class_weight[c] : 1;
}
/* Numbers one more data set. */
hora_status hora_objective_number(const hora_objective *o, hora_dataset *data);
/* segment: factor of soft Dice loss, and which head; what a model or an adapter says goes before,
 * unless `fresh` training asks for another. Before it is settled. */
void hora_objective_shape(hora_objective *o, double dice, bool upsampled);
/* frames, frame_attention: clips for a model of pictures, as options have them (0: what model or
 * adapter says), in its base too. Nothing where nobody speaks of clips. HORA_EUSAGE for a model or
 * task that cannot. Before data are opened. */
enum { HORA_FRAMES_MOST = 4096 };
enum { HORA_FRAMES_AUTO, HORA_FRAMES_APART, HORA_FRAMES_JOINT };
#define HORA_FRAMES_NAMES "auto apart joint" /* in this order */
hora_status hora_objective_clips(hora_objective *o, hora_base *base, int64_t frames, int attention);
/* Labels become shares of classes in training: smoothed by `smoothing`, or (mixed) those of mixed
 * samples too. HORA_EUSAGE for a task or loss that has no such. Nothing for neither. */
hora_status hora_objective_soften(hora_objective *o, double smoothing, bool mixed);
/* Refuses an outside batch whose targets are no classes. */
hora_status hora_objective_check(const hora_objective *o, const hora_base *base,
                                 const hora_batch *b);
double hora_objective_uniform(const hora_objective *o, const hora_base *base); /* loss of a guess */
void hora_objective_release(hora_objective *o);

/* `outputs` of a recording; `user` is a hora_outputs. */
void hora_task_record(hora_net *n, hora_t hidden, void *user);

/* --- pieces that rows share ------------------------------------------------------------------- */
/* Each row sees its own sample up to itself. */
void hora_ranges_causal(hora_batch *b, int64_t from, int64_t n, int64_t first, int64_t end);
/* All rows of a sample see all of its tokens. */
void hora_ranges_whole(hora_batch *b, int64_t from, int64_t n, int64_t first, int64_t end);
/* logits = neck(hidden) W' + b and the loss of o->loss; with dropout in training. */
void hora_record_head(const hora_objective *o, hora_net *n, hora_t hidden, hora_outputs *out);
/* Where what is said of the whole stands: there, or at the first row of an encoder's sample. */
int64_t hora_pooled_row(const hora_objective *o, const hora_segment *s);
/* One class, or several, of a whole segment; accuracy, F1 and Matthews' correlation of such. */
hora_counted hora_targets_class(const hora_data_rule *rule, const hora_segment *s, hora_batch *b);
void hora_class_metrics(const hora_tally *t, hora_metrics *out);
/* No row of a segment is to be predicted. */
void hora_targets_none(hora_batch *b, const hora_segment *s);
#endif
