/*
 * pack: the rows that take part, one behind the other in front.
 *
 *   y_k = x_i     i the k-th row with m_i != 0        x, y (n, d), m (n, 1)
 *
 * Rows of y behind the last of these are not written. The graph runs what is made of y with so many
 * rows (graph/packed.c) until op unpack puts them back. Forward only.
 */
#include "op/op_impl.h"

/* All rows take part: what is behind them would be compared else. */
static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {67, 33}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    hora_case_row(c, 1, s[k][0], 1);
    c->spread[1] = 0;
    c->shift[1] = 1;
    c->rows |= HORA_OUT;
    return true;
}

const hora_op hora_op_pack = {
    .name = "pack", .nin = 2, .shape = hora_op_by_rows, .tol = {0, 0}, .sample = sample};
