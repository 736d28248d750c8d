#ifndef HORA_GRAPH_GRAPH_IMPL_H
#define HORA_GRAPH_GRAPH_IMPL_H
/*
 * The arrays behind a hora_graph, and who fills them: record.c tensors and nodes; schedule.c the
 * marks of both and the steps; plan.c the kernels and buffers; place.c the offsets; run.c the
 * kernels' states and the pointers of every call; choose.c which steps are left out.
 *
 * A tensor is a value of the recording, a node one op of it, a step one pass of one node (forward,
 * recomputed forward, or backward), a buffer the memory of one value or gradient for its life. All
 * refer to each other by index; -1 is none.
 */
#include "graph/graph.h"

typedef enum {
    LEAF_FROZEN,    /* a weight that never changes */
    LEAF_PARAMETER, /* trains */
    LEAF_STATE,     /* written by an op: the key-value cache */
    NODE_OUTPUT
} tensor_kind;

/* Which of the two computations of a value: of forward, or recomputed for backward. */
enum { FIRST, RECOMPUTED, COMPUTATIONS };

typedef struct tensor {
    /* recorded */
    tensor_kind kind;
    hora_view view;     /* data: of leaves when they are bound, of outputs after prepare */
    char *name;         /* of leaves, owned; else NULL */
    int producer;       /* node that makes it, -1 for leaves */
    bool row_tensor;    /* the first dimension is the tokens of a micro-batch */
    bool before;        /* parameter, frozen leaf, or made of such once per step */
    int packed;         /* has rows that op pack chose: of which choice; 0: all of them */
    bool output;        /* readable when the run is over */
    double loss_weight; /* its gradient when it is a loss; 0: it is none */
    void *user;         /* parameters: the recorder's, borrowed */
    void *grad_data;    /* parameters: memory of the gradient, borrowed */
    /* marked by schedule.c */
    bool needed;       /* a loss, an output or another needed tensor depends on it */
    bool carries_grad; /* made of a parameter by ops that can be differentiated */
    bool wants_grad;   /* its gradient is computed */
    bool exported;     /* read by the forward of another segment, so kept whatever is recomputed */
    /* planned by plan.c: indices of buffers */
    int value_buffer[COMPUTATIONS];
    int grad_buffer;
} tensor;

typedef struct node {
    /* recorded */
    int op; /* hora_op_id */
    hora_attr attr;
    hora_t in[HORA_MAX_IN]; /* HORA_NONE: absent */
    hora_t out;
    int segment; /* layer, the unit of recomputation; -1: in none */
    bool before; /* runs once per step, before and after all micro-batches */
    /* marked by schedule.c */
    unsigned grad_inputs; /* HORA_IN bits of the inputs that get a gradient */
    unsigned live_inputs; /* of those, the ones that lead to a chosen parameter: choose.c */
    bool has_backward;
    bool recomputed; /* its forward runs again for backward */
    /* and does so just before the backward of this node; -1: before that of its whole segment */
    int recompute_before;
    hora_view saved[HORA_MAX_SAVED]; /* what forward keeps for backward besides in and out */
    /* planned by plan.c and run.c */
    int saved_buffer[HORA_MAX_SAVED][COMPUTATIONS];
    int impl[2]; /* by phase: index into hora_graph.impls */
} node;

/* The schedule's parts in order: once per step, per micro-batch twice, once per step. */
typedef enum { PART_BEFORE, PART_FORWARD, PART_BACKWARD, PART_AFTER, PARTS } part;

typedef struct step {
    int node;
    hora_phase phase;
    bool recomputed; /* a forward for the second time */
    /* HORA_IN bits of gradients. Written with = and not +=: always, or in micro-batch 0 only. */
    unsigned overwrite, overwrite_in_first;
    unsigned grads_in_dout; /* those that take the memory of dout over and need no kernel */
    bool idle;              /* left out as long as the choice of parameters stands: choose.c */
    bool apart;             /* what is joined to it runs alone: not all run as planned */
    int packed;             /* as its inputs': runs with so many rows; 0: with all */
    int joined; /* steps after this one that run in one call with it; -1: runs with one before it */
    int branch; /* steps of different branches of before, or of after, may run at once; 0: none */
    size_t scratch_bytes;
    int scratch_buffer;
    const hora_backend *backend; /* whose kernel accepted the call */
    hora_call call;              /* pointers are filled in by prepare */
} step;

