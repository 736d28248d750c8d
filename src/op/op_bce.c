/*
 * bce: binary cross-entropy of logits, each column a class of its own; several labels at once.
 *
 *   L = c / k sum_i w_i sum_j l(z_ij, y_ij)       z (n, k); y = batch.value (n, k),
 *                                               w = batch.weight, c = batch.scale;
 *                                               L is one element, F64
 *   l(z, y) = max(z, 0) - z y + log(1 + exp(-|z|))
 *   dz_ij = s c w_i / k (1 / (1 + exp(-z_ij)) - y_ij)     s: the incoming gradient of L
 *
 * With c = 1 / (samples that count) it is the mean over samples and classes. Backward reads z.
 */
#include "op/op_impl.h"

static bool sample(hora_rng *r, int k, hora_case *c) {
    return hora_case_value_loss(r, k, c, true);
}

const hora_op hora_op_bce = {.name = "bce",
                             .nin = 1,
                             .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                             .leaves = HORA_LEAF(value) | HORA_LEAF(weight),
                             .shape = hora_op_value_loss_shape,
                             .reads = hora_op_value_loss_reads,
                             .tol = {1e-5, 2e-2},
                             .sample = sample};
