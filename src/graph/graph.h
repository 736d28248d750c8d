#ifndef HORA_GRAPH_GRAPH_H
#define HORA_GRAPH_GRAPH_H
/*
 * Record once, plan once, replay.
 *
 *   hora_graph *g = hora_graph_new(..);       leaves and verbs (verbs.h) append, in the order of
 *                                             execution
 *   hora_graph_plan(g, &options);             marks, schedules, asks kernels, places every buffer;
 *                                             takes no memory
 *   hora_graph_bind(g, leaf, value, grad);    parameters get their memory
 *   hora_graph_prepare(g, arena);             kernels are built, frozen weights packed
 *   hora_graph_before(g);                     once per step
 *   hora_graph_body(g, batch, micro);         once per micro-batch
 *   hora_graph_after(g);                      once per step
 *
 * Errors while recording are sticky: the first is latched and hora_graph_plan reports it. Running
 * cannot fail and does not allocate.
 */
#include "backend/backend.h"

typedef int32_t hora_t; /* handle of a tensor in its graph */
#define HORA_NONE ((hora_t)-1)

typedef struct hora_graph hora_graph;

typedef struct hora_graph_config {
    /* of activations, which is to say row tensors, and of their gradients: HORA_F32, HORA_BF16,
     * HORA_F64 (ref only) */
    hora_dtype dtype;
    int64_t rows;         /* of a row tensor: tokens of a micro-batch, at most */
    hora_device *device;  /* borrowed */
    const char *backends; /* "cpu ref": order of preference; NULL: all in order of the registry */
} hora_graph_config;
hora_graph *hora_graph_new(const hora_graph_config *c);
void hora_graph_free(hora_graph *g); /* accepts NULL */
int64_t hora_graph_rows(const hora_graph *g);

/* --- recording -------------------------------------------------------------------------------- */
/* values never change; data may be NULL for planning only */
hora_t hora_graph_frozen(hora_graph *g, const char *name, hora_view view);
/* trains; memory through _bind */
hora_t hora_graph_param(hora_graph *g, const char *name, hora_shape shape, void *user);
hora_t hora_graph_state(hora_graph *g, const char *name, hora_view view); /* written by op cache */
/* Appends a node; verbs.h wraps it. `in` has op->nin handles. */
hora_t hora_graph_node(hora_graph *g, hora_op_id op, const hora_t *in, const hora_attr *attr);
/* Rows may be left out while running (verbs hora_take_rows, hora_put_rows): on the host. */
bool hora_graph_packs(const hora_graph *g);
/* base + y. A projection y that nothing reads yet takes base as its addend, so that the sum costs
 * no pass of its own; anything else gets an `add`. */
hora_t hora_graph_onto(hora_graph *g, hora_t base, hora_t y);
/* nodes made of parameters alone, run once per step */
void hora_graph_in_before(hora_graph *g, bool on);
void hora_graph_segment(hora_graph *g, int segment); /* layer of the following nodes; -1: none */
void hora_graph_loss(hora_graph *g, hora_t scalar, double weight); /* differentiated */
void hora_graph_output(hora_graph *g, hora_t t);                   /* readable after the run */
/* latches s with the thread's text; returns the first one latched */
hora_status hora_graph_error(hora_graph *g, hora_status s);
/* shape and dtype while recording; data after prepare */
const hora_view *hora_graph_view(const hora_graph *g, hora_t t);

/* --- planning --------------------------------------------------------------------------------- */
#define HORA_RECOMPUTE_AUTO (-1)
#define HORA_RECOMPUTE_ALL  (1 << 30)
typedef struct hora_plan_options {
    bool backward;
    /* number of segments, from the first; 0 none; HORA_RECOMPUTE_ALL; HORA_RECOMPUTE_AUTO:
     * fewest that fit into `limit` */
    int recompute;
    size_t limit; /* bytes of arena and packed weights for AUTO */
    bool poison;  /* tests: dead memory is filled with NaN while running */
    bool hold;    /* tests: hora_graph_hold will be called */
} hora_plan_options;
/* May be called again with other options as long as the graph is not prepared. HORA_ENOMEM: not
 * even recomputing all fits `limit`. */
