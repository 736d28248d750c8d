/*
 * Laws of task routing, in f64 and for every row of methods.def that can be routed: a packed batch
 * of mixed tasks gives what a batch of its own gives each of them with that adapter alone, the base
 * in rows of no task, and the gradients that the adapter alone has on its own records.
 */
#include <math.h>

#include "base/text.h"
#include "vectors/golden.h"

static const char config[] =
    "{\"model_type\":\"llama\",\"hidden_size\":12,\"intermediate_size\":20,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,\"vocab_size\":29,"
    "\"initializer_range\":0.3,\"attention_bias\":true,\"mlp_bias\":true,"
    "\"tie_word_embeddings\":false,\"max_position_embeddings\":64}";
enum { SEGMENTS = 5, ROWS = 7 + 4 + 9 + 6 + 5, PADDING = 2, VOCAB = 29 };
static const int lengths[SEGMENTS] = {7, 4, 9, 6, 5};
static const int route_of[SEGMENTS] = {0, 1, 1, 0, -1};

/* NULL: the model has nothing that the method could train. */
static hora_adapter *attach(const hora_base *b, const char *method, const char *options,
                            const char *name) {
    hora_settings s = {0};
    hora_adapter *a = NULL;
    char *all = hora_format("adapter_name=%s,adapter_task=%s%s%s", name, name, *options ? "," : "",
                            options);
    assert_ok(hora_settings_parse(&s, all, "test"));
    const hora_status st = hora_peft_attach(&a, b, method, &s, 11);
    hora_settings_release(&s);
    hora_free(all);
    if (st == HORA_EUNSUPPORTED)
        return NULL;
    assert_ok(st);
    assert_ok(hora_adapter_allocate(a));
    hora_rng r = hora_rng_new(3, name); /* no factor may be zero */
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++)
            ((double *)a->params[i]->value)[k] += 0.3 * hora_rng_normal(&r);
    return a;
}

/* All segments, or (mine >= -1) those of that route alone; a loss in those of `counts` (>= -1), or
 * in all. */
static void run(golden_run *r, hora_base *b, hora_adapter *const *at, int n, int mine, int counts,
                int32_t *route, hora_net_mode mode) {
    golden_run whole;
    hora_rng rng = hora_rng_new(1, "batch"), same = hora_rng_new(1, "batch");
    int some[SEGMENTS], count = 0;
    golden_synthetic(&whole, &rng, VOCAB, lengths, SEGMENTS, PADDING);
    for (int s = 0; s < SEGMENTS; s++)
        if (mine < -1 || route_of[s] == mine)
            some[count++] = lengths[s];
    golden_synthetic(r, &same, VOCAB, some, count, PADDING);
    r->rows.scale = whole.rows.scale;
    r->rows.route = route;
    for (int s = 0, from = 0, at_row = 0; s < SEGMENTS; from += lengths[s++]) {
        if (mine >= -1 && route_of[s] != mine)
            continue;
        for (int i = 0; i < lengths[s]; i++, at_row++) {
            const bool loss = counts < -1 || route_of[s] == counts;
            route[at_row] = route_of[s];
            r->ints[0][at_row] = whole.ints[0][from + i];
            r->ints[4][at_row] = loss ? whole.ints[4][from + i] : -1;
            r->weight[at_row] = loss ? whole.weight[from + i] : 0;
        }
    }
    for (int k = 0; k < 5; k++)
        hora_free(whole.ints[k]);
    hora_free(whole.weight);
    golden_record(
        r, b, at, n,
        &(golden_options){.backward = n && !mode, .poison = true, .recompute = 1, .mode = mode});
}

/* Logits of the tokens of a route (or of all, -2), without those of prompts: (n, VOCAB), owned. */
static double *logits(const golden_run *r, int route, int64_t *n) {
    const double *z = hora_graph_view(r->g, r->logits)->data;
    double *out = hora_malloc((size_t)(r->rows.rows * VOCAB) * sizeof *out);
    *n = 0;
    for (int64_t i = 0; i < r->rows.rows; i++)
        if (r->rows.hi[i] > r->rows.lo[i] && r->rows.ids[i] >= 0 &&
            (route < -1 || r->rows.route[i] == route))
            memcpy(out + (*n)++ * VOCAB, z + i * VOCAB, VOCAB * sizeof *z);
    return out;
}

