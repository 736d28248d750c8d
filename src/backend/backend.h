#ifndef HORA_BACKEND_BACKEND_H
#define HORA_BACKEND_BACKEND_H
/*
 * Backends: how an op is computed. A kernel gets views and attributes, no graph. All that can fail
 * fails in query or prepare; run returns void. The first backend of the list whose query accepts a
 * call runs it.
 *
 * Results must not depend on the thread count: work is cut into tiles by shapes alone
 * (base/threads.h).
 */
#include "backend/device.h"

typedef enum { HORA_FORWARD, HORA_BACKWARD } hora_phase;

typedef struct hora_call {
    const hora_op *op;
    int op_id;
    hora_phase phase;
    hora_attr attr;
    hora_view in[HORA_MAX_IN]; /* absent inputs: shape.n = -1 */
    hora_view out;
    hora_view saved[HORA_MAX_SAVED];
    /* backward: gradient of input i where grad has its bit. Dtype: see below */
    hora_view din[HORA_MAX_IN];
    hora_view dout;     /* backward */
    unsigned grad;      /* forward and backward: inputs that carry gradient */
    unsigned overwrite; /* backward: din[i] = instead of += */
    /* inputs whose values never change while this plan lives: may be packed at prepare */
    unsigned frozen;
    unsigned rows; /* HORA_IN(i), HORA_OUT, HORA_SAVED: these are row tensors */
    const hora_batch
        *batch;    /* at run time, for ops with HORA_OP_BATCH; rows holds for every call */
    void *scratch; /* at run time: `need.scratch` bytes, 64-byte aligned, contents undefined */
} hora_call;

/* J_i of op_attention.c, [lo, hi): what row i sees of the batch's own rows. */
static inline void hora_call_sees(const hora_call *c, int64_t i, int64_t *lo, int64_t *hi) {
    *lo = c->batch->lo[i];
    *hi = c->batch->hi[i];
    if (c->attr.window && *lo < i - c->attr.window + 1)
        *lo = hora_min(i - c->attr.window + 1, *hi);
    if (c->attr.ahead)
        *hi = hora_min(*hi, i + c->attr.ahead + 1);
}
/* Views in a call carry their largest row count at query and prepare, the actual one at run.
 * Pointers are NULL at query; at prepare only frozen inputs have data. In backward, inputs and out
 * have data only where op->reads says so. Gradients have the dtype of their tensor. A call of a
 * bf16 graph mixes dtypes: row tensors are bf16, frozen weights bf16 or f32, parameters and what is
 * made of them f32, saved statistics f32, a loss f64. Sums and products run in f32 at least and are
 * rounded once, when they are stored. dout of a scalar loss is 1 element. */

#define HORA_MAX_JOINED 4

typedef struct hora_need {
    size_t scratch; /* bytes per call */
    /* bytes that prepare will keep in the device (0 when the same packing exists already) */
    size_t packed;
} hora_need;

typedef struct hora_impl {
    void (*run)(const struct hora_impl *, const hora_call *);
    /* Runs n calls with this function as if one after another. The plan joins neighbours that read
     * the same in[0] forward, or add to the same din[0] backward, of ops with HORA_OP_JOINS, and
     * keeps all their memory apart. NULL: not joined. */
    void (*run_joined)(const struct hora_impl *const *, const hora_call *const *, int n);
    void *state;      /* of prepare, freed by release */
    char variant[64]; /* "onednn brgemm:avx512_core", "ref" */
} hora_impl;

typedef struct hora_backend {
    const char *name, *device;
    bool (*query)(hora_device *, const hora_call *, hora_need *);
    hora_status (*prepare)(hora_device *, const hora_call *, hora_impl *);
    void (*release)(hora_impl *);
} hora_backend;

/* The registry, in order of preference; a graph takes those of its device. */
int hora_backend_count(void);
const hora_backend *hora_backend_at(int i);
const hora_backend *hora_backend_named(const char *name); /* NULL when absent */
hora_status hora_backend_unknown(const char *name);       /* the failure that says so */

#endif
