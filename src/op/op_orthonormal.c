/*
 * orthonormal: the rows of U by Gram and Schmidt, in their order.
 *
 *   v_i = u_i - sum_(j<i) (w_j'u_i) w_j      w_i = v_i / |v_i|      U, W (r, d)
 *
 * A row that the earlier ones span has no direction left: it is divided by the length of a rounding
 * error. Backward goes through the steps in reverse; it reads U and W.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("U", &in[0]));
    if (in[0].shape.d[0] > in[0].shape.d[1])
        return hora_op_misfit("U", &in[0], NULL, NULL, "take no more rows than columns");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_OUT;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {1, 7}, {3, 5}, {4, 33}, {9, 70}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k][0], s[k][1]);
    c->grad = HORA_IN(0);
    return true;
}

const hora_op hora_op_orthonormal = {.name = "orthonormal",
                                     .nin = 1,
                                     .shape = shape,
                                     .reads = reads,
                                     .tol = {1e-4, 5e-2},
                                     .sample = sample};
