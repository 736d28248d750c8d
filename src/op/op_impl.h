#ifndef HORA_OP_OP_IMPL_H
#define HORA_OP_OP_IMPL_H
/*
 * What op_*.c share: texts of shape rules, small answers, and pieces of test cases.
 */
#include "op/op.h"

/* HORA_ESHAPE "A [2, 3] and B [4, 5]: rule". `b` NULL: of one tensor alone. `rule` says what to do.
 */
hora_status hora_op_misfit(const char *a_name, const hora_view *a, const char *b_name,
                           const hora_view *b, const char *rule);
/* HORA_OK when v has two dimensions, neither of them negative. */
hora_status hora_op_matrix(const char *name, const hora_view *v);
/* HORA_OK when v is a vector of n elements; `of` says what has that many. */
hora_status hora_op_vector(const char *name, const hora_view *v, int64_t n, const char *of);
/* HORA_OK when both have the same shape. */
hora_status hora_op_same(const char *a_name, const hora_view *a, const char *b_name,
                         const hora_view *b);
/* HORA_OK when heads, kv_heads, head_dim and the widths of q, k and v fit each other. */
hora_status hora_op_heads(const hora_view *q, const hora_view *k, const hora_view *v,
                          const hora_attr *a);

/* Losses of z (n, k) against batch.value: one number in F64; backward reads z; cases of them, with
 * values of 0 and 1 or any. */
hora_status hora_op_value_loss_shape(const hora_view *in, const hora_attr *a, hora_view *out);
unsigned hora_op_value_loss_reads(unsigned grad);
bool hora_case_value_loss(hora_rng *r, int k, hora_case *c, bool binary);
/* Cases of x (n, d) whose rows hold texts: target 0 an anchor, then 1, its own text, then perhaps
 * more, the wrong ones; -1 no text. */
bool hora_case_texts(hora_rng *r, int k, hora_case *c);

/* Width of a row: the last dimension. */
static inline int64_t hora_op_width(const hora_view *v) {
    return v->shape.n > 0 ? v->shape.d[v->shape.n - 1] : 1;
}
/* Statistics (log-sum-exp, reciprocal norms) are never narrower than f32. */
static inline hora_dtype hora_op_wide(const hora_view *v) {
    return v->dtype == HORA_F64 ? HORA_F64 : HORA_F32;
}
/* Input i of a case: a row tensor (n, w), or a weight of one or two dimensions. */
static inline void hora_case_row(hora_case *c, int i, int64_t n, int64_t w) {
    c->in[i].shape = HORA_SHAPE2(n, w);
    c->rows |= HORA_IN(i);
}
static inline void hora_case_matrix(hora_case *c, int i, int64_t n, int64_t w) {
    c->in[i].shape = HORA_SHAPE2(n, w);
}
static inline void hora_case_vector(hora_case *c, int i, int64_t n) {
    c->in[i].shape = HORA_SHAPE1(n);
}
#endif
