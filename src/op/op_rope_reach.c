/*
 * rope_reach: rope (op_rope.c) whose frequencies change where a segment has more than `far`
 * positions. x (n, heads head_dim), per row i and head, j < head_dim/2, L = reach_i + shift:
 *
 *   t = (pos_i + shift) f,   f = freq[j]                     where L <= far, else
 *                            f = freq[head_dim/2 + j]        without `stretch`: a second set, as
 *                                                            LongRoPE has it (arXiv 2402.13753)
 *                            f = freq[j] g^(-2j / (head_dim - 2))     with it
 *   g = stretch L / far - stretch + 1:  dynamic NTK, whose base grows with L (transformers
 *                                       modeling_rope_utils)
 *
 * and y as in rope. Backward is the transpose: the same with the angle negated. It reads nothing
 * but positions.
 */
#include "op/op_impl.h"

extern const hora_op hora_op_rope;

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    if (a->far < 1)
        return hora_fail(HORA_EUSAGE, "no length from which the others count; set attr.far");
    if (a->groups > 1)
        return hora_fail(HORA_EUSAGE, "two sets of frequencies are those of all heads, not of %d",
                         (int)a->groups);
    if (a->stretch != 0 && !(a->stretch >= 1 && a->head_dim > 2))
        return hora_fail(HORA_EUSAGE, "stretch is at least 1, of heads wider than 2");
    return hora_op_rope.shape(in, a, out);
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

/* Those of rope, with a length in the middle of what there is; every other one stretches. */
static bool sample(hora_rng *r, int k, hora_case *c) {
    if (!hora_op_rope.sample(r, k, c))
        return false;
    const int64_t half = c->attr.head_dim / 2;
    c->attr.groups = 0; /* the first group's */
    double *freq = hora_case_alloc(c, (size_t)c->attr.head_dim, sizeof *freq);
    for (int64_t j = 0; j < half; j++) {
        freq[j] = c->attr.freq[j];
        freq[half + j] = c->attr.freq[j] / (2 + (double)j);
    }
    int64_t longest = 0;
    for (int64_t i = 0; i < c->batch.rows; i++)
        longest = hora_max(longest, (int64_t)c->batch.reach[i]);
    c->attr.freq = freq;
    c->attr.far = hora_max(1, longest / 2);
    c->attr.stretch = k % 2 && c->attr.head_dim > 2 ? 3.5 : 0;
    return true;
}

const hora_op hora_op_rope_reach = {.name = "rope_reach",
                                    .nin = 1,
                                    .options = HORA_OP_BATCH,
                                    .leaves = HORA_LEAF(pos) | HORA_LEAF(reach),
                                    .shape = shape,
                                    .reads = reads,
                                    .tol = {2e-5, 1e-2},
                                    .sample = sample};
