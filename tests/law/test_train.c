/*
 * Laws of training, on a tiny random model: threads, micro-batches, recomputation and packing
 * change nothing; a step allocates nothing; what is not finite moves nothing.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "task/task.h"
#include "train/train_impl.h"
#include "train_world.h"

/* --- steps on batches of our own -------------------------------------------------------------- */
typedef struct rig {
    hora_base *base;
    hora_adapter *adapter;
    hora_training *t;
} rig;

static void rig_open(rig *r, const char *method, const char *options, const char *training,
                     bool poison) {
    hora_settings s = {0};
    hora_train_config c;
    assert_ok(hora_settings_parse(
        &s, "steps=2000,batch_size=4,schedule=constant,warmup=0,dtype=f32", "test"));
    assert_ok(hora_settings_parse(&s, training, "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    hora_settings_release(&s);
    *r = (rig){.base = world_base(3, hora_train_dtype(&c))};
    assert_ok(hora_settings_parse(&s, options, "test"));
    assert_ok(hora_peft_attach(&r->adapter, r->base, method, &s, 5));
    hora_settings_release(&s);
    hora_training_parts p = {.base = r->base,
                             .adapters = &r->adapter,
                             .nadapters = 1,
                             .seq_len = LENGTH,
                             .poison = poison};
    assert_ok(hora_training_open(&r->t, &p, &c));
    hora_options_release(&hora_train_options, &c);
    assert_ok(hora_training_prepare(r->t));
}

static void rig_close(rig *r) {
    hora_training_free(r->t);
    hora_peft_detach(r->adapter);
    hora_base_close(r->base);
}

/* Whether values that cannot learn were spoken of since the last look. */
static bool warned_of_dead(hora_str *seen) {
    const bool found = seen->s && strstr(seen->s, "is dead");
    hora_str_release(seen);
    return found;
}

/* A state that no step can leave is named before the first one: an adapter to start from, a
 * checkpoint. */
static void dead_values_are_named(void **state) {
    (void)state;
    rig r;
    hora_str seen = {0};
    world_make(3);
    hora_log_sink(world_quiet, &seen);
    rig_open(&r, "hora", "rank=4", "", false);
    assert_false(warned_of_dead(&seen));
    for (int i = 0; i < r.adapter->nparams; i++) {
        hora_param *p = r.adapter->params[i];
        if (hora_ends(p->name, ".input_b"))
            memset(p->value, 0, (size_t)p->elems * sizeof(float));
    }
    assert_ok(hora_training_save_to(r.t, world_path("dead")));
    rig_close(&r);
    rig_open(&r, "hora", "rank=4", "", false);
    assert_false(warned_of_dead(&seen));
    assert_ok(hora_training_resume_from(r.t, world_path("dead")));
    assert_true(warned_of_dead(&seen));
    rig_close(&r);
    assert_ok(world_train("plain", "steps=1,dropout=0", NULL, NULL));
    assert_false(warned_of_dead(&seen));
    char *more = hora_format("steps=1,dropout=0,init_adapter=%s", world_path("dead"));
    assert_ok(world_train("again", more, NULL, NULL));
    assert_true(warned_of_dead(&seen));
    hora_free(more);
    hora_log_sink(NULL, NULL);
}

/* Rows first .. first+n-1 of an endless text, each a segment of its own, or `packed` in twos. */
static void fill(hora_batch *b, int first, int n) {
    assert_ok(hora_batch_init(b, 64, NULL));
    b->rows = b->tokens = b->supervised = 0;
    for (int i = 0; i < n; i++) {
        hora_rng r = hora_rng_new((uint64_t)(first + i), "row");
        int32_t start = (int32_t)b->rows, id = (int32_t)hora_rng_below(&r, VOCAB);
        int length = LENGTH - (first + i) % 5;
        for (int k = 0; k < length; k++) {
            int64_t at = b->rows++;
            int32_t next = (int32_t)hora_rng_below(&r, VOCAB);
            b->ids[at] = id;
            b->pos[at] = k;
            b->lo[at] = start;
            b->hi[at] = (int32_t)at + 1;
            b->target[at] = k + 1 < length ? next : -1;
            b->weight[at] = k + 1 < length;
            b->supervised += k + 1 < length;
            id = next;
        }
        b->tokens += length;
    }
    for (; b->rows < 64; b->rows++) {
        b->ids[b->rows] = b->pos[b->rows] = b->lo[b->rows] = b->hi[b->rows] = 0;
        b->target[b->rows] = -1;
        b->weight[b->rows] = 0;
    }
}

/* `steps` steps, each of `per_step` sequences in micro-batches of `micro`. */
static double rig_run(rig *r, int steps, int per_step, int micro, hora_step_info *info) {
    hora_batch b[8];
    double sum = 0;
    for (int s = 0; s < steps; s++) {
        int k = per_step / micro;
        for (int m = 0; m < k; m++)
            fill(&b[m], s * per_step + m * micro, micro);
        assert_ok(hora_training_step_on(r->t, b, k, info));
        for (int m = 0; m < k; m++)
            hora_batch_release(&b[m]);
        sum += info->loss;
    }
    return sum / steps;
}

static float *values(const rig *r) {
    float *copy = hora_malloc(r->adapter->value_bytes);
    memcpy(copy, r->adapter->values, r->adapter->value_bytes);
    return copy;
}

static const char hora_options_text[] = "rank=4,dropout=0.1";

/* Values after six steps under the given settings. */
static float *after(const char *training, int threads, bool poison, size_t *bytes) {
    rig r;
    hora_step_info info;
    hora_threads_limit(threads);
    rig_open(&r, "hora", hora_options_text, training, poison);
    rig_run(&r, 6, 4, 2, &info);
    float *v = values(&r);
    *bytes = r.adapter->value_bytes;
    if (poison) /* planned peak is what kernels are given */
        assert_int_equal(hora_graph_used(r.t->train.g), r.t->report.step_arena);
    rig_close(&r);
    hora_threads_limit(0);
    return v;
}

static void assert_same_as(const float *want, const char *training, int threads, bool poison) {
    size_t bytes;
    float *got = after(training, threads, poison, &bytes);
    if (memcmp(want, got, bytes))
        fail_msg("other bits with %s, %d threads, poison %d", training, threads, poison);
    hora_free(got);
}

/* Three steps of a model folder that is completed before it is planned, or after. */
static float *completed(const char *method, hora_dtype dtype, bool late, size_t *bytes) {
    rig r = {0};
    hora_settings s = {0};
    hora_train_config c;
    hora_step_info info;
    assert_ok(hora_settings_parse(&s, "steps=3,batch_size=4", "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    hora_settings_release(&s);
    c.dtype = HORA_TRAIN_AUTO;
    assert_ok(hora_base_open(&r.base, world_path("model"),
                             &(hora_base_options){.dtype = dtype, .headers_only = late}));
    assert_ok(hora_peft_attach(&r.adapter, r.base, method, &s, 5));
    hora_training_parts p = {
        .base = r.base, .adapters = &r.adapter, .nadapters = 1, .seq_len = LENGTH};
    assert_ok(hora_training_open(&r.t, &p, &c));
    hora_options_release(&hora_train_options, &c);
    assert_true(!r.base->weights[0].view.data == late);
    assert_ok(hora_base_complete(r.base));
    assert_non_null(r.base->weights[0].view.data);
    assert_ok(hora_training_prepare(r.t));
    rig_run(&r, 3, 4, 4, &info);
    float *v = values(&r);
    *bytes = r.adapter->value_bytes;
    rig_close(&r);
    return v;
}

static void planned_from_headers(void **state) {
    static const char *const methods[] = {"hora", "full"};
    (void)state;
    world_make(3);
    for (int i = 0; i < 4; i++) {
        size_t bytes, again;
        hora_dtype dtype = i / 2 ? HORA_BF16 : HORA_F32; /* mapped, converted */
        float *want = completed(methods[i % 2], dtype, false, &bytes);
        float *got = completed(methods[i % 2], dtype, true, &again);
        assert_int_equal(bytes, again);
        assert_memory_equal(want, got, bytes);
        hora_free(want);
        hora_free(got);
    }
}

static void same_bits_in(const char *dtype) {
    static const char *const recompute[] = {"none", "2", "all"};
    size_t bytes;
    float *one = after(dtype, 1, false, &bytes), sum = 0;
    for (size_t i = 0; i < bytes / sizeof *one; i++)
        sum += fabsf(one[i]);
    assert_true(isfinite(sum) && sum > 0);
    assert_same_as(one, dtype, 2, false);
    assert_same_as(one, dtype, 3, false);
    assert_same_as(one, dtype, 8, false);
    for (size_t i = 0; i < HORA_COUNT(recompute); i++) {
        char *training = hora_format("%s,recompute=%s", dtype, recompute[i]);
        assert_same_as(one, training, 2, false);
        assert_same_as(one, training, 2, true);
        hora_free(training);
    }
    hora_free(one);
}

static void same_bits(void **state) {
    (void)state;
    same_bits_in("dtype=f32");
    same_bits_in("dtype=bf16");
}

/* Rounding of activations to 8 bits is noise: the losses of the same steps stay together, not their
 * bits, and a bf16 step needs less memory. */
static void bf16_follows_f32(void **state) {
    (void)state;
    static const char *const methods[][2] = {{"hora", "rank=4"}, {"lora", "rank=4"}, {"full", ""}};
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        double loss[2];
        uint64_t arena[2];
        for (int narrow = 0; narrow < 2; narrow++) {
            rig r;
            hora_step_info info;
            rig_open(&r, methods[i][0], methods[i][1],
                     narrow ? "dtype=bf16,lr=1e-2" : "dtype=f32,lr=1e-2", false);
            assert_int_equal(r.base->weights[0].view.dtype, narrow ? HORA_BF16 : HORA_F32);
            assert_int_equal(r.adapter->dtype, HORA_F32);
            loss[narrow] = rig_run(&r, 10, 4, 2, &info);
            arena[narrow] = r.t->report.step_arena - r.t->report.scratch;
            rig_close(&r);
        }
        assert_true(loss[0] != loss[1] && fabs(loss[0] - loss[1]) < 4e-3 * loss[0]);
        assert_true(arena[1] < arena[0]);
    }
}

/* The base is open when a training hears of its dtype. */
static void dtype_is_the_bases(void **state) {
    (void)state;
    hora_settings s = {0};
    hora_train_config c;
    hora_training *t;
    hora_adapter *a;
    hora_base *b = world_base(3, HORA_BF16);
    assert_ok(hora_peft_attach(&a, b, "lora", &s, 5));
    hora_training_parts p = {.base = b, .adapters = &a, .nadapters = 1, .seq_len = LENGTH};
    assert_ok(hora_settings_parse(&s, "steps=1,dtype=f32", "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    assert_fails(hora_training_open(&t, &p, &c), HORA_EUSAGE, "opened in BF16");
    c.dtype = HORA_TRAIN_AUTO;
    assert_ok(hora_training_open(&t, &p, &c));
    assert_int_equal(t->config.dtype, HORA_TRAIN_BF16);
    hora_training_free(t);
    hora_peft_detach(a);
    hora_base_close(b);
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
}

static void recompute_needs_less(void **state) {
    (void)state;
    rig kept, again;
    rig_open(&kept, "lora", "rank=4", "", false);
    rig_open(&again, "lora", "rank=4", "recompute=all", false);
    assert_true(again.t->report.step_arena < kept.t->report.step_arena);
    assert_int_equal(again.t->report.recomputed, 3);
    rig_close(&kept);
    rig_close(&again);
}

/* Lines of a dump that say both, and the largest number behind "until" in them. */
static int count_lines(const char *dump, const char *part, const char *op, int *until) {
    int n = 0;
    for (const char *line = dump; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        char text[512];
        int last;
        hora_snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
        if (!strstr(text, part) || !strstr(text, op))
            continue;
        n++;
        const char *at = strstr(text, "until ");
        if (at && sscanf(at, "until %d", &last) == 1 && last > *until)
            *until = last;
    }
    return n;
}

/* Outputs of norms and gated products are not kept for backward, in no layer; the first norm's
 * input is nobody else's, so its output is. */
static void cheap_is_computed_twice(void **state) {
    (void)state;
    rig r;
    hora_str dump = {0};
    int until = -1, any = -1;
    rig_open(&r, "lora", "rank=4,targets=all-linear", "", false);
    hora_training_dump(r.t, &dump);
    assert_int_equal(count_lines(dump.s, "again", "glu", &any), 3);
    assert_int_equal(count_lines(dump.s, "again", "rmsnorm", &any), 5);
    assert_int_equal(count_lines(dump.s, "again", "lowrank", &any), 0);
    assert_int_equal(count_lines(dump.s, "forward", "glu", &until), 3);
    assert_true(until > 0 && until < count_lines(dump.s, " forward ", "node", &any));
    hora_str_release(&dump);
    rig_close(&r);
}

static void micro_batches_are_one(void **state) {
    (void)state;
    static const int micro[] = {4, 2, 1};
    float *first = NULL;
    double loss = 0;
    for (int i = 0; i < 3; i++) {
        rig r;
        hora_step_info info;
        rig_open(&r, "hora", hora_options_text, "optimizer=sgd,lr=0.1", false);
        double mean = rig_run(&r, 4, 4, micro[i], &info);
        float *v = values(&r);
        if (!first) {
            first = v;
            loss = mean;
        } else {
            assert_true(fabs(mean - loss) < 1e-6 * loss);
            hora_assert_close(v, first, r.adapter->value_bytes / sizeof *v, 2e-6, "values");
            hora_free(v);
        }
        rig_close(&r);
    }
    hora_free(first);
}

/* Four sequences side by side, or each alone in its micro-batch: they do not see each other. */
static void packed_is_unpacked(void **state) {
    (void)state;
    rig r;
    hora_batch packed, alone[4];
    hora_step_info a, b;
    rig_open(&r, "lora", "rank=4", "lr=1e-30", false);
    fill(&packed, 0, 4);
    for (int i = 0; i < 4; i++)
        fill(&alone[i], i, 1);
    assert_ok(hora_training_step_on(r.t, &packed, 1, &a));
    assert_ok(hora_training_step_on(r.t, alone, 4, &b));
    assert_int_equal(a.supervised, b.supervised);
    assert_true(fabs(a.loss - b.loss) < 1e-6 * a.loss);
    assert_true(fabs(a.grad_norm - b.grad_norm) < 1e-5 * a.grad_norm);
    hora_batch_release(&packed);
    for (int i = 0; i < 4; i++)
        hora_batch_release(&alone[i]);
    rig_close(&r);
}

static void steps_take_no_memory(void **state) {
    (void)state;
    rig r;
    hora_batch b;
    hora_step_info info;
    rig_open(&r, "hora", hora_options_text, "", false);
    fill(&b, 0, 4);
    for (int k = 0; k < 200; k++)
        assert_ok(hora_training_step_on(r.t, &b, 1, &info));
    uint64_t count = hora_alloc_count();
    size_t resident = hora_rss();
    for (int k = 0; k < 1000; k++)
        assert_ok(hora_training_step_on(r.t, &b, 1, &info));
    assert_int_equal(hora_alloc_count() - count, 0);
#ifndef HORA_SANITIZE /* the sanitizer keeps what the system libraries free */
    assert_true(hora_rss() <= resident + (256 << 10));
#else
    (void)resident;
#endif
    hora_batch_release(&b);
    rig_close(&r);
}

static void nothing_is_updated_on_nan(void **state) {
    (void)state;
    rig r;
    hora_batch b;
    hora_step_info info;
    hora_training_status now;
    rig_open(&r, "lora", "rank=4", "lr=1e-3", false);
    fill(&b, 0, 4);
    assert_ok(hora_training_step_on(r.t, &b, 1, &info));
    ((float *)r.adapter->params[0]->value)[3] = NAN;
    float *before = values(&r);
    assert_fails(hora_training_step_on(r.t, &b, 1, &info), HORA_ENUMERIC, "step 2");
    assert_memory_equal(before, r.adapter->values, r.adapter->value_bytes);
    hora_training_get(r.t, &now);
    assert_int_equal(now.step, 1);
    hora_free(before);
    hora_batch_release(&b);
    rig_close(&r);
}

static void nothing_supervised_moves_nothing(void **state) {
    (void)state;
    rig r;
    hora_batch b;
    hora_step_info info;
    rig_open(&r, "lora", "rank=4", "lr=1e-1,weight_decay=0.1", false);
    fill(&b, 0, 4);
    assert_ok(hora_training_step_on(r.t, &b, 1, &info));
    for (int i = 0; i < 64; i++) {
        b.target[i] = -1;
        b.weight[i] = 0;
    }
    b.supervised = 0;
    float *before = values(&r);
    assert_ok(hora_training_step_on(r.t, &b, 1, &info));
    assert_false(info.updated);
    assert_true(info.loss == 0 && info.step == 2);
    assert_memory_equal(before, r.adapter->values, r.adapter->value_bytes);
    hora_free(before);
    hora_batch_release(&b);
    rig_close(&r);
}

/* Clipping scales the whole gradient: with plain descent a step is lr * clip long. */
static void clipping_limits_the_step(void **state) {
    (void)state;
    rig r;
    hora_batch b;
    hora_step_info info;
    rig_open(&r, "full", "", "optimizer=sgd,momentum=0,lr=1,clip=0.01", false);
    fill(&b, 0, 4);
    float *before = values(&r);
    assert_ok(hora_training_step_on(r.t, &b, 1, &info));
    assert_true(info.grad_norm > 0.1);
    double moved = 0;
    for (size_t i = 0; i < r.adapter->value_bytes / sizeof *before; i++) {
        double d = (double)((float *)r.adapter->values)[i] - (double)before[i];
        moved += d * d;
    }
    assert_true(fabs(sqrt(moved) - 0.01) < 1e-5);
    hora_free(before);
    hora_batch_release(&b);
    rig_close(&r);
}

static void loraplus_speeds_up_b(void **state) {
    (void)state;
    rig a, b;
    hora_batch batch;
    hora_step_info info;
    fill(&batch, 0, 4);
    rig_open(&a, "lora", "rank=4", "lr=1e-3,clip=0", false);
    rig_open(&b, "lora", "rank=4", "lr=1e-3,clip=0,loraplus=8", false);
    assert_ok(hora_training_step_on(a.t, &batch, 1, &info));
    assert_ok(hora_training_step_on(b.t, &batch, 1, &info));
    int seen = 0;
    for (int i = 0; i < a.adapter->nparams; i++) {
        const hora_param *p = a.adapter->params[i], *q = b.adapter->params[i];
        const float *x = p->value, *y = q->value;
        for (int64_t k = 0; p->lora_b && k < p->elems; k++, seen++)
            assert_true(fabsf(y[k] - 8 * x[k]) <= 1e-6f);
    }
    assert_true(seen > 0);
    hora_batch_release(&batch);
    rig_close(&a);
    rig_close(&b);
}

/* --- learning and evaluating ------------------------------------------------------------------ */
static void it_learns(void **state) {
    (void)state;
    static const struct {
        const char *name, *options;
        double less; /* low-rank changes of attention in a random model cannot do much */
    } runs[] = {{"hora", "targets=q+k+v+o,rank=8,lr=1e-2", 0.04},
                {"lora", "targets=q+k+v+o,rank=8,lr=3e-2", 0.06},
                {"full", "lr=1e-2", 1.0}};
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    for (size_t i = 0; i < HORA_COUNT(runs); i++) {
        hora_settings s = {0};
        hora_run_result r;
        hora_settings_put(&s, "model", world_path("model"), "test");
        hora_settings_put(&s, "data", world_path("text.txt"), "test");
        hora_settings_put(&s, "method", runs[i].name, "test");
        hora_settings_put(&s, "out", world_path(runs[i].name), "test");
        assert_ok(hora_settings_parse(
            &s, "dtype=f32,steps=100,batch_size=8,seq_len=16,save_every=0,eval_split=8", "test"));
        assert_ok(hora_settings_parse(&s, runs[i].options, "test"));
        assert_ok(hora_run_train(&s, NULL, &r));
        hora_settings_release(&s);
        assert_true(fabs(r.first_eval.loss - log(VOCAB)) < 0.2);
        assert_true(r.last_eval.loss < r.first_eval.loss - runs[i].less);
    }
    hora_log_sink(NULL, NULL);
}

static void evaluation_is_one_number(void **state) {
    (void)state;
    world_make(3);
    hora_base *base;
    hora_tokenizer *tok;
    hora_dataset *d;
    hora_settings s = {0};
    hora_data_config c;
    hora_eval_info info[3];
    static const int batch[] = {1, 3, 8};
    assert_ok(hora_base_open(&base, world_path("model"), &(hora_base_options){.dtype = HORA_F32}));
    assert_ok(hora_tokenizer_open(&tok, world_path("model")));
    assert_ok(hora_settings_parse(&s, "seq_len=16", "test"));
    assert_ok(hora_options_take(&hora_data_options, &c, &s));
    assert_ok(hora_dataset_open(&d, world_path("text.txt"), tok, NULL, &c,
                                &hora_objective_causal()->rule));
    for (int i = 0; i < 3; i++) {
        hora_eval_parts p = {.base = base, .data = d, .seq_len = LENGTH, .batch_size = batch[i]};
        assert_ok(hora_evaluate(&p, &info[i], NULL));
        assert_int_equal(info[i].tokens, hora_data_about(d)->supervised);
        assert_true(fabs(info[i].loss - info[0].loss) < 1e-6 * info[0].loss);
        assert_true(fabs(hora_metrics_get(&info[i].metrics, "perplexity") - exp(info[i].loss)) <
                    1e-9 * hora_metrics_get(&info[i].metrics, "perplexity"));
        /* a token is a byte here */
        assert_true(fabs(hora_metrics_get(&info[i].metrics, "bits_per_byte") -
                         info[i].loss / log(2)) < 1e-9);
    }
    hora_dataset_close(d);
    hora_tokenizer_close(tok);
    hora_base_close(base);
    hora_options_release(&hora_data_options, &c);
    hora_settings_release(&s);
}

HORA_TESTS(law_train, {"values that cannot learn are named", dead_values_are_named, HORA_SHORT},
           {"threads, recomputation and poison: same bits", same_bits, HORA_SHORT},
           {"planned from headers, completed in place: same bits", planned_from_headers,
            HORA_SHORT},
           {"bf16 follows f32", bf16_follows_f32, HORA_SHORT},
           {"a training computes in its base's dtype", dtype_is_the_bases, HORA_SHORT},
           {"cheap outputs are computed twice, not kept", cheap_is_computed_twice, HORA_SHORT},
           {"recomputation needs less memory", recompute_needs_less, HORA_SHORT},
           {"k micro-batches = one", micro_batches_are_one, HORA_SHORT},
           {"packed = unpacked", packed_is_unpacked, HORA_SHORT},
           {"1000 steps: no allocation, no growth", steps_take_no_memory, HORA_SHORT},
           {"not finite: nothing is updated", nothing_is_updated_on_nan, HORA_SHORT},
           {"nothing supervised: nothing moves", nothing_supervised_moves_nothing, HORA_SHORT},
           {"clipping limits the step", clipping_limits_the_step, HORA_SHORT},
           {"LoRA+ speeds up B", loraplus_speeds_up_b, HORA_SHORT},
           {"it learns", it_learns, HORA_MEDIUM},
           {"evaluation does not depend on its batches", evaluation_is_one_number, HORA_SHORT});