/* How far the rows of a route (or all, -2) of two runs are apart, in units of 1 + |alone|. */
static double distance(const golden_run *mixed, const golden_run *alone, int route) {
    int64_t n, m;
    double *got = logits(mixed, route, &n), *want = logits(alone, route, &m), off = 0;
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n * VOCAB; i++)
        off = fmax(off, fabs(got[i] - want[i]) / (1 + fabs(want[i])));
    hora_free(got);
    hora_free(want);
    return off;
}

/* Rows of each route in the mixed batch against a batch of their own, with that adapter or none. */
static void check_forward(hora_base *b, hora_adapter *const *pair, const char *label) {
    int32_t route[ROWS + PADDING] = {0}, own[ROWS + PADDING] = {0};
    golden_run mixed, alone;
    run(&mixed, b, pair, 2, -2, -2, route, HORA_NET_EVAL);
    for (int k = -1; k < 2; k++) {
        const int was[2] = {pair[0]->route, pair[1]->route};
        if (k >= 0)
            pair[k]->route = -1;
        run(&alone, b, k < 0 ? NULL : &pair[k], k >= 0, k, -2, own, HORA_NET_EVAL);
        const double off = distance(&mixed, &alone, k);
        if (!(off <= 1e-11))
            fail_msg("%s: rows of task %d are off by %g", label, k, off);
        golden_close(&alone);
        for (int i = 0; i < 2; i++)
            pair[i]->route = was[i];
    }
    run(&alone, b, NULL, 0, -2, -2, own, HORA_NET_EVAL);
    if (!(distance(&mixed, &alone, -2) > 1e-3)) /* the adapters do something */
        fail_msg("%s: all rows are the base's", label);
    golden_close(&alone);
    golden_close(&mixed);
}

/* The gradients of the mixed batch against those of each adapter alone, on in all rows, where only
 * its own records have a loss; dropout included. */
static void check_gradients(hora_base *b, hora_adapter *const *pair, const char *label) {
    int32_t route[ROWS + PADDING] = {0};
    golden_run mixed, alone;
    run(&mixed, b, pair, 2, -2, -2, route, HORA_NET_TRAIN);
    double *grads = hora_malloc(mixed.grad_bytes);
    memcpy(grads, mixed.grads, mixed.grad_bytes);
    const double *at[2] = {grads, grads};
    for (int i = 0; i < pair[0]->nparams; i++)
        at[1] += hora_round_up(pair[0]->params[i]->elems, 16);
    golden_close(&mixed);
    for (int k = 0; k < 2; k++) {
        hora_adapter *a = pair[k];
        const int was = a->route;
        a->route = -1;
        run(&alone, b, &a, 1, -2, k, route, HORA_NET_TRAIN);
        for (int i = 0; i < a->nparams; i++) {
            const hora_param *p = a->params[i];
            const double *want = p->grad;
            double most = 0, off = 0;
            for (int64_t j = 0; j < p->elems && !p->fixed; j++) {
                most = fmax(most, fabs(want[j]));
                off = fmax(off, fabs(at[k][j] - want[j]));
            }
            if (!(off <= 1e-10 * most + 1e-13))
                fail_msg("%s: gradient of %s of task %d is off by %g of %g", label, p->name, k, off,
                         most);
            at[k] += hora_round_up(p->elems, 16);
        }
        golden_close(&alone);
        a->route = was;
    }
    hora_free(grads);
}

static void check_pair(hora_base *b, const method_case *first, const method_case *second) {
    char *label = hora_format("%s %s with %s %s", first->method, first->options, second->method,
                              second->options);
    hora_adapter *pair[] = {attach(b, first->method, first->options, "a"),
                            attach(b, second->method, second->options, "b")};
    if (pair[0] && pair[1]) {
        assert_ok(hora_adapters_route(pair, 2));
        check_forward(b, pair, label);
        check_gradients(b, pair, label);
    }
    hora_peft_detach(pair[0]);
    hora_peft_detach(pair[1]);
    hora_free(label);
}

static bool routable(hora_base *b, const method_case *row) {
    hora_adapter *a = attach(b, row->method, row->options, "a");
    const hora_status s = a ? hora_adapters_route(&a, 1) : HORA_EUNSUPPORTED;
    if (a && s)
        assert_non_null(strstr(hora_errmsg(), "adapter `a` is for task `a`"));
    if (a && a->method->unrouted)
        assert_fails(s, HORA_EUNSUPPORTED, a->method->name);
    hora_peft_detach(a);
    return !s && !strstr(row->options, "lm_head"); /* one adapter alone has low rank there */
}

