/*
 * Laws of choosing the blocks that train: the chosen ones get the gradients of a whole backward, to
 * the bit, the others none, and nothing is computed below the lowest; what moved the class token
 * decides; a run goes on as if it had not been cut. [alast]
 */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "train/train_impl.h"
#include "train_world.h"
#include "vectors/golden.h"

static const char config[] =
    "{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":4,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,\"vocab_size\":29,"
    "\"initializer_range\":0.3,\"attention_bias\":true,\"tie_word_embeddings\":false}";
enum { LAYERS = 4 };
static const int lengths[] = {11, 6};

static void choose(golden_run *r, const bool *layer) {
    bool chosen[256];
    const int n = hora_graph_params(r->g);
    assert_true(n <= (int)HORA_COUNT(chosen));
    for (int i = 0; i < n; i++) {
        void *user;
        hora_graph_param_at(r->g, i, &user, NULL);
        const hora_param *p = user;
        chosen[i] = p->layer < 0 || layer[p->layer];
    }
    hora_graph_choose(r->g, chosen);
}

static void check_choice(golden_run *r, const hora_adapter *a, const float *whole,
                         const bool *layer, const char *label) {
    memset(r->grads, 0xff, r->grad_bytes);
    choose(r, layer);
    golden_again(r);
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        if (p->fixed)
            continue;
        const ptrdiff_t at = (const float *)p->grad - (const float *)r->grads;
        for (int64_t k = 0; k < p->elems; k++) {
            const float got = ((const float *)p->grad)[k];
            if (p->layer < 0 || layer[p->layer] ? got != whole[at + k] : !isnan(got))
                fail_msg("%s, %s [%lld]: %g, whole %g", label, p->name, (long long)k, (double)got,
                         (double)whole[at + k]);
        }
    }
}

static void chosen_gradients_are_whole(void **state) {
    static const char *const rows[][2] = {{"alast", ""},
                                          {"lora", "rank=2,targets=all-linear"},
                                          {"lora", "rank=2,targets=q+v+down,dropout=0.25"},
                                          {"dora", "rank=2,targets=q+v"},
                                          {"hora", "rank=2,targets=q+k+v+o,act=tanh"},
                                          {"serial", "bottleneck=3"},
                                          {"ia3", "targets=k+v+down"}};
    static const bool layers[][LAYERS] = {
        {0, 0, 0, 1}, {0, 1, 0, 1}, {0, 0, 1, 0}, {1, 0, 0, 0}, {1, 1, 1, 1}};
    static const int recompute[] = {0, 2, HORA_RECOMPUTE_ALL};
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(rows) * HORA_COUNT(recompute); m++) {
        const char *const *row = rows[m / HORA_COUNT(recompute)];
        hora_base *b = golden_fresh(config, HORA_F32, false);
        hora_adapter *a = golden_attach(b, row[0], row[1]);
        assert_ok(hora_adapter_allocate(a));
        hora_rng rng = hora_rng_new(1, "choose");
        golden_run r;
        golden_synthetic(&r, &rng, b->vocab, lengths, 2, 3);
        golden_record(&r, b, &a, 1,
                      &(golden_options){.backends = m % 2 ? "ref" : NULL,
                                        .backward = true,
                                        .poison = true,
                                        .recompute = recompute[m % HORA_COUNT(recompute)]});
        float *whole = hora_malloc(r.grad_bytes);
        memcpy(whole, r.grads, r.grad_bytes);
        if (!hora_device_is_host(r.device)) /* choices are made on the host alone */
            goto next;
        for (size_t i = 0; i < HORA_COUNT(layers); i++)
            check_choice(&r, a, whole, layers[i], row[1]);
    next:
        hora_free(whole);
        golden_close(&r);
        hora_peft_detach(a);
        hora_base_close(b);
    }
}

/* What must be computed falls with the choice: one block of four costs less than all, and the last
 * one less than the first. */
