/*
 * segment: what a map of classes loses against the classes of the pixels.
 *
 *   z_p = the logits of pixel p, between the cells of the grid (op_segment.h)     (k)
 *   m = softmax(z_p), y = one for the pixel's class, else zero; N pixels count
 *   L = c sum over pictures w (1/N sum_p (lse(z_p) - z_p[t]) + alpha (1 - 1/k sum_j D_j))
 *   D_j = (2 I_j + e) / (S_j + e),  I_j = sum_p m_pj y_pj,  S_j = sum_p (m_pj + y_pj),  e = 1e-5
 *
 *   dz_pj = c w ((m_pj - y_pj) / N + m_pj (g_pj - sum_i m_pi g_pi))
 *   g_pj = -alpha / k ((2 y_pj - D_j) / (S_j + e))         since dI = y dm and dS = dm
 *   dz of a cell = sum over the pixels beside it of their share times dz_p
 *
 * z (n, split split k); a picture is a segment, w its first row's batch.weight, the classes of its
 * pixels leaf `pixels`, -1 where one does not count; a picture without a pixel that counts gives
 * nothing. attr: a rows in front of the pieces, b x w pieces, groups split, first the side of a
 * piece, alpha. L is one element, F64. Logits of pixels are made one row of pixels at a time, in
 * both passes: backward reads z.
 * Soft Dice as MONAI's DiceLoss (softmax, each picture by itself, background included).
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("z", &in[0]));
    if (a->a < 0 || a->b < 1 || a->w < 1 || a->first < 1 || a->groups < 1 ||
        in[0].shape.d[1] % (a->groups * a->groups))
        return hora_op_misfit("z", &in[0], NULL, NULL,
                              "give attr a grid of pieces, their side, and in groups a split whose "
                              "square the width is a multiple of");
    out->shape = HORA_SHAPE1(1);
    out->dtype = HORA_F64;
    return HORA_OK;
}

static int64_t columns(const hora_attr *a) {
    return a->first * a->first;
}

/* Pictures one after another, then `padding` rows. The second has a pixel of each kind that does
 * not count, the third none that does. */
static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t pictures, lead, high, wide, split, side, classes, padding;
        double dice;
    } s[] = {{1, 0, 1, 1, 1, 1, 2, 0, 1},
             {1, 1, 2, 3, 1, 4, 3, 0, 0},
             {2, 1, 3, 2, 2, 4, 3, 2, 1},
             {3, 5, 2, 2, 1, 8, 5, 1, 0.5},
             {4, 2, 4, 4, 2, 6, 4, 3, 2}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    const int64_t rows = s[k].lead + s[k].high * s[k].wide, one = s[k].side * s[k].side;
    const int64_t n = s[k].pictures * rows + s[k].padding;
    hora_case_row(c, 0, n, s[k].split * s[k].split * s[k].classes);
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, n, 2, s[k].padding, true);
    c->attr = (hora_attr){.a = s[k].lead,
                          .b = s[k].high,
                          .w = s[k].wide,
                          .groups = s[k].split,
                          .first = s[k].side,
                          .alpha = s[k].dice};
    c->batch.pixels = hora_case_alloc(c, (size_t)(n * one), sizeof(int32_t));
    c->batch.leaves.columns[HORA_LEAF_pixels] = one;
    for (int64_t i = 0; i < n; i++) {
        const int64_t picture = i / rows, first = picture * rows;
        const bool in = picture < s[k].pictures;
        c->batch.lo[i] = (int32_t)(in ? first : i);
        c->batch.hi[i] = (int32_t)(in ? first + rows : i);
        c->batch.weight[i] = in && i == first ? (float)(0.5 + hora_rng_uniform(r)) : 0;
        for (int64_t j = 0; j < one; j++)
            c->batch.pixels[i * one + j] =
                picture == 2 || (picture == 1 && hora_rng_below(r, 3) == 0)
                    ? -1
                    : (int32_t)hora_rng_below(r, s[k].classes);
    }
    return true;
}

const hora_op hora_op_segment = {.name = "segment",
                                 .nin = 1,
                                 .options = HORA_OP_BATCH | HORA_OP_REDUCES,
                                 .leaves = HORA_LEAF(pixels) | HORA_LEAF(weight) | HORA_LEAF(lo) |
                                           HORA_LEAF(hi),
                                 .columns = columns,
                                 .shape = shape,
                                 .reads = hora_op_value_loss_reads,
                                 .tol = {1e-5, 2e-2},
                                 .sample = sample};
