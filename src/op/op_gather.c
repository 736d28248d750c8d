/*
 * gather: rows of a table by number, onto what is there: embeddings of tokens, positions and types,
 * tokens of their own at the head of a segment, and choice of rows with attr.index.
 *
 *   y_i = a_i + E[k_i - first]           E (V, d), a and y (n, d); k from leaf attr.source of the
 *                                        batch, or attr.index with first = 0; a absent: 0
 *   dE_v = sum over i with k_i - first = v, in ascending i, of dy_i          da = dy
 *
 * A number that is none of the table's adds nothing: -1, or one that belongs to another table of
 * the same leaf. Numbers are read at run time. Backward reads no tensor. The sum is in a fixed
 * order so that the thread count never shows.
 */
#include "op/op_impl.h"

/* The recorder puts the batch's row count in out->shape.d[0] when attr.index is NULL. */
static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("table", &in[0]));
    int64_t n = a->index ? a->nindex : out->shape.d[0];
    out->shape = HORA_SHAPE2(n, in[0].shape.d[1]);
    return hora_absent(&in[1]) ? HORA_OK : hora_op_same("addend", &in[1], "rows", out);
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t v, d, n;
        bool index, onto;
        hora_leaf source;
        int64_t first;
    } s[] = {
        {1, 1, 1, false, false, HORA_LEAF_ids, 0},   {5, 3, 7, false, false, HORA_LEAF_ids, 0},
        {11, 17, 13, true, false, HORA_LEAF_ids, 0}, {7, 5, 2, true, false, HORA_LEAF_ids, 0},
        {131, 65, 67, false, false, 0, 0},           {64, 48, 200, false, true, HORA_LEAF_ids, 0},
        {3, 9, 40, false, true, HORA_LEAF_pos, 1},   {5, 33, 30, false, false, HORA_LEAF_pos, -2},
    };
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_matrix(c, 0, s[k].v, s[k].d);
    c->grad = HORA_IN(0);
    hora_case_batch(c, r, s[k].n, s[k].v, k == 1 ? 2 : 0, false);
    c->attr.source = s[k].source;
    c->attr.first = s[k].first;
    if (s[k].onto) {
        hora_case_row(c, 1, s[k].n, s[k].d);
        c->grad |= HORA_IN(1);
    }
    if (!s[k].index) {
        c->rows |= HORA_OUT;
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
                                .nin = 2,
                                .optional = HORA_IN(1),
                                .options =
                                    HORA_OP_BATCH | HORA_OP_ROWS | HORA_OP_PICKS | HORA_OP_SOURCE,
                                .shape = shape,
                                .reads = reads,
                                .passes = HORA_IN(1),
                                .tol = {1e-5, 2e-2},
                                .sample = sample};
