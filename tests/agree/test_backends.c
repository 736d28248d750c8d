/*
 * Does every other backend compute what ref computes? For every op and case it accepts, in f32 and
 * in the mixes of bf16 that a graph may make, all inputs differentiated and each alone: outputs,
 * saved tensors and gradients within the op's `tol`.
 * Backward is fed ref's outputs and saved tensors, since one backend's backward may follow
 * another's forward. The number of threads must not change a bit.
 */
#include "hora_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/matmul.h"
#include "base/threads.h"
#include "op_harness.h"

#define LARGE 8000 /* elements; cases above are not in the short tier */

typedef struct variant {
    int64_t spare;
    bool freeze, add; /* add: gradients are added to what is there */
} variant;

/* One case computed by one backend. */
typedef struct answer {
    op_rig rig;
    bool forward, backward; /* accepted */
} answer;

/* A device for one answer: of the host anew, since it keeps packings; of another, the one given. */
static hora_device *device_for(const hora_backend *b, hora_device *given) {
    return strcmp(b->device, "host") == 0 ? hora_device_new() : given;
}

/* `law`: where backward takes out and saved from; NULL: from its own forward. */
static answer ask(const hora_backend *b, hora_device *device, const op_rig *like, variant v,
                  const op_rig *law) {
    answer a = {.forward = false};
    op_how how = {
        .backend = b, .device = device_for(b, device), .spare = v.spare, .freeze = v.freeze};
    hora_device_set_packing(how.device, v.add ? HORA_PACK_BOTH : HORA_PACK_ONE);
    assert_true(op_rig_open(&a.rig, like->op, like->k, like->types));
    op_rig_grad(&a.rig, like->grad);
    a.forward = op_rig_forward(&a.rig, &how);
    if (like->grad) {
        op_rig given = a.rig; /* shares inputs and gradients; out and saved are the law's */
        if (law) {
            given.out = law->out;
            memcpy(given.saved, law->saved, sizeof given.saved);
        }
        how.overwrite = v.add ? 0 : like->grad;
        for (int i = 0; i < HORA_MAX_IN; i++)
            for (int64_t j = 0; v.add && like->grad & HORA_IN(i) && j < hora_elems(&like->in[i]);
                 j++)
                op_view_set(&given.din[i], j, (double)(j % 5) - 2);
        a.backward = op_rig_backward(&given, &how);
    }
    if (how.device != device)
        hora_device_free(how.device);
    return a;
}

static void near(const hora_view *got, const hora_view *want, const op_rig *r, const char *b,
                 const char *what) {
    double most = 0, tol = r->row->tol[r->types.rows == HORA_BF16];
    for (int64_t i = 0; i < hora_elems(want); i++)
        most = fmax(most, fabs(op_view_get(want, i)));
    for (int64_t i = 0; i < hora_elems(want); i++) {
        double g = op_view_get(got, i), w = op_view_get(want, i);
        if (!(fabs(g - w) <= tol * (1 + most)))
            fail_msg("%s: %s: element %lld of %s is %.9g, ref has %.9g (largest %.3g)",
                     op_rig_text(r), b, (long long)i, what, g, w, most);
    }
}

static void same(const hora_view *a, const hora_view *b, const op_rig *r, int threads,
                 const char *what) {
    if (a->data && memcmp(a->data, b->data, hora_view_bytes(a)) != 0)
        fail_msg("%s: %d threads change the bits of %s", op_rig_text(r), threads, what);
}

/* Every tensor that the call wrote; threads 0: against ref, within the tolerance. */
static void compare(const answer *got, const answer *want, const char *b, int threads) {
    const op_rig *g = &got->rig, *w = &want->rig;
    assert_true(want->forward || !got->forward);
    assert_true(want->backward || !got->backward);
#define CHECK(x, what)                                                                             \
    (threads ? same(&g->x, &w->x, w, threads, what) : near(&g->x, &w->x, w, b, what))
    if (got->forward) {
        CHECK(out, "the output");
        for (int i = 0; i < HORA_MAX_SAVED; i++)
            if (w->saved[i].data)
                CHECK(saved[i], "what forward saves");
        for (int i = 0; i < HORA_MAX_IN && w->row->options & HORA_OP_EFFECT; i++)
            if (w->in[i].data)
                CHECK(in[i], "an input that the op may write");
    }
    for (int i = 0; i < HORA_MAX_IN && got->backward; i++)
        if (w->grad & HORA_IN(i))
            CHECK(din[i], "a gradient");
#undef CHECK
}

