/*
 * dropout (N. Srivastava et al., 2014), inverted: what is kept grows, so evaluation needs nothing.
 *
 *   y_ij = x_ij m_ij / (1 - p)               p = attr.alpha; m as op_dropout.h defines it
 *   dx_ij = dy_ij m_ij / (1 - p)
 *
 * Nothing is saved and backward reads nothing: the mask is computed again.
 */
#include "op/op_dropout.h"
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_probability(a));
    if (in[0].shape.d[1] > HORA_DROPOUT_COLUMNS)
        return hora_op_misfit("x", &in[0], NULL, NULL, "too wide for a mask, stay below 2^26");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    return hora_case_dropout(r, k, c, false);
}

const hora_op hora_op_dropout = {.name = "dropout",
                                 .nin = 1,
                                 .options = HORA_OP_BATCH | HORA_OP_RANDOM | HORA_OP_CHEAP,
                                 .shape = shape,
                                 .reads = reads,
                                 .tol = {1e-6, 1e-2},
                                 .sample = sample};
