/*
 * See op_harness.h. Buffers are plain heap blocks of exactly the bytes that the kernel may touch,
 * followed by a fence, so both the sanitizers and ordinary builds see a write behind the end.
 */
#include "op_harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hora_test.h"

#define FENCE      64
#define FENCE_BYTE 0x5a
#define NAN_BYTE   0xff /* 0xffff.. is a NaN in every float dtype, -1 in integers */

static void *guarded(size_t bytes) {
    unsigned char *p = aligned_alloc(64, (size_t)hora_round_up((int64_t)bytes, 64) + FENCE);
    assert_non_null(p);
    memset(p, NAN_BYTE, bytes);
    memset(p + bytes, FENCE_BYTE, FENCE);
    return p;
}

static void check_fence(const void *p, size_t bytes, const op_rig *r, const char *what) {
    const unsigned char *fence = (const unsigned char *)p + bytes;
    for (int i = 0; p && i < FENCE; i++)
        if (fence[i] != FENCE_BYTE)
            fail_msg("%s: wrote behind the end of %s", op_rig_text(r), what);
}

void op_view_new(hora_view *v) {
    v->data = guarded(hora_view_bytes(v));
}

void op_view_free(hora_view *v) {
    free(v->data);
    v->data = NULL;
}

void op_view_poison(const hora_view *v) {
    if (v->data)
        memset(v->data, NAN_BYTE, hora_view_bytes(v));
}

double op_view_get(const hora_view *v, int64_t i) {
    double x;
    size_t size = hora_dtype_size(v->dtype);
    assert_ok(hora_convert(&x, HORA_F64, (const char *)v->data + (size_t)i * size, v->dtype, 1));
    return x;
}

void op_view_set(const hora_view *v, int64_t i, double x) {
    size_t size = hora_dtype_size(v->dtype);
    assert_ok(hora_convert((char *)v->data + (size_t)i * size, v->dtype, &x, HORA_F64, 1));
}

void op_view_fill(const hora_view *v, hora_rng *rng, double spread, double shift) {
    for (int64_t i = 0; i < hora_elems(v); i++)
        op_view_set(v, i, hora_rng_normal(rng) * spread + shift);
}

const char *op_rig_text(const op_rig *r) {
    static char text[128];
    snprintf(text, sizeof text, "%s of %s %s %s, case %d, gradient of 0x%x", r->row->name,
             hora_dtype_name(r->types.rows), hora_dtype_name(r->types.weight),
             hora_dtype_name(r->types.rest), r->k, r->grad);
    return text;
}

/* Rows of the case: the first dimension of any of its row tensors. */
static int64_t case_rows(const hora_case *c) {
    if (c->batch.rows)
        return c->batch.rows;
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (c->rows & HORA_IN(i))
            return c->in[i].shape.d[0];
    return 1;
}

/* The views as the recorder would have them with `spare` more rows. */
static void shapes(const op_rig *r, int64_t spare, hora_view *in, hora_view *out,
                   hora_view *saved) {
    for (int i = 0; i < HORA_MAX_IN; i++) {
        in[i] = r->in[i];
        in[i].data = NULL;
        if (r->c.rows & HORA_IN(i))
            in[i].shape.d[0] += spare;
    }
    *out = (hora_view){.dtype = r->c.rows & HORA_OUT ? r->types.rows : in[0].dtype,
                       .shape = HORA_SHAPE1(case_rows(&r->c) + spare)};
    assert_ok(r->row->shape(in, &r->c.attr, out));
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        saved[i] = (hora_view){.dtype = in[0].dtype, .shape = {.n = -1}};
    if (r->row->saves)
        r->row->saves(in, &r->c.attr, r->grad, saved);
}

static void drop_results(op_rig *r) {
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        op_view_free(&r->saved[i]);
    for (int i = 0; i < HORA_MAX_IN; i++)
        op_view_free(&r->din[i]);
}

