/*
 * Classification and regression against transformers and PEFT: logits, loss, every gradient, eight
 * steps, merged logits, adapters in and out. Through the doors that the commands use: run/open.h
 * and infer/forward.h.
 */
#include "vectors/golden.h"

#include <math.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "peft/store.h"
#include "train/train.h"

enum { STEPS = 8 };
static const char *const models[] = {GOLDEN_TASK_MODELS};

static char *at(const char *model, const char *rest) {
    return hora_format("%s/%s/%s", hora_test_shared("vectors"), model, rest);
}

/* A model's case and the row of methods.def that names it; `name` NULL: the base, all of it
 * trained. */
typedef struct which {
    const char *model, *name;
    const method_case *row;
} which;

/* Calls fn for every case of the models that a row names; returns how many. */
static int each_case(void (*fn)(which w)) {
    int seen = 0;
    for (size_t m = 0; m < HORA_COUNT(models); m++)
        for (int i = 0; i < method_case_count(); i++) {
            const method_case *row = method_case_at(i);
            char *names = hora_strdup(row->golden), *rest = NULL;
            for (char *p = strtok_r(names, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
                char *inside = hora_format("%s/case.json", p), *path = at(models[m], inside);
                if (hora_path_exists(path)) {
                    if (hora_test_asked(row->method))
                        fn((which){models[m], p, row});
                    seen++;
                }
                hora_free(inside);
                hora_free(path);
            }
            hora_free(names);
        }
    return seen;
}

static char *in_case(which w, const char *rest) {
    char *inside = hora_format("%s/%s", w.name ? w.name : "base", rest);
    char *path = at(w.model, inside);
    hora_free(inside);
    return path;
}

/* The loss that a case has beside its task's own: AdaLoRA's term, but for pictures. */
static double beside(which w) {
    char *path = hora_format("%s/%s", w.model, w.name ? w.name : "base");
    const double more = golden_loss_beside(path);
    hora_free(path);
    return more;
}

/* The adapter that a case starts from: its folder, or what its row attaches with the values of
 * init.safetensors. BitFit trains the head too. */
static void start(golden_kit *k, which w) {
    char *folder = in_case(w, "adapter"), *init = in_case(w, "init.safetensors");
    k->o.base->head_trains = !w.name || hora_eq(w.row->method, "bitfit");
    if (w.name && hora_path_exists(folder) && !hora_path_exists(init)) {
        char *path = hora_format("%s/%s", w.model, w.name);
        char *from = golden_folder(w.row, path, folder);
        assert_ok(hora_peft_load(&k->a, k->o.base, from, NULL));
        hora_free(from);
        hora_free(path);
    } else {
        const bool values = w.name && hora_path_exists(init);
        k->a =
            golden_attach(k->o.base, w.name ? w.row->method : "full", values ? w.row->options : "");
        assert_ok(hora_adapter_allocate(k->a));
        char *dir = in_case(w, "");
        if (values)
            assert_ok(hora_params_read(k->a, dir, "init.safetensors", ""));
        hora_free(dir);
    }
    hora_free(folder);
    hora_free(init);
}

static void kit_open_in(golden_kit *k, which w, hora_dtype dtype) {
    char *dir = at(w.model, "base"), *batch = at(w.model, "base/batch.safetensors");
    char *from = w.name ? in_case(w, "adapter") : NULL;
    golden_kit_model(k, dir, from && hora_path_exists(from) ? from : NULL, dtype);
    start(k, w);
    golden_kit_batch(k, batch);
    hora_free(dir);
    hora_free(batch);
    hora_free(from);
}

static void kit_open(golden_kit *k, which w) {
    kit_open_in(k, w, HORA_F32);
}

/* Rows of a sample. */
static int64_t length(const golden_kit *k) {
    return k->o.base->vision ? hora_vision_rows(k->o.base->vision) : k->batch.t;
}

/* Padding is computed by both, so all logits are compared; token classification's padded queries
 * see what sdpa lets them see. */
static void check_forward(golden_kit *k, which w) {
    const which files = {w.model, w.name ? w.name : "base", NULL};
    const char *model = w.model, *what = files.name;
    char *ep = in_case(files, "expect.safetensors"), *gp = in_case(files, "grads.safetensors");
    hora_st *want, *wantg = NULL;
    assert_ok(hora_st_open(&want, ep));
    if (hora_path_exists(gp))
        assert_ok(hora_st_open(&wantg, gp));
    k->f.grads = true;
    assert_ok(hora_forward_grads(k->a));
    assert_ok(hora_forward_run(&k->f, &k->batch));
    const hora_st_tensor *t = hora_st_find(want, "logits");
    assert_non_null(t);
    assert_int_equal(hora_elems(&t->view), k->n);
    const int64_t width = t->view.shape.d[t->view.shape.n - 1];
    const bool tokens = t->view.shape.n == 3;
    for (int64_t i = 0; i < k->n / width; i++)
        if (!tokens || !k->batch.mask || k->batch.mask[i])
            hora_assert_close(k->logits + i * width, (const float *)t->view.data + i * width,
                              (size_t)width, 1e-4, model);
    const double more = beside(files); /* a forward pass has the task's loss and gradients alone */
    float loss = (float)(k->f.loss + more);
    golden_compare(what, &loss, want, "loss", 1e-5, 0);
    if (wantg && more == 0)
        golden_compare_grads(NULL, k->a, wantg);
    hora_forward_grads_free(k->a);
    hora_st_close(want);
    hora_st_close(wantg);
    hora_free(ep);
    hora_free(gp);
}

static void test_base(void **state) {
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(models); m++) {
        const which w = {models[m], NULL, NULL};
        golden_kit k;
        kit_open(&k, w);
        check_forward(&k, w);
        golden_kit_close(&k);
    }
}

