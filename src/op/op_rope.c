/*
 * rope: rotary positions (J. Su et al., "RoFormer", 2021) in Hugging Face's layout, which rotates
 * the two halves of a head, not neighbours. x (n, heads head_dim), per row and head, j <
 * head_dim/2:
 *
 *   t = pos freq_j,   c = rope_scale cos t,   s = rope_scale sin t
 *   y_j              = x_j c - x_{j+head_dim/2} s
 *   y_{j+head_dim/2} = x_{j+head_dim/2} c + x_j s
 *
 * With attr.groups T > 1 there are T rows of freq, and head h takes row h T / heads; a frequency of
 * 0 leaves its pair as it is, but for rope_scale. Backward is the transpose: the same with s
 * negated. It reads nothing but positions.
 */
#include "op/op_impl.h"

#include <math.h>

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (a->head_dim < 2 || a->head_dim % 2 || a->heads < 1)
        return hora_fail(HORA_ESHAPE, "%lld heads of width %lld; give one or more of even width",
                         (long long)a->heads, (long long)a->head_dim);
    if (in[0].shape.d[1] != a->heads * a->head_dim)
        return hora_op_misfit("x", &in[0], NULL, NULL, "make it as wide as heads x head_dim");
    if (!a->freq)
        return hora_fail(HORA_EUSAGE, "no frequencies; set attr.freq to head_dim/2 of them");
    if (a->groups > 1 && a->heads % a->groups)
        return hora_fail(HORA_ESHAPE, "%lld tables of frequencies for %lld heads; give a divisor",
                         (long long)a->groups, (long long)a->heads);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, h, dh;
        double factor;
        int64_t tables;
    } s[] = {{1, 1, 2, 1, 0},    {3, 1, 6, 1, 0},    {7, 3, 10, 1.25, 0}, {33, 2, 34, 1, 0},
             {130, 5, 16, 1, 0}, {200, 4, 64, 1, 0}, {9, 4, 6, 1, 2},     {130, 3, 16, 1, 3}};
    const int64_t half = k < (int)HORA_COUNT(s) ? s[k].dh / 2 : 0;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].h * s[k].dh);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k].n, 7, k == 2 ? 2 : 0, false);
    double *freq = hora_case_alloc(c, (size_t)(hora_max(s[k].tables, 1) * half), sizeof *freq);
    for (int64_t j = 0; j < hora_max(s[k].tables, 1) * half; j++)
        freq[j] = j % 3 == 2 && s[k].tables ? 0 : pow(10000, -(double)(j % half) / (double)half);
    c->attr.groups = s[k].tables;
    c->attr.freq = freq;
    c->attr.rope_scale = s[k].factor;
    c->attr.heads = s[k].h;
    c->attr.head_dim = s[k].dh;
    return true;
}

const hora_op hora_op_rope = {.name = "rope",
                              .nin = 1,
                              .options = HORA_OP_BATCH,
                              .leaves = HORA_LEAF(pos),
                              .shape = shape,
                              .reads = reads,
                              .tol = {2e-5, 1e-2},
                              .sample = sample};
