/* Laws at the front door: an adapter off is the base, saved is loaded, merged is attached, exported
 * is merged, cached is uncached, scores are logits. */
#include <math.h>

#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "hora/hora.h"
#include "hora_test.h"
#include "nn/adapter.h"
#include "tiny_model.h"

static const int32_t ids[] = {0, 17, 40, 9, 66, 31, 5, 80, 12};
enum { N = sizeof ids / sizeof *ids, Z = N * TINY_VOCAB };

static void logits(hora_model *m, float *z) {
    hora_predictor *p;
    assert_ok(hora_predictor_new(&p, m, NULL));
    assert_ok(hora_predictor_logits(p, ids, N, z));
    hora_predictor_free(p);
}

static double apart(const float *a, const float *b) {
    double worst = 0;
    for (int i = 0; i < Z; i++)
        worst = fmax(worst, fabs((double)a[i] - b[i]));
    return worst;
}

/* A few steps, so that the adapter does something. */
static void train(hora_model *m, const char *options) {
    hora_str text = {0};
    for (int i = 0; i < 40; i++)
        hora_str_puts(&text, "a rolling stone gathers no moss\n");
    const char *path = tiny_file("moss.txt", text.s);
    hora_data *d;
    hora_trainer *t;
    double before, after, step;
    hora_status s;
    hora_str_release(&text);
    assert_ok(hora_data_open(&d, m, path, "seq_len=32"));
    assert_true(hora_data_sequences(d) > 10);
    assert_ok(hora_trainer_new(&t, m, d, options));
    assert_ok(hora_trainer_eval(t, d, &before));
    while ((s = hora_trainer_step(t)) == HORA_OK)
        ;
    assert_int_equal(s, HORA_DONE);
    assert_ok(hora_trainer_eval(t, d, &after));
    assert_ok(hora_trainer_get(t, "step", &step));
    assert_true(step == 6);
    assert_true(after < before);
    hora_trainer_free(t);
    hora_data_close(d);
}

static void method_case(const char *method, const char *options) {
    hora_model *m, *fresh;
    hora_adapter *a, *b;
    float base[Z], attached[Z], other[Z];
    double off;
    const char *dir = hora_test_path(hora_test_tmp(), method);
    char *merged = hora_format("%s-merged", dir);
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    logits(m, base);
    assert_ok(hora_adapter_attach(&a, m, method, options));
    logits(m, other);
    hora_assert_close(other, base, Z, 0, "a fresh adapter changes nothing");
    train(m, "steps=6,batch_size=4,lr=1e-2");
    logits(m, attached);
    assert_true(apart(attached, base) > 1e-3);
    hora_adapter_enable(a, false);
    logits(m, other);
    hora_assert_close(other, base, Z, 0, "switched off");
    hora_adapter_enable(a, true);

    assert_ok(hora_adapter_save(a, dir));
    assert_ok(hora_model_open(&fresh, tiny_model(), NULL));
    assert_ok(hora_adapter_load(&b, fresh, dir, NULL));
    logits(fresh, other);
    hora_assert_close(other, attached, Z, 0, "saved and loaded");
    hora_model_close(fresh);

    assert_ok(hora_model_verify(m, 20, &off));
    assert_true(off < 1e-4);
    assert_ok(hora_model_export(m, merged, NULL));
    assert_fails(hora_model_export(m, merged, NULL), HORA_EEXISTS, "overwrite");
    assert_ok(hora_model_export(m, merged, "overwrite=true"));
    assert_ok(hora_model_open(&fresh, merged, NULL));
    logits(fresh, other);
    hora_assert_close(other, attached, Z, 1e-4, "exported");
    hora_model_close(fresh);
    assert_ok(hora_adapter_merge(a));
    logits(m, other);
    hora_assert_close(other, attached, Z, 1e-4, "merged in memory");
    /* its values are new to the files: none is copied from the source */
    assert_ok(hora_model_export(m, merged, "overwrite=true,dtype=source"));
    assert_ok(hora_model_open(&fresh, merged, NULL));
    logits(fresh, other);
    hora_assert_close(other, attached, Z, 1e-4, "merged in memory and exported as the source");
    hora_model_close(fresh);
    hora_free(merged);
    hora_model_close(m);
}

