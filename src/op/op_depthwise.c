/*
 * depthwise: a convolution of each column by itself, over the grid of pieces of a clip.
 *
 *   y[t, h, w] = b + sum_k K[k] x[t + k_t - n_t / 2, h + k_h - n_h / 2, w + k_w - n_w / 2]
 *
 * x, y (n, d), K (d, n_t n_h n_w), its taps in the order of time, row, column, b (d) or absent;
 * zeros around the grid, stride 1, n = attr.kernel, odd. A segment holds attr.a rows of its own (y
 * is 0 there), then frames of attr.b x attr.w rows; as many frames as it has whole ones. Rows are
 * those of encoders, where all of a segment have the same lo and hi.
 *
 *   dx[p] = sum_k K[k] dy[the place whose tap k reads p]
 *   dK[k] = sum_p dy[p] x[what tap k of p reads]       db = sum_p dy[p], p in grids
 *
 * Backward reads K for x's gradient, x for K's.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    const int64_t *n = a->kernel, taps = n[0] * n[1] * n[2];
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("K", &in[1]));
    if (a->a < 0 || a->b < 1 || a->w < 1)
        return hora_fail(HORA_EUSAGE, "a grid of %lld x %lld behind %lld rows; give at least 1 x 1",
                         (long long)a->b, (long long)a->w, (long long)a->a);
    for (int i = 0; i < 3; i++)
        if (n[i] < 1 || n[i] % 2 == 0 || n[i] > 1023)
            return hora_fail(HORA_EUSAGE, "a kernel of %lld x %lld x %lld; give odd numbers",
                             (long long)n[0], (long long)n[1], (long long)n[2]);
    if (in[1].shape.d[0] != in[0].shape.d[1] || in[1].shape.d[1] != taps)
        return hora_op_misfit("x", &in[0], "K", &in[1],
                              "K has a row for each column of x, and a number for each tap");
    if (!hora_absent(&in[2]) && hora_elems(&in[2]) != in[0].shape.d[1])
        return hora_op_misfit("x", &in[0], "b", &in[2], "b has a number for each column of x");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    return (grad & HORA_IN(0) ? HORA_IN(1) : 0) | (grad & HORA_IN(1) ? HORA_IN(0) : 0);
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    (void)a;
    return 2.0 * (double)hora_elems(out) * (double)in[1].shape.d[1];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d, lead, h, w, kernel[3];
        bool bias;
    } s[] = {{1, 1, 0, 1, 1, {1, 1, 1}, true},
             {13, 5, 0, 2, 1, {3, 1, 1}, true},
             {41, 7, 1, 2, 3, {3, 3, 3}, false},
             {67, 33, 0, 3, 2, {5, 1, 3}, true},
             {130, 70, 2, 2, 2, {3, 1, 1}, true}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    const int64_t *n = s[k].kernel;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_matrix(c, 1, s[k].d, n[0] * n[1] * n[2]);
    if (s[k].bias)
        hora_case_vector(c, 2, s[k].d);
    hora_case_batch(c, r, s[k].n, 2, s[k].n / 9, true);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | HORA_IN(1) | (s[k].bias ? HORA_IN(2) : 0);
    c->attr.a = s[k].lead;
    c->attr.b = s[k].h;
    c->attr.w = s[k].w;
    memcpy(c->attr.kernel, n, sizeof s[k].kernel);
    return true;
}

const hora_op hora_op_depthwise = {.name = "depthwise",
                                   .nin = 3,
                                   .optional = HORA_IN(2),
                                   .options = HORA_OP_BATCH,
                                   .leaves = HORA_LEAF(lo) | HORA_LEAF(hi),
                                   .shape = shape,
                                   .reads = reads,
                                   .tol = {2e-5, 2e-2},
                                   .sample = sample,
                                   .flops = flops};