typedef struct buffer {
    size_t bytes, offset;      /* multiples of 64; offset into the arena */
    int first_step, last_step; /* steps of its life, both included; last may be step_count */
} buffer;

struct hora_graph {
    /* recorded */
    hora_graph_config config;
    const hora_backend *backends[8]; /* in order of preference */
    int backend_count;
    tensor *tensors; /* hora_t is an index into it */
    int tensor_count, tensor_capacity;
    node *nodes; /* in order of execution */
    int node_count, node_capacity;
    int segment;       /* of the nodes that follow */
    bool in_before;    /* the nodes that follow run once per step */
    hora_status error; /* the first one while recording */
    char error_text[512];
    /* planned */
    hora_plan_options options;
    bool planned, prepared;
    int segment_count, recomputed_segments; /* the first ones are recomputed */
    step *steps;                            /* in order of execution */
    int step_count, step_capacity;
    int part_end[PARTS]; /* index of the step after the last one of a part */
    buffer *buffers;
    int buffer_count, buffer_capacity;
    hora_plan_info info;
    /* prepared */
    /* kernels, in the order of the steps that are not recomputed: a recomputation runs the one
     * of the first forward */
    hora_impl *impls;
    int impl_count, impl_capacity;
    unsigned char *arena;   /* the device's, borrowed */
    void *staged;           /* the device's room for a batch */
    size_t arena_used;      /* bytes */
    hora_leaves leaves;     /* that a batch must hold */
    int64_t current_rows;   /* row tensors have as many now; at most config.rows */
    double loss_grad[4096]; /* dout of the losses, each in its own dtype */
    int loss_count;
    struct replay { /* a run of steps that the device keeps */
        int from;   /* its first step */
        int64_t rows;
        bool first; /* micro-batch 0 */
        void *kept; /* NULL: ran once, to be kept the next time */
    } * replays;
    int replay_count, replay_capacity;
    void **held; /* copies of what detach made; NULL: not held */
    int held_count, held_capacity;
    bool *flags;      /* room of choose.c; NULL until the first choice */
    int packed_count; /* choices of rows, numbered from 1: packed.c */
    struct packed {
        hora_batch batch; /* what the batch says of the rows that take part */
    } * packed;
    int64_t *packed_before;  /* rows that take part before row i */
    struct profile *profile; /* NULL: off */
};

static inline bool is_loss(const tensor *t) {
    return t->loss_weight != 0;
}
/* run.c: gives back what prepare took. */
void hora_graph_release(hora_graph *g);
/* schedule.c: marks tensors and nodes, orders the steps. HORA_EUSAGE: nothing trains. */
hora_status hora_graph_build_schedule(hora_graph *g);
/* branch.c: what of `before` and `after` may run at once, and the lives of their buffers so. */
void hora_graph_branch(hora_graph *g);
/* packed.c: what prepare takes for it and release gives back; after op pack: which rows take part;
 * before a step with such rows: their number in its call, and their batch. */
void hora_graph_prepare_packed(hora_graph *g);
void hora_graph_free_packed(hora_graph *g);
void hora_graph_packed_by(hora_graph *g, const step *s, const hora_batch *from);
const hora_batch *hora_graph_packed_rows(const hora_graph *g, step *s);
/* place.c: offsets of all buffers; sets info.arena. */
void hora_graph_place(hora_graph *g);
/* The buffer of tensor t as step s reads it: of forward or recomputed; -1 for leaves. */
int hora_graph_value_buffer(const hora_graph *g, const step *s, hora_t t);
/* run.c: ends the life of all that prepare made, as far as it came. */
void hora_graph_release_kernels(hora_graph *g);
/* flops.c: adds what one pass of a node takes, by unit of work; all of them into info. */
void hora_graph_node_flops(const hora_graph *g, const node *n, hora_phase phase,
                           double f[HORA_WORKS]);
void hora_graph_sum_flops(hora_graph *g);
/* profile.c: before a run of steps, and after each call, when n joined steps from i on ran. */
void hora_graph_profile_begin(hora_graph *g, const hora_batch *batch);
void hora_graph_profile_steps(hora_graph *g, int i, int n);
void hora_graph_profile_free(hora_graph *g);
#endif
