/*
 * shift: the row behind, within its segment.
 *
 *   y_i = x_(i+a)  where i + a < hi_i, lo_i < hi_i;  0 elsewhere        a = attr.a >= 0
 *   dx_j = dy_(j-a)  for the i = j - a that reads it
 *
 * For what stands behind a sample's first row: a distillation token. Rows are those of encoders,
 * where all of a segment have the same lo and hi. Backward reads no tensor.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (a->a < 0)
        return hora_fail(HORA_EUSAGE, "a is %lld; give 0 or more", (long long)a->a);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 0}, {3, 5, 1}, {13, 7, 2}, {67, 33, 1}, {200, 48, 9}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_batch(c, r, s[k][0], 2, s[k][0] / 9, true);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    c->attr.a = s[k][2];
    return true;
}

const hora_op hora_op_shift = {.name = "shift",
                               .nin = 1,
                               .options = HORA_OP_BATCH | HORA_OP_CHEAP,
                               .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                               .shape = shape,
                               .reads = reads,
                               .tol = {1e-6, 1e-2},
                               .sample = sample};
