/*
 * Eight AdamW steps of PyTorch, taken by the trainer: losses, norms of the gradient before
 * clipping, tensors after the steps, logits of the trained model.
 */
#include "vectors/golden.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "method_cases.h"
#include "train/train.h"

enum { STEPS = 8 };

/* The batch of a case as one micro-batch; arrays are borrowed from `r`. */
static hora_batch batch_of(const golden_run *r) {
    hora_batch b = {.rows = r->rows.rows,
                    .ids = r->ints[0],
                    .pos = r->ints[1],
                    .lo = r->ints[2],
                    .hi = r->ints[3],
                    .target = r->ints[4],
                    .weight = r->weight,
                    .patch = r->patch,
                    .leaves = r->rows.leaves};
    for (int64_t i = 0; i < b.rows; i++) {
        b.tokens += b.hi[i] > b.lo[i];
        b.supervised += b.target[i] >= 0;
    }
    return b;
}

static hora_training *train_open(hora_base *base, hora_adapter **a, const golden_run *r,
                                 const char *backends) {
    hora_settings s = {0};
    hora_train_config c;
    hora_training *t = NULL;
    assert_ok(hora_settings_parse(&s,
                                  "steps=8,lr=1e-3,schedule=constant,warmup=0,weight_decay=0.01,"
                                  "decay_all,clip=1",
                                  "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    c.batch_size = r->batch;
    c.backends = backends ? hora_strdup(backends) : NULL;
    c.device = backends ? hora_strdup("host") : NULL; /* ref is the host's */
    hora_training_parts p = {.base = base,
                             .objective = r->patch ? &r->objective : NULL,
                             .adapters = a,
                             .nadapters = 1,
                             .seq_len = r->length};
    assert_ok(hora_training_open(&t, &p, &c));
    assert_ok(hora_training_prepare(t));
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
    return t;
}

static const float *floats(const hora_st *st, const char *name, int64_t n) {
    const hora_st_tensor *t = hora_st_find(st, name);
    if (!t || hora_elems(&t->view) != n)
        fail_msg("the file has no %s of %lld numbers", name, (long long)n);
    return t->view.data;
}

static void eight_steps(const char *path, hora_training *t, hora_adapter *a, const hora_batch *b,
                        const hora_st *want) {
    const float *losses = floats(want, "losses", STEPS), *norms = floats(want, "grad_norms", STEPS);
    for (int k = 0; k < STEPS; k++) {
        hora_step_info i;
        const double more = golden_loss_beside(path) != 0 ? golden_adalora_loss(a) : 0;
        assert_ok(hora_training_step_on(t, b, 1, &i));
        golden_adalora_budget(a);
        i.loss += more;
        if (!(fabs(i.loss - losses[k]) <= 1e-4 * losses[k]))
            fail_msg("%s, step %d: loss %.9g, should be %.9g", path, k + 1, i.loss, losses[k]);
        if (!(fabs(i.grad_norm - norms[k]) <= 1e-3 * norms[k]))
            fail_msg("%s, step %d: norm %.9g, should be %.9g", path, k + 1, i.grad_norm, norms[k]);
    }
    hora_step_info none;
    assert_int_equal(hora_training_step_on(t, b, 1, &none), HORA_DONE);
}

/* 98 % of all entries within 1e-5, every one within 2 lr steps. */
typedef struct count {
    int64_t all, near;
} count;

static void compare(const char *path, const float *got, const float *want, int64_t n, count *c) {
    hora_assert_close(got, want, (size_t)n, 0.016, path);
    for (int64_t i = 0; i < n; i++)
        c->near += fabsf(got[i] - want[i]) <= 1e-5f;
    c->all += n;
}

static bool has_no_gradient(const hora_json *note, const char *name) {
    const hora_json *list = hora_json_get(note, "no_gradient");
    for (size_t i = 0; i < hora_json_len(list); i++)
        if (hora_eq(hora_json_string(hora_json_at(list, i), NULL), name))
            return true;
    return false;
}

static void compare_adapters(const char *path, const hora_adapter *got, const hora_adapter *want,
                             count *c) {
    assert_int_equal(got->nparams, want->nparams);
    for (int i = 0; i < got->nparams; i++) {
        const hora_param *p = got->params[i], *q = hora_adapter_find(want, p->name);
        assert_non_null(q);
        compare(path, p->value, q->value, p->elems, c);
    }
}

static void compare_file(const char *path, const hora_adapter *got, const hora_st *want,
                         const hora_json *note, count *c) {
    assert_int_equal(got->nparams, hora_st_count(want));
    for (int i = 0; i < got->nparams; i++) {
        const hora_param *p = got->params[i];
        const char *name = hora_param_file_name(p);
        if (hora_starts(name, "base_model.model.") && !hora_st_find(want, name))
            name += strlen("base_model.model."); /* a head beside what a method trains */
        const float *w = floats(want, name, p->elems);
        if (!has_no_gradient(note, name))
            compare(path, p->value, w, p->elems, c);
    }
}

static void run_case(const char *path, const method_case *row, const char *backend) {
    if (golden_host_only(row))
        return;
    char model[64], batch[128];
    hora_snprintf(model, sizeof model, "%.*s", (int)strcspn(path, "/"), path);
    hora_snprintf(batch, sizeof batch, "%s/base/batch.safetensors", model);
    char *dir = hora_format("%s/adapter", path), *after = hora_format("%s/adapter_step8", path);
    char *expect = hora_format("%s/expect.safetensors", path);
    char *values = hora_format("%s/step8.safetensors", path);
    char *json = hora_format("%s/case.json", path);
    char *init = hora_format("%s/init.safetensors", path);
    char *network = hora_format("%s/trainable_step8.safetensors", path);
    const bool plain = golden_has(init) || golden_has(network) || !golden_has(dir);
    hora_base *b = golden_base(model, HORA_F32);
    hora_adapter *a = golden_start(b, row, path);
    golden_run r;
    golden_options o = {.backends = backend};
    /* for the batch alone, with the rows that the adapter wants in it */
    golden_open(&r, b, &a, hora_adapters_slots(&a, 1) > 0, batch, &o);
    hora_st *want = golden_file(expect);
    hora_json *note;
    assert_ok(hora_json_load(&note, golden_path(json)));
    hora_training *t = train_open(b, &a, &r, backend);
    hora_batch one = batch_of(&r);
    eight_steps(path, t, a, &one, want);
    count c = {0, 0};
    hora_adapter_refresh(a);
    if (plain) {
        hora_st *file = golden_file(golden_has(network) ? network : values);
        compare_file(path, a, file, note, &c);
        hora_st_close(file);
    } else {
        hora_adapter *trained;
        assert_ok(hora_peft_load(&trained, b, golden_path(after), NULL));
        compare_adapters(path, a, trained, &c);
        hora_peft_detach(trained);
    }
    if (!((double)c.near >= 0.98 * (double)c.all) || !c.all)
        fail_msg("%s: %lld of %lld entries within 1e-5", path, (long long)c.near, (long long)c.all);
    hora_training_free(t);
    golden_close(&r);
    golden_open(&r, b, &a, 1, batch, &o);
    golden_compare(path, golden_logits(&r), want, "logits_after", 1e-3, 1e-3);
    golden_close(&r);
    hora_json_free(note);
    hora_st_close(want);
    hora_peft_detach(a);
    hora_base_close(b);
    char *const strings[] = {dir, init, network, after, expect, values, json};
    for (size_t i = 0; i < HORA_COUNT(strings); i++)
        hora_free(strings[i]);
}

static void own_case(const char *path, const method_case *row) {
    run_case(path, row, "ref");
    run_case(path, row, NULL);
}

static void shared_case(const char *path, const method_case *row) {
    run_case(path, row, NULL);
}

static void test_own(void **state) {
    (void)state;
    assert_true(method_golden_each(true, own_case) >= 8);
}

static void test_shared(void **state) {
    (void)state;
    assert_true(method_golden_each(false, shared_case) >= 30);
}

HORA_TESTS(vectors_steps, {"eight AdamW steps", test_own, HORA_SHORT},
           {"eight AdamW steps: all cases", test_shared, HORA_MEDIUM});
