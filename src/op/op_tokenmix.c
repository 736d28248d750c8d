/*
 * tokenmix: a small network with one hidden layer over the rows of a segment, the same for every
 * column.
 *
 *   z_k = sum_j V[k, j] x_j     y_j = sum_k U[j, k] s(z_k)     j < T: places along a line of rows
 *
 * x (n, d), V (r, T), U (T, r), s by attr.act. attr.a = 0: a line is a segment. attr.a = S: runs of
 * S rows of a segment, the pieces of one frame, are lines (attr.b = 0), or the rows that stand at
 * one place of each run are (attr.b = 1). Places from T on give and get nothing. A segment is mixed
 * whole, whatever its rows see of each other.
 *
 *   dU[j, k] = sum over lines dy_j . s(z_k)    ds_k = sum_j U[j, k] dy_j    dz_k = s'(z_k) * ds_k
 *   dV[k, j] = sum over lines dz_k . x_j       dx_j = sum_k V[k, j] dz_k
 *
 * Backward reads x, V and U.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    for (int i = 0; i < 3; i++)
        HORA_TRY(hora_op_matrix((const char *const[]){"x", "V", "U"}[i], &in[i]));
    if (in[1].shape.d[0] != in[2].shape.d[1] || in[1].shape.d[1] != in[2].shape.d[0])
        return hora_op_misfit("V", &in[1], "U", &in[2],
                              "one has the shape of the other's transpose");
    if (a->a < 0 || a->b < 0 || a->b > 1 || (int)a->act < 0 || a->act >= HORA_ACTS)
        return hora_fail(HORA_EUSAGE, "a is %lld, b %lld; give 0 or more, and 0 or 1",
                         (long long)a->a, (long long)a->b);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return HORA_IN(0) | HORA_IN(1) | HORA_IN(2);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    return 4.0 * (double)hora_elems(out) * (double)in[1].shape.d[0];
}

static double flops_back(const hora_view *in, const hora_view *out, const hora_attr *a,
                         unsigned grad) {
    const int products = 2 + !!(grad & HORA_IN(0)) + !!(grad & HORA_IN(1)) + !!(grad & HORA_IN(2));
    return flops(in, out, a) / 2 * products;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d, r, t, s, b;
        hora_act act;
    } s[] = {{1, 1, 1, 1, 0, 0, HORA_ACT_GELU},       {3, 5, 2, 3, 0, 0, HORA_ACT_TANH},
             {13, 7, 3, 9, 0, 0, HORA_ACT_SILU},      {67, 33, 4, 40, 0, 0, HORA_ACT_GELU},
             {40, 65, 2, 5, 5, 0, HORA_ACT_TANH},     {41, 70, 3, 9, 5, 1, HORA_ACT_GELU},
             {130, 16, 2, 7, 0, 0, HORA_ACT_IDENTITY}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_matrix(c, 1, s[k].r, s[k].t);
    hora_case_matrix(c, 2, s[k].t, s[k].r);
    hora_case_batch(c, r, s[k].n, 2, s[k].n / 9, true);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1) | HORA_IN(2);
    c->attr.a = s[k].s;
    c->attr.b = s[k].b;
    c->attr.act = s[k].act;
    return true;
}

const hora_op hora_op_tokenmix = {.name = "tokenmix",
                                  .nin = 3,
                                  .options = HORA_OP_BATCH,
                                  .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                  .shape = shape,
                                  .reads = reads,
                                  .tol = {2e-5, 2e-2},
                                  .sample = sample,
                                  .flops = flops,
                                  .flops_back = flops_back};
