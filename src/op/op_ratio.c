/*
 * ratio: y = a / (b + c), element by element; a, b, y of one shape, c one element or absent (0).
 *
 *   da = dy / (b + c)      db = -dy y / (b + c)      dc = sum of db
 *
 * What a learned magnitude makes of a row norm [dora eq.5, arXiv 2402.09353]. Backward reads b and
 * c, and y for their gradients.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_same("a", &in[0], "b", &in[1]));
    if (!hora_absent(&in[2]))
        HORA_TRY(hora_op_vector("c", &in[2], 1, "it is one number"));
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return HORA_IN(1) | HORA_IN(2) | (grad & (HORA_IN(1) | HORA_IN(2)) ? HORA_OUT : 0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n;
        bool c;
    } s[] = {{1, true}, {7, false}, {64, true}, {131, true}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_vector(c, 0, s[k].n);
    hora_case_vector(c, 1, s[k].n);
    c->grad = HORA_IN(0) | HORA_IN(1);
    c->spread[1] = c->spread[2] = 0.1; /* away from 0 */
    c->shift[1] = 2;
    c->shift[2] = 0.5;
    if (s[k].c) {
        hora_case_vector(c, 2, 1);
        c->grad |= HORA_IN(2);
    }
    return true;
}

const hora_op hora_op_ratio = {.name = "ratio",
                               .nin = 3,
                               .optional = HORA_IN(2),
                               .shape = shape,
                               .reads = reads,
                               .tol = {1e-6, 2e-2},
                               .sample = sample};
