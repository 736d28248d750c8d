/*
 * share: the mean of gates, added up over the blocks of a model, and how far it is from a budget.
 *
 *   a' = a + alpha mean of m_ij       over columns and rows, padding and the first attr.a rows of a
 *                                     segment left out; a one number or absent (0)
 *   y  = a'                           one number
 *   y  = f (a' - eps)^2               with attr.w = 1: a loss, F64; f = c sum_i w_i
 *
 *   da = dy, dm_ij = dy alpha / how many; with attr.w = 1 both times 2 f (a' - eps)
 *
 * c = batch.scale, w = batch.weight: f is the share of the step's targets that the micro-batch
 * holds, so over its micro-batches a step counts such a loss once.
 *
 * Backward reads m and a.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("m", &in[0]));
    if (!hora_absent(&in[1]))
        HORA_TRY(hora_op_vector("a", &in[1], 1, "it is one number"));
    *out = (hora_view){NULL, a->w ? HORA_F64 : hora_op_wide(&in[0]), HORA_SHAPE1(1)};
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_IN(1);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d, lead, last;
        bool a;
    } s[] = {{1, 1, 0, 0, false}, {13, 3, 1, 0, true}, {40, 1, 1, 1, true}, {67, 4, 0, 1, false}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    c->grad = HORA_IN(0);
    if (s[k].a) {
        hora_case_vector(c, 1, 1);
        c->grad |= HORA_IN(1);
    }
    hora_case_batch(c, r, s[k].n, 2, s[k].n / 9, k % 2);
    c->attr.alpha = 0.3;
    c->attr.eps = 0.5;
    c->attr.a = s[k].lead;
    c->attr.w = s[k].last;
    return true;
}

const hora_op hora_op_share = {.name = "share",
                               .nin = 2,
                               .optional = HORA_IN(1),
                               .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                               .leaves = HORA_LEAF(lo) | HORA_LEAF(hi) | HORA_LEAF(weight),
                               .shape = shape,
                               .reads = reads,
                               .tol = {1e-5, 2e-2},
                               .sample = sample};
