/* Causal models against PyTorch and PEFT: logits, loss, every gradient, padded batches, merged
 * logits; on ref and on the fastest backend. */
#include "vectors/golden.h"

#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "method_cases.h"

/* The first OWN_MODELS ship with the project, the rest lies in ../shared. */
static const char *const models[] = {"tiny_llama",       "tiny_qwen2",      "tiny_qwen3",
                                     "tiny_llama_rope3", "tiny_llama_yarn", "tiny_mistral",
                                     "stories260k"};
enum { OWN_MODELS = 3 };
static const char *const backends[] = {"ref", NULL};

/* `more`: what the loss has beside the task's. */
static void check_loss(golden_run *r, const hora_st *want, double more) {
    float got = (float)(hora_graph_scalar(r->g, r->loss) + more);
    golden_compare("loss", &got, want, "loss", 1e-5, 0);
}

/* Full fine-tuning reaches every gradient. Padding: logits are compared at real tokens only. */
static void base_case(const char *model, const char *backend, const char *prefix) {
    hora_base *b = golden_base(model, HORA_F32);
    hora_adapter *full = golden_attach(b, "full", "");
    assert_ok(hora_adapter_allocate(full));
    char *batch = hora_format("%s/base/%sbatch.safetensors", model, prefix);
    char *expect = hora_format("%s/base/%sexpect.safetensors", model, prefix);
    char *grads = hora_format("%s/base/%sgrads.safetensors", model, prefix);
    golden_run r;
    golden_open(&r, b, &full, 1, batch,
                &(golden_options){.backends = backend, .backward = true, .poison = true});
    hora_st *want = golden_file(expect), *wantg = golden_file(grads);
    const float *w = hora_st_find(want, "logits")->view.data, *got = golden_logits(&r);
    for (int64_t i = 0; i < r.rows.rows; i++)
        if (r.rows.hi[i] > r.rows.lo[i])
            hora_assert_close(got + i * b->vocab, w + i * b->vocab, (size_t)b->vocab, 1e-4, model);
    check_loss(&r, want, 0);
    golden_compare_grads(&r, full, wantg);
    hora_st_close(want);
    hora_st_close(wantg);
    golden_close(&r);
    hora_peft_detach(full);
    hora_base_close(b);
    hora_free(batch);
    hora_free(expect);
    hora_free(grads);
}

static void bases(size_t from, size_t to) {
    for (size_t m = from; m < to; m++)
        for (size_t k = 0; k < HORA_COUNT(backends); k++)
            base_case(models[m], backends[k], "");
}

static void test_base(void **state) {
    (void)state;
    bases(0, OWN_MODELS);
}

static void test_base_shared(void **state) {
    (void)state;
    hora_test_shared("vectors");
    bases(OWN_MODELS, HORA_COUNT(models));
}

static void test_padded(void **state) {
    static const char *const padded[] = {"tiny_llama", "tiny_qwen2", "tiny_qwen3"};
    (void)state;
    for (size_t k = 0; k < HORA_COUNT(backends); k++)
        for (size_t m = 0; m < HORA_COUNT(padded); m++)
            base_case(padded[m], backends[k], "padded_");
}

static void split_case(const char *path, char model[64], char batch[128]) {
    snprintf(model, 64, "%.*s", (int)strcspn(path, "/"), path);
    snprintf(batch, 128, "%s/base/batch.safetensors", model);
}

/* Merged weights in the place of the base's give the same logits. */
static void check_merged(hora_base *b, hora_adapter *a, const char *batch, const hora_st *want,
                         const char *backend) {
    float **merged = hora_calloc((size_t)b->nweights, sizeof *merged);
    void **kept = hora_calloc((size_t)b->nweights, sizeof *kept);
    const hora_status s = hora_peft_merge(&a, 1, merged);
    if (s == HORA_EUNSUPPORTED && hora_eq(a->method->name, "kadapt") && b->sites[0].bias < 0) {
        hora_free(merged); /* its bias has no place in this model */
        hora_free(kept);
        return;
    }
    assert_ok(s);
    for (int w = 0; w < b->nweights; w++)
        if (merged[w]) {
            kept[w] = b->weights[w].view.data;
            b->weights[w].view.data = merged[w];
            b->weights[w].tied = false;
        }
    golden_run r;
    golden_open(&r, b, NULL, 0, batch,
                &(golden_options){.backends = backend, .mode = HORA_NET_EVAL});
    if (hora_st_find(want, "merged_logits")) /* PEFT cannot merge all that it computes */
        golden_compare("merged", golden_logits(&r), want, "merged_logits", 0, 1e-4);
    golden_compare("merged", golden_logits(&r), want, "logits", 0, 1e-4);
    golden_close(&r);
    for (int w = 0; w < b->nweights; w++) {
        if (merged[w])
            b->weights[w].view.data = kept[w];
        hora_free(merged[w]);
    }
    b->weights[b->head].tied = b->tied;
    hora_free(merged);
    hora_free(kept);
}

