/*
 * divergence: how far logits are from a teacher's.
 *
 *   L = c sum_i w_i sum_j q_ij (log q_ij - log p_ij)     p = softmax z, q = softmax t; z, t (n, k)
 *
 * c = batch.scale, w = batch.weight; L is one element, F64. The teacher's logits are a constant:
 * whoever records this passes them through detach.
 *
 *   dz_ij = s c w_i (p_ij - q_ij)     s: the incoming gradient of L
 *
 * Backward reads z and t.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("z", &in[0]));
    HORA_TRY(hora_op_same("z", &in[0], "t", &in[1]));
    *out = (hora_view){NULL, HORA_F64, HORA_SHAPE1(1)};
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_IN(1);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {13, 7}, {67, 33}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_row(c, 1, s[k][0], s[k][1]);
    hora_case_batch(c, r, s[k][0], 2, s[k][0] / 9, false);
    c->grad = HORA_IN(0);
    return true;
}

const hora_op hora_op_divergence = {.name = "divergence",
                                    .nin = 2,
                                    .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                                    .leaves = HORA_LEAF(weight),
                                    .shape = shape,
                                    .reads = reads,
                                    .tol = {1e-5, 2e-2},
                                    .sample = sample};
