/*
 * Adapters of other types than LoRA on modules that hold several sites (files/fused, made by
 * tools/oracle/make_fused_vectors.py): logits, loss and gradients are PEFT's; what is written again
 * is PEFT's form, of the same values; merged it computes the same. So with a LoRA and all biases of
 * whole encoders (files/encoders, make_encoder_vectors.py).
 */
#include "vectors/golden.h"

#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "interop/interop.h"
#include "peft/store.h"

#define MODEL "tiny_modernbert"

static const char *const cases[] = {"ia3",  "ia3_input", "loha", "lokr", "lokr_both",
                                    "vera", "hra",       "oft",  "boft"};

typedef struct places {
    const char *base, *batch;
} places;
static const places fused = {MODEL "/base", MODEL "/base/batch.safetensors"};

/* `model` holds the base and its batch. */
static void kit_open(golden_kit *k, const places *model, const char *folder) {
    golden_kit_model(k, golden_path(model->base), folder, HORA_F32);
    assert_ok(hora_peft_load(&k->a, k->o.base, folder, NULL));
    golden_kit_batch(k, golden_path(model->batch));
}

static void check_logits(golden_kit *k, const hora_st *want, const char *name) {
    const hora_st_tensor *t = hora_st_find(want, name);
    assert_non_null(t);
    assert_int_equal(hora_elems(&t->view), k->n);
    hora_assert_close(k->logits, t->view.data, (size_t)k->n, 1e-4, name);
}

/* The folder that is written has the tensors of PEFT's, and no other. */
static void check_written(const char *ours, const char *theirs) {
    hora_st *got, *want;
    assert_ok(hora_st_open(&got, hora_test_path(ours, "adapter_model.safetensors")));
    assert_ok(hora_st_open(&want, hora_test_path(theirs, "adapter_model.safetensors")));
    assert_int_equal(hora_st_count(got), hora_st_count(want));
    for (int i = 0; i < hora_st_count(want); i++) {
        const hora_st_tensor *w = hora_st_at(want, i), *g = hora_st_find(got, w->name);
        if (!g || !hora_shape_equal(&g->view.shape, &w->view.shape) || g->bytes != w->bytes ||
            memcmp(g->view.data, w->view.data, w->bytes))
            fail_msg("%s: %s", theirs, w->name);
    }
    hora_st_close(got);
    hora_st_close(want);
}

static void check_merged(golden_kit *k, const hora_st *want, const char *name) {
    float **w = hora_calloc((size_t)k->o.base->nweights, sizeof *w);
    hora_view *old = hora_calloc((size_t)k->o.base->nweights, sizeof *old);
    assert_ok(hora_peft_merge(&k->a, 1, w));
    hora_base_put_merged(k->o.base, w, old);
    k->f.nadapters = 0;
    assert_ok(hora_forward_run(&k->f, &k->batch));
    check_logits(k, want, name);
    k->f.nadapters = 1;
    hora_base_take_merged(k->o.base, w, old);
    hora_base_free_merged(k->o.base, w);
    hora_free(old);
}

/* As a plain LoRA, with the trained head beside it. */
static void check_exported(golden_kit *k, const hora_st *want, const char *name) {
    const hora_exporter *e = hora_exporter_named("peft");
    const hora_export x = {.base = k->o.base, .adapters = &k->a, .n = 1};
    const char *dir = hora_test_path(hora_test_tmp(), "exported");
    golden_kit back;
    if (!k->a->method->factors && !k->a->method->change_rank) {
        assert_fails(e->check(&x), HORA_EUNSUPPORTED, "no low-rank update");
        return;
    }
    assert_ok(e->check(&x));
    assert_ok(hora_mkdirs(dir));
    assert_ok(e->write(&x, dir));
    kit_open(&back, &fused, dir);
    assert_ok(hora_forward_run(&back.f, &back.batch));
    check_logits(&back, want, name);
    assert_string_equal(back.a->method->name, "lora");
    golden_kit_close(&back);
}

/* Logits (`logits` of the file, or the case's name), loss and gradients. */
static void check_values(golden_kit *k, const char *from, const hora_st *want, const char *name,
                         const char *logits, const char *loss) {
    hora_st *grads;
    assert_ok(hora_st_open(&grads, hora_test_path(from, "grads.safetensors")));
    k->f.grads = true;
    assert_ok(hora_forward_grads(k->a));
    assert_ok(hora_forward_run(&k->f, &k->batch));
    check_logits(k, want, logits);
    const float got = (float)k->f.loss;
    golden_compare(name, &got, want, loss, 1e-5, 0);
    golden_compare_grads(NULL, k->a, grads);
    hora_forward_grads_free(k->a);
    k->f.grads = false;
    hora_st_close(grads);
}

static void check_case(const char *name, const hora_st *want) {
    const char *from = hora_test_source(hora_test_text("tests/vectors/files/fused/%s", name));
    golden_kit k;
    kit_open(&k, &fused, from);
    check_values(&k, from, want, name, name, hora_test_text("%s.loss", name));
    const char *dir = hora_test_path(hora_test_tmp(), name);
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_peft_save(k.a, dir, NULL));
    check_written(dir, from);
    check_merged(&k, want, name);
    check_exported(&k, want, name);
    golden_kit_close(&k);
    kit_open(&k, &fused, dir); /* its configuration too */
    assert_ok(hora_forward_run(&k.f, &k.batch));
    check_logits(&k, want, name);
    golden_kit_close(&k);
}

static void test_fused(void **state) {
    (void)state;
    hora_st *want = golden_file("fused/expect.safetensors");
    for (size_t i = 0; i < HORA_COUNT(cases); i++)
        check_case(cases[i], want);
    hora_st_close(want);
}

/* What is read in each: files/encoders, by its maker's words. */
static void test_encoders(void **state) {
    static const char *const names[] = {"video", "modernbert", "dinov2"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        const char *folder = hora_test_text("encoders/%s", names[i]);
        const places model = {hora_test_path(folder, "base"),
                              hora_test_path(folder, "batch.safetensors")};
        const char *from = golden_path(folder), *dir = hora_test_path(hora_test_tmp(), names[i]);
        hora_st *want = golden_file(hora_test_path(folder, "expect.safetensors"));
        golden_kit k;
        kit_open(&k, &model, hora_test_path(from, "adapter"));
        check_values(&k, from, want, names[i], "logits", "loss");
        assert_ok(hora_mkdirs(dir));
        assert_ok(hora_peft_save(k.a, dir, NULL));
        check_merged(&k, want, "logits");
        golden_kit_close(&k);
        kit_open(&k, &model, dir);
        assert_ok(hora_forward_run(&k.f, &k.batch));
        check_logits(&k, want, "logits");
        golden_kit_close(&k);
        hora_st_close(want);
    }
}

HORA_TESTS(vectors_fused, {"modules of several sites as PEFT adapts them", test_fused, HORA_SHORT},
           {"whole encoders as PEFT adapts them", test_encoders, HORA_SHORT});