hora_status hora_graph_plan(hora_graph *g, const hora_plan_options *o);
/* What the products of a step are counted by; `work` arrays hold how many of each there are. */
typedef enum hora_work {
    HORA_WORK_ONCE,     /* a step, whatever its micro-batches; its entry is 1 */
    HORA_WORK_TOKEN,    /* a token */
    HORA_WORK_TARGET,   /* a token with a target: the head */
    HORA_WORK_PAIR,     /* a token and one that it sees: attention without a window */
    HORA_WORK_WINDOWED, /* the same inside the window, of the layers that have one */
    HORA_WORKS
} hora_work;
typedef struct hora_plan_info {
    /* bytes: step arena (scratch included), largest scratch, packings that prepare will add */
    size_t arena, scratch, packed;
    size_t kept; /* bytes alive between forward and backward at their peak */
    int nodes, steps, segments, recomputed;
    double flops[HORA_WORKS]; /* forward + backward, recomputation not counted, of each unit */
    /* of the layers that have one (a model has one size): attention's; 0: none */
    int64_t window, ahead;
} hora_plan_info;
const hora_plan_info *hora_graph_info(const hora_graph *g);
/* What a batch must hold for it, and how wide. */
hora_leaves hora_graph_leaves(const hora_graph *g);
/* Sequences that are as long as can be. */
typedef struct hora_full_work {
    int64_t sequences, tokens, targets; /* tokens and targets of each */
    bool whole;                         /* a token sees all of them, not those up to itself */
} hora_full_work;
/* Adds what a micro-batch holds, or such sequences. */
void hora_graph_add_work(const hora_graph *g, const hora_batch *batch, double work[HORA_WORKS]);
void hora_graph_add_full_work(const hora_graph *g, const hora_full_work *full,
                              double work[HORA_WORKS]);
double hora_graph_flops(const hora_graph *g, const double work[HORA_WORKS]);
/* schedule with buffers and variants, for people */
void hora_graph_dump(const hora_graph *g, hora_str *out);

/* --- running ---------------------------------------------------------------------------------- */
/* grad may be NULL when it has no backward */
void hora_graph_bind(hora_graph *g, hora_t param, void *value, void *grad);
/* The data of a frozen leaf that was recorded without. */
void hora_graph_bind_frozen(hora_graph *g, hora_t leaf, void *data);
int hora_graph_params(const hora_graph *g); /* parameter leaves, in recording order */
/* has_grad after plan: gradient reaches it */
hora_t hora_graph_param_at(const hora_graph *g, int i, void **user, bool *has_grad);
/* `arena` has info->arena bytes of the device's memory, 64-byte aligned, borrowed; several graphs
 * that never run at once may share it. Brings leaves and parameters to the device. */
hora_status hora_graph_prepare(hora_graph *g, void *arena);
/* From now on what `detach` made in the last run stays as it is: what finite differences of a
 * function with constants in it are taken of. */
void hora_graph_hold(hora_graph *g);
void hora_graph_before(hora_graph *g);
/* From now on only those parameters get a gradient that are chosen (one entry for each of
 * hora_graph_param_at; NULL: all): nothing is computed backward below the lowest of them. The
 * gradients of the others stay as they are. On the host, between steps. The first call
 * takes memory. */
void hora_graph_choose(hora_graph *g, const bool *chosen);
/* Forward and backward of one micro-batch; micro 0 overwrites parameter gradients, later ones add.
 */
void hora_graph_body(hora_graph *g, const hora_batch *batch, int micro);
void hora_graph_after(hora_graph *g);
/* What the micro-batches of a step add up: gradients, written by the body, of parameters and of
 * `before` tensors; the i-th, in the order of the schedule. f32; data is NULL before prepare. False
 * past the last. */
typedef struct hora_graph_sum {
    float *data; /* the device's */
    int64_t elems;
} hora_graph_sum;
bool hora_graph_sum_at(const hora_graph *g, int i, hora_graph_sum *out);
/* value of a 1-element output or loss */
double hora_graph_scalar(const hora_graph *g, hora_t loss);
/* Waits for the device. HORA_EIO: what went wrong there since the last time. */
hora_status hora_graph_sync(hora_graph *g);
/* Copies an output to the host's memory, in its own dtype. */
void hora_graph_get(const hora_graph *g, hora_t t, void *to);
/* --- profile ---------------------------------------------------------------------------------- */
typedef struct hora_op_time { /* all calls of one kind */
    const char *op, *backend;
    hora_phase phase;
    bool recomputed; /* a forward, for backward */
    bool frozen;     /* a product with a frozen weight */
    int64_t calls;
    double seconds, flops, bytes; /* bytes: inputs and outputs once */
} hora_op_time;
/* Of a prepared graph: on starts with zeros, off (the beginning) forgets. */
void hora_graph_profile(hora_graph *g, bool on);
/* Fills up to cap rows, in the order of the schedule; returns how many. */
int hora_graph_profile_get(const hora_graph *g, hora_op_time *rows, int cap);
/* Highest arena byte that a kernel was given so far (law: equals info->arena). */
size_t hora_graph_used(const hora_graph *g);
#endif
