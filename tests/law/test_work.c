/* What a step must compute, against formulas written out by hand; and the profile of a step. */
#include <stdio.h>

#include "train/train.h"
#include "vectors/golden.h"

enum { D = 16, F = 40, L = 3, H = 4, G = 2, DH = 4, V = 50, R = 3, N = 2, T = 12 };

static const char *config(const char *more) {
    static char text[512];
    snprintf(text, sizeof text,
             "{\"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
             "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"vocab_size\": %d, %s}",
             D, F, L, H, G, V, more);
    return text;
}

typedef struct rig {
    hora_base *base;
    hora_adapter *adapter;
    hora_training *t;
    hora_batch batch;
} rig;

static void rig_open(rig *r, const char *more, const char *method, const char *options,
                     char *recompute) {
    hora_settings s = {0};
    hora_train_config c;
    *r = (rig){.base = golden_fresh(config(more), HORA_F32, false)};
    r->adapter = golden_attach(r->base, method, options);
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    hora_options_release(&hora_train_options, &c);
    c.steps = 10;
    c.batch_size = N;
    c.recompute = recompute;
    const hora_training_parts p = {
        .base = r->base, .adapters = &r->adapter, .nadapters = 1, .seq_len = T};
    assert_ok(hora_training_open(&r->t, &p, &c));
}

static void rig_close(rig *r) {
    hora_training_free(r->t);
    hora_peft_detach(r->adapter);
    hora_base_close(r->base);
    hora_batch_release(&r->batch);
}

static double planned(const char *more, const char *method, const char *options, char *recompute) {
    rig r;
    rig_open(&r, more, method, options, recompute);
    double flops = hora_training_report(r.t)->flops_step;
    rig_close(&r);
    return flops;
}

static void assert_flops(double got, double want) {
    if (got < want - 0.5 || got > want + 0.5)
        fail_msg("%.1f FLOPs are counted, should be %.1f", got, want);
}

/* Two per weight and token forward; as many for the gradient of the input where there is one. */
#define LLAMA "\"model_type\": \"llama\""
static const double q = D * D, kv = D * G * DH, o = D * D, mlp = 3 * D * F, head = D * V;
static const double tokens = N * T, pairs = N * T * (T + 1) / 2.0;

static double frozen_forward(void) {
    return 2 * tokens * (L * (q + 2 * kv + o + mlp) + head) + L * pairs * 4 * H * DH;
}

static void lora_on_q_and_v(void **state) {
    (void)state;
    /* no gradient reaches the inputs of q, k and v in layer 0, nor its keys */
    double back = 2 * tokens * ((L - 1) * (q + 2 * kv) + L * (o + mlp) + head) +
                  pairs * 2 * H * DH * (5 * (L - 1) + 4);
    double a = R * D, bq = R * D, bv = R * G * DH;
    double adapters = 2 * tokens * L * (2 * a + bq + bv)   /* forward */
                      + 2 * tokens * L * (2 * a + bq + bv) /* weights */
                      + 2 * tokens * L * (bq + bv)         /* what lies between A and B */
                      + 2 * tokens * (L - 1) * 2 * a;      /* inputs */
    double want = frozen_forward() + back + adapters;
    assert_flops(planned(LLAMA, "lora", "rank=3,targets=q+v", NULL), want);
    assert_flops(planned(LLAMA, "lora", "rank=3,targets=q+v", "all"), want);
}

static void lora_on_the_last_layer(void **state) {
    (void)state;
    double a = R * F, b = R * D;
    double back = 2 * tokens * head; /* below down of the last layer nothing trains */
    double adapters = 2 * tokens * ((a + b) + (a + b) + b);
    assert_flops(planned(LLAMA, "lora", "rank=3,targets=down,layers=2", NULL),
                 frozen_forward() + back + adapters);
}

static void everything_trains(void **state) {
    (void)state;
    double weights = 2 * tokens * (L * (q + 2 * kv + o + mlp) + head);
    assert_flops(planned(LLAMA, "full", "", NULL),
                 frozen_forward() + 2 * weights + L * pairs * 10 * H * DH);
}

static void a_window_sees_less(void **state) {
    (void)state;
    enum { W = 5 };
    double seen = N * (W * (W + 1) / 2.0 + W * (T - W));
    double all = planned("\"model_type\": \"mistral\", \"sliding_window\": null", "full", "", NULL);
    double some = planned("\"model_type\": \"mistral\", \"sliding_window\": 5", "full", "", NULL);
    assert_flops(all - some, (pairs - seen) * L * 14 * H * DH);
}

