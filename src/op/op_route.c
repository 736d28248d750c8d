/*
 * route: rows of one task from one tensor, all others from another.
 *
 *   y_i = x_i where route_i = a, else z_i       x, [z], y (n, d); no z: 0; a = attr.a >= 0
 *
 *   dx_i = dy_i where route_i = a, else 0       dz_i = dy_i where route_i != a, else 0
 *
 * route is a leaf of the batch: the task of the record that a row belongs to. A row is one or the
 * other to the bit, whatever stands in the rows that are not taken. Backward reads no tensor.
 */
#include "op/op_impl.h"

static hora_status shape(const hora_view *in, const hora_attr *a, hora_view *out) {
    HORA_TRY(hora_op_matrix("x", &in[0]));
    if (!hora_absent(&in[1])) {
        HORA_TRY(hora_op_matrix("z", &in[1]));
        if (in[0].shape.d[0] != in[1].shape.d[0] || in[0].shape.d[1] != in[1].shape.d[1])
            return hora_op_misfit("x", &in[0], "z", &in[1], "give both the same shape");
    }
    if (a->a < 0)
        return hora_fail(HORA_EUSAGE, "a is %lld; give the number of a task", (long long)a->a);
    out->shape = in[0].shape;
    return HORA_OK;
}

static unsigned reads(unsigned grad) {
    (void)grad;
    return 0;
}

static bool sample(hora_rng *r, int k, hora_case *c) {
    static const int64_t s[][4] = {/* rows, width, tasks, z is there */
                                   {1, 1, 1, 0},
                                   {3, 5, 2, 1},
                                   {13, 7, 3, 0},
                                   {67, 33, 2, 1},
                                   {200, 48, 4, 1}};
    if (k >= (int)HORA_COUNT(s))
        return false;
    const int64_t n = s[k][0];
    hora_case_row(c, 0, n, s[k][1]);
    if (s[k][3])
        hora_case_row(c, 1, n, s[k][1]);
    hora_case_batch(c, r, n, 2, n / 9, false);
    int32_t *route = hora_case_alloc(c, (size_t)n, sizeof *route);
    for (int64_t i = 0; i < n; i++) /* -1: a row of no task */
        route[i] = (int32_t)hora_rng_below(r, s[k][2] + 1) - (n > 1);
    c->batch.route = route;
    c->rows |= HORA_OUT;
    c->grad = HORA_IN(0) | (s[k][3] ? HORA_IN(1) : 0);
    c->attr.a = s[k][2] - 1;
    return true;
}

const hora_op hora_op_route = {.name = "route",
                               .nin = 2,
                               .optional = HORA_IN(1),
                               .options = HORA_OP_BATCH | HORA_OP_CHEAP,
                               .leaves = HORA_LEAF(route),
                               .shape = shape,
                               .reads = reads,
                               .tol = {0, 1e-2},
                               .sample = sample};