/* Counts accepted forward and backward calls in *n. */
static void check_mask(const hora_backend *b, hora_device *d, op_rig *like, unsigned grad,
                       int n[2]) {
    static const variant variants[] = {{0, false, false}, {13, true, true}, {70, true, false}};
    static const int threads[] = {2, 3, 8};
    like->grad = grad;
    for (size_t v = 0; v < HORA_COUNT(variants); v++) {
        hora_threads_limit(1);
        answer law = ask(hora_backend_named("ref"), NULL, like, variants[v], NULL);
        assert_true(law.forward);
        answer one = ask(b, d, like, variants[v], &law.rig);
        n[0] += one.forward;
        n[1] += one.backward;
        compare(&one, &law, b->name, 0);
        const size_t again = d ? 1 : HORA_COUNT(threads); /* threads are the host's */
        for (size_t t = 0; t < again && (one.forward || one.backward); t++) {
            hora_threads_limit(threads[t]);
            answer more = ask(b, d, like, variants[v], &law.rig);
            compare(&more, &one, b->name, threads[t]);
            op_rig_close(&more.rig);
        }
        op_rig_close(&one.rig);
        op_rig_close(&law.rig);
    }
    hora_threads_limit(0);
}

static int64_t size_of(const op_rig *r) {
    int64_t n = hora_elems(&r->out);
    for (int i = 0; i < HORA_MAX_IN; i++)
        n += hora_absent(&r->in[i]) ? 0 : hora_elems(&r->in[i]);
    return n;
}

static const op_types f32 = {HORA_F32, HORA_F32, HORA_F32};
/* Parameters, frozen weights, and both. */
static const op_types mixes[] = {{HORA_BF16, HORA_F32, HORA_F32},
                                 {HORA_BF16, HORA_BF16, HORA_BF16},
                                 {HORA_BF16, HORA_BF16, HORA_F32}};

/* Weights of bf16 are frozen: they carry no gradient. */
static unsigned may_train(const op_rig *r) {
    unsigned all = r->c.grad;
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (!(r->c.rows & HORA_IN(i)) && r->in[i].dtype == HORA_BF16)
            all &= ~HORA_IN(i);
    return all;
}

static void check_case(const hora_backend *b, hora_device *d, op_rig *r, int n[2]) {
    unsigned all = may_train(r);
    check_mask(b, d, r, 0, n);
    for (unsigned mask = 1; mask <= all; mask++)
        if (mask == all || ((mask & ~all) == 0 && (mask & (mask - 1)) == 0))
            check_mask(b, d, r, mask, n);
    r->grad = 0;
}

/* Returns how many calls were accepted. */
static int check_op(const hora_backend *b, hora_device *d, int op, op_types types, bool large) {
    int n[2] = {0, 0};
    op_rig r;
    for (int k = 0; op_rig_open(&r, op, k, types); k++, op_rig_close(&r))
        if ((size_of(&r) > LARGE) == large)
            check_case(b, d, &r, n);
    print_message("%s %s of %s %s %s: %d forward, %d backward calls agree\n", b->name,
                  hora_op_at(op)->name, hora_dtype_name(types.rows), hora_dtype_name(types.weight),
                  hora_dtype_name(types.rest), n[0], n[1]);
    return n[0] + n[1];
}

static void check_backend(const hora_backend *b, hora_device *d, op_types types, bool large) {
    int accepted = 0;
    for (int op = 0; op < HORA_OPS; op++)
        if (hora_test_asked(hora_op_at(op)->name))
            accepted += check_op(b, d, op, types, large);
    if (!accepted)
        fail_msg("%s accepts no call", b->name);
}

static void check_all(const op_types *types, size_t n, bool large) {
    int others = 0;
    for (int i = 0; i < hora_backend_count(); i++)
        if (strcmp(hora_backend_at(i)->name, "ref") != 0 &&
            strcmp(hora_backend_at(i)->device, "host") == 0) {
            for (size_t k = 0; k < n; k++)
                check_backend(hora_backend_at(i), NULL, types[k], large);
            others++;
        }
    if (!others)
        hora_test_skip("no backend but ref is in this build");
}

