/*
 * Laws of every row of methods.def, one table for all: a training that was stopped and goes on with
 * other threads ends in the same bits, and so does one that recomputes; what merges is what is
 * attached, what does not is refused with nothing written; what is a plain LoRA to others is one;
 * and what cannot be an adapter of this base is refused. HORA_TEST_ONLY chooses methods.
 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "train_world.h"
#include "vectors/golden.h"

/* With biases, so that every method of texts has something to train; another that differs. */
#define MODEL(hidden, heads)                                                                       \
    "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":" hidden   \
    ",\"intermediate_size\":48,\"num_hidden_layers\":3,\"num_attention_heads\":" heads             \
    ",\"num_key_value_heads\":2,\"vocab_size\":32,\"initializer_range\":0.3,\"attention_bias\":"   \
    "true,"                                                                                        \
    "\"mlp_bias\":true,\"max_position_embeddings\":64,\"tie_word_embeddings\":false}"
static const char model[] = MODEL("48", "4"), other[] = MODEL("72", "4");
static const int lengths[] = {11, 6};

static bool fit(const method_case *m) {
    return hora_test_asked(m->method) && method_case_of_text(m);
}

static void perturb(hora_adapter *a) {
    hora_rng r = hora_rng_new(3, a->method->name);
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; !a->params[i]->fixed && k < a->params[i]->elems; k++)
            ((float *)a->params[i]->value)[k] += (float)(0.1 * hora_rng_normal(&r));
}

static hora_adapter *moved(const hora_base *b, const method_case *m) {
    hora_adapter *a = golden_attach(b, m->method, m->options);
    assert_ok(hora_adapter_allocate(a));
    perturb(a);
    return a;
}

static hora_base *fresh(void) {
    hora_base *b = golden_fresh(model, HORA_F32, false);
    hora_rng r = hora_rng_new(9, "biases");
    for (int w = 0; w < b->nweights; w++)
        for (int64_t k = 0;
             b->weights[w].role == HORA_ROLE_BIAS && k < hora_elems(&b->weights[w].view); k++)
            ((float *)b->weights[w].view.data)[k] = (float)(0.3 * hora_rng_normal(&r));
    return b;
}

static float *logits_of(hora_base *b, hora_adapter *const *a, int n, int64_t *count) {
    golden_run r;
    hora_rng rng = hora_rng_new(1, "batch");
    golden_synthetic(&r, &rng, b->vocab, lengths, 2, 0);
    golden_record(&r, b, a, n, &(golden_options){.mode = HORA_NET_EVAL});
    *count = r.rows.rows * b->vocab;
    float *out = hora_malloc((size_t)*count * sizeof *out);
    memcpy(out, golden_logits(&r), (size_t)*count * sizeof *out);
    golden_close(&r);
    return out;
}

/* --- merging ---------------------------------------------------------------------------------- */

static void check_merge(hora_base *b, const method_case *m) {
    int64_t n;
    hora_adapter *a = moved(b, m);
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    void **was = hora_calloc((size_t)b->nweights, sizeof *was);
    char *label = hora_format("%s %s", m->method, m->options);
    if (!a->method->merge) {
        assert_fails(hora_peft_merge(&a, 1, w), HORA_EUNSUPPORTED, "cannot be merged");
        for (int i = 0; i < b->nweights; i++)
            assert_null(w[i]);
    } else if (hora_peft_merge(&a, 1, w)) { /* a bias where there is no place for one */
        assert_non_null(strstr(hora_errmsg(), "cannot be merged"));
        for (int i = 0; i < b->nweights; i++)
            assert_null(w[i]);
    } else {
        float *attached = logits_of(b, &a, 1, &n);
        for (int i = 0; i < b->nweights; i++) {
            was[i] = b->weights[i].view.data;
            if (w[i])
                b->weights[i].view.data = w[i];
        }
        float *merged = logits_of(b, NULL, 0, &n);
        hora_assert_close(merged, attached, (size_t)n, 3e-4, label);
        for (int i = 0; i < b->nweights; i++) {
            b->weights[i].view.data = was[i];
            hora_free(w[i]);
        }
        hora_free(attached);
        hora_free(merged);
    }
    hora_free(label);
    hora_free(was);
    hora_free(w);
    hora_peft_detach(a);
}