static void test_lora(void **state) {
    (void)state;
    method_case("lora", "rank=2,targets=q+v+o");
}
static void test_hora(void **state) {
    (void)state;
    method_case("hora", "rank=2,targets=q+k+v+o");
}

/* Two adapters at once are folded one after the other. */
static void test_two(void **state) {
    (void)state;
    hora_model *m, *fresh;
    hora_adapter *a, *b;
    float attached[Z], other[Z];
    double off;
    const char *dir = hora_test_path(hora_test_tmp(), "both");
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_adapter_attach(&a, m, "lora", "rank=2,targets=q"));
    assert_ok(hora_adapter_attach(&b, m, "hora", "rank=2,targets=q+v"));
    train(m, "steps=6,batch_size=4,lr=1e-2");
    logits(m, attached);
    assert_ok(hora_model_verify(m, 20, &off));
    assert_true(off < 1e-4);
    assert_ok(hora_model_export(m, dir, NULL));
    assert_ok(hora_model_open(&fresh, dir, NULL));
    logits(fresh, other);
    hora_assert_close(other, attached, Z, 1e-4, "both exported");
    hora_model_close(fresh);
    hora_model_close(m); /* detaches what is still attached */
}

static void test_prediction(void **state) {
    (void)state;
    hora_model *m;
    hora_predictor *p, *plain;
    hora_ids x = {0}, y = {0};
    hora_str text = {0};
    float z[Z];
    double logp, want = 0;
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_predictor_new(&p, m, "context=64,prefill=3"));
    assert_ok(hora_predictor_new(&plain, m, "context=64,cache=false"));
    assert_ok(hora_predictor_logits(p, ids, N, z));
    for (int i = 2; i < N; i++) {
        const float *row = z + (i - 1) * TINY_VOCAB;
        double sum = 0;
        for (int k = 0; k < TINY_VOCAB; k++)
            sum += exp(row[k]);
        want += row[ids[i]] - log(sum);
    }
    assert_ok(hora_predictor_score(p, ids, N, 2, &logp));
    assert_true(fabs(logp - want) < 1e-4);
    assert_ok(hora_predictor_generate(p, ids, N, "max_new_tokens=20", &x, &text, NULL, NULL));
    assert_ok(hora_predictor_generate(plain, ids, N, "max_new_tokens=20", &y, NULL, NULL, NULL));
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.at, y.at, x.n * sizeof *x.at);
    int best = 0;
    for (int k = 1; k < TINY_VOCAB; k++)
        best = z[Z - TINY_VOCAB + k] > z[Z - TINY_VOCAB + best] ? k : best;
    assert_int_equal(x.at[0], best);
    assert_fails(hora_predictor_score(p, ids, N, 0, &logp), HORA_EUSAGE, "at least one");
    assert_fails(hora_predictor_generate(p, ids, N, "tempreature=1", NULL, NULL, NULL, NULL),
                 HORA_EUSAGE, "did you mean `temperature`");
    hora_ids_release(&x);
    hora_ids_release(&y);
    hora_str_release(&text);
    hora_predictor_free(p);
    hora_predictor_free(plain);
    hora_model_close(m);
}

static void test_refusals(void **state) {
    (void)state;
    hora_model *m = NULL;
    hora_adapter *a = NULL;
    hora_trainer *t = NULL;
    hora_row row;
    hora_option_row o;
    double v;
    assert_fails(hora_model_open(&m, "/nowhere", NULL), HORA_ENOTFOUND, "/nowhere");
    assert_null(m);
    assert_fails(hora_model_open(&m, tiny_model(), "dtyp=f32"), HORA_EUSAGE, "dtype");
    assert_null(m);
    assert_ok(hora_model_open(&m, tiny_model(), ""));
    assert_fails(hora_adapter_attach(&a, m, "hroa", NULL), HORA_ENOTFOUND, "hora");
    assert_fails(hora_adapter_attach(&a, m, "lora", "rank=2,act=relu"), HORA_EUSAGE, "act");
    assert_fails(hora_adapter_attach(&a, m, "hora", "rank=4,hidden=2"), HORA_EUSAGE, "hidden");
    assert_null(a);
    assert_fails(hora_trainer_new(&t, m, NULL, "steps=1"), HORA_EUSAGE, "attach");
    assert_fails(hora_model_info(m, "colour", &v), HORA_ENOTFOUND, "vocab");
    assert_ok(hora_model_info(m, "vocab", &v));
    assert_true(v == TINY_VOCAB);
    hora_model_close(m);
    int methods = 0;
    while (hora_row_at("methods", methods, &row) == HORA_OK) {
        assert_true(row.number > 0 && row.summary);
        methods++;
    }
    assert_true(methods >= 5);
    assert_fails(hora_row_at("colours", 0, &row), HORA_ENOTFOUND, "methods");
    assert_ok(hora_option_at("method:lora", 0, &o));
    assert_fails(hora_option_at("method:nobody", 0, &o), HORA_ENOTFOUND, "method:NAME");
}