/* Backends of other devices, where this machine has one. */
static void check_devices(const op_types *types, size_t n) {
    int checked = 0;
    for (int i = 0; i < hora_backend_count(); i++) {
        const hora_backend *b = hora_backend_at(i);
        hora_device *d;
        if (strcmp(b->device, "host") == 0)
            continue;
        if (hora_device_open(&d, b->device) != HORA_OK)
            hora_test_skip("%s", hora_errmsg());
        for (size_t k = 0; k < n; k++)
            for (int large = 0; large < 2; large++)
                check_backend(b, d, types[k], large);
        hora_device_free(d);
        checked++;
    }
    if (!checked)
        hora_test_skip("this build has no device but the host");
}

/* mul(x, x) and the like: the gradient of input 0 is finished before that of input 1 is added. */
static void check_twice(const hora_backend *b, hora_op_id op, int k, op_types types) {
    hora_device *d;
    op_rig r, both;
    if (hora_device_open(&d, b->device) != HORA_OK)
        return; /* the tests of devices say so */
    assert_true(op_rig_open(&r, op, k, types));
    memcpy(r.in[1].data, r.in[0].data, hora_view_bytes(&r.in[0]));
    op_rig_grad(&r, HORA_IN(0) | HORA_IN(1));
    op_how how = {.backend = b, .device = d, .overwrite = r.grad};
    if (op_rig_forward(&r, &how) && op_rig_backward(&r, &how)) {
        hora_view sum = r.din[0];
        op_view_new(&sum);
        for (int64_t i = 0; i < hora_elems(&sum); i++)
            op_view_set(&sum, i, op_view_get(&r.din[0], i) + op_view_get(&r.din[1], i));
        both = r;
        both.in[1] = both.in[0];
        both.din[1] = both.din[0];
        how.overwrite = HORA_IN(0);
        assert_true(op_rig_backward(&both, &how));
        near(&both.din[0], &sum, &r, b->name, "the gradient of x, given twice,");
        op_view_free(&sum);
    }
    op_rig_close(&r);
    hora_device_free(d);
}

static void one_tensor_twice(void **state) {
    (void)state;
    for (int i = 0; i < hora_backend_count(); i++)
        for (int k = 0; k < 10; k++) {
            op_types types = k < 5 ? f32 : mixes[0];
            check_twice(hora_backend_at(i), HORA_OP_add, k % 5, types);
            check_twice(hora_backend_at(i), HORA_OP_mul, k % 5, types);
            check_twice(hora_backend_at(i), HORA_OP_glu, k % 5, types);
        }
}

static void small_cases(void **state) {
    (void)state;
    check_all(&f32, 1, false);
}

static void small_cases_bf16(void **state) {
    (void)state;
    check_all(mixes, HORA_COUNT(mixes), false);
}

static void large_cases(void **state) {
    (void)state;
    check_all(&f32, 1, true);
    check_all(mixes, HORA_COUNT(mixes), true);
}

/* The library that products of bf16 are given to where the processor has matrix tiles; each test is
 * a process of its own. */
static void with_a_library(void **state) {
    static const hora_op_id ops[] = {HORA_OP_linear, HORA_OP_lowrank, HORA_OP_head_xent};
    int calls = 0;
    (void)state;
    if (!hora_matmul_count())
        hora_test_skip("no matmul library is in this build");
    setenv("HORA_MATMUL", hora_matmul_at(0)->name, 1);
    for (size_t i = 0; i < HORA_COUNT(ops); i++)
        calls += check_op(hora_backend_named("cpu"), NULL, (int)ops[i], mixes[1], true);
    assert_true(calls);
}

static void devices(void **state) {
    (void)state;
    check_devices(&f32, 1);
}

static void devices_bf16(void **state) {
    (void)state;
    check_devices(mixes, HORA_COUNT(mixes));
}

HORA_TESTS(agree_backends, {"kernels of other devices agree with ref", devices, HORA_SHORT},
           {"kernels of other devices agree with ref in bf16", devices_bf16, HORA_SHORT},
           {"backends agree with ref: small cases", small_cases, HORA_SHORT},
           {"backends agree with ref in bf16: small cases", small_cases_bf16, HORA_SHORT},
           {"products by a library agree with ref", with_a_library, HORA_SHORT},
           {"one tensor as both inputs", one_tensor_twice, HORA_SHORT},
           {"backends agree with ref: large cases", large_cases, HORA_MEDIUM});
