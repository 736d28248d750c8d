/*
 * gather: rows of a table by number; token embeddings, and choice of rows with attr.index.
 *
 *   y_i = E[id_i]                            E (V, d), y (n, d); id from the batch, or attr.index
 *   dE_v = sum over i with id_i = v, in ascending i, of dy_i
 *
 * Numbers are read at run time; that they are below V is the caller's duty. Backward reads no
 * tensor. The sum is in a fixed order so that the thread count never shows.
 */
#include "op/op_impl.h"

/* The recorder puts the batch's row count in out->shape.d[0] when attr.index is NULL. */
static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("table", &in[0]));
    int64_t n = a->index ? a->nindex : out->shape.d[0];
    out->shape = HORA_SHAPE2(n, in[0].shape.d[1]);
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t v, d, n;
        bool index;
    } s[] = {{1, 1, 1, false}, {5, 3, 7, false},     {11, 17, 13, true},
             {7, 5, 2, true},  {131, 65, 67, false}, {64, 48, 200, false}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k].v, s[k].d);
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k].n, s[k].v, k == 1 ? 2 : 0, false);
    if (!s[k].index) {
        c->rows = HORA_OUT;
        return true;
    }
    int32_t *index = hora_case_alloc(c, (size_t)s[k].n, sizeof *index);
    for (int64_t i = 0; i < s[k].n; i++)
        index[i] = (int32_t)hora_rng_below(r, s[k].v);
    c->attr.index = index;
    c->attr.nindex = s[k].n;
    return true;
}

const hora_op hora_op_gather = {.name = "gather",
                                .nin = 1,
                                .options = HORA_OP_BATCH | HORA_OP_ROWS | HORA_OP_PICKS,
                                .leaves = HORA_LEAF(ids),
                                .shape = shape,
                                .reads = reads,
                                .tol = {1e-5, 2e-2},
                                .sample = sample};
