/*
 * place: rows of a table in the place of what is there: prompts that a batch left room for.
 *
 *   y_i = E[k_i - first] where that is a row of E, else a_i        E (V, d), a and y (n, d); k from
 *                                                                  leaf attr.source of the batch
 *   dE_v = sum over i with k_i - first = v, in ascending i, of dy_i
 *   da_i = dy_i where k_i - first is no row of E, else 0
 *
 * Numbers are read at run time. Backward reads no tensor.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    (void)a;
    HORA_TRY(hora_op_matrix("rows", &in[0]));
    HORA_TRY(hora_op_matrix("table", &in[1]));
    if (in[0].shape.d[1] != in[1].shape.d[1])
        return hora_op_misfit("rows", &in[0], "table", &in[1], "give both the same width");
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const struct {
        int64_t n, v, d;
        hora_leaf source;
        int64_t first;
    } s[] = {{1, 1, 1, HORA_LEAF_ids, 0},
             {7, 3, 5, HORA_LEAF_ids, 1},
             {67, 5, 33, HORA_LEAF_pos, -2},
             {200, 9, 48, HORA_LEAF_pos, 0}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    hora_case_row(c, 0, s[k].n, s[k].d);
    hora_case_matrix(c, 1, s[k].v, s[k].d);
    c->grad = HORA_IN(0) | HORA_IN(1);
    c->rows |= HORA_OUT;
    hora_case_batch(c, r, s[k].n, 6, k == 2 ? 2 : 0, false);
    c->attr.source = s[k].source;
    c->attr.first = s[k].first;
    return true;
}

const hora_op hora_op_place = {.name = "place",
                               .nin = 2,
                               .options = HORA_OP_BATCH | HORA_OP_SOURCE,
                               .shape = shape,
                               .reads = reads,
                               .tol = {1e-6, 1e-2},
                               .sample = sample};
