#ifndef HORA_OP_OP_H
#define HORA_OP_OP_H
/*
 * Ops: what is computed. One file op_x.c per op with the equations of both passes, the shape rule
 * and what backward reads; one row in ops.def; one ref kernel ref_x.c. Ops know nothing of graphs
 * or backends.
 *
 * Conventions. Activations are two-dimensional, (rows, width): all tokens of a micro-batch one
 * after another. Weights are (out, in). Heads lie side by side in a row: q is (rows, H*dh). A row
 * tensor may be run with fewer rows than it was recorded with.
 */
#include <stdbool.h>

#include "base/rng.h"
#include "tensor/batch.h"

#define HORA_MAX_IN    7
#define HORA_MAX_SAVED 2

typedef enum {
    HORA_ACT_IDENTITY,
    HORA_ACT_RELU,
    HORA_ACT_TANH,
    HORA_ACT_SIGMOID,
    HORA_ACT_GELU,
    HORA_ACT_GELU_TANH,
    HORA_ACT_SILU,
    HORA_ACT_QUICK_GELU,
    HORA_ACTS
} hora_act;

/* One flat record; each op's file says which fields it reads. */
typedef struct hora_attr {
    /* linear: factor of x W'; lowrank, head_xent: of the low-rank term; add: of the second term;
     * scale: factor; dropout: probability */
    double alpha;
    double eps;                        /* rmsnorm, layernorm */
    hora_act act;                      /* act, glu */
    int64_t heads, kv_heads, head_dim; /* attention, cache, rope (kv_heads unused there) */
    /* attention, cache: row i sees at most `window` keys up to and including itself; 0: all of
     * its range. attention: at most `ahead` keys behind itself; 0: all of its range */
    int64_t window, ahead;
    double scale; /* attention, cache: of q k' before softmax */
    /* rope: (head_dim/2) angles per position, or (groups, head_dim/2) where groups > 1; borrowed
     * for the life of the graph. rope_reach: twice as many, the second half for sequences of more
     * than `far` positions; with `stretch` above 0 no second half, it says what they become */
    const double *freq;
    int64_t far;       /* rope_reach */
    double stretch;    /* rope_reach */
    int64_t shift;     /* rope: added to every position */
    double rope_scale; /* rope: factor of cos and sin (attention_factor); 1 */
    /* permute: (groups, a, b, w) -> (groups, b, a, w); grouped, interleave: groups; others: see
     * their files */
    int64_t groups, a, b, w;
    /* gather: row numbers, borrowed, read at run time; NULL: the batch's */
    const int32_t *index;
    int64_t nindex;
    /* gather: leaf of the batch that holds the row numbers, and the number that means row 0 of the
     * table; input: leaf that becomes rows. resample: rows that are copied. segment: side of a
     * piece; upsample: which of the four */
    hora_leaf source;
    int64_t first;
    int64_t kernel[3]; /* depthwise: taps in time, height and width, all odd */
    bool antialias;    /* resample */
    uint64_t stream;   /* dropout: random stream of this node */
} hora_attr;

/* What backward reads of a node. */
#define HORA_IN(i) (1u << (i))
#define HORA_OUT   (1u << 8)
#define HORA_SAVED (1u << 9)

struct hora_case;