bool op_rig_open(op_rig *r, int op, int k, op_types types) {
    *r = (op_rig){.op = op, .row = hora_op_at(op), .k = k, .types = types};
    if (!hora_case_make(&r->c, op, k, 20251004))
        return false;
    hora_rng rng = hora_rng_new((uint64_t)k, r->row->name);
    int others = 0;
    for (int i = 0; i < HORA_MAX_IN; i++) {
        r->in[i] = r->c.in[i];
        r->in[i].dtype = types.rows;
        if (hora_absent(&r->in[i]))
            continue;
        bool weight = !(r->c.rows & HORA_IN(i));
        r->in[i].dtype = !weight ? types.rows : others++ ? types.rest : types.weight;
        op_view_new(&r->in[i]);
        op_view_fill(&r->in[i], &rng, r->c.spread[i], r->c.shift[i]);
    }
    hora_view in[HORA_MAX_IN];
    shapes(r, 0, in, &r->out, r->saved);
    op_view_new(&r->out);
    r->dout = r->out;
    op_view_new(&r->dout);
    op_view_fill(&r->dout, &rng, 1, 0);
    op_rig_grad(r, 0);
    return true;
}

void op_rig_close(op_rig *r) {
    drop_results(r);
    for (int i = 0; i < HORA_MAX_IN; i++)
        op_view_free(&r->in[i]);
    op_view_free(&r->out);
    op_view_free(&r->dout);
    hora_case_release(&r->c);
}

void op_rig_grad(op_rig *r, unsigned grad) {
    hora_view in[HORA_MAX_IN], out;
    drop_results(r);
    r->grad = grad;
    shapes(r, 0, in, &out, r->saved);
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        if (!hora_absent(&r->saved[i]))
            op_view_new(&r->saved[i]);
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (grad & HORA_IN(i)) {
            r->din[i] = r->in[i];
            op_view_new(&r->din[i]);
        }
}

/* The call as the graph fills it in for query and prepare. */
static hora_call make_call(const op_rig *r, const op_how *how, hora_phase phase) {
    hora_call c = {.op = r->row, .op_id = r->op, .phase = phase, .attr = r->c.attr};
    c.grad = r->grad;
    c.rows = r->c.rows;
    c.overwrite = phase == HORA_BACKWARD ? how->overwrite : 0;
    shapes(r, how->spare, c.in, &c.out, c.saved);
    for (int i = 0; i < HORA_MAX_IN; i++) {
        c.din[i] = c.in[i];
        if (!(r->grad & HORA_IN(i)) || phase == HORA_FORWARD)
            c.din[i].shape.n = -1;
        bool weight = !hora_absent(&c.in[i]) && !((r->grad | r->c.rows) & HORA_IN(i));
        if (how->freeze && weight && !(r->row->options & HORA_OP_EFFECT))
            c.frozen |= HORA_IN(i);
    }
    c.dout = c.out;
    return c;
}

/* Pointers and actual shapes, as the graph fills them in to run. */
static void aim_call(const op_rig *r, hora_call *c) {
    bool forward = c->phase == HORA_FORWARD;
    unsigned reads = forward ? ~0u : r->row->reads(r->grad);
    for (int i = 0; i < HORA_MAX_IN; i++) {
        c->in[i] = r->in[i];
        if (!(reads & HORA_IN(i)))
            c->in[i].data = NULL;
        if (!hora_absent(&c->din[i]))
            c->din[i] = r->din[i];
    }
    for (int i = 0; i < HORA_MAX_SAVED; i++) {
        c->saved[i] = r->saved[i];
        if (!(reads & HORA_SAVED))
            c->saved[i].data = NULL;
    }
    c->out = r->out;
    if (!(reads & HORA_OUT))
        c->out.data = NULL;
    c->dout = r->dout;
    if (forward)
        c->dout.data = NULL;
}

static uint64_t hash_inputs(const op_rig *r) {
    uint64_t h = 0;
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (!hora_absent(&r->in[i]))
            h = hora_hash64(r->in[i].data, hora_view_bytes(&r->in[i]), h);
    return h;
}

static void check_fences(const op_rig *r, const void *scratch, size_t bytes) {
    check_fence(scratch, bytes, r, "scratch");
    check_fence(r->out.data, hora_view_bytes(&r->out), r, "out");
    check_fence(r->dout.data, hora_view_bytes(&r->dout), r, "dout");
    for (int i = 0; i < HORA_MAX_IN; i++) {
        if (!hora_absent(&r->in[i]))
            check_fence(r->in[i].data, hora_view_bytes(&r->in[i]), r, "an input");
        if (r->din[i].data)
            check_fence(r->din[i].data, hora_view_bytes(&r->din[i]), r, "an input's gradient");
    }
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        if (r->saved[i].data)
            check_fence(r->saved[i].data, hora_view_bytes(&r->saved[i]), r, "saved");
}

