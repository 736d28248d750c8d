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
    if (!(a->alpha >= 0 && a->alpha < 1))
        return hora_fail(HORA_EUSAGE, "probability %g; give 0 or more and less than 1", a->alpha);
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
    static const struct {
        int64_t n, d;
        double p;
    } s[] = {{1, 1, 0.5}, {3, 5, 0}, {13, 7, 0.1}, {67, 33, 0.3}, {200, 130, 0.9}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k].n, 2, 0, false);
    c->attr.alpha = s[k].p;
    c->attr.stream = hora_rng_u64(r);
    return true;
}

const hora_op hora_op_dropout = {.name = "dropout",
                                 .nin = 1,
                                 .options = HORA_OP_BATCH | HORA_OP_RANDOM | HORA_OP_CHEAP,
                                 .shape = shape,
                                 .reads = reads,
                                 .tol = {1e-6, 1e-2},
                                 .sample = sample};