typedef struct hora_op {
    const char *name;
    int nin;           /* inputs, optional ones included */
    unsigned optional; /* HORA_IN(i): input i may be absent (shape.n == -1) */
    unsigned options;  /* HORA_OP_* */
    /* HORA_LEAF(x): what it reads of the batch, unless attr.index stands for it or attr.source
     * says (HORA_OP_SOURCE); a leaf without columns of its own has those of in[0], or of the output
     * where there is no input, or as many as `columns` says */
    unsigned leaves;
    int64_t (*columns)(const hora_attr *); /* of a leaf that has none of its own; NULL: see above */
    /* Checks the inputs and sets out->shape. out->dtype is preset, to the graph's for a row tensor
     * and to in[0]'s for others; an op may know better. HORA_ESHAPE with both shapes in the text.
     */
    hora_status (*shape)(const hora_view *in, const hora_attr *, hora_view *out);
    /* `grad`: HORA_IN bits of the inputs that carry gradient. NULL: forward only or detached. */
    unsigned (*reads)(unsigned grad);
    /* Shapes and dtypes of what forward keeps for backward; entries are preset to absent. NULL:
     * nothing. grad == 0: no backward will come. */
    void (*saves)(const hora_view *in, const hora_attr *, unsigned grad,
                  hora_view saved[HORA_MAX_SAVED]);
    /* Inputs whose gradient is dout as it is. Where such a gradient is written first here, the plan
     * lets it take dout's memory over and the kernel is not asked for it. */
    unsigned passes;
    double tol[2]; /* agreement with ref: f32, bf16; max |d| <= tol * (1 + max |ref|) */
    bool (*sample)(hora_rng *, int k, struct hora_case *); /* k-th test case; false: no more */
    /* forward, 2 per multiply-add; NULL: not counted */
    double (*flops)(const hora_view *in, const hora_view *out, const hora_attr *);
    /* Of backward, with `grad` as in reads; NULL: as many as forward for each of in[0] and in[1]
     * that carries gradient. */
    double (*flops_back)(const hora_view *in, const hora_view *out, const hora_attr *,
                         unsigned grad);
} hora_op;
#define HORA_OP_BATCH 1u /* reads the batch: leaves, or its counters */
/* output is a row tensor although no input is (gather with the batch's ids) */
#define HORA_OP_ROWS       2u
#define HORA_OP_REDUCES    4u   /* output is no row tensor although in[0] is (losses) */
#define HORA_OP_EFFECT     8u   /* writes into an input (cache): never recomputed, never dropped */
#define HORA_OP_RANDOM     16u  /* not allowed in `before` */
#define HORA_OP_JOINS      32u  /* neighbours on the same rows may run as one (q, k, v) */
#define HORA_OP_CHEAP      64u  /* no more than reading and writing: recomputed sooner than kept */
#define HORA_OP_SAVED_ROWS 128u /* what it saves has a row for each row of in[0] */
#define HORA_OP_HELD       256u /* a constant to derivatives; hora_graph_hold keeps its value */
#define HORA_OP_PAIRS      512u /* its work is counted in pairs of rows that see each other */
/* its work is counted in rows with a target; forward makes the gradient of a lone in[0] */
#define HORA_OP_TARGETS 1024u
#define HORA_OP_PICKS   2048u /* reads no more of in[0] than it writes */
#define HORA_OP_SOURCE  4096u /* of the batch it reads the leaf attr.source */
/* with PAIRS: forward they are scored and no more, backward is counted in rows */
#define HORA_OP_SCORES 8192u

/* Rows of ops.def, in its order. */
typedef enum hora_op_id {
#define OP(x) HORA_OP_##x,
#include "op/ops.def"
#undef OP
    HORA_OPS
} hora_op_id;
const hora_op *hora_op_at(int id); /* id < HORA_OPS */
const hora_op *hora_op_named(const char *name);

/* A test case for gradient and agreement tests and micro-benchmarks. Arrays hang on heap memory of
 * the case. */
typedef struct hora_case {
    /* shapes; absent: shape.n = -1. The runner fills values N(0,1) * spread[i] + shift[i] */
    hora_view in[HORA_MAX_IN];
    double spread[HORA_MAX_IN], shift[HORA_MAX_IN]; /* preset to 1 and 0 */
    unsigned grad;                                  /* inputs to differentiate */
    unsigned rows; /* as hora_call's: inputs that are row tensors, HORA_OUT: the output is */
    hora_attr attr;
    hora_batch batch; /* with rows > 0 when the op reads it */
    void *own[10];    /* freed by hora_case_release */
    int nown;
} hora_case;
/* The k-th case of an op, presets included; the same for the same seed. False: no more, and nothing
 * to release. */
bool hora_case_make(hora_case *c, int op, int k, uint64_t seed);
void *hora_case_alloc(hora_case *c, size_t n, size_t size); /* zeroed, owned by the case */
void hora_case_release(hora_case *c);
/* Fills c->batch for `rows` rows cut into segments of random length (causal unless bidirectional),
 * the last `padding` rows unused; classes: range of target and ids. */
void hora_case_batch(hora_case *c, hora_rng *r, int64_t rows, int64_t classes, int64_t padding,
                     bool bidirectional);
/* After hora_case_batch: numbers for the leaf `value`, `columns` a row; binary: of 0 and 1. */
void hora_case_value(hora_case *c, hora_rng *r, int64_t columns, bool binary);

static inline bool hora_absent(const hora_view *v) {
    return v->shape.n < 0;
}
#endif
