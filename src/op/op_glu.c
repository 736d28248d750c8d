/*
 * glu: the gated product of LLaMA's feed-forward layer; s as in op_act.c.
 *
 *   y = s(g) * u                             g, u, y of one shape
 *   dg = dy * u * s'(g)      du = dy * s(g)
 *
 * Backward reads g, and u if g carries gradient.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    if ((int)a->act < 0 || a->act >= HORA_ACTS)
        return hora_fail(HORA_EUSAGE, "activation %d is not in the list; use one of hora_act",
                         (int)a->act);
    HORA_TRY(hora_op_same("gate", &in[0], "up", &in[1]));
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return HORA_IN(0) | (grad & HORA_IN(0) ? HORA_IN(1) : 0);
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d;
        hora_act act;
    } s[] = {{1, 1, HORA_ACT_SILU},     {3, 5, HORA_ACT_GELU},   {13, 7, HORA_ACT_GELU_TANH},
             {17, 9, HORA_ACT_SIGMOID}, {67, 33, HORA_ACT_SILU}, {5, 31, HORA_ACT_RELU},
             {200, 129, HORA_ACT_SILU}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_row(c, 1, s[k].n, s[k].d);
    c->spread[0] = 2;
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1);
    c->attr.act = s[k].act;
    return true;
}

const hora_op hora_op_glu = {.name = "glu",
                             .nin = 2,
                             .options = HORA_OP_CHEAP,
                             .shape = shape,
                             .reads = reads,
                             .tol = {5e-6, 1e-2},
                             .sample = sample};
