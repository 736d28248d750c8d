/*
 * Laws of tasks with a head of their own, over a model that has none for them: they learn, a killed
 * run that goes on is one that never stopped, packed = unpacked, and an adapter brings its head and
 * its classes back.
 */
#include "hora_test.h"

#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "run/open.h"
#include "run/run.h"
#include "tiny_model.h"

static const char *(*model)(void) = tiny_model; /* that the laws are held to */

static void quiet(void *user, int level, const char *text) {
    (void)user;
    (void)level;
    (void)text;
}

/* Texts of x and y; what counts is which of the two is written in capitals. */
static const char *data_of(const char *task) {
    const bool tags = hora_eq(task, "token-classification");
    const bool number = hora_eq(task, "regression"), texts = hora_eq(task, "embedding");
    hora_rng r = hora_rng_new(4, "tasks");
    hora_str s = {0};
    for (int i = 0; i < 48; i++) {
        const int n = 3 + (int)hora_rng_below(&r, 6), one = (int)hora_rng_below(&r, 2);
        const char c = one ? 'X' : 'Y';
        if (tags) {
            hora_str_puts(&s, "{\"tokens\": [");
            for (int k = 0; k < n; k++)
                hora_str_printf(&s, "%s\"%s\"", k ? ", " : "", k % 2 ? "xy" : one ? "Xa" : "Yb");
            hora_str_puts(&s, "], \"tags\": [");
            for (int k = 0; k < n; k++)
                hora_str_printf(&s, "%s\"%s\"", k ? ", " : "", k % 2 ? "O" : one ? "B-X" : "B-Y");
            hora_str_puts(&s, "]}\n");
            continue;
        }
        if (texts) { /* those that begin alike belong together */
            hora_str_printf(&s, "{\"anchor\": \"%c%c\", \"positive\": \"%c%cz\"", c, 'a' + i % 16,
                            c, 'a' + i % 16);
            hora_str_printf(&s, i % 3 ? "}\n" : ", \"negative\": \"%c%cz\"}\n", one ? 'Y' : 'X',
                            'a' + i % 16);
            continue;
        }
        hora_str_puts(&s, "{\"text\": \"");
        for (int k = 0; k < n; k++)
            hora_str_putc(&s, k % 2 ? 'z' : c);
        if (number)
            hora_str_printf(&s, "\", \"label\": %s}\n", one ? "1.5" : "-0.5");
        else
            hora_str_printf(&s, "\", \"label\": \"%s\"}\n", one ? "upper" : "other");
    }
    const char *path = tiny_file("tasks.jsonl", s.s);
    hora_str_release(&s);
    return path;
}

static hora_status train(const char *task, const char *out, const char *more, volatile int *stop,
                         void (*event)(void *, const hora_run_event *), hora_run_result *result) {
    hora_settings s = {0};
    hora_settings_put(&s, "model", model(), "test");
    hora_settings_put(&s, "data", data_of(task), "test");
    hora_settings_put(&s, "task", task, "test");
    hora_settings_put(&s, "out", hora_test_path(hora_test_tmp(), out), "test");
    assert_ok(
        hora_settings_parse(&s, "batch_size=2,seq_len=24,lr=1e-2,dtype=f32,eval_split=4", "test"));
    if (!strstr(more, "virtual_tokens"))
        assert_ok(hora_settings_parse(&s, "method=lora,rank=4", "test"));
    assert_ok(hora_settings_parse(&s, more, "test"));
    const hora_run_hooks hooks = {event, (void *)(uintptr_t)stop, stop, NULL};
    hora_log_sink(quiet, NULL);
    hora_status st = hora_run_train(&s, &hooks, result);
    hora_log_sink(NULL, NULL);
    hora_settings_release(&s);
    return st;
}

static const char *const tasks[] = {"sequence-classification", "regression", "token-classification",
                                    "embedding"};
static const char *const measure[] = {"accuracy", "spearman", "entity_f1", "accuracy"};

static void they_learn(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(tasks); i++) {
        hora_run_result r;
        assert_ok(train(tasks[i], tasks[i], "steps=60,warmup=0", NULL, NULL, &r));
        const double got = hora_metrics_get(&r.last_eval.metrics, measure[i]);
        if (!(got > (i == 1 ? 0.7 : 0.9)))
            fail_msg("%s: %s is %g after 60 steps", tasks[i], measure[i], got);
    }
}

