#ifndef HORA_GRAPH_GRAPH_IMPL_H
#define HORA_GRAPH_GRAPH_IMPL_H
/* The arrays behind a hora_graph. record.c fills tensors and nodes, plan.c steps and buffers,
 * prepare.c impls and calls. */
#include "graph/graph.h"

typedef enum { LEAF_FROZEN, LEAF_PARAM, LEAF_STATE, NODE_OUT } tensor_kind;

typedef struct tensor {
    tensor_kind kind;
    hora_view view;
    char *name;  /* leaves */
    int node;    /* producer, -1 for leaves */
    bool rows;   /* first dimension is the batch's rows */
    bool before; /* parameter, frozen leaf, or made in `before` */
    bool output; /* kept to the end */
    double loss; /* weight of a loss, 0: none */
    /* plan */
    bool carries;           /* a parameter is behind it */
    bool wants;             /* its gradient is computed */
    bool needed;            /* something reads it */
    bool exported;          /* read by the forward of another segment */
    int value[2], grad;     /* buffers: first computation and recomputation; -1 none */
    void *user, *grad_data; /* parameter leaves */
} tensor;

typedef struct node {
    int op;
    hora_attr attr;
    hora_t in[HORA_MAX_IN], out;
    int segment;
    bool before;
    /* plan */
    unsigned grad; /* inputs that get a gradient */
    bool backward; /* scheduled */
    bool again;    /* recomputed before the backward of its segment, or late */
    int late;      /* recomputed just before the backward of this node; -1: not so */
    hora_view saved[HORA_MAX_SAVED];
    int saved_buffer[HORA_MAX_SAVED][2];
    int impl[2]; /* by phase */
} node;

typedef enum { PART_BEFORE, PART_FORWARD, PART_BACKWARD, PART_AFTER, PARTS } part;

typedef struct step {
    int node;
    hora_phase phase;
    bool again;
    unsigned overwrite;       /* always */
    unsigned overwrite_first; /* in micro-batch 0 */
    unsigned passed;          /* gradients that took dout's memory over */
    int joined;               /* steps after this one that run with it; -1: runs with one before */
    size_t scratch;           /* bytes */
    int scratch_buffer;
    const hora_backend *backend;
    hora_call call; /* with pointers after prepare */
} step;

typedef struct buffer {
    size_t bytes, offset;
    int first, last; /* steps */
    bool rows;
} buffer;

struct hora_graph {
    hora_graph_config config;
    const hora_backend *backends[8];
    int nbackends;
    tensor *t;
    int nt, ct;
    node *n;
    int nn, cn;
    int segment;
    bool in_before;
    hora_status error;
    char error_text[512];
    /* plan */
    hora_plan_options options;
    bool planned, prepared;
    int segments, recomputed;
    step *s;
    int ns, cs;
    int part_end[PARTS];
    buffer *b;
    int nb, cb;
    hora_plan_info info;
    /* prepare */
    hora_impl *impl;
    int nimpl, cimpl;
    unsigned char *arena; /* of the device */
    bool owns_arena;
    void *staged; /* room for the batch */
    size_t used;
    int64_t current_rows;
    double loss_grad[8]; /* dout of the losses, in their dtype */
    int nloss;
    struct replay { /* a run of steps that the device keeps */
        int from;
        int64_t rows;
        bool first; /* micro-batch 0 */
        void *kept; /* NULL: ran once, to be kept the next time */
    } * replay;
    int nreplay, creplay;
    struct profile *profile; /* NULL: off */
};

static inline bool is_loss(const tensor *t) {
    return t->loss != 0;
}
void hora_graph_release(hora_graph *g); /* run.c: what prepare took */
hora_status hora_graph_build_schedule(hora_graph *g); /* schedule.c: mark and order */
void hora_graph_place(hora_graph *g);                 /* place.c: offsets; sets info.arena */
/* The view of input, output and so on as the step sees it: which of the two computations it reads.
 */
int hora_graph_value_buffer(const hora_graph *g, const step *s, hora_t t);
/* flops.c: adds what one pass of a node takes, by unit of work; all of them into info. */
void hora_graph_node_flops(const hora_graph *g, const node *n, hora_phase phase,
                           double f[HORA_WORKS]);
void hora_graph_sum_flops(hora_graph *g);
/* profile.c: before the first of a run of steps, and after each. */
void hora_graph_profile_begin(hora_graph *g, const hora_rows *batch);
void hora_graph_profile_steps(hora_graph *g, int i, int n); /* n joined steps from i ran */
void hora_graph_profile_free(hora_graph *g);
#endif
