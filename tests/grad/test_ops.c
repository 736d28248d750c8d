/*
 * Is every op's backward the derivative of its forward? On ref in f64, for every row of ops.def,
 * every case, every subset of the inputs (of large ones: all at once and each alone): <gradient, v>
 * against central differences of L = <dout, y> along random directions v, best of three steps, to
 * 1e-6 of the gradient's norm (v is N(0, 1), so the norm is the size of <gradient, v>). Backward
 * overwrites and adds, and gets only the tensors that `reads` names.
 */
#include "hora_test.h"

#include <math.h>

#include "op_harness.h"

#define TOLERANCE  1e-6
#define DIRECTIONS 2
#define LARGE      8000 /* elements; cases above are not in the short tier */

static const op_types f64 = {HORA_F64, HORA_F64, HORA_F64};

static op_how on_ref(unsigned overwrite) {
    return (op_how){.backend = hora_backend_named("ref"), .spare = 3, .overwrite = overwrite};
}

/* <dout, forward(inputs)>, with nothing saved. */
static double objective(op_rig *r) {
    unsigned grad = r->grad;
    op_how how = on_ref(0);
    double sum = 0;
    r->grad = 0;
    assert_true(op_rig_forward(r, &how));
    r->grad = grad;
    for (int64_t i = 0; i < hora_elems(&r->out); i++)
        sum += op_view_get(&r->dout, i) * op_view_get(&r->out, i);
    return sum;
}

/* L at inputs + h v, where `at` has the inputs as they were. */
static double shifted(op_rig *r, const hora_view *at, const hora_view *v, double h) {
    for (int i = 0; i < HORA_MAX_IN; i++)
        for (int64_t j = 0; r->grad & HORA_IN(i) && j < hora_elems(&at[i]); j++)
            op_view_set(&r->in[i], j, op_view_get(&at[i], j) + h * op_view_get(&v[i], j));
    return objective(r);
}

static void check_direction(op_rig *r, hora_rng *rng) {
    hora_view at[HORA_MAX_IN], v[HORA_MAX_IN];
    double dot = 0, norm = 0, best = INFINITY, got = NAN;
    for (int i = 0; i < HORA_MAX_IN; i++) {
        if (!(r->grad & HORA_IN(i)))
            continue;
        at[i] = v[i] = r->in[i];
        op_view_new(&at[i]);
        op_view_new(&v[i]);
        memcpy(at[i].data, r->in[i].data, hora_view_bytes(&at[i]));
        op_view_fill(&v[i], rng, 1, 0);
        for (int64_t j = 0; j < hora_elems(&v[i]); j++) {
            double g = op_view_get(&r->din[i], j);
            dot += g * op_view_get(&v[i], j);
            norm += g * g;
        }
    }
    norm = sqrt(norm);
    for (double h = 1e-3; h > 5e-6 && !(best <= TOLERANCE * norm); h /= 10) {
        double numeric = (shifted(r, at, v, h) - shifted(r, at, v, -h)) / (2 * h);
        if (!(fabs(numeric - dot) >= best)) {
            best = fabs(numeric - dot);
            got = numeric;
        }
    }
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (r->grad & HORA_IN(i)) {
            memcpy(r->in[i].data, at[i].data, hora_view_bytes(&at[i]));
            op_view_free(&at[i]);
            op_view_free(&v[i]);
        }
    if (!(best <= TOLERANCE * norm + 1e-11))
        fail_msg("%s: backward says %.12g, differences %.12g (gradient's norm %.3g)",
                 op_rig_text(r), dot, got, norm);
}

/* Inputs outside `overwrite` hold a number before, which must be added to. din is `want` after. */
static void check_bits(op_rig *r, unsigned overwrite) {
    op_how how = on_ref(overwrite);
    hora_view want[HORA_MAX_IN];
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (r->grad & HORA_IN(i)) {
            want[i] = r->din[i];
            op_view_new(&r->din[i]);
            for (int64_t j = 0; j < hora_elems(&want[i]); j++)
                op_view_set(&r->din[i], j, (double)(j % 5) - 2);
        }
    assert_true(op_rig_backward(r, &how));
    for (int i = 0; i < HORA_MAX_IN; i++) {
        if (!(r->grad & HORA_IN(i)))
            continue;
        for (int64_t j = 0; j < hora_elems(&want[i]); j++) {
            double w = op_view_get(&want[i], j), g = op_view_get(&r->din[i], j);
            if (!(overwrite & HORA_IN(i)))
                w += (double)(j % 5) - 2;
            if (!(fabs(g - w) <= 1e-13 * (4 + fabs(w))))
                fail_msg("%s, overwrite 0x%x: element %lld of input %d's gradient is %.17g, not "
                         "%.17g",
                         op_rig_text(r), overwrite, (long long)j, i, g, w);
        }
        op_view_free(&r->din[i]);
        r->din[i] = want[i];
    }
}

static void check_mask(op_rig *r, unsigned grad, hora_rng *rng) {
    op_how how = on_ref(grad);
    op_rig_grad(r, grad);
    assert_true(op_rig_forward(r, &how));
    assert_true(op_rig_backward(r, &how));
    check_bits(r, 0);
    check_bits(r, grad & (HORA_IN(0) | HORA_IN(2) | HORA_IN(4)));
    for (int d = 0; d < DIRECTIONS; d++)
        check_direction(r, rng);
}

static int64_t size_of(const op_rig *r) {
    int64_t n = hora_elems(&r->out);
    for (int i = 0; i < HORA_MAX_IN; i++)
        n += hora_absent(&r->in[i]) ? 0 : hora_elems(&r->in[i]);
    return n;
}

static bool single(unsigned mask) {
    return (mask & (mask - 1)) == 0;
}

static void check_ops(bool large) {
    int checked = 0;
    for (int op = 0; op < HORA_OPS; op++) {
        op_rig r;
        if (!hora_test_asked(hora_op_at(op)->name))
            continue;
        for (int k = 0; op_rig_open(&r, op, k, f64); k++, op_rig_close(&r)) {
            hora_rng rng = hora_rng_new((uint64_t)k, "directions");
            if (!r.row->reads || (size_of(&r) > LARGE) != large)
                continue;
            assert_true(r.c.grad != 0);
            for (unsigned mask = 1; mask <= r.c.grad; mask++)
                if ((mask & ~r.c.grad) == 0 && (!large || mask == r.c.grad || single(mask)))
                    check_mask(&r, mask, &rng);
            checked++;
        }
    }
    assert_true(checked > 0);
}

static void small_cases(void **state) {
    (void)state;
    check_ops(false);
}

static void large_cases(void **state) {
    (void)state;
    check_ops(true);
}

/* Every op has a case, and an op without backward asks for no gradient. */
static void every_row_has_cases(void **state) {
    (void)state;
    for (int op = 0; op < HORA_OPS; op++) {
        op_rig r;
        const hora_op *row = hora_op_at(op);
        assert_ptr_equal(hora_op_named(row->name), row);
        if (!op_rig_open(&r, op, 0, f64))
            fail_msg("%s has no case", row->name);
        if (!row->reads && r.c.grad)
            fail_msg("%s has no backward, but its case asks for a gradient", row->name);
        op_rig_close(&r);
    }
}

HORA_TESTS(grad_ops, {"every row has cases", every_row_has_cases, HORA_SHORT},
           {"backward is the derivative: small cases", small_cases, HORA_SHORT},
           {"backward is the derivative: large cases", large_cases, HORA_MEDIUM});
