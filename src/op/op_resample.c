/*
 * resample: a table of a grid's positions for a grid of another size, cubically, as PyTorch's
 * interpolate does it (mode bicubic, align_corners false, sizes given).
 *
 *   x (f + h w, d) -> y (f + H W, d), f = attr.first rows copied, (h, w) = attr (a, b),
 *   (H, W) = attr (groups, w)
 *   y_(f + I W + J) = sum over i, j of p_Ii q_Jj x_(f + i w + j)
 *   dx = the same weights, the other way
 *
 * p and q are Keys's cubic with -0.75 at four places, those outside of the grid taken from its
 * edge; with attr.antialias -0.5, stretched where the grid shrinks, over places inside alone. [R.
 * Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981]
 *
 * Backward reads no tensor.
 */
#include "op/op_impl.h"

#include "op/op_resample.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("table", &in[0]));
    if (a->first < 0 || a->a < 1 || a->b < 1 || a->groups < 1 || a->w < 1 ||
        in[0].shape.d[0] != a->first + a->a * a->b)
        return hora_op_misfit("table", &in[0], NULL, NULL,
                              "make its rows those of the grid behind those that are copied");
    out->shape = HORA_SHAPE2(a->first + a->groups * a->w, in[0].shape.d[1]);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t first, h, w, H, W, d;
        bool antialias;
    } s[] = {{0, 1, 1, 1, 1, 1, false}, {1, 4, 4, 6, 6, 5, false}, {1, 4, 4, 2, 7, 3, false},
             {2, 8, 8, 3, 5, 4, true},  {0, 5, 3, 9, 8, 7, true},  {1, 7, 7, 7, 7, 2, false}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k].first + s[k].h * s[k].w, s[k].d);
    c->grad = HORA_IN(0);
    c->attr.first = s[k].first;
    c->attr.a = s[k].h;
    c->attr.b = s[k].w;
    c->attr.groups = s[k].H;
    c->attr.w = s[k].W;
    c->attr.antialias = s[k].antialias;
    return true;
}

const hora_op hora_op_resample = {.name = "resample",
                                  .nin = 1,
                                  .shape = shape,
                                  .reads = reads,
                                  .tol = {1e-5, 2e-2},
                                  .sample = sample};
