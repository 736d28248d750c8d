/*
 * cayley: rotations from skew-symmetric matrices, block by block.
 *
 *   R = (I - Q)(I + Q)^-1                        terms = 0, exact
 *   R = I + 2 Q + .. + 2 Q^(t-2) + Q^(t-1)       terms = t > 2, of (I + Q)(I - Q)^-1, its transpose
 *
 * P holds a row per block: the upper triangle of Q without the diagonal, row by row, b (b - 1) / 2
 * numbers (Q = U - U'), or, with attr.w = 1, all of a matrix A (Q = (A - A') / 2). R (blocks b, b).
 *
 *   exact: dQ = -1/2 (I + R)' dR (I + R)'        for (I + Q)^-1 = (I + R) / 2
 *   terms: dQ = sum over powers Q^k of sum_(i<k) (Q')^i dR (Q')^(k-1-i)
 *
 * attr.b is b, attr.a the terms. PEFT's OFT: both; BOFT: exact, whole matrices. Backward reads P,
 * and R where it is exact.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("P", &in[0]));
    if (a->b < 1 || in[0].shape.d[1] != (a->w ? a->b * a->b : a->b * (a->b - 1) / 2))
        return hora_op_misfit("P", &in[0], NULL, NULL,
                              "give it a row per block: b (b - 1) / 2 numbers, or b b of a matrix");
    if (a->a && a->a < 3)
        return hora_op_misfit("P", &in[0], NULL, NULL, "take three terms or more");
    out->shape = HORA_SHAPE2(in[0].shape.d[0] * a->b, a->b);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_OUT;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t blocks, b, terms, whole;
    } s[] = {{1, 2, 0, 0}, {3, 4, 0, 0}, {2, 5, 0, 1}, {3, 4, 5, 0}, {2, 3, 3, 0}, {4, 8, 7, 1}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k].blocks, s[k].whole ? s[k].b * s[k].b : s[k].b * (s[k].b - 1) / 2);
    c->spread[0] = 0.2;
    c->attr.b = s[k].b;
    c->attr.a = s[k].terms;
    c->attr.w = s[k].whole;
    c->grad = HORA_IN(0);
    return true;
}

const hora_op hora_op_cayley = {.name = "cayley",
                                .nin = 1,
                                .shape = shape,
                                .reads = reads,
                                .tol = {5e-5, 2e-2},
                                .sample = sample};
