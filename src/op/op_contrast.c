/*
 * contrast: each text beside its own among all of the batch; in-batch negatives, sentence-
 * transformers' MultipleNegativesRankingLoss, cross-entropy over scaled cosines [Henderson 2017].
 *
 *   u_i = x_i / max(|x_i|, 1e-12)
 *   L   = c sum_p w_p (log sum_j exp(s u_a(p) u_j') - s u_a(p) u_p')
 *
 *                     p: rows with target 1, a(p): the last row before p with target 0, its anchor;
 *                     j: all rows with target 1 or more: what is right for one anchor and wrong for
 *                     the others, and what is wrong for all. Rows with target -1 hold no text.
 *   G_pj = c w_p s (softmax_j(s u_a(p) u_j') - [j = p])
 *   du_a(p) = sum_j G_pj u_j      du_j = sum_p G_pj u_a(p)
 *   dx_i = (du_i - (du_i u_i') u_i) / |x_i|
 *
 * x (n, d); attr.scale is s; w = batch.weight, c = batch.scale; L is one element, F64. An anchor
 * has one row with target 1 behind it. Backward reads x.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (!(a->scale > 0))
        return hora_fail(HORA_EUSAGE, "the scale of cosines is %g; give more than 0", a->scale);
    out->shape = HORA_SHAPE1(1);
    out->dtype = HORA_F64;
    return HORA_OK;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    c->attr.scale = 5;
    return hora_case_texts(r, k, c);
}

const hora_op hora_op_contrast = {.name = "contrast",
                                  .nin = 1,
                                  .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                                  .leaves = HORA_LEAF(target) | HORA_LEAF(weight),
                                  .shape = shape,
                                  .reads = hora_op_value_loss_reads,
                                  .tol = {1e-5, 2e-2},
                                  .sample = sample};
