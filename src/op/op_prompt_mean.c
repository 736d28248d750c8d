/*
 * prompt_mean: the mean of a segment's prompt, in every row of the segment.
 *
 *   y_i = mean over the prompt's j of x_j
 *   dx_j = sum over the rows i of the segment of dy_i / m    j one of the m rows of the prompt
 *
 * x and y (n, d). The prompt is what op_prompt_mean.h says: the rows up to the first with a target,
 * so that no answer is read, or the whole segment. Padding rows give zeros.
 *
 * Backward reads no tensor.
 */
#include "op/op_prompt_mean.h"
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {13, 7}, {67, 33}, {200, 130}, {90, 64}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    const int64_t n = s[k][0];
    hora_case_row(c, 0, n, s[k][1]);
    hora_case_batch(c, r, n, 2, n / 9, k == 4);
    int32_t *target = hora_case_alloc(c, (size_t)n, sizeof *target);
    for (int64_t i = 0; i < n; i++) /* prompts of every length, and texts that are one */
        target[i] = hora_rng_uniform(r) < 0.2 ? 0 : -1;
    c->batch.target = target;
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    return true;
}

const hora_op hora_op_prompt_mean = {.name = "prompt_mean",
                                     .nin = 1,
                                     .options = HORA_OP_BATCH,
                                     .leaves = HORA_LEAF(lo) | HORA_LEAF(hi) | HORA_LEAF(target),
                                     .shape = shape,
                                     .reads = reads,
                                     .tol = {1e-5, 2e-2},
                                     .sample = sample};
