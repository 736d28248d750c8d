/* The graph's own promises that no training shows: whose kernels run, what a failed prepare leaves,
 * and which saved tensors shrink with a batch. */
#include "graph/graph_impl.h"
#include "graph/verbs.h"
#include "hora_test.h"

typedef struct rig {
    hora_device *device;
    hora_graph *g;
} rig;

static rig rig_new(const char *backends, hora_dtype dtype) {
    rig r = {.device = hora_device_new()};
    r.g = hora_graph_new(
        &(hora_graph_config){.dtype = dtype, .rows = 4, .device = r.device, .backends = backends});
    return r;
}

static void rig_free(rig *r) {
    hora_graph_free(r->g);
    hora_device_free(r->device);
}

static void assert_order(const char *list, hora_dtype dtype, const char *first,
                         const char *second) {
    rig r = rig_new(list, dtype);
    assert_ok(hora_graph_error(r.g, HORA_OK));
    assert_int_equal(r.g->backend_count, second ? 2 : 1);
    assert_string_equal(r.g->backends[0]->name, first);
    if (second)
        assert_string_equal(r.g->backends[1]->name, second);
    rig_free(&r);
}

static void backends_are_words(void **state) {
    (void)state;
    assert_order("ref cpu", HORA_F32, "ref", "cpu");
    assert_order("cpu ref", HORA_F32, "cpu", "ref");
    assert_order(" ref,  cpu ref ", HORA_F32, "ref", "cpu");
    assert_order("cpu", HORA_F32, "cpu", NULL);
    assert_order(NULL, HORA_F32, "cpu", "ref");
    assert_order(NULL, HORA_F64, "ref", NULL);
    assert_order("cpu ref", HORA_F64, "ref", NULL);
    static const char *const bad[] = {"prefer", "ref nosuch", "cpu;ref", "re", "", " "};
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        rig r = rig_new(bad[i], HORA_F32);
        assert_int_equal(hora_graph_error(r.g, HORA_OK), HORA_EUSAGE);
        rig_free(&r);
    }
    rig r = rig_new("cpu", HORA_F64);
    assert_int_equal(hora_graph_error(r.g, HORA_OK), HORA_EUSAGE);
    rig_free(&r);
}

/* ref, but its prepare fails from the `fails_at`-th call on; each test is a process of its own. */
static struct {
    const hora_backend *ref;
    int fails_at, made, released;
} faulty;

static bool faulty_query(hora_device *d, const hora_call *c, hora_need *need) {
    return faulty.ref->query(d, c, need);
}

static hora_status faulty_prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    if (faulty.made == faulty.fails_at)
        return hora_fail(HORA_ENOMEM, "no memory for a kernel");
    faulty.made++;
    return faulty.ref->prepare(d, c, impl);
}

static void faulty_release(hora_impl *impl) {
    faulty.released++;
    faulty.ref->release(impl);
}

static void failed_prepare_leaves_nothing(void **state) {
    (void)state;
    static const hora_backend broken = {"broken", "host", faulty_query, faulty_prepare,
                                        faulty_release};
    float x[12] = {0};
    unsigned char *arena;
    faulty.ref = hora_backend_named("ref");
    for (faulty.fails_at = 0; faulty.fails_at <= 3; faulty.fails_at++) {
        faulty.made = faulty.released = 0;
        rig r = rig_new("ref", HORA_F32);
        r.g->backends[0] = &broken;
        hora_t t = hora_graph_frozen(r.g, "x", (hora_view){x, HORA_F32, HORA_SHAPE2(4, 3)});
        for (int i = 0; i < 3; i++)
            t = hora_activate(r.g, t, HORA_ACT_TANH);
        hora_graph_output(r.g, t);
        assert_ok(hora_graph_plan(r.g, &(hora_plan_options){.backward = false}));
        arena = hora_malloc(hora_graph_info(r.g)->arena + 64);
        hora_status s = hora_graph_prepare(r.g, arena);
        assert_int_equal(s, faulty.fails_at < 3 ? HORA_ENOMEM : HORA_OK);
        rig_free(&r);
        hora_free(arena);
        assert_int_equal(faulty.made, faulty.fails_at);
        assert_int_equal(faulty.released, faulty.made);
    }
}

/* A saved tensor follows the rows of in[0] exactly where its op says so. */
static void saved_rows_are_declared(void **state) {
    (void)state;
    int seen = 0;
    for (int op = 0; op < HORA_OPS; op++)
        for (int k = 0; hora_op_at(op)->saves; k++) {
            hora_case c;
            hora_view saved[2][HORA_MAX_SAVED];
            if (!hora_case_make(&c, op, k, 1))
                break;
            for (int pass = 0; pass < 2; pass++) {
                for (int i = 0; i < HORA_MAX_SAVED; i++)
                    saved[pass][i] = (hora_view){NULL, HORA_F32, {-1, {0}}};
                hora_op_at(op)->saves(c.in, &c.attr, c.grad, saved[pass]);
                for (int i = 0; i < HORA_MAX_IN; i++)
                    if (c.rows & HORA_IN(i))
                        c.in[i].shape.d[0] += 1000;
            }
            const bool follows = hora_op_at(op)->options & HORA_OP_SAVED_ROWS;
            for (int i = 0; i < HORA_MAX_SAVED; i++)
                if (c.rows & HORA_IN(0) && !hora_absent(&saved[0][i])) {
                    assert_int_equal(saved[1][i].shape.d[0] - saved[0][i].shape.d[0],
                                     follows ? 1000 : 0);
                    seen++;
                }
            hora_case_release(&c);
        }
    assert_true(seen > 0);
}

HORA_TESTS(unit_graph,
           {"backends are whole words, in the order given", backends_are_words, HORA_SHORT},
           {"a failed prepare leaves nothing", failed_prepare_leaves_nothing, HORA_SHORT},
           {"saved rows are declared", saved_rows_are_declared, HORA_SHORT});
