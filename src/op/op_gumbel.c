/*
 * gumbel: the share of a yes in a choice between yes and no, as Gumbel's softmax relaxes it.
 *
 *   s_ij = g((x_rj + e_rj) / tau)     g: the logistic function; tau = attr.alpha
 *   s_ij = 1                          in the first attr.a rows of a segment
 *
 * e is the difference of two Gumbel draws (op_gumbel.h) where attr.b = 1, else 0. r is i; with
 * attr.w = 1 the first row of i's segment, which decides for all of it.
 *
 *   dx_rj = sum over the rows i that r decides for ds_ij s_ij (1 - s_ij) / tau
 *
 * Backward reads s. [arXiv 1611.01144]
 */
#include "op/op_gumbel.h"
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (!(a->alpha > 0) || a->a < 0 || a->b < 0 || a->b > 1 || a->w < 0 || a->w > 1)
        return hora_fail(HORA_EUSAGE, "tau is %g; give more than 0", a->alpha);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_OUT;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d, lead, noise, whole;
        double tau;
    } s[] = {{1, 1, 0, 0, 0, 1},
             {3, 1, 1, 1, 0, 5},
             {13, 3, 0, 1, 1, 2},
             {67, 1, 2, 1, 0, 5},
             {40, 6, 1, 0, 1, 0.7}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_batch(c, r, s[k].n, 2, s[k].n / 9, k % 2);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    c->attr.alpha = s[k].tau;
    c->attr.a = s[k].lead;
    c->attr.b = s[k].noise;
    c->attr.w = s[k].whole;
    c->attr.stream = hora_rng_u64(r);
    return true;
}

const hora_op hora_op_gumbel = {.name = "gumbel",
                                .nin = 1,
                                .options = HORA_OP_BATCH | HORA_OP_RANDOM,
                                .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                .shape = shape,
                                .reads = reads,
                                .tol = {1e-5, 1e-2},
                                .sample = sample};