/* What is saved is the folder that was opened: same names, same shapes, same values. */
static void check_saved(const char *path, hora_adapter *a) {
    const char *dir = hora_test_path(hora_test_tmp(), "saved");
    char *file = hora_format("%s/adapter/adapter_model.safetensors", path);
    hora_st *was = golden_file(file), *is;
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_peft_save(a, dir, NULL));
    assert_ok(hora_st_open(&is, hora_test_path(dir, "adapter_model.safetensors")));
    assert_int_equal(hora_st_count(is), hora_st_count(was));
    for (int i = 0; i < hora_st_count(was); i++) {
        const hora_st_tensor *w = hora_st_at(was, i), *t = hora_st_find(is, w->name);
        if (!t || !hora_shape_equal(&t->view.shape, &w->view.shape))
            fail_msg("%s: saved without %s, or in another shape", path, w->name);
        hora_assert_close(t->view.data, w->view.data, (size_t)hora_elems(&w->view), 1e-5, w->name);
    }
    hora_st_close(is);
    hora_st_close(was);
    hora_free(file);
}

/* Where the golden tensors have no folder: what is saved is claimed by the method, with the same
 * values. */
static void check_own(hora_adapter *a) {
    const char *dir = hora_test_path(hora_test_tmp(), "saved");
    hora_adapter *back;
    assert_ok(hora_remove_tree(dir)); /* of an earlier case */
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_peft_save(a, dir, NULL));
    assert_ok(hora_peft_load(&back, a->base, dir, NULL));
    assert_ptr_equal(back->method, a->method);
    assert_int_equal(back->nparams, a->nparams);
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i], *q = hora_adapter_find(back, p->name);
        assert_non_null(q);
        assert_true(hora_shape_equal(&p->shape, &q->shape));
        assert_memory_equal(p->value, q->value, (size_t)p->elems * sizeof(float));
    }
    hora_peft_detach(back);
}

static void run_case(const char *path, const method_case *row, const char *backend) {
    char model[64], batch[128];
    split_case(path, model, batch);
    hora_base *b = golden_base(model, HORA_F32);
    char *dir = hora_format("%s/adapter", path),
         *expect = hora_format("%s/expect.safetensors", path);
    char *grads = hora_format("%s/grads.safetensors", path);
    hora_adapter *a = golden_start(b, row, path);
    assert_string_equal(a->method->name, row->method);
    golden_run r;
    golden_open(&r, b, &a, 1, batch,
                &(golden_options){.backends = backend, .backward = true, .poison = true});
    hora_st *want = golden_file(expect), *wantg = golden_file(grads);
    golden_compare(path, golden_logits(&r), want, "logits", 0, 1e-4);
    check_loss(&r, want, golden_loss_beside(path));
    golden_compare_grads(&r, a, wantg);
    if (a->method->merge)
        check_merged(b, a, batch, want, backend);
    if (golden_has(dir))
        check_saved(path, a);
    else
        check_own(a);
    golden_close(&r);
    hora_st_close(want);
    hora_st_close(wantg);
    hora_peft_detach(a);
    hora_base_close(b);
    hora_free(dir);
    hora_free(expect);
    hora_free(grads);
}

/* A case with neither an adapter nor values starts from the base: test_steps. */
static void adapter_case(const char *path, const method_case *row) {
    char *dir = hora_format("%s/adapter", path), *init = hora_format("%s/init.safetensors", path);
    const bool there = golden_has(dir) || golden_has(init);
    hora_free(dir);
    hora_free(init);
    for (size_t k = 0; k < HORA_COUNT(backends) && there; k++)
        run_case(path, row, backends[k]);
}

static void test_adapters(void **state) {
    (void)state;
    assert_true(method_golden_each(true, adapter_case) >= 7);
}

static void test_adapters_shared(void **state) {
    (void)state;
    assert_true(method_golden_each(false, adapter_case) >= 25);
}

HORA_TESTS(vectors_causal, {"base logits, loss, gradients", test_base, HORA_SHORT},
           {"base logits, loss, gradients: all models", test_base_shared, HORA_MEDIUM},
           {"padded batches", test_padded, HORA_SHORT},
           {"adapters: logits, loss, gradients, merged logits", test_adapters, HORA_SHORT},
           {"adapters: all cases", test_adapters_shared, HORA_MEDIUM});
