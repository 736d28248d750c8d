/*
 * soft_xent: cross-entropy against shares of classes: smoothed labels, mixed samples.
 *
 *   L = c sum_i w_i sum_j y_ij (lse_i - z_ij)       z (n, k); y = batch.value (n, k),
 *                                                   w = batch.weight, c = batch.scale;
 *                                                   L is one element, F64
 *   dz_ij = s c w_i (Y_i exp(z_ij - lse_i) - y_ij)  Y_i = sum_j y_ij, s: the gradient of L
 *
 * With one share of 1 it is head_xent's loss. Backward reads z.
 */
#include "op/op_impl.h"

static bool sample(hora_rng *r, int k, hora_case *c) {
    return hora_case_value_loss(r, k, c, true);
}

const hora_op hora_op_soft_xent = {.name = "soft_xent",
                                   .nin = 1,
                                   .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                                   .leaves = HORA_LEAF(value) | HORA_LEAF(weight),
                                   .shape = hora_op_value_loss_shape,
                                   .reads = hora_op_value_loss_reads,
                                   .tol = {1e-5, 2e-2},
                                   .sample = sample};