static void stop_at_4(void *user, const hora_run_event *e) {
    if (e->kind == HORA_RUN_STEP && e->step->step == 4 && user)
        *(volatile int *)user = 1;
}

static void stopped_is_never_stopped(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(tasks); i++) {
        char *cut = hora_format("cut%zu", i), *whole = hora_format("whole%zu", i);
        volatile int stop = 0;
        hora_run_result r;
        assert_fails(train(tasks[i], cut, "steps=9,method=hora", &stop, stop_at_4, &r),
                     HORA_EINTERRUPTED, NULL);
        assert_ok(train(tasks[i], cut, "steps=9,method=hora,resume=true", NULL, NULL, &r));
        assert_ok(train(tasks[i], whole, "steps=9,method=hora", NULL, NULL, &r));
        static const char *const files[] = {"adapter_model.safetensors", "hora_state.safetensors",
                                            "task.json"};
        for (size_t f = 0; f < HORA_COUNT(files); f++)
            hora_assert_same_file(hora_test_path(hora_test_tmp(), cut),
                                  hora_test_path(hora_test_tmp(), whole), files[f]);
        hora_free(cut);
        hora_free(whole);
    }
}

/* Beside prompts a head has PEFT's names for it, a part shorter than beside other types, and is
 * read by those that it had before too. */
static void heads_beside_prompts(void **state) {
    static const char *const methods[] = {"prompt", "ptuning", "prefix"};
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(methods); m++) {
        hora_run_result r;
        const char *tmp = hora_test_tmp(), *out = hora_test_path(tmp, "prompts"),
                   *file = hora_test_path(out, "adapter_model.safetensors");
        assert_ok(
            train(tasks[0], "prompts",
                  hora_test_text("steps=3,overwrite=true,virtual_tokens=2,method=%s", methods[m]),
                  NULL, NULL, &r));
        for (int old = 0; old < 2; old++) {
            hora_st *st;
            hora_opened o = {0};
            hora_adapter *a;
            assert_ok(hora_st_open(&st, file));
            hora_st_entry e[8];
            char *names[8];
            const int n = hora_st_count(st);
            assert_true(n <= 8);
            assert_non_null(hora_st_find(st, "base_model.score.weight"));
            for (int i = 0; i < n; i++) {
                const hora_st_tensor *t = hora_st_at(st, i);
                const char *rest = hora_starts(t->name, "base_model.") ? t->name + 11 : NULL;
                names[i] = rest ? hora_format("base_model.model.%s", rest) : hora_strdup(t->name);
                e[i] = (hora_st_entry){names[i], t->view, HORA_F32};
            }
            if (old) {
                out = hora_test_path(tmp, "longer");
                assert_ok(hora_remove_tree(out));
                assert_int_equal(
                    hora_test_run(hora_test_text("cp -r '%s/prompts' '%s'", tmp, out), NULL, NULL),
                    0);
                assert_ok(
                    hora_st_write(hora_test_path(out, "adapter_model.safetensors"), e, n, NULL, 0));
            }
            assert_ok(hora_open_model(&o, model(),
                                      &(hora_open_options){.dtype = HORA_F32, .adapter = out}));
            assert_ok(hora_open_settle(&o, NULL, NULL, false, 0));
            assert_ok(hora_peft_load(&a, o.base, out, NULL));
            assert_ok(hora_open_trained(&o, &a, 1));
            const hora_param *p = hora_adapter_replacement(a, o.base->head);
            assert_non_null(p);
            assert_memory_equal(p->value, hora_st_find(st, "base_model.score.weight")->view.data,
                                (size_t)p->elems * sizeof(float));
            hora_peft_detach(a);
            hora_open_close(&o);
            for (int i = 0; i < n; i++)
                hora_free(names[i]);
            hora_st_close(st);
        }
    }
}

