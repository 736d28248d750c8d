/*
 * fit: rows of another width, cut or filled with zeros.
 *
 *   y[i, a + j] = x[i, j] for j < min(d, w - a), else 0    x (n, d), y (n, w), w and a of attr
 *   dx[i, j] = dy[i, a + j] for j < min(d, w - a), else 0
 *
 * Backward reads nothing.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (a->w < 1 || a->a < 0 || a->a >= a->w)
        return hora_op_misfit("x", &in[0], NULL, NULL,
                              "give attr.w, the new width, and in attr.a a column of it");
    out->shape = HORA_SHAPE2(in[0].shape.d[0], a->w);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][4] = {{1, 1, 1},    {3, 5, 2},      {13, 4, 9},    {67, 33, 40},
                                   {200, 17, 8}, {13, 4, 12, 8}, {40, 5, 9, 3}, {30, 6, 8, 5}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->rows |= HORA_OUT;
    c->attr.w = s[k][2];
    c->attr.a = s[k][3];
    c->grad = HORA_IN(0);
    return true;
}

const hora_op hora_op_fit = {.name = "fit",
                             .nin = 1,
                             .options = HORA_OP_CHEAP,
                             .shape = shape,
                             .reads = reads,
                             .tol = {1e-6, 1e-2},
                             .sample = sample};
