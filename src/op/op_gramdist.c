/*
 * gramdist: how far columns or rows are from orthonormal.
 *
 *   L = |P P' - I|_F         P (r, k)                        L is one element, F64
 *   L = |P' P - I|_F         attr.w = 1, P (k, r)
 *
 *   dP = 2 dL / L (P P' - I) P, or P (P' P - I); 0 where L is 0
 *
 * Backward reads P. AdaLoRA's regulariser.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("P", &in[0]));
    out->shape = HORA_SHAPE1(1);
    out->dtype = HORA_F64;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 0}, {3, 5, 0}, {7, 2, 1}, {8, 130, 0}, {65, 6, 1}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k][0], s[k][1]);
    c->attr.w = s[k][2];
    c->grad = HORA_IN(0);
    return true;
}

const hora_op hora_op_gramdist = {.name = "gramdist",
                                  .nin = 1,
                                  .options = HORA_OP_REDUCES,
                                  .shape = shape,
                                  .reads = reads,
                                  .tol = {2e-5, 2e-2},
                                  .sample = sample};