/* The adapter's folder tells task, classes and head; packing changes no number. */
static void measured_again(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(tasks); i++) {
        hora_run_result r;
        hora_eval_info info[2];
        hora_opened o = {0};
        hora_adapter *a;
        const char *out = hora_test_path(hora_test_tmp(), "again");
        assert_ok(train(tasks[i], "again", "steps=5", NULL, NULL, &r));
        assert_ok(
            hora_open_model(&o, model(), &(hora_open_options){.dtype = HORA_F32, .adapter = out}));
        assert_string_equal(o.objective.task->name, tasks[i]);
        assert_ok(hora_open_settle(&o, NULL, NULL, false, 0));
        assert_ok(hora_peft_load(&a, o.base, out, NULL));
        assert_ok(hora_open_trained(&o, &a, 1));
        for (int packing = 0; packing < 2; packing++) {
            hora_settings s = {0};
            hora_data_config c;
            hora_dataset *d;
            assert_ok(hora_settings_parse(&s, packing ? "seq_len=24" : "seq_len=24,packing=false",
                                          "test"));
            assert_ok(hora_options_take(&hora_data_options, &c, &s));
            assert_ok(hora_open_data(&o, &d, data_of(tasks[i]), &c));
            const hora_eval_parts p = {.base = o.base,
                                       .objective = &o.objective,
                                       .adapters = &a,
                                       .nadapters = 1,
                                       .data = d,
                                       .seq_len = 24,
                                       .batch_size = 3};
            assert_ok(hora_evaluate(&p, &info[packing], NULL));
            hora_dataset_close(d);
            hora_options_release(&hora_data_options, &c);
            hora_settings_release(&s);
        }
        assert_int_equal(info[0].tokens, info[1].tokens);
        assert_true(fabs(info[0].loss - info[1].loss) <= 1e-5 * (1 + info[0].loss));
        hora_peft_detach(a);
        hora_open_close(&o);
        assert_ok(hora_remove_tree(out));
    }
}

static void encoders(void **state) {
    model = tiny_encoder;
    they_learn(state);
    stopped_is_never_stopped(state);
    measured_again(state);
}

/* A of the first block's q, row by row (4, in), of a run that moves nothing. */
static double *a_of(const char *task, const char *out, const char *more, int64_t *in) {
    hora_run_result r;
    char *all = hora_format(
        "steps=1,lr=1e-30,weight_decay=0,eval_split=0,targets=q,overwrite=true,%s", more);
    assert_ok(train(task, out, all, NULL, NULL, &r));
    char *path = hora_path_join(hora_test_path(hora_test_tmp(), out), "adapter_model.safetensors");
    hora_st *st;
    assert_ok(hora_st_open(&st, path));
    const hora_st_tensor *t =
        hora_st_find(st, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    assert_non_null(t);
    const int64_t n = hora_elems(&t->view);
    double *a = hora_malloc((size_t)n * sizeof *a);
    assert_ok(hora_convert(a, HORA_F64, t->view.data, t->view.dtype, n));
    *in = t->view.shape.d[1];
    hora_st_close(st);
    hora_free(path);
    hora_free(all);
    return a;
}

static double cosine(const double *a, const double *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return fabs(ab) / sqrt(aa * bb);
}

/* Two classes part along one direction, which is the data's and no draw's: another seed finds it
 * again. Rows behind it are drawn, and every row is as long as its draw was. */
static void classes_give_the_start(void **state) {
    static const char *const which[] = {"sequence-classification", "token-classification"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        int64_t in;
        double *plain = a_of(which[i], "plain", "seed=1", &in);
        double *one = a_of(which[i], "one", "seed=1,semantic_start=true", &in);
        double *two = a_of(which[i], "two", "seed=2,semantic_start=true", &in);
        const int rank = i ? 2 : 1; /* tags are three: O, B-X, B-Y */
        for (int row = 0; row < rank; row++)
            assert_true(cosine(one + row * in, two + row * in, in) > 0.999);
        assert_true(cosine(plain, one, in) < 0.9);
        assert_memory_equal(one + rank * in, plain + rank * in,
                            (size_t)((4 - rank) * in) * sizeof *one);
        double length = 0, drawn = 0;
        for (int64_t k = 0; k < in; k++) {
            length += one[k] * one[k];
            drawn += plain[k] * plain[k];
        }
        assert_true(fabs(length - drawn) < 1e-5 * drawn);
        hora_free(plain);
        hora_free(one);
        hora_free(two);
    }
    hora_run_result r;
    assert_fails(train("regression", "none", "steps=1,semantic_start=true", NULL, NULL, &r),
                 HORA_EUSAGE, "no classes");
}

HORA_TESTS(law_tasks, {"they learn", they_learn, HORA_SHORT},
           {"heads beside prompts", heads_beside_prompts, HORA_SHORT},
           {"stopped and resumed = never stopped", stopped_is_never_stopped, HORA_SHORT},
           {"adapters bring head and classes; packed = unpacked", measured_again, HORA_SHORT},
           {"classes give the start", classes_give_the_start, HORA_SHORT},
           {"encoders: all of it", encoders, HORA_SHORT});
