/*
 * permute: a transposition inside each group. x has groups a b w elements, y is (groups b, a w):
 *
 *   y[g, j, i, :] = x[g, i, j, :]            g < groups, i < a, j < b, runs of w
 *   dx[g, i, j, :] = dy[g, j, i, :]
 *
 * With groups = w = 1 it is the transpose of an (a, b) matrix. Backward reads nothing.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    hora_shape four = {4, {a->groups, a->a, a->b, a->w}};
    int64_t n;
    if (!hora_shape_checked(&four, &n) || n != hora_elems(&in[0])) {
        hora_view v = {.shape = four};
        return hora_op_misfit("x", &in[0], "groups, a, b, w", &v,
                              "make the product of the four the number of elements");
    }
    out->shape = HORA_SHAPE2(a->groups * a->b, a->a * a->w);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][4] = {{1, 1, 1, 1}, {1, 3, 5, 1},  {5, 2, 3, 1},
                                   {1, 7, 2, 3}, {3, 5, 4, 11}, {8, 33, 65, 1}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k][0] * s[k][1], s[k][2] * s[k][3]);
    c->grad = HORA_IN(0);
    c->attr.groups = s[k][0];
    c->attr.a = s[k][1];
    c->attr.b = s[k][2];
    c->attr.w = s[k][3];
    return true;
}

const hora_op hora_op_permute = {.name = "permute",
                                 .nin = 1,
                                 .shape = shape,
                                 .reads = reads,
                                 .tol = {1e-6, 1e-2},
                                 .sample = sample};