static void test_version(void **state) {
    (void)state;
    char numbers[32];
    snprintf(numbers, sizeof numbers, "%d.%d.%d", HORA_VERSION_MAJOR, HORA_VERSION_MINOR,
             HORA_VERSION_PATCH);
    assert_string_equal(numbers, HORA_VERSION);
    assert_true(hora_starts(hora_version(), HORA_VERSION " ("));
}

/* Exports and saved adapters keep what is not theirs, and their own inputs. */
static void test_folders(void **state) {
    (void)state;
    hora_model *m;
    hora_adapter *a, *b;
    hora_trainer *t;
    hora_data *d;
    const char *dir = hora_test_path(hora_test_tmp(), "adapter");
    const char *out = hora_test_path(hora_test_tmp(), "exported");
    const char *ck = hora_test_path(hora_test_tmp(), "checkpoint");
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_adapter_attach(&a, m, "lora", "rank=2"));
    assert_fails(hora_adapter_save(a, tiny_model()), HORA_EEXISTS, "model");
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_file_write(hora_test_path(dir, "diary"), "dear", 4));
    assert_ok(hora_adapter_save(a, dir));
    assert_ok(hora_adapter_save(a, dir)); /* its own files it may replace */
    assert_ok(hora_remove_tree(hora_test_path(dir, ".hora")));
    assert_fails(hora_adapter_save(a, dir), HORA_EEXISTS, "hora did not write it");
    assert_true(hora_path_exists(hora_test_path(dir, "diary")));
    assert_fails(hora_model_export(m, tiny_model(), "overwrite"), HORA_EEXISTS, NULL);
    assert_ok(hora_remove_tree(hora_test_path(dir, "diary")));
    assert_ok(hora_adapter_load(&b, m, dir, NULL));
    assert_fails(hora_model_export(m, dir, "overwrite"), HORA_EEXISTS, "adapter");
    assert_ok(hora_model_export(m, out, NULL));
    assert_ok(hora_file_write(hora_test_path(out, "diary"), "dear", 4));
    assert_fails(hora_model_export(m, out, "overwrite"), HORA_EEXISTS, "diary");
    assert_true(hora_path_exists(hora_test_path(out, "config.json")));
    hora_adapter_detach(b);
    /* a checkpoint is written to a new name, and that is all that is touched */
    assert_ok(hora_data_open(
        &d, m, tiny_file("text.txt", "a text, and some more of it, to the end"), "seq_len=8"));
    assert_ok(hora_trainer_new(&t, m, d, "steps=1"));
    assert_ok(hora_trainer_save(t, ck));
    assert_true(hora_path_exists(hora_test_path(ck, "state.json")));
    assert_fails(hora_trainer_save(t, ck), HORA_EEXISTS, "checkpoint");
    assert_fails(hora_trainer_save(t, dir), HORA_EEXISTS, "adapter");
    assert_ok(hora_trainer_resume(t, ck));
    hora_trainer_free(t);
    hora_data_close(d);
    hora_model_close(m);
}

