/*
 * add: y = a + alpha b; a, b, y of one shape.
 *
 *   da = dy      db = alpha dy
 *
 * Backward reads nothing.
 */
#include "op/op_impl.h"

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {13, 7}, {67, 33}, {200, 129}};
    static const double alpha[] = {1, -1, 0.5, 1, 2};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_row(c, 1, s[k][0], s[k][1]);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1);
    c->attr.alpha = alpha[k];
    return true;
}

const hora_op hora_op_add = {.name = "add",
                             .nin = 2,
                             .shape = hora_op_alike,
                             .reads = reads,
                             .passes = HORA_IN(0),
                             .tol = {1e-6, 1e-2},
                             .sample = sample};
