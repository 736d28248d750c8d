/*
 * The list of ops and what their files share: texts of shape errors and the making of test cases.
 * Owns no equation and no loop over data. The order is that of ops.def, so an op's number is its
 * hora_op_id.
 */
#include "op/op_impl.h"

#include <math.h>

#include "base/text.h"

#define OP(x) extern const hora_op hora_op_##x;
#include "op/ops.def"
#undef OP

static const hora_op *const ops[HORA_OPS] = {
#define OP(x) [HORA_OP_##x] = &hora_op_##x,
#include "op/ops.def"
#undef OP
};

const hora_op *hora_op_at(int id) {
    HORA_ASSERT(id >= 0 && id < HORA_OPS);
    return ops[id];
}

const hora_op *hora_op_named(const char *name) {
    for (int i = 0; i < HORA_OPS; i++)
        if (hora_eq(ops[i]->name, name))
            return ops[i];
    return NULL;
}

/* --- shape rules ------------------------------------------------------------------------------ */

hora_status hora_op_misfit(const char *a_name, const hora_view *a, const char *b_name,
                           const hora_view *b, const char *rule) {
    char ta[128], tb[128];
    hora_shape_text(ta, &a->shape);
    if (!b)
        return hora_fail(HORA_ESHAPE, "%s %s: %s", a_name, ta, rule);
    return hora_fail(HORA_ESHAPE, "%s %s and %s %s: %s", a_name, ta, b_name,
                     hora_shape_text(tb, &b->shape), rule);
}

hora_status hora_op_matrix(const char *name, const hora_view *v) {
    if (v->shape.n != 2 || v->shape.d[0] < 0 || v->shape.d[1] < 0)
        return hora_op_misfit(name, v, NULL, NULL, "give it two dimensions, (rows, width)");
    return HORA_OK;
}

hora_status hora_op_vector(const char *name, const hora_view *v, int64_t n, const char *of) {
    char text[128];
    if (v->shape.n != 1 || v->shape.d[0] != n)
        return hora_fail(HORA_ESHAPE, "%s %s: give it one dimension of %lld, as many as %s", name,
                         hora_shape_text(text, &v->shape), (long long)n, of);
    return HORA_OK;
}

hora_status hora_op_same(const char *a_name, const hora_view *a, const char *b_name,
                         const hora_view *b) {
    if (!hora_shape_equal(&a->shape, &b->shape))
        return hora_op_misfit(a_name, a, b_name, b, "give both the same shape");
    return HORA_OK;
}

hora_status hora_op_heads(const hora_view *q, const hora_view *k, const hora_view *v,
                          const hora_attr *a) {
    HORA_TRY(hora_op_matrix("q", q));
    HORA_TRY(hora_op_matrix("k", k));
    HORA_TRY(hora_op_same("k", k, "v", v));
    if (a->heads < 1 || a->kv_heads < 1 || a->head_dim < 1 || a->heads % a->kv_heads != 0)
        return hora_fail(HORA_ESHAPE,
                         "%lld heads, %lld key-value heads of width %lld; all must be positive and "
                         "the first a multiple of the second",
                         (long long)a->heads, (long long)a->kv_heads, (long long)a->head_dim);
    if (q->shape.d[1] != a->heads * a->head_dim)
        return hora_op_misfit("q", q, NULL, NULL, "make it as wide as heads x head_dim");
    if (k->shape.d[1] != a->kv_heads * a->head_dim)
        return hora_op_misfit("k", k, NULL, NULL, "make it as wide as kv_heads x head_dim");
    if (q->shape.d[0] != k->shape.d[0])
        return hora_op_misfit("q", q, "k", k, "give both the same rows");
    return HORA_OK;
}

hora_status hora_op_mix(const hora_view *m, const hora_view *q, const hora_attr *a) {
    HORA_TRY(hora_op_matrix("mix", m));
    return m->shape.d[0] == a->heads && m->shape.d[1] == a->heads
               ? HORA_OK
               : hora_op_misfit("mix", m, "q", q, "make it heads x heads");
}

hora_status hora_op_window(const hora_attr *a) {
    return a->window >= 0 && a->ahead >= 0
               ? HORA_OK
               : hora_fail(HORA_EUSAGE, "window is %lld, ahead %lld; give 0 for none",
                           (long long)a->window, (long long)a->ahead);
}

hora_status hora_op_probability(const hora_attr *a) {
    return a->alpha >= 0 && a->alpha < 1
               ? HORA_OK
               : hora_fail(HORA_EUSAGE, "probability %g; give 0 or more and less than 1", a->alpha);
}

