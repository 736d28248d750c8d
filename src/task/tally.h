#ifndef HORA_TASK_TALLY_H
#define HORA_TASK_TALLY_H
/*
 * What an evaluation adds up over its batches, and the numbers it ends in. metric.h computes them
 * from plain lists.
 */
#include "base/json.h"
#include "graph/graph.h"
#include "tensor/vision.h"

typedef struct hora_objective hora_objective;

/* What a task records on top of the last hidden state, and where it is found afterwards. */
typedef struct hora_outputs {
    const hora_objective *objective; /* in; NULL: language modelling */
    bool want_loss, want_logits;     /* in */
    bool differentiate;              /* in: the loss is what backward starts from */
    hora_t loss, logits;             /* out; NONE where not wanted */
    bool scored;                     /* in: the data say how alike two texts are */
    bool want_hidden;                /* in: the last hidden state */
    hora_t hidden;                   /* out, where wanted */
} hora_outputs;

typedef struct hora_metric {
    const char *name; /* a literal */
    const char *of;   /* a class that it is of, borrowed from the objective; NULL: of all */
    double value;     /* NaN: not defined */
} hora_metric;
typedef struct hora_metrics {
    hora_metric at[64];
    int n;
} hora_metrics;
void hora_metrics_add(hora_metrics *m, const char *name, double value);
/* Of one class, for logs. */
void hora_metrics_add_of(hora_metrics *m, const char *name, const char *of, double value);
/* mse, mae, pearson, spearman of n predictions z of the numbers y. */
void hora_metrics_numbers(hora_metrics *m, const double *z, const double *y, int64_t n);
double hora_metrics_get(const hora_metrics *m, const char *name); /* NaN when absent */

typedef struct hora_tally {
    const hora_objective *objective;
    bool scored;            /* as in the outputs */
    double loss;            /* summed */
    int64_t count, bytes;   /* rows that count; bytes of text of their targets */
    int64_t n, cap;         /* predictions */
    int64_t width;          /* numbers of each */
    int32_t *truth, *guess; /* classes (XENT) */
    /* How sure each guess is, 0 .. 1 (NaN: not known), and how many classes stand above the truth;
     * NULL: not known, as where predictions come from a file (XENT) */
    double *confidence;
    int32_t *above;
    float *y, *z;   /* numbers or 0/1 and logits, `classes` of each (MSE, BCE) */
    int64_t *start; /* prediction with which each sample begins */
    int nstart, cstart;
    int64_t *confusion;        /* of pixels, (classes, classes); NULL: none yet */
    const hora_vision *vision; /* of a model of pictures, borrowed */
    void *logits;              /* of a batch, where the host reads them */
    size_t logits_bytes;
} hora_tally;
/* Whether predictions are kept, so logits are wanted. */
bool hora_tally_predicts(const hora_objective *o);
void hora_tally_add(hora_tally *t, const hora_graph *g, const hora_outputs *out,
                    const hora_batch *b);
/* All but the summed loss as bytes, added to `out`; and the same put behind what is there already,
 * as if its batches had come next. */
void hora_tally_pack(const hora_tally *t, hora_str *out);
void hora_tally_unpack(hora_tally *t, const char *bytes);
/* Room for more predictions of k numbers each. */
void hora_tally_grow(hora_tally *t, int64_t more, int64_t k);
/* A word that no row stands for is missed: where one of the classes is O, that is its guess, with a
 * confidence that is not known. sample: of those added so far; word: in it, earlier ones included.
 */
void hora_tally_miss(hora_tally *t, int64_t sample, int64_t word, int32_t truth);
/* loss, then the task's own. HORA_EUSAGE when nothing counted. */
hora_status hora_tally_metrics(const hora_tally *t, hora_metrics *out);
/* Adds accuracy among the first five (of more classes) and calibration, where they are known. */
void hora_tally_scores(const hora_tally *t, hora_metrics *out);
/* Confusion matrix and numbers per class, for people and programs; NULL: the task has none. */
hora_json *hora_tally_detail(const hora_tally *t);
void hora_tally_release(hora_tally *t);
#endif
