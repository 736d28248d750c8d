/*
 * cosine: of each text with the anchor of its record.
 *
 *   u_i = x_i / max(|x_i|, 1e-12)
 *   y_i = u_a(i) u_i'     rows with target 1 or more; a(i): the last row before i with target 0
 *   y_i = 0               elsewhere
 *   du_i = dy_i u_a(i)    du_a = sum over its i of dy_i u_i
 *   dx_i = (du_i - (du_i u_i') u_i) / |x_i|
 *
 * x (n, d), y (n, 1), never narrower than F32. Backward reads x.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    out->shape = HORA_SHAPE2(in[0].shape.d[0], 1);
    out->dtype = hora_op_wide(&in[0]);
    return HORA_OK;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    c->rows |= HORA_OUT;
    return hora_case_texts(r, k, c);
}

const hora_op hora_op_cosine = {.name = "cosine",
                                .nin = 1,
                                .options = HORA_OP_BATCH,
                                .leaves = HORA_LEAF(target),
                                .shape = shape,
                                .reads = hora_op_value_loss_reads,
                                .tol = {1e-5, 2e-2},
                                .sample = sample};