static void merged_is_attached(void **state) {
    (void)state;
    hora_base *b = fresh();
    for (int i = 0; i < method_case_count(); i++)
        if (fit(method_case_at(i)))
            check_merge(b, method_case_at(i));
    hora_base_close(b);
}

/* --- files ------------------------------------------------------------------------------------ */

static const char *folder(const char *name) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    assert_ok(hora_remove_tree(dir));
    assert_ok(hora_mkdirs(dir));
    return dir;
}

/* What is a plain LoRA to others is one to us too, without the state beside it. */
static void exports_are_exact(void **state) {
    (void)state;
    hora_base *b = fresh();
    for (int i = 0; i < method_case_count(); i++) {
        const method_case *m = method_case_at(i);
        int64_t n;
        if (!fit(m) || !hora_starts(hora_method_export(hora_method_named(m->method)), "LORA"))
            continue;
        hora_adapter *a = moved(b, m), *back;
        const char *dir = folder("export");
        assert_ok(hora_peft_save(a, dir, NULL));
        assert_ok(hora_remove_tree(hora_test_path(dir, "hora_state.safetensors")));
        assert_ok(hora_peft_load(&back, b, dir, NULL));
        assert_string_equal(back->method->name, "lora");
        float *own = logits_of(b, &a, 1, &n), *plain = logits_of(b, &back, 1, &n);
        char *label = hora_format("%s %s", m->method, m->options);
        hora_assert_close(plain, own, (size_t)n, 1e-4, label);
        hora_free(label);
        hora_free(own);
        hora_free(plain);
        hora_peft_detach(back);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

/* The files that hold an adapter's numbers, those that training goes on from first. */
static const char *const numbers[] = {"delta.safetensors", "hora_state.safetensors",
                                      "adapter_model.safetensors", "model.safetensors"};

static const char *numbers_of(const char *dir) {
    for (size_t k = 0; k < HORA_COUNT(numbers); k++)
        if (hora_path_has(dir, numbers[k]))
            return hora_test_path(dir, numbers[k]);
    fail_msg("%s holds no numbers", dir);
    return NULL;
}

/* A number that is none in the first tensor that is f32. */
static void spoil(const char *path) {
    hora_str text = {0};
    assert_ok(hora_file_read(&text, path));
    uint64_t head;
    memcpy(&head, text.s, 8);
    const float nan = NAN;
    memcpy(text.s + 8 + head, &nan, sizeof nan);
    assert_ok(hora_file_write(path, text.s, text.n));
    hora_str_release(&text);
}

static void refused(const hora_base *b, const char *dir, const char *what, const method_case *m) {
    hora_adapter *a = NULL;
    if (hora_peft_load(&a, b, dir, NULL) == HORA_OK)
        fail_msg("%s %s: %s is taken", m->method, m->options, what);
    assert_null(a);
    if (strlen(hora_errmsg()) < 20)
        fail_msg("%s: %s is refused with `%s`", m->method, what, hora_errmsg());
}

/* Numbers of heads, one block for all, so many frequencies fit any width. */
static bool knows_width(const method_case *m) {
    return !hora_starts(m->method, "head_mix") && !hora_starts(m->method, "head_scale") &&
           !hora_eq(m->method, "fourierft") && !strstr(m->options, "block_share=true");
}

static void check_bad(hora_base *b, hora_base *wide, const method_case *m) {
    hora_adapter *a = moved(b, m), *back;
    const char *dir = folder("bad");
    assert_ok(hora_peft_save(a, dir, NULL));
    assert_ok(hora_peft_load(&back, b, dir, NULL)); /* as it is it opens */
    hora_peft_detach(back);
    refused(wide, dir, "an adapter of a wider base", m);
    if (knows_width(m) && hora_path_has(dir, "hora_base.json")) { /* its tensors say so too */
        assert_ok(hora_remove_tree(hora_test_path(dir, "hora_base.json")));
        refused(wide, dir, "an adapter of a wider base", m);
    }
    spoil(numbers_of(dir));
    refused(b, dir, "a number that is not finite", m);
    for (size_t k = 0; k < HORA_COUNT(numbers); k++)
        if (hora_path_has(dir, numbers[k]))
            assert_ok(hora_remove_tree(hora_test_path(dir, numbers[k])));
    refused(b, dir, "a folder without its numbers", m);
    hora_peft_detach(a);
}

static void bad_folders_are_refused(void **state) {
    (void)state;
    hora_base *b = fresh(), *wide = golden_fresh(other, HORA_F32, false);
    hora_log_sink(world_quiet, NULL);
    for (int i = 0; i < method_case_count(); i++) {
        const method_case *m = method_case_at(i);
        if (fit(m))
            check_bad(b, wide, m);
    }
    hora_log_sink(NULL, NULL);
    hora_base_close(b);
    hora_base_close(wide);
}

/* --- training --------------------------------------------------------------------------------- */

static void stop_at_2(void *user, const hora_run_event *e) {
    if (e->kind == HORA_RUN_STEP && e->step->step == 2)
        *(volatile int *)user = 1;
}

static char *run_of(const method_case *m, const char *more) {
    return hora_format("method=%s,%s%ssteps=4,save_every=2,warmup=0,%s", m->method, m->options,
                       *m->options ? "," : "", more);
}

/* Settings of a world's run without HoRA's. */
static hora_status train(const char *out, const char *text, const hora_run_hooks *hooks) {
    hora_settings s = {0};
    hora_run_result result;
    hora_settings_put(&s, "model", world_path("model"), "test");
    hora_settings_put(&s, "data", world_path("text.txt"), "test");
    hora_settings_put(&s, "out", world_path(out), "test");
    hora_settings_put(&s, "overwrite", "true", "test");
    assert_ok(hora_settings_parse(
        &s, "batch_size=2,dtype=f32,grad_accum=2,seq_len=16,lr=1e-3,save_limit=0", "test"));
    assert_ok(hora_settings_parse(&s, text, "test"));
    const hora_status st = hora_run_train(&s, hooks, &result);
    hora_settings_release(&s);
    return st;
}

static void same_state(const char *a, const char *b, const method_case *m) {
    char x[64], y[64];
    hora_str p = {0}, q = {0};
    hora_snprintf(x, sizeof x, "%s/checkpoint-4/state.safetensors", a);
    hora_snprintf(y, sizeof y, "%s/checkpoint-4/state.safetensors", b);
    assert_ok(hora_file_read(&p, world_path(x)));
    assert_ok(hora_file_read(&q, world_path(y)));
    if (p.n != q.n || memcmp(p.s, q.s, p.n))
        fail_msg("%s %s: %s and %s differ", m->method, m->options, a, b);
    hora_str_release(&p);
    hora_str_release(&q);
}

static void check_training(const method_case *m) {
    volatile int stop = 0;
    hora_run_hooks hooks = {.event = stop_at_2, .user = (void *)&stop, .stop = &stop};
    char *one = run_of(m, "threads=1"), *three = run_of(m, "threads=3"),
         *again = run_of(m, "threads=2,recompute=all");
    if (train("whole", one, NULL))
        fail_msg("%s %s: %s", m->method, m->options, hora_errmsg());
    assert_ok(hora_remove_tree(world_path("cut")));
    assert_fails(train("cut", three, &hooks), HORA_EINTERRUPTED, "--resume --out");
    assert_ok(world_resume("cut", "threads=2", NULL, NULL));
    same_state("cut", "whole", m);
    const bool chooses = hora_method_named(m->method)->choose != NULL;
    if (!chooses) { /* what it skips is not recomputed */
        assert_ok(train("again", again, NULL));
        same_state("again", "whole", m);
    }
    hora_free(one);
    hora_free(three);
    hora_free(again);
}

static void trainings_are_one(void **state) {
    (void)state;
    world_make(3);
    hora_base *b = golden_fresh(model, HORA_F32, false);
    assert_ok(hora_base_save(b, world_path("model"), NULL, HORA_F32));
    hora_base_close(b);
    hora_log_sink(world_quiet, NULL);
    for (int i = 0; i < method_case_count(); i++)
        if (fit(method_case_at(i)))
            check_training(method_case_at(i));
    hora_threads_limit(0);
    hora_log_sink(NULL, NULL);
}

/* What moves less than the residual stream holds are vectors and small tables: those may be its. */
static void ref_has_rows(golden_run *r, const hora_base *b, const method_case *m) {
    enum { CAP = 128 };
    hora_op_time rows[CAP];
    hora_graph_profile(r->g, true);
    golden_again(r);
    const int n = hora_graph_profile_get(r->g, rows, CAP);
    assert_in_range(n, 1, CAP - 1);
    const double stream = (double)(r->rows.rows * b->hidden) * (double)hora_dtype_size(b->dtype);
    for (int i = 0; i < n; i++)
        if (hora_eq(rows[i].backend, "ref") && rows[i].bytes >= stream * (double)rows[i].calls)
            fail_msg("%s %s in %s: op %s (%s) has no kernel of the cpu backend", m->method,
                     m->options, hora_dtype_name(b->dtype), rows[i].op,
                     rows[i].phase == HORA_FORWARD ? "forward" : "backward");
}

/* What the cpu backend declines the reference computes, a hundred times slower. */
static void nothing_is_left_to_the_reference(void **state) {
    static const hora_dtype dtypes[] = {HORA_F32, HORA_BF16};
    static const int many[] = {41, 30};
    (void)state;
    for (size_t d = 0; d < HORA_COUNT(dtypes); d++) {
        hora_base *b = golden_fresh(model, dtypes[d], false);
        for (int i = 0; i < method_case_count(); i++) {
            const method_case *m = method_case_at(i);
            if (!fit(m))
                continue;
            hora_adapter *a = moved(b, m);
            golden_run r;
            hora_rng rng = hora_rng_new(1, "batch");
            golden_synthetic(&r, &rng, b->vocab, many, 2, 0);
            golden_record(&r, b, &a, 1, &(golden_options){.backends = "cpu ref", .backward = true});
            ref_has_rows(&r, b, m);
            golden_close(&r);
            hora_peft_detach(a);
        }
        hora_base_close(b);
    }
}

/* FLOPs are counted for a token, a pair, a target and once: not more of them in a larger batch. */
static void work_is_that_of_its_rows(void **state) {
    static const int thrice[] = {11, 6, 11, 6, 11, 6};
    (void)state;
    hora_base *b = golden_fresh(model, HORA_F32, false);
    for (int i = 0; i < method_case_count(); i++) {
        const method_case *m = method_case_at(i);
        double f[2][HORA_WORKS];
        if (!fit(m))
            continue;
        hora_adapter *a = moved(b, m);
        for (int k = 0; k < 2; k++) {
            golden_run r;
            hora_rng rng = hora_rng_new(1, "batch");
            golden_synthetic(&r, &rng, b->vocab, thrice, k ? 6 : 2, 0);
            golden_record(&r, b, &a, 1, &(golden_options){.backward = true});
            memcpy(f[k], hora_graph_info(r.g)->flops, sizeof f[k]);
            golden_close(&r);
        }
        for (int k = 0; k < HORA_WORKS; k++)
            if (k != HORA_WORK_ONCE && !(f[1][k] <= f[0][k] * (1 + 1e-9)))
                fail_msg("%s %s: work %d is %g in three times the batch, %g in one", m->method,
                         m->options, k, f[1][k], f[0][k]);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

HORA_TESTS(law_every,
           {"nothing is left to the reference", nothing_is_left_to_the_reference, HORA_SHORT},
           {"work is that of its rows", work_is_that_of_its_rows, HORA_SHORT},
           {"merged is attached, or refused", merged_is_attached, HORA_SHORT},
           {"exports as plain LoRA are exact", exports_are_exact, HORA_SHORT},
           {"folders of another base, spoilt or torn, are refused", bad_folders_are_refused,
            HORA_SHORT},
           {"resumed, threaded, recomputed: the same bits", trainings_are_one, HORA_MEDIUM});
