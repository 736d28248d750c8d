/*
 * unpack: rows that op pack put in front go back where they were.
 *
 *   y_i = x_k where i is the k-th row with m_i != 0, else 0       x, y (n, d), m (n, 1)
 *
 * Forward only.
 */
#include "op/op_impl.h"

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {67, 33}, {40, 8}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_row(c, 1, s[k][0], 1);
    c->spread[1] = 0;
    c->shift[1] = k != 3; /* the last: nothing comes back */
    c->rows |= HORA_OUT;
    return true;
}

const hora_op hora_op_unpack = {
    .name = "unpack", .nin = 2, .shape = hora_op_by_rows, .tol = {0, 0}, .sample = sample};