/* Each with itself, and beside a low-rank one and one that scales: the two ways of routing. */
static void test_methods(void **state) {
    static const method_case others[] = {{"lora", "rank=2,targets=all-linear", ""},
                                         {"ia3", "targets=k+v+down,feedforward=down", ""}};
    hora_base *b = golden_fresh(config, HORA_F64, false);
    int routed = 0, refused = 0;
    (void)state;
    for (int m = 0; m < method_case_count(); m++) {
        const method_case *row = method_case_at(m);
        if (!hora_test_asked(row->method) || !method_case_of_text(row))
            continue;
        if (!routable(b, row)) {
            refused++;
            continue;
        }
        routed++;
        check_pair(b, row, row);
        for (size_t i = 0; i < HORA_COUNT(others); i++) {
            check_pair(b, row, &others[i]);
            check_pair(b, &others[i], row);
        }
    }
    assert_true(routed > 30 && refused > 10);
    hora_base_close(b);
}

/* The output layer: one task may have it. */
static void test_head(void **state) {
    static const method_case rows[] = {{"lora", "rank=2,targets=q+lm_head", ""},
                                       {"lora", "rank=2,targets=v", ""},
                                       {"lora", "rank=2,targets=q+lm_head,lora_bias=true", ""}};
    hora_base *b = golden_fresh(config, HORA_F64, false);
    (void)state;
    check_pair(b, &rows[0], &rows[1]);
    hora_adapter *a = attach(b, rows[2].method, rows[2].options, "a");
    assert_ok(hora_adapters_route(&a, 1));
    hora_graph_config c = {.dtype = HORA_F64, .rows = 8};
    assert_ok(hora_device_open(&c.device, "host"));
    hora_recording r;
    hora_outputs out = {.want_loss = true};
    const hora_recording_parts parts = {.base = b,
                                        .adapters = &a,
                                        .nadapters = 1,
                                        .device = c.device,
                                        .rows = 8,
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = hora_task_record,
                                        .user = &out};
    hora_recording_init(&r, &parts);
    assert_fails(hora_graph_plan(r.g, &(hora_plan_options){0}), HORA_EUNSUPPORTED,
                 "adapter `a` changes the output layer itself");
    hora_recording_release(&r);
    hora_device_free(c.device);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* One for all records beside those of tasks, and weights: a share of the way, in their rows. */
static void test_shared(void **state) {
    static const char *const methods[][2] = {{"lora", "rank=2,targets=all-linear"},
                                             {"ia3", "targets=k+v+down,feedforward=down"},
                                             {"adaptformer", "bottleneck=3"}};
    hora_base *b = golden_fresh(config, HORA_F64, false);
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(methods); m++)
        for (int place = 0; place < 3; place++) {
            int32_t route[ROWS + PADDING] = {0};
            hora_adapter *at[3];
            golden_run mixed, alone;
            for (int i = 0; i < 3; i++)
                at[i] = attach(b, methods[(m + (size_t)i) % 3][0], methods[(m + (size_t)i) % 3][1],
                               (const char *const[]){"a", "b", "c"}[i]);
            hora_free(at[place]->task); /* this one is for all */
            at[place]->task = NULL;
            assert_ok(hora_peft_weigh(at[(place + 1) % 3], 0.5));
            assert_ok(hora_adapters_route(at, 3));
            run(&mixed, b, at, 3, -2, -2, route, HORA_NET_EVAL);
            for (int k = -1; k < 2; k++) {
                hora_adapter *on[3];
                int n = 0, was[3];
                for (int i = 0; i < 3; i++) {
                    was[i] = at[i]->route;
                    if (at[i]->route < 0 || at[i]->route == k)
                        on[n++] = at[i];
                }
                for (int i = 0; i < n; i++)
                    on[i]->route = -1;
                run(&alone, b, on, n, -2, -2, route, HORA_NET_EVAL);
                assert_true(distance(&mixed, &alone, k) <= 1e-11);
                golden_close(&alone);
                for (int i = 0; i < 3; i++)
                    at[i]->route = was[i];
            }
            golden_close(&mixed);
            for (int i = 0; i < 3; i++)
                hora_peft_detach(at[i]);
        }
    hora_base_close(b);
}

HORA_TESTS(law_route, {"mixed = each alone, every method", test_methods, HORA_SHORT},
           {"the output layer", test_head, HORA_SHORT},
           {"beside one for all, and weights", test_shared, HORA_SHORT});
