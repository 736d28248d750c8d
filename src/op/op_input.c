/*
 * input: a leaf of the batch as rows, attr.w columns of f32: the pieces of pictures.
 *
 *   y_ij = leaf_ij        y (n, w)
 *
 * Has no input and so no gradient.
 */
#include "op/op_impl.h"

/* The recorder puts the batch's row count in out->shape.d[0]. */
static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)in;
    if (a->w < 1)
        return hora_fail(HORA_ESHAPE, "w is %lld; give the columns of a row", (long long)a->w);
    out->shape = HORA_SHAPE2(out->shape.d[0], a->w);
    return HORA_OK;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {5, 3}, {67, 33}, {200, 192}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_batch(c, r, s[k][0], 2, 0, false);
    hora_case_value(c, r, s[k][1], false);
    c->attr.source = HORA_LEAF_value;
    c->attr.w = s[k][1];
    c->rows = HORA_OUT;
    return true;
}

const hora_op hora_op_input = {.name = "input",
                               .nin = 0,
                               .options = HORA_OP_BATCH | HORA_OP_ROWS | HORA_OP_SOURCE,
                               .shape = shape,
                               .tol = {0, 1e-2},
                               .sample = sample};
