/*
 * scale: by a number, by column when there is a v, and a bias behind it when there is a b.
 *
 *   y = alpha x * v + b     x (n, d), v (d), or (d, 1), (1, d), b (d); v absent: 1, b absent: 0
 *   dx = alpha dy * v       dv_j = alpha sum over i of x_ij dy_ij     db = sum of the rows of dy
 *
 * Backward reads x if v carries gradient and v, if there is one, if x does.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    if (!hora_absent(&in[1]) && hora_elems(&in[1]) != hora_op_width(&in[0]))
        HORA_TRY(hora_op_vector("v", &in[1], hora_op_width(&in[0]), "x has columns"));
    if (!hora_absent(&in[2]))
        HORA_TRY(hora_op_vector("b", &in[2], hora_op_width(&in[0]), "x has columns"));
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return (grad & HORA_IN(0) ? HORA_IN(1) : 0) | (grad & HORA_IN(1) ? HORA_IN(0) : 0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d;
        bool v, b;
        double alpha;
    } s[] = {{1, 1, true, false, 1},   {3, 5, false, false, -0.5}, {13, 7, true, false, 0.5},
             {67, 33, true, false, 1}, {200, 129, true, false, 2}, {130, 64, false, false, 3},
             {5, 9, true, true, 1},    {67, 33, true, true, -2},   {130, 72, false, true, 1},
             {3, 7, false, true, -2}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    c->grad = HORA_IN(0);
    if (s[k].v) {
        hora_case_vector(c, 1, s[k].d);
        c->grad |= HORA_IN(1);
    }
    if (s[k].b) {
        hora_case_vector(c, 2, s[k].d);
        c->grad |= HORA_IN(2);
    }
    c->rows |= HORA_OUT;
    c->attr.alpha = s[k].alpha;
    return true;
}

const hora_op hora_op_scale = {.name = "scale",
                               .nin = 3,
                               .optional = HORA_IN(1) | HORA_IN(2),
                               .options = HORA_OP_CHEAP,
                               .shape = shape,
                               .reads = reads,
                               .tol = {1e-5, 2e-2},
                               .sample = sample};
