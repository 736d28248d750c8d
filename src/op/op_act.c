/*
 * act: y = s(x), element by element; s by attr.act. With p the normal density, P its integral and
 * g the logistic function:
 *
 *   identity   x                             1
 *   relu       max(x, 0)                     1 if x > 0, else 0
 *   tanh       tanh x                        1 - tanh^2 x
 *   sigmoid    g(x) = 1 / (1 + exp -x)       g (1 - g)
 *   gelu       x P(x)                        P(x) + x p(x)
 *   gelu_tanh  x (1 + tanh u) / 2            (1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2
 *              u = sqrt(2/pi) (x + 0.044715 x^3)
 *   silu       x g(x)                        g (1 + x (1 - g))
 *   quick_gelu x g(1.702 x)                  h (1 + 1.702 x (1 - h)), h = g(1.702 x)
 *
 *   dx = dy * s'(x)
 *
 * Backward reads x.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    if ((int)a->act < 0 || a->act >= HORA_ACTS)
        return hora_fail(HORA_EUSAGE, "activation %d is not in the list; use one of hora_act",
                         (int)a->act);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {13, 7}, {67, 33}};
    (void)r;
    if (k >= (int)HORA_COUNT(s) * HORA_ACTS)
        return false;
    const int64_t *d = s[k / HORA_ACTS];
    hora_case_row(c, 0, d[0], d[1]);
    c->spread[0] = k / HORA_ACTS == 2 ? 6 : 1.5; /* into the flat ends */
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    c->attr.act = (hora_act)(k % HORA_ACTS);
    return true;
}

const hora_op hora_op_act = {.name = "act",
                             .nin = 1,
                             .options = HORA_OP_CHEAP,
                             .shape = shape,
                             .reads = reads,
                             .tol = {2e-6, 1e-2},
                             .sample = sample};
