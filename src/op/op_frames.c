/*
 * frames: the mean over the frames of clips, in the rows of the first.
 *
 *   y_i = 1/T sum over k < T of x_(i + k R)    where i mod (T R) < R: a row of a first frame
 *   y_i = 0                                    elsewhere, and behind the last whole clip
 *   dx_j = dy_(j - k R) / T                    for the k, i that read it
 *
 * x (n, d): clips one behind the other from row 0 on, each of T = attr.a frames of R = attr.b rows.
 * A head that is linear says of the mean what the mean of its logits is. Backward reads no tensor.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (a->a < 1 || a->b < 1)
        return hora_fail(HORA_EUSAGE, "a is %lld, b %lld; give 1 or more", (long long)a->a,
                         (long long)a->b);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    /* rows, width, frames, rows of a frame; whole clips and rows behind them */
    static const int64_t s[][4] = {{1, 1, 1, 1},   {6, 5, 3, 2},    {13, 7, 2, 3},
                                   {67, 33, 4, 5}, {200, 48, 8, 5}, {5, 4, 3, 2}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    c->attr.a = s[k][2];
    c->attr.b = s[k][3];
    return true;
}

const hora_op hora_op_frames = {.name = "frames",
                                .nin = 1,
                                .shape = shape,
                                .reads = reads,
                                .tol = {1e-5, 2e-2},
                                .sample = sample};