/* --- shape rules of several ops --------------------------------------------------------------- */

hora_status hora_op_like(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    out->shape = in[0].shape;
    return HORA_OK;
}

hora_status hora_op_alike(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_same("a", &in[0], "b", &in[1]));
    return hora_op_like(in, a, out);
}

hora_status hora_op_by_rows(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    HORA_TRY(hora_op_matrix("m", &in[1]));
    if (in[1].shape.d[0] != in[0].shape.d[0] || in[1].shape.d[1] != 1)
        return hora_op_misfit("x", &in[0], "m", &in[1], "m has one number for each row of x");
    return hora_op_like(in, a, out);
}

hora_status hora_op_cached(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_heads(&in[0], &in[1], &in[2], a));
    HORA_TRY(hora_op_matrix("key cache", &in[3]));
    HORA_TRY(hora_op_same("key cache", &in[3], "value cache", &in[4]));
    if (in[3].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("key cache", &in[3], "k", &in[1], "give both the same width");
    HORA_TRY(hora_op_window(a));
    return hora_op_like(in, a, out);
}

/* --- test cases ------------------------------------------------------------------------------- */

bool hora_case_make(hora_case *c, int op, int k, uint64_t seed) {
    const hora_op *row = hora_op_at(op);
    *c = (hora_case){.grad = 0};
    for (int i = 0; i < HORA_MAX_IN; i++) {
        c->in[i].shape.n = -1;
        c->spread[i] = 1;
    }
    c->attr.alpha = 1;
    c->batch.scale = 1;
    hora_rng rng = hora_rng_new(seed + (uint64_t)k, row->name);
    return row->sample(&rng, k, c);
}

void *hora_case_alloc(hora_case *c, size_t n, size_t size) {
    HORA_ASSERT(c->nown < (int)HORA_COUNT(c->own));
    return c->own[c->nown++] = hora_calloc(n ? n : 1, size);
}

void hora_case_release(hora_case *c) {
    for (int i = 0; i < c->nown; i++)
        hora_free(c->own[i]);
    c->nown = 0;
}

void hora_case_batch(hora_case *c, hora_rng *r, int64_t rows, int64_t classes, int64_t padding,
                     bool bidirectional) {
    size_t n = (size_t)rows;
    int32_t *ids = hora_case_alloc(c, n, sizeof *ids), *pos = hora_case_alloc(c, n, sizeof *pos);
    int32_t *lo = hora_case_alloc(c, n, sizeof *lo), *hi = hora_case_alloc(c, n, sizeof *hi);
    int32_t *target = hora_case_alloc(c, n, sizeof *target);
    int32_t *reach = hora_case_alloc(c, n, sizeof *reach);
    float *weight = hora_case_alloc(c, n, sizeof *weight);
    int64_t first = 0, end = 0; /* of the segment of row i */
    for (int64_t i = 0; i < rows; i++) {
        bool unused = i >= rows - padding;
        if (i == end) {
            first = i;
            end = i + 1 + (unused ? 0 : hora_rng_below(r, rows - padding - i));
        }
        ids[i] = (int32_t)hora_rng_below(r, classes);
        pos[i] = (int32_t)(i - first);
        reach[i] = (int32_t)(end - first);
        lo[i] = (int32_t)first;
        hi[i] = (int32_t)(unused ? first : bidirectional ? end : i + 1);
        bool none = unused || (rows > 1 && hora_rng_below(r, 4) == 0);
        target[i] = none ? -1 : (int32_t)hora_rng_below(r, classes);
        weight[i] = none ? 0 : (float)(0.5 + hora_rng_uniform(r));
    }
    c->batch = (hora_batch){.rows = rows,
                            .ids = ids,
                            .pos = pos,
                            .reach = reach,
                            .lo = lo,
                            .hi = hi,
                            .target = target,
                            .weight = weight,
                            .scale = 1 / (double)hora_max(rows, 1),
                            .seed = hora_rng_u64(r),
                            .step = (uint64_t)hora_rng_below(r, 1000),
                            .row0 = hora_rng_below(r, 100000)};
}

void hora_case_value(hora_case *c, hora_rng *r, int64_t columns, bool binary) {
    const int64_t n = c->batch.rows * columns;
    c->batch.value = hora_case_alloc(c, (size_t)n, sizeof(float));
    c->batch.leaves.columns[HORA_LEAF_value] = columns;
    for (int64_t i = 0; i < n; i++)
        c->batch.value[i] = binary ? (float)hora_rng_below(r, 2) : (float)hora_rng_normal(r);
}

