/*
 * outer: the outer product of each row with its partner, flattened.
 *
 *   y_i = a_i (x) b_i            a (n, p), b (n, q), y (n, p q): y[i, j q + l] = a[i, j] b[i, l]
 *
 *   da[i, j] = sum_l dy[i, j q + l] b[i, l]      db[i, l] = sum_j dy[i, j q + l] a[i, j]
 *
 * With p = 1 it scales the rows of b; of two factors it makes their face-splitting (row-wise
 * Khatri-Rao) product. Backward reads each one the other.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("a", &in[0]));
    HORA_TRY(hora_op_matrix("b", &in[1]));
    if (in[0].shape.d[0] != in[1].shape.d[0])
        return hora_op_misfit("a", &in[0], "b", &in[1], "give both the same rows");
    out->shape = HORA_SHAPE2(in[0].shape.d[0], in[0].shape.d[1] * in[1].shape.d[1]);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return (grad & HORA_IN(0) ? HORA_IN(1) : 0) | (grad & HORA_IN(1) ? HORA_IN(0) : 0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 1, 1}, {5, 1, 7}, {3, 4, 1}, {13, 3, 5}, {67, 8, 33}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k][0], s[k][1]);
    hora_case_matrix(c, 1, s[k][0], s[k][2]);
    c->grad = HORA_IN(0) | HORA_IN(1);
    return true;
}

const hora_op hora_op_outer = {.name = "outer",
                               .nin = 2,
                               .shape = shape,
                               .reads = reads,
                               .tol = {1e-5, 2e-2},
                               .sample = sample};