/* Of several in a folder one is loaded by its name, the first too; a folder alone names none. */
static void test_one_of_several(void **state) {
    (void)state;
    hora_model *m, *fresh;
    hora_adapter *a, *b;
    hora_trainer *t;
    hora_data *d;
    const char *ck = hora_test_path(hora_test_tmp(), "both");
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_adapter_attach(&a, m, "lora", "rank=2"));
    assert_ok(hora_adapter_attach(&b, m, "ia3", NULL));
    assert_ok(hora_data_open(
        &d, m, tiny_file("text.txt", "a text, and some more of it, to the end"), "seq_len=8"));
    assert_ok(hora_trainer_new(&t, m, d, "steps=1"));
    assert_ok(hora_trainer_save(t, ck));
    hora_trainer_free(t);
    hora_data_close(d);
    assert_ok(hora_model_open(&fresh, tiny_model(), NULL));
    assert_fails(hora_adapter_load(&b, fresh, ck, NULL), HORA_EUSAGE, "holds 2 adapters");
    assert_ok(hora_adapter_load(&a, fresh, hora_test_path(ck, "lora"), NULL));
    assert_ok(hora_adapter_load(&b, fresh, hora_test_path(ck, "ia3"), NULL));
    assert_fails(hora_adapter_load(&b, fresh, hora_test_path(ck, "other"), NULL), HORA_ENOTFOUND,
                 "no such adapter folder");
    assert_fails(hora_model_export(fresh, ck, "overwrite"), HORA_EEXISTS, "adapter");
    hora_model_close(fresh);
    hora_model_close(m);
}

/* A NaN in an adapter file is named; one in a model makes no result. */
static void test_not_finite(void **state) {
    (void)state;
    hora_model *m;
    hora_adapter *a, *b;
    hora_predictor *p;
    float out[Z];
    double score;
    const int32_t ids[] = {4, 5, 6};
    const char *dir = hora_test_path(hora_test_tmp(), "nan");
    assert_ok(hora_model_open(&m, tiny_model(), NULL));
    assert_ok(hora_adapter_attach(&a, m, "lora", "rank=2"));
    assert_ok(hora_adapter_save(a, dir));
    hora_adapter_detach(a);
    hora_str bytes = {0};
    const char *file = hora_test_path(dir, "adapter_model.safetensors");
    assert_ok(hora_file_read(&bytes, file));
    const float nan = NAN;
    memcpy(bytes.s + bytes.n - sizeof nan, &nan, sizeof nan);
    assert_ok(hora_file_write(file, bytes.s, bytes.n));
    hora_str_release(&bytes);
    assert_fails(hora_adapter_load(&b, m, dir, NULL), HORA_ENUMERIC, "lora_");
    /* into the model in memory */
    hora_model_close(m);
    assert_ok(hora_model_open(&m, tiny_model(), "dtype=f32"));
    assert_ok(hora_adapter_attach(&a, m, "lora", "rank=2"));
    ((float *)a->values)[0] = INFINITY;
    assert_fails(hora_adapter_finite(a, false), HORA_ENUMERIC, a->params[0]->name);
    for (int64_t i = 0; i < a->elems; i++)
        ((float *)a->values)[i] = NAN;
    assert_ok(hora_predictor_new(&p, m, NULL));
    assert_fails(hora_predictor_logits(p, ids, 3, out), HORA_ENUMERIC, "not finite");
    assert_fails(hora_predictor_score(p, ids, 3, 1, &score), HORA_ENUMERIC, "loss");
    hora_ids got = {0};
    hora_str text = {0};
    assert_fails(hora_predictor_generate(p, ids, 3, NULL, &got, &text, NULL, NULL), HORA_ENUMERIC,
                 "not finite");
    assert_int_equal(got.n, 0);
    hora_ids_release(&got);
    hora_str_release(&text);
    hora_predictor_free(p);
    hora_model_close(m);
}

HORA_TESTS(law_front_door, {"lora: off, saved, exported, merged", test_lora, HORA_SHORT},
           {"hora: off, saved, exported, merged", test_hora, HORA_SHORT},
           {"two adapters at once", test_two, HORA_SHORT},
           {"scores, logits, cache", test_prediction, HORA_SHORT},
           {"refusals", test_refusals, HORA_SHORT}, {"version", test_version, HORA_SHORT},
           {"folders and what is in them", test_folders, HORA_SHORT},
           {"one of several adapters", test_one_of_several, HORA_SHORT},
           {"what is not finite", test_not_finite, HORA_SHORT});
