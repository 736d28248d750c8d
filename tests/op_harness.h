#ifndef HORA_OP_HARNESS_H
#define HORA_OP_HARNESS_H
/*
 * One op call through one backend, as the graph would make it and meaner: prepared for more rows
 * than it runs with, results and scratch full of NaN before, fences behind every buffer, and in
 * backward nothing but what the op's `reads` names. Failures end the running cmocka test.
 */
#include "backend/backend.h"

/* Dtypes of row tensors, of the first of the other inputs (a weight, where there is one), and of
 * the rest. */
typedef struct op_types {
    hora_dtype rows, weight, rest;
} op_types;

typedef struct op_rig {
    int op;
    const hora_op *row;
    int k; /* number of the case */
    op_types types;
    hora_case c;
    unsigned grad; /* of the calls; set by op_rig_grad */
    hora_view in[HORA_MAX_IN], out, saved[HORA_MAX_SAVED], din[HORA_MAX_IN], dout; /* owned */
} op_rig;

/* How to make the call. */
typedef struct op_how {
    const hora_backend *backend;
    hora_device *device;
    int64_t spare;      /* rows prepared for beyond those run */
    bool freeze;        /* weights that carry no gradient are declared frozen */
    unsigned overwrite; /* backward */
} op_how;

/* Case k of op, inputs filled, dout random. False: no such case. */
bool op_rig_open(op_rig *r, int op, int k, op_types types);
void op_rig_close(op_rig *r);
/* Which inputs carry gradient in the calls that follow; makes saved and din, full of NaN. */
void op_rig_grad(op_rig *r, unsigned grad);

/* Queries, prepares, runs, releases. False: the backend declines. */
bool op_rig_forward(op_rig *r, const op_how *how);
bool op_rig_backward(op_rig *r, const op_how *how);

/* Memory of a view with a fence behind it; full of NaN. */
void op_view_new(hora_view *v);
void op_view_free(hora_view *v);
void op_view_poison(const hora_view *v);
/* N(0, 1) spread + shift. */
void op_view_fill(const hora_view *v, hora_rng *rng, double spread, double shift);
double op_view_get(const hora_view *v, int64_t i); /* F32, F64 or BF16 */
void op_view_set(const hora_view *v, int64_t i, double x);
/* "linear, case 3, gradient of 0x3" for messages; valid until the next call. */
const char *op_rig_text(const op_rig *r);
#endif