/* An encoder's tokens see all of their sample. */
static void an_encoder_sees_all(void **state) {
    (void)state;
    const hora_full_work causal = {.sequences = N, .tokens = T, .targets = 1};
    const hora_full_work whole = {.sequences = N, .tokens = T, .targets = 1, .whole = true};
    rig r;
    double some[HORA_WORKS] = {0}, all[HORA_WORKS] = {0};
    rig_open(&r, LLAMA, "full", "", NULL);
    hora_graph_add_full_work(hora_training_graph(r.t), &causal, some);
    hora_graph_add_full_work(hora_training_graph(r.t), &whole, all);
    assert_flops(some[HORA_WORK_PAIR], pairs);
    assert_flops(all[HORA_WORK_PAIR], N * T * T);
    assert_flops(all[HORA_WORK_TARGET], N);
    assert_flops(all[HORA_WORK_TOKEN], tokens);
    rig_close(&r);
}

/* --- work of a batch, and the profile --------------------------------------------------------- */
/* Causal rows of T tokens; every second token of them has a target. */
static void fill(rig *r) {
    hora_batch *b = &r->batch;
    assert_ok(hora_batch_init(b, hora_training_report(r->t)->rows, NULL));
    b->rows = b->capacity;
    for (int64_t i = 0; i < b->rows; i++) {
        const bool real = i < N * T;
        b->ids[i] = real ? (int32_t)(i * 7 % V) : 0;
        b->pos[i] = real ? (int32_t)(i % T) : 0;
        b->lo[i] = real ? (int32_t)(i - i % T) : 0;
        b->hi[i] = real ? (int32_t)(i + 1) : 0;
        b->target[i] = real && i % 2 ? (int32_t)(i % V) : -1;
        b->weight[i] = b->target[i] >= 0;
    }
    b->tokens = N * T;
    b->supervised = N * T / 2;
}

static void the_profile_adds_up(void **state) {
    (void)state;
    static char *const recompute[] = {NULL, "all"};
    for (size_t k = 0; k < 2; k++) {
        rig r;
        hora_op_time ops[64], before[64];
        hora_step_info info;
        rig_open(&r, "\"model_type\": \"mistral\", \"sliding_window\": 5", "lora",
                 "rank=3,targets=q+v", recompute[k]);
        assert_ok(hora_training_prepare(r.t));
        hora_graph *g = hora_training_graph(r.t);
        fill(&r);
        assert_int_equal(hora_graph_profile_get(g, ops, 64), 0);
        hora_graph_profile(g, true);
        assert_ok(hora_training_step_on(r.t, &r.batch, 1, &info));
        int n = hora_graph_profile_get(g, ops, 64);
        double sum = 0, seconds = 0, again = 0;
        for (int i = 0; i < n; i++) {
            assert_true(ops[i].calls > 0 && ops[i].bytes > 0 && ops[i].seconds >= 0);
            *(ops[i].recomputed ? &again : &sum) += ops[i].flops;
            seconds += ops[i].seconds;
        }
        assert_true(seconds > 0 && seconds <= info.seconds);
        assert_true((again > 0) == (k == 1));
        /* heads of half of the tokens are all that a full step has more */
        assert_flops(sum, hora_training_report(r.t)->flops_step - 2 * 2 * tokens / 2 * head);
        assert_ok(hora_training_step_on(r.t, &r.batch, 1, &info));
        memcpy(before, ops, sizeof ops);
        assert_int_equal(hora_graph_profile_get(g, ops, 64), n);
        for (int i = 0; i < n; i++)
            assert_int_equal(ops[i].calls, 2 * before[i].calls);
        hora_graph_profile(g, false);
        assert_int_equal(hora_graph_profile_get(g, ops, 64), 0);
        rig_close(&r);
    }
}

HORA_TESTS(law_work, {"FLOPs of lora on q and v", lora_on_q_and_v, HORA_SHORT},
           {"nothing counts below the lowest adapted site", lora_on_the_last_layer, HORA_SHORT},
           {"FLOPs of a model that trains whole", everything_trains, HORA_SHORT},
           {"a window sees less", a_window_sees_less, HORA_SHORT},
           {"an encoder sees all", an_encoder_sees_all, HORA_SHORT},
           {"the profile of a step is the step", the_profile_adds_up, HORA_SHORT});