static void work_falls(void **state) {
    static const bool first[LAYERS] = {1, 0, 0, 0}, last[LAYERS] = {0, 0, 0, 1};
    (void)state;
    hora_base *b = golden_fresh(config, HORA_F32, false);
    hora_adapter *a = golden_attach(b, "alast", "");
    assert_ok(hora_adapter_allocate(a));
    hora_rng rng = hora_rng_new(1, "choose");
    golden_run r;
    golden_synthetic(&r, &rng, b->vocab, lengths, 2, 3);
    golden_record(&r, b, &a, 1, &(golden_options){.backends = "cpu ref", .backward = true});
    const hora_plan_info *info = hora_graph_info(r.g);
    const double planned = info->flops[HORA_WORK_TOKEN];
    hora_graph_choose(r.g, NULL);
    const double all = info->flops[HORA_WORK_TOKEN];
    assert_true(fabs(all - planned) < 1e-9 * all);
    choose(&r, first);
    const double low = info->flops[HORA_WORK_TOKEN];
    choose(&r, last);
    const double high = info->flops[HORA_WORK_TOKEN];
    assert_true(high < low && low < all);
    golden_close(&r);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* --- the method ------------------------------------------------------------------------------- */
enum { STEPS = 6, TOKENS = 24 };

static void text_of(hora_batch *b, int step) {
    hora_rng r = hora_rng_new((uint64_t)step, "tokens");
    for (int i = 0; i < TOKENS; i++) {
        b->ids[i] = (int32_t)hora_rng_below(&r, 29);
        b->pos[i] = i % 12;
        b->lo[i] = i / 12 * 12;
        b->hi[i] = i + 1;
        b->target[i] = (int32_t)hora_rng_below(&r, 29);
        b->weight[i] = 1;
    }
    b->rows = b->tokens = b->supervised = TOKENS;
}

/* Residual stream behind every block (block -1: before them) of the rows 11 and 23, by an
 * evaluation that only watches. */
typedef struct watch {
    hora_t at[LAYERS + 1];
} watch;
static hora_t look(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    watch *w = a->state;
    if (where == HORA_BLOCK_IN || where == HORA_BLOCK_OUT) {
        w->at[layer + (where == HORA_BLOCK_OUT)] = s->res;
        hora_graph_output(n->g, s->res);
    }
    return s->y;
}

static void deltas(hora_base *b, hora_adapter *trained, const hora_batch *batch, double *d) {
    static const hora_hooks hooks = {.block = look};
    watch w;
    hora_adapter spy = {.hooks = &hooks, .state = &w, .enabled = true};
    hora_adapter *both[] = {trained, &spy};
    hora_device *dev;
    hora_recording r;
    float x[LAYERS + 1][64 * 16];
    assert_ok(hora_device_open(&dev, "host"));
    const hora_recording_parts p = {.base = b,
                                    .adapters = both,
                                    .nadapters = 2,
                                    .device = dev,
                                    .rows = 64,
                                    .mode = HORA_NET_EVAL,
                                    .model = hora_model_record};
    assert_ok(hora_recording_open(&r, &p, &(hora_plan_options){0}, "watch"));
    hora_recording_run(&r, batch);
    for (int l = 0; l <= LAYERS; l++)
        hora_graph_get(r.g, w.at[l], x[l]);
    for (int l = 0; l < LAYERS; l++) {
        d[l] = 0;
        for (int s = 11; s < TOKENS; s += 12)
            for (int k = 0; k < 16; k++)
                d[l] += pow((double)x[l + 1][s * 16 + k] - (double)x[l][s * 16 + k], 2) / 16;
    }
    hora_recording_release(&r);
    hora_device_free(dev);
}

/* The rule by hand: which blocks move in a step, and the budgets behind it. */
static void budgets_follow_the_class_token(void **state) {
    (void)state;
    hora_base *b = golden_fresh(config, HORA_F32, false);
    hora_adapter *a = golden_attach(b, "alast", "train_layers=2,momentum=0.25,lowest=1");
    hora_settings s = {0};
    hora_train_config c;
    hora_training *t;
    hora_step_info info;
    hora_batch batch;
    assert_ok(hora_settings_parse(&s,
                                  "steps=20,lr=1e-2,schedule=constant,warmup=0,dtype=f32,"
                                  "weight_decay=0,device=host",
                                  "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    hora_training_parts p = {.base = b, .adapters = &a, .nadapters = 1, .seq_len = TOKENS};
    assert_ok(hora_training_open(&t, &p, &c));
    assert_ok(hora_training_prepare(t));
    assert_ok(hora_batch_init(&batch, 64, NULL));
    double want[LAYERS] = {1, 1, 1, 1}, d[LAYERS];
    int sat_out[LAYERS] = {0};
    float *was = hora_malloc(a->value_bytes);
    for (int step = 0; step < STEPS; step++) {
        bool trains[LAYERS] = {false}, moved[LAYERS] = {false};
        for (int n = 0; n < 2; n++) { /* the two highest of 1, 2 and 3; of equals the higher */
            int best = -1;
            for (int l = 1; l < LAYERS; l++)
                if (!trains[l] && (best < 0 || want[l] >= want[best]))
                    best = l;
            trains[best] = true;
        }
        text_of(&batch, step);
        deltas(b, a, &batch, d);
        memcpy(was, a->values, a->value_bytes);
        const uint64_t count = hora_alloc_count();
        assert_ok(hora_training_step_on(t, &batch, 1, &info));
        assert_true(hora_alloc_count() == count);
        const double most = fmax(d[1], fmax(d[2], d[3]));
        for (int l = 0; l < LAYERS; l++) {
            want[l] = 0.25 * want[l] + 0.75 * d[l] / most;
            sat_out[l] += !trains[l];
            const float got = ((const float *)hora_adapter_find(a, "alast.budget")->value)[l];
            if (!(fabs((double)got - want[l]) < 1e-4 * (1 + want[l])))
                fail_msg("step %d, block %d: budget %g, by hand %g", step, l, (double)got, want[l]);
            assert_true(((const float *)hora_adapter_find(a, "alast.skipped")->value)[l] ==
                        (float)sat_out[l]);
        }
        for (int i = 0; i < a->nparams; i++) {
            const hora_param *q = a->params[i];
            const size_t at = (size_t)((const char *)q->value - (const char *)a->values);
            if (q->layer >= 0)
                moved[q->layer] |=
                    memcmp(q->value, (const char *)was + at, (size_t)q->elems * sizeof(float)) != 0;
        }
        assert_memory_equal(moved, trains, sizeof moved);
    }
    assert_true(sat_out[0] == STEPS); /* below `lowest` */
    hora_free(was);
    hora_batch_release(&batch);
    hora_training_free(t);
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* A run of ten steps in the world, with methods of its own. */
static hora_status train(const char *out, const char *methods, const char *more,
                         const hora_run_hooks *hooks) {
    hora_settings s = {0};
    hora_run_result result;
    hora_settings_put(&s, "model", world_path("model"), "test");
    hora_settings_put(&s, "data", world_path("text.txt"), "test");
    hora_settings_put(&s, "out", world_path(out), "test");
    assert_ok(hora_settings_parse(
        &s,
        "steps=10,batch_size=2,dtype=f32,grad_accum=2,seq_len=16,lr=1e-3,save_every=5,save_limit=0",
        "test"));
    assert_ok(hora_settings_parse(&s, methods, "test"));
    assert_ok(hora_settings_parse(&s, more, "test"));
    const hora_status status = hora_run_train(&s, hooks, &result);
    hora_settings_release(&s);
    return status;
}

static void stop_at_4(void *user, const hora_run_event *e) {
    if (e->kind == HORA_RUN_STEP && e->step->step == 4)
        *(volatile int *)user = 1;
}

/* Cut and gone on is whole, with other threads; alone and beside another method. */
static void goes_on(void **state) {
    static const char *const runs[] = {
        "method=alast,train_layers=1,momentum=0.5",
        "methods.0.method=lora,methods.0.rank=2,methods.1.method=alast,methods.1.weights=none,"
        "methods.1.train_layers=2",
        "method=losa,rank=3,dropout=0.1",
        "method=dyt,bottleneck=3,second_pass=loss+kl,recompute=all",
        "method=adavit,per=token",
        "method=isomorphic,width=3",
        "methods.0.method=lora,methods.0.rank=2,methods.1.method=alternate,methods.1.weights=none,"
        "methods.1.window=4"};
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    for (size_t i = 0; i < HORA_COUNT(runs); i++) {
        volatile int stop = 0;
        hora_run_hooks hooks = {stop_at_4, (void *)&stop, &stop, NULL};
        char *cut = hora_format("cut%zu", i), *whole = hora_format("whole%zu", i);
        char *a = hora_format("%s/checkpoint-10/state.safetensors", cut);
        char *b = hora_format("%s/checkpoint-10/state.safetensors", whole);
        assert_fails(train(cut, runs[i], "threads=1", &hooks), HORA_EINTERRUPTED, "--resume --out");
        assert_ok(world_resume(cut, "threads=3", NULL, NULL));
        assert_ok(train(whole, runs[i], "", NULL));
        world_same_file(world_path(a), world_path(b));
        hora_free(cut);
        hora_free(whole);
        hora_free(a);
        hora_free(b);
    }
    hora_log_sink(NULL, NULL);
}

/* One alone may choose, and somebody must train. */
static void refused(void **state) {
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_fails(train("a", "method=alast,weights=none", "", NULL), HORA_EUSAGE, "nothing trains");
    assert_fails(train("b",
                       "methods.0.method=alast,methods.1.method=alast,methods.1.weights=none,"
                       "methods.1.adapter_name=other",
                       "", NULL),
                 HORA_EUSAGE, "leave it to one");
    assert_fails(train("c", "method=alast,lowest=2,train_layers=2", "", NULL), HORA_EUSAGE,
                 "1 may train");
    hora_log_sink(NULL, NULL);
}

HORA_TESTS(law_choose, {"chosen gradients are whole", chosen_gradients_are_whole, HORA_SHORT},
           {"work falls", work_falls, HORA_SHORT},
           {"budgets follow the class token", budgets_follow_the_class_token, HORA_SHORT},
           {"cut and gone on is whole", goes_on, HORA_SHORT}, {"refused", refused, HORA_SHORT});
