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
/* HORA_OK when m recombines the maps of q's heads: (heads, heads). */
hora_status hora_op_mix(const hora_view *m, const hora_view *q, const hora_attr *a);
/* HORA_OK when window and ahead are no less than 0. */
hora_status hora_op_window(const hora_attr *a);
/* HORA_OK when alpha is a probability below 1. */
hora_status hora_op_probability(const hora_attr *a);

/* Shape rules: the output is as in[0]; in[0] and in[1] are alike, and it is as they; in[1] has one
 * number for each row of in[0], and it is as in[0]; attention of in[0 .. 2] over the caches in[3]
 * and in[4]. */
hora_status hora_op_like(const hora_view *in, const hora_attr *a, hora_view *out);
hora_status hora_op_alike(const hora_view *in, const hora_attr *a, hora_view *out);
hora_status hora_op_by_rows(const hora_view *in, const hora_attr *a, hora_view *out);
hora_status hora_op_cached(const hora_view *in, const hora_attr *a, hora_view *out);

/* Losses of z (n, k) against batch.value: one number in F64; backward reads z; cases of them, with
 * values of 0 and 1 or any. */
hora_status hora_op_value_loss_shape(const hora_view *in, const hora_attr *a, hora_view *out);
unsigned hora_op_value_loss_reads(unsigned grad);
bool hora_case_value_loss(hora_rng *r, int k, hora_case *c, bool binary);
/* Cases of y = f(x) of one shape, without gradient. */
bool hora_case_like(hora_rng *r, int k, hora_case *c);
/* Cases of x (n, d) with a probability and a stream; `padded`: with rows that are not used, seen
 * one way or both. */
bool hora_case_dropout(hora_rng *r, int k, hora_case *c, bool padded);
/* q, k and v of n rows as inputs 0 to 2, the output a row tensor, and what attr says of heads. */
void hora_case_heads(hora_case *c, int64_t n, int64_t heads, int64_t kv, int64_t dh);
/* The batch of a case over caches: n rows behind `at` others; in case 2 the last row is padding, in
 * case 3 the first two of the cache are not seen. */
void hora_case_seen(hora_case *c, hora_rng *r, int k, int64_t n, int64_t at);
/* Cases of attention over caches (inputs 3 and 4); `widest`: of the heads of the last one. */
bool hora_case_cached(hora_rng *r, int k, hora_case *c, int64_t widest);
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
