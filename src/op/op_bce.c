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

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("z", &in[0]));
    out->shape = HORA_SHAPE1(1);
    out->dtype = HORA_F64;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return grad;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 0}, {3, 5, 0}, {13, 1, 2}, {67, 7, 1}, {200, 3, 5}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k][0], 2, s[k][2], false);
    hora_case_value(c, r, s[k][1], true);
    return true;
}

const hora_op hora_op_bce = {.name = "bce",
                             .nin = 1,
                             .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                             .leaves = HORA_LEAF(value) | HORA_LEAF(weight),
                             .shape = shape,
                             .reads = reads,
                             .tol = {1e-5, 2e-2},
                             .sample = sample};
