/*
 * drop_path (stochastic depth; G. Huang et al., 2016), inverted: the branch of a whole sample is
 * left out with probability p, and what stays grows.
 *
 *   y_i = x_i m(s_i) / (1 - p)        p = attr.alpha, s_i = row0 + lo_i: the sample's first row
 *   dx_i = dy_i m(s_i) / (1 - p)
 *
 * m is the mask of op_dropout.h in column 0 of row s_i, so it is a function of seed, step and the
 * sample's place in the step, however that is cut. Backward reads nothing: the mask is made again.
 */
#include "op/op_dropout.h"
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_probability(a));
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    return hora_case_dropout(r, k, c, true);
}

const hora_op hora_op_drop_path = {.name = "drop_path",
                                   .nin = 1,
                                   .options = HORA_OP_BATCH | HORA_OP_RANDOM | HORA_OP_CHEAP,
                                   .leaves = HORA_LEAF(lo),
                                   .shape = shape,
                                   .reads = reads,
                                   .tol = {1e-6, 1e-2},
                                   .sample = sample};