/* Every view of a call, the scratch last. */
enum { VIEWS = 2 * HORA_MAX_IN + HORA_MAX_SAVED + 3 };
static void list_views(hora_call *c, hora_view *scratch, hora_view *v[VIEWS]) {
    int n = 0;
    for (int i = 0; i < HORA_MAX_IN; i++) {
        v[n++] = &c->in[i];
        v[n++] = &c->din[i];
    }
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        v[n++] = &c->saved[i];
    v[n++] = &c->out;
    v[n++] = &c->dout;
    v[n++] = scratch;
}

/* Runs a call whose memory is the host's on any device: buffers travel there with their fences, and
 * back. On the host nothing moves. */
static void run_there(hora_device *d, const hora_impl *impl, const hora_call *call, size_t scratch,
                      const hora_batch *batch) {
    hora_call c = *call;
    hora_view room = {c.scratch, HORA_I8, HORA_SHAPE1((int64_t)scratch)}, *v[VIEWS];
    void *host[VIEWS], *stage = NULL;
    hora_leaves leaves = hora_leaves_plain();
    for (int i = 0; i < HORA_LEAVES; i++)
        if (!leaves.columns[i])
            leaves.columns[i] = batch->leaves.columns[i];
    const size_t bytes = hora_device_kind_of(d)->stage_bytes(&leaves, batch->rows);
    list_views(&c, &room, v);
    for (int i = 0; i < VIEWS; i++) {
        host[i] = hora_absent(v[i]) ? NULL : v[i]->data;
        if (host[i])
            assert_ok(
                hora_device_mirror(d, &v[i]->data, host[i], hora_view_bytes(v[i]) + FENCE, "test"));
    }
    c.scratch = room.data;
    if (bytes)
        assert_ok(hora_device_alloc(d, &stage, bytes, "test"));
    c.batch = hora_device_kind_of(d)->stage(d, stage, &leaves, batch);
    impl->run(impl, &c);
    assert_ok(hora_device_kind_of(d)->sync(d));
    for (int i = 0; i < VIEWS; i++)
        if (host[i])
            hora_device_pull(d, host[i], hora_view_bytes(v[i]) + FENCE);
    for (int i = 0; i < VIEWS && !hora_device_is_host(d); i++)
        if (host[i])
            hora_device_drop(d, host[i]);
    if (!hora_device_is_host(d)) { /* what prepare copied of the case */
        hora_device_drop(d, c.attr.freq);
        hora_device_drop(d, c.attr.index);
    }
    hora_device_release(d, stage, bytes);
}

static bool make_and_run(op_rig *r, const op_how *how, hora_phase phase) {
    hora_call c = make_call(r, how, phase);
    hora_need need = {0, 0};
    hora_impl impl = {.run = NULL};
    if (!how->backend->query(how->device, &c, &need))
        return false;
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (c.frozen & HORA_IN(i))
            c.in[i].data = r->in[i].data;
    assert_ok(how->backend->prepare(how->device, &c, &impl));
    assert_true(impl.variant[0] != 0);
    aim_call(r, &c);
    hora_batch batch = r->c.batch;
    batch.rows = case_rows(&r->c);
    c.scratch = guarded(need.scratch);
    uint64_t before = hash_inputs(r);
    run_there(how->device, &impl, &c, need.scratch, &batch);
    if (!(r->row->options & HORA_OP_EFFECT) && hash_inputs(r) != before)
        fail_msg("%s: changed an input", op_rig_text(r));
    check_fences(r, c.scratch, need.scratch);
    free(c.scratch);
    if (how->backend->release)
        how->backend->release(&impl);
    return true;
}

bool op_rig_forward(op_rig *r, const op_how *how) {
    op_view_poison(&r->out);
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        op_view_poison(&r->saved[i]);
    return make_and_run(r, how, HORA_FORWARD);
}

bool op_rig_backward(op_rig *r, const op_how *how) {
    HORA_ASSERT(r->row->reads && r->grad);
    for (int i = 0; i < HORA_MAX_IN; i++)
        if (how->overwrite & HORA_IN(i))
            op_view_poison(&r->din[i]);
    return make_and_run(r, how, HORA_BACKWARD);
}