/* --- losses against values -------------------------------------------------------------------- */
hora_status hora_op_value_loss_shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("z", &in[0]));
    out->shape = HORA_SHAPE1(1);
    out->dtype = HORA_F64;
    return HORA_OK;
}

unsigned hora_op_value_loss_reads(unsigned grad) {
    return grad; /* z where z carries gradient */
}

bool hora_case_value_loss(hora_rng *r, int k, hora_case *c, bool binary) {
    static const int64_t s[][3] = {{1, 1, 0}, {3, 5, 0}, {13, 1, 2}, {67, 7, 1}, {200, 3, 5}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k][0], 2, s[k][2], false);
    hora_case_value(c, r, s[k][1], binary);
    return true;
}

/* --- cases of several ops --------------------------------------------------------------------- */

bool hora_case_like(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][2] = {{1, 1}, {3, 5}, {67, 33}};
    (void)r;
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->rows |= HORA_OUT;
    return true;
}

bool hora_case_dropout(hora_rng *r, int k, hora_case *c, bool padded) {
    static const struct {
        int64_t n, d;
        double p;
    } s[] = {{1, 1, 0.5}, {3, 5, 0}, {13, 7, 0.1}, {67, 33, 0.3}, {200, 130, 0.9}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k].n, 2, padded ? s[k].n / 9 : 0, padded && k % 2);
    c->attr.alpha = s[k].p;
    c->attr.stream = hora_rng_u64(r);
    return true;
}

void hora_case_heads(hora_case *c, int64_t n, int64_t heads, int64_t kv, int64_t dh) {
    for (int i = 0; i < 3; i++)
        hora_case_row(c, i, n, (i ? kv : heads) * dh);
    c->rows |= HORA_OUT;
    c->attr.heads = heads;
    c->attr.kv_heads = kv;
    c->attr.head_dim = dh;
    c->attr.scale = 1 / sqrt((double)dh);
}

void hora_case_seen(hora_case *c, hora_rng *r, int k, int64_t n, int64_t at) {
    hora_case_batch(c, r, n, 2, 0, false);
    int32_t *lo = hora_case_alloc(c, (size_t)n, sizeof *lo);
    int32_t *hi = hora_case_alloc(c, (size_t)n, sizeof *hi);
    for (int64_t i = 0; i < n; i++) {
        lo[i] = k == 3 ? 2 : 0;
        hi[i] = k == 2 && i == n - 1 ? 0 : (int32_t)(at + i + 1); /* last: padding */
    }
    c->batch.lo = lo;
    c->batch.hi = hi;
    c->batch.cache_row = at;
}

bool hora_case_cached(hora_rng *r, int k, hora_case *c, int64_t widest) {
    const struct {
        int64_t n, heads, kv, dh, cap, at, window;
    } s[] = {{1, 1, 1, 1, 1, 0, 0},       {1, 4, 2, 7, 13, 12, 0},
             {5, 3, 1, 5, 17, 0, 3},      {7, 6, 3, 16, 67, 31, 0},
             {1, 2, 2, 33, 300, 255, 40}, {64, 4, 2, widest, 256, 150, 0}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_heads(c, s[k].n, s[k].heads, s[k].kv, s[k].dh);
    c->attr.window = s[k].window;
    hora_case_matrix(c, 3, s[k].cap, s[k].kv * s[k].dh);
    hora_case_matrix(c, 4, s[k].cap, s[k].kv * s[k].dh);
    hora_case_seen(c, r, k, s[k].n, s[k].at);
    return true;
}

/* --- texts of records ------------------------------------------------------------------------- */
bool hora_case_texts(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][3] = {{1, 3, 0}, {2, 4, 0}, {9, 5, 1}, {40, 17, 3}, {67, 33, 0}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k][0], s[k][1]);
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k][0], 2, s[k][2], true);
    for (int64_t i = 0, last = -1; i < s[k][0]; i++) {
        const bool none = i >= s[k][0] - s[k][2] || (k > 1 && hora_rng_below(r, 3) == 0);
        const bool next = last < 0 || (last > 0 && hora_rng_below(r, 2) == 0);
        c->batch.target[i] = none ? -1 : next ? 0 : (int32_t)last + 1;
        last = none ? last : c->batch.target[i];
        c->batch.weight[i] = c->batch.target[i] == 1 ? (float)(0.5 + hora_rng_uniform(r)) : 0;
    }
    return true;
}
