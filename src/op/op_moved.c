/*
 * moved: how far the rows that stand for their segments have moved.
 *
 *   L = sum over segments of |a_i - b_i|^2 / d     i: the first row that sees all of its segment
 *
 * a, b (n, d); L is one element, F64. Where rows see both ways that is the first row, a class
 * token; where they see what is before them it is the last. Forward only: it is watched, not
 * trained on.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("a", &in[0]));
    HORA_TRY(hora_op_same("a", &in[0], "b", &in[1]));
    *out = (hora_view){NULL, HORA_F64, HORA_SHAPE1(1)};
    return HORA_OK;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {13, 7}, {67, 33}, {200, 48}, {130, 16}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_row(c, 1, s[k][0], s[k][1]);
    hora_case_batch(c, r, s[k][0], 2, s[k][0] / 9, k % 2);
    return true;
}

const hora_op hora_op_moved = {.name = "moved",
                               .nin = 2,
                               .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                               .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                               .shape = shape,
                               .tol = {1e-5, 2e-2},
                               .sample = sample};
