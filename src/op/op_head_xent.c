/*
 * head_xent: the last projection and the cross-entropy in one, because logits are the largest
 * tensor of a language model. They live in scratch, a chunk of rows at a time.
 *
 *   z_i = x_i W' + b + alpha u_i F'          x (n, d), W (V, d), b (V, optional)
 *                                            u (n, r), F (V, r): both or none, a low-rank head
 *   l_i = log sum_v exp z_iv
 *   L = c sum_i w_i (l_i - z_i[t_i])         one element, F64 whatever the rest; c = batch.scale,
 *                                            w = batch.weight, t = batch.target; t_i = -1: no term
 *
 * With s the incoming gradient of L and e_t the unit vector:
 *
 *   dz_i = s c w_i (exp(z_i - l_i) - e_{t_i}),   0 where t_i = -1
 *   dx_i = dz_i W            dW = sum_i dz_i' x_i            db = sum_i dz_i
 *   du_i = alpha dz_i F      dF = alpha sum_i dz_i' u_i
 *
 * Saved. Only x carries gradient: dx / s, of the dtype of x, made in the same chunk, so backward is
 * one product and reads nothing else. Anything else trains: l (n), 0 where t_i = -1; backward reads
 * all inputs and l and computes the chunk again. No backward (grad 0): nothing.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("W", &in[1]));
    if (in[0].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("x", &in[0], "W", &in[1],
                              "give both the same width; W is (classes, width)");
    if (!hora_absent(&in[2]))
        HORA_TRY(hora_op_vector("bias", &in[2], in[1].shape.d[0], "W has rows"));
    if (hora_absent(&in[3]) != hora_absent(&in[4]))
        return hora_fail(HORA_ESHAPE, "u and F of a low-rank head come together; give both");
    if (!hora_absent(&in[3])) {
        HORA_TRY(hora_op_matrix("u", &in[3]));
        HORA_TRY(hora_op_matrix("F", &in[4]));
        if (in[3].shape.d[0] != in[0].shape.d[0])
            return hora_op_misfit("u", &in[3], "x", &in[0], "give both a row per token");
        if (in[4].shape.d[0] != in[1].shape.d[0] || in[4].shape.d[1] != in[3].shape.d[1])
            return hora_op_misfit("F", &in[4], "u", &in[3], "F is (classes, rank), u (rows, rank)");
    }
    out->shape = HORA_SHAPE1(1);
    out->dtype = HORA_F64;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    if (grad == HORA_IN(0))
        return HORA_SAVED;
    return HORA_IN(0) | HORA_IN(1) | HORA_IN(2) | HORA_IN(3) | HORA_IN(4) | HORA_SAVED;
}

static void saves(const hora_view *in, const hora_attr *a, unsigned grad, hora_view *saved) {
    (void)a;
    if (!grad)
        return;
    if (grad == HORA_IN(0)) {
        saved[0].dtype = in[0].dtype;
        saved[0].shape = in[0].shape;
    } else {
        saved[0].dtype = hora_op_wide(&in[0]);
        saved[0].shape = HORA_SHAPE1(in[0].shape.d[0]);
    }
}

static double flops(const hora_view *in, const hora_view *out, const hora_attr *a) {
    const double width = (double)in[0].shape.d[1];
    const double rank = hora_absent(&in[3]) ? 0 : (double)in[3].shape.d[1];
    (void)out;
    (void)a;
    return 2.0 * (double)in[0].shape.d[0] * (width + rank) * (double)in[1].shape.d[0];
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, d, v, padding, rank;
        bool bias;
    } s[] = {{1, 1, 2, 0, 0, false},      {3, 5, 7, 0, 0, true},     {7, 13, 11, 2, 0, false},
             {33, 8, 131, 1, 0, true},    {67, 65, 97, 0, 0, false}, {130, 17, 300, 5, 0, true},
             {200, 48, 259, 0, 0, false}, {3, 5, 7, 0, 1, false},    {37, 24, 131, 3, 4, true},
             {140, 17, 300, 5, 11, false}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_matrix(c, 1, s[k].v, s[k].d);
    c->grad = HORA_IN(0) | HORA_IN(1);
    if (s[k].bias) {
        hora_case_vector(c, 2, s[k].v);
        c->grad |= HORA_IN(2);
    }
    if (s[k].rank) {
        hora_case_row(c, 3, s[k].n, s[k].rank);
        hora_case_matrix(c, 4, s[k].v, s[k].rank);
        c->grad |= HORA_IN(3) | HORA_IN(4);
        c->attr.alpha = 0.75;
    }
    c->spread[1] = 0.5;
    hora_case_batch(c, r, s[k].n, s[k].v, s[k].padding, false);
    return true;
}

const hora_op hora_op_head_xent = {.name = "head_xent",
                                   .nin = 5,
                                   .optional = HORA_IN(2) | HORA_IN(3) | HORA_IN(4),
                                   .options = HORA_OP_BATCH | HORA_OP_REDUCES | HORA_OP_SAVED_ROWS |
                                              HORA_OP_TARGETS,
                                   .leaves = HORA_LEAF(target) | HORA_LEAF(weight),
                                   .shape = shape,
                                   .reads = reads,
                                   .saves = saves,
                                   .tol = {2e-5, 2e-2},
                                   .sample = sample,
                                   .flops = flops};