static void forward_case(which w) {
    golden_kit k;
    kit_open(&k, w);
    check_forward(&k, w);
    golden_kit_close(&k);
}

static void test_adapters(void **state) {
    (void)state;
    assert_true(each_case(forward_case) >= 20);
}

/* --- eight steps ------------------------------------------------------------------------------ */
/* The outside batch as a trainer's micro-batch. */
static void make_batch(const golden_kit *k, hora_batch *b) {
    const hora_objective *o = &k->o.objective;
    hora_leaves leaves = hora_leaves_plain();
    leaves.columns[HORA_LEAF_value] = o->loss == HORA_LOSS_XENT ? 0 : o->classes;
    if (k->o.base->vision)
        leaves.columns[HORA_LEAF_patch] = hora_vision_columns(k->o.base->vision);
    assert_ok(hora_batch_init(b, k->batch.b * length(k), &leaves));
    assert_ok(hora_forward_fill(&k->f, &k->batch, b));
}

static void steps(golden_kit *k, which w) {
    if (golden_host_only(w.row))
        return;
    const char *model = w.model, *method = w.name;
    hora_settings s = {0};
    hora_train_config c;
    hora_training *t;
    hora_batch b;
    char *path = in_case(w, "expect.safetensors");
    hora_st *want;
    assert_ok(hora_st_open(&want, path));
    assert_ok(hora_settings_parse(&s,
                                  "steps=8,lr=1e-3,schedule=constant,warmup=0,weight_decay=0.01,"
                                  "decay_all,clip=1",
                                  "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    c.batch_size = k->batch.b;
    k->o.objective.head_dropout = 0; /* the vectors were made in eval() */
    const hora_training_parts p = {.base = k->o.base,
                                   .objective = &k->o.objective,
                                   .adapters = &k->a,
                                   .nadapters = 1,
                                   .seq_len = length(k)};
    assert_ok(hora_training_open(&t, &p, &c));
    assert_ok(hora_training_prepare(t));
    make_batch(k, &b);
    const float *losses = hora_st_find(want, "losses")->view.data;
    const float *norms = hora_st_find(want, "grad_norms")->view.data;
    for (int i = 0; i < STEPS; i++) {
        hora_step_info info;
        const double more = beside(w) != 0 ? golden_adalora_loss(k->a) : 0;
        assert_ok(hora_training_step_on(t, &b, 1, &info));
        golden_adalora_budget(k->a);
        info.loss += more;
        if (!(fabs(info.loss - losses[i]) <= 1e-4 * losses[i]))
            fail_msg("%s/%s, step %d: loss %.9g, should be %.9g", model, method, i + 1, info.loss,
                     losses[i]);
        if (!(fabs(info.grad_norm - norms[i]) <= 1e-3 * norms[i]))
            fail_msg("%s/%s, step %d: norm %.9g, should be %.9g", model, method, i + 1,
                     info.grad_norm, norms[i]);
    }
    hora_training_free(t);
    hora_batch_release(&b);
    hora_st_close(want);
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
    hora_free(path);
}

static bool listed(const hora_json *names, const char *name) {
    for (size_t i = 0; i < hora_json_len(names); i++)
        if (hora_eq(hora_json_string(hora_json_at(names, i), NULL), name))
            return true;
    return false;
}

/* 98 % of all entries within 1e-5, every one within 2 lr steps. `spared`: tensors whose gradient is
 * rounding alone (key biases, which softmax does not see), as the cases list them; may be NULL. */
static void compare_values(const hora_adapter *got, const hora_adapter *want,
                           const hora_json *spared, const char *what) {
    int64_t near = 0, all = 0;
    assert_int_equal(got->nparams, want->nparams);
    for (int i = 0; i < got->nparams; i++) {
        const hora_param *p = got->params[i], *q = hora_adapter_find(want, p->name);
        assert_non_null(q);
        if (listed(spared, p->name) || listed(spared, hora_param_file_name(p)))
            continue;
        hora_assert_close(p->value, q->value, (size_t)p->elems, 0.016, what);
        for (int64_t e = 0; e < p->elems; e++)
            near += fabsf(((const float *)p->value)[e] - ((const float *)q->value)[e]) <= 1e-5f;
        all += p->elems;
    }
    if (!((double)near >= 0.98 * (double)all))
        fail_msg("%s: %lld of %lld entries within 1e-5", what, (long long)near, (long long)all);
}

/* Values after the steps: of a folder, or of step8.safetensors. */
static void compare_trained(golden_kit *k, which w) {
    char *folder = in_case(w, "adapter_step8"), *dir = in_case(w, "");
    char *own = in_case(w, "step8.safetensors"); /* beside a folder that others may read */
    hora_adapter *trained;
    if (!hora_path_exists(own)) {
        assert_ok(hora_peft_load(&trained, k->o.base, folder, NULL));
    } else {
        const bool values = !hora_eq(w.row->method, "full") && !hora_eq(w.row->method, "bitfit");
        k->o.base->head_trains = hora_eq(w.row->method, "bitfit");
        *k->o.base->head_owner = NULL;
        trained = golden_attach(k->o.base, w.row->method, values ? w.row->options : "");
        assert_ok(hora_adapter_allocate(trained));
        assert_ok(hora_params_read(trained, dir, "step8.safetensors", ""));
    }
    char *path = in_case(w, "case.json");
    hora_json *note;
    assert_ok(hora_json_load(&note, path));
    compare_values(k->a, trained, hora_json_get(note, "no_gradient"), folder);
    hora_json_free(note);
    hora_free(path);
    hora_peft_detach(trained);
    hora_free(folder);
    hora_free(own);
    hora_free(dir);
}

static void steps_case(which w) {
    golden_kit k;
    kit_open(&k, w);
    steps(&k, w);
    compare_trained(&k, w);
    golden_kit_close(&k);
}

static void test_steps(void **state) {
    (void)state;
    assert_true(each_case(steps_case) >= 20);
}

/* --- adapters out and in again, merged -------------------------------------------------------- */
static void round_trip(which w) {
    const char *out = hora_test_path(hora_test_tmp(), "saved");
    golden_kit k;
    hora_adapter *again;
    hora_peft_config c;
    kit_open(&k, w);
    if (!hora_eq(w.row->method, "full")) { /* a model of its own */
        assert_ok(hora_mkdirs(out));
        assert_ok(hora_peft_save(k.a, out, NULL));
        assert_ok(hora_peft_load(&again, k.o.base, out, NULL));
        compare_values(again, k.a, NULL, w.name);
        hora_peft_detach(again);
    }
    if (hora_eq(w.row->method, "lora")) {
        assert_ok(hora_peft_config_load(&c, out));
        assert_true(k.o.base->vision ? !c.task_type /* PEFT has no word for it */
                                     : hora_eq(c.task_type, k.o.objective.task->task_type));
        const hora_base *b = k.o.base;
        bool head = false;
        for (int s = 0; s < c.n_save; s++)
            head |= hora_eq(c.modules_to_save[s], b->head_saved ? b->head_saved : b->head_module);
        assert_true(head);
        hora_peft_config_release(&c);
    }
    assert_ok(hora_remove_tree(out));
    golden_kit_close(&k);
}

static void test_round_trip(void **state) {
    (void)state;
    assert_true(each_case(round_trip) >= 20);
}

/* The merged model, saved and opened as a directory of its own, gives the adapter's logits. */
static void merged_case(which w) {
    const char *out = hora_test_path(hora_test_tmp(), "merged");
    golden_kit k;
    kit_open(&k, w);
    float **values = hora_calloc((size_t)k.o.base->nweights, sizeof *values);
    assert_ok(hora_forward_run(&k.f, &k.batch));
    const hora_status s = hora_peft_merge(&k.a, 1, values);
    if (!s) {
        assert_ok(hora_mkdirs(out));
        assert_ok(hora_base_save(k.o.base, out, values, HORA_F32));
    } else {
        assert_int_equal(s, HORA_EUNSUPPORTED); /* a method that changes no weight */
    }
    for (int j = 0; j < k.o.base->nweights; j++)
        hora_free(values[j]);
    hora_free(values);
    if (!s) {
        hora_opened merged = {0};
        assert_ok(hora_open_model(&merged, out, &(hora_open_options){.dtype = HORA_F32}));
        assert_ok(hora_open_settle(&merged, NULL, NULL, false, 0));
        assert_ptr_equal(merged.objective.task, k.o.objective.task);
        assert_int_equal(merged.objective.classes, k.o.objective.classes);
        hora_forward f = k.f;
        f.base = merged.base;
        f.objective = &merged.objective;
        f.nadapters = 0;
        f.logits = hora_calloc((size_t)k.n, sizeof(float));
        assert_ok(hora_forward_run(&f, &k.batch));
        hora_assert_close(f.logits, k.logits, (size_t)k.n, 1e-4, "merged");
        hora_free(f.logits);
        hora_open_close(&merged);
        assert_ok(hora_remove_tree(out));
    }
    golden_kit_close(&k);
}

static void test_merged(void **state) {
    (void)state;
    assert_true(each_case(merged_case) >= 20);
}

/* --- finite differences ----------------------------------------------------------------------- */
static double loss_at(golden_kit *k, double *x, double value) {
    const double was = *x;
    *x = value;
    assert_ok(hora_forward_run(&k->f, &k->batch));
    *x = was;
    return k->f.loss;
}

/* In f64: some entries of every trained tensor, the head's among them. */
static void differentiate(golden_kit *k, const char *what) {
    hora_rng r = hora_rng_new(5, what);
    k->f.logits = NULL;
    k->f.grads = true;
    assert_ok(hora_forward_grads(k->a));
    assert_ok(hora_forward_run(&k->f, &k->batch));
    k->f.grads = false;
    for (int i = 0; i < k->a->nparams; i++) {
        const hora_param *p = k->a->params[i];
        for (int n = 0; n < 3; n++) {
            const int64_t e = hora_rng_below(&r, p->elems);
            double *x = (double *)p->value + e, h = 1e-5;
            const double g = ((const double *)p->grad)[e];
            const double d = (loss_at(k, x, *x + h) - loss_at(k, x, *x - h)) / (2 * h);
            if (!(fabs(d - g) <= 1e-6 * (1 + fabs(g))))
                fail_msg("%s: %s[%lld]: gradient %.9g, difference %.9g", what, p->name,
                         (long long)e, g, d);
        }
    }
    hora_forward_grads_free(k->a);
}

static void test_differences(void **state) {
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(models); m++) {
        golden_kit k;
        kit_open_in(&k, (which){models[m], "lora_qv", method_case_at(0)}, HORA_F64);
        differentiate(&k, models[m]);
        golden_kit_close(&k);
    }
    golden_kit k; /* several labels at once */
    kit_open_in(&k, (which){models[0], "lora_qv", method_case_at(0)}, HORA_F64);
    k.o.objective.loss = HORA_LOSS_BCE;
    hora_free(k.batch.labels);
    k.batch.per = k.o.objective.classes;
    k.batch.labels = hora_calloc((size_t)(k.batch.b * k.batch.per), sizeof(double));
    for (int64_t i = 0; i < k.batch.b * k.batch.per; i += 2)
        k.batch.labels[i] = 1;
    differentiate(&k, "several labels");
    golden_kit_close(&k);
}

HORA_TESTS(vectors_tasks, {"base: logits, loss, gradients", test_base, HORA_SHORT},
           {"adapters: logits, loss, gradients", test_adapters, HORA_SHORT},
           {"eight AdamW steps", test_steps, HORA_SHORT},
           {"finite differences", test_differences, HORA_SHORT},
           {"adapters out and in again", test_round_trip, HORA_SHORT},
           {"merged models", test_merged, HORA_SHORT});
