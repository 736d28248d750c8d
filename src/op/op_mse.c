/*
 * mse: squared distance of numbers from what they should be; regression.
 *
 *   L = c / k sum_i w_i sum_j (z_ij - y_ij)^2     z (n, k); y = batch.value (n, k),
 *                                               w = batch.weight, c = batch.scale;
 *                                               L is one element, F64
 *   dz_ij = 2 s c w_i / k (z_ij - y_ij)           s: the incoming gradient of L
 *
 * With c = 1 / (samples that count) it is the mean over samples and columns. Backward reads z.
 */
#include "op/op_impl.h"

static bool sample(hora_rng *r, int k, hora_case *c) {
    return hora_case_value_loss(r, k, c, false);
}

const hora_op hora_op_mse = {.name = "mse",
                             .nin = 1,
                             .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                             .leaves = HORA_LEAF(value) | HORA_LEAF(weight),
                             .shape = hora_op_value_loss_shape,
                             .reads = hora_op_value_loss_reads,
                             .tol = {1e-5, 2e-2},
                             .sample = sample};
