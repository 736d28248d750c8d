/* Rotary frequencies against transformers, in every scaling: files/rope/cases.json, made by
 * tools/oracle/make_rope_vectors.py. */
#include "hora_test.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "format/hf_config.h"
#include "format/safetensors.h"
#include "infer/generate.h"
#include "model/family.h"
#include "model/rope.h"

static double real_of(const hora_json *obj, const char *key) {
    double v = NAN;
    assert_true(hora_json_real(hora_json_get(obj, key), &v));
    return v;
}

/* One case; how many of its values differ. */
static int differing(const hora_json *row) {
    const char *name = hora_json_string(hora_json_get(row, "name"), NULL);
    const hora_json *want = hora_json_get(row, "freq"), *file = hora_json_get(row, "config");
    const int64_t n = (int64_t)hora_json_len(want);
    hora_json *config;
    hora_rope_frequencies f;
    int bad = 0;
    assert_true(name && n > 0);
    assert_ok(hora_hf_config_normalize(&config, file));
    assert_ok(hora_rope_read(&f, hora_json_get(config, "rope_scaling"),
                             real_of(config, "rope_theta"), n,
                             (int64_t)real_of(config, "max_position_embeddings")));
    for (int64_t i = 0; i < n; i++) {
        double w;
        assert_true(hora_json_real(hora_json_at(want, (size_t)i), &w));
        bad += !(fabs(f.freq[i] - w) <= 4e-7 * fabs(w)); /* f32 of pow and f32 pow */
    }
    bad += !(fabs(f.scale - real_of(row, "scale")) <= 1e-12);
    bad += f.positions != (int64_t)real_of(row, "positions");
    if (bad)
        print_message("%s: %d values differ\n", name, bad);
    hora_free(f.freq);
    hora_json_free(config);
    return bad;
}

static void test_cases(void **state) {
    (void)state;
    hora_json *all;
    assert_ok(hora_json_load(&all, hora_test_source("tests/vectors/files/rope/cases.json")));
    const hora_json *rows = hora_json_get(all, "cases");
    int bad = 0;
    assert_true(hora_json_len(rows) >= 19);
    for (size_t i = 0; i < hora_json_len(rows); i++)
        bad += differing(hora_json_at(rows, i));
    assert_int_equal(bad, 0);
    hora_json_free(all);
}

/* --- frequencies that change behind 16 positions ---------------------------------------------- */
/* A second set of them, and a base that grows with the length (make_far_rope_vectors.py). */
static const char *const kinds[] = {"longrope", "dynamic"};
enum { VOCAB = 41, SEVERAL = 5 };

static const char *file_of(const char *kind, const char *name) {
    return hora_test_source(hora_test_text("tests/vectors/files/%s/%s", kind, name));
}

static void near_row(const float *got, hora_st *want, const char *name, int64_t row) {
    const hora_view *v = &hora_st_find(want, name)->view;
    hora_assert_close(got, (const float *)v->data + row * VOCAB, VOCAB, 2e-4, name);
}

/* Passes of several lengths, and decoding over the old length: keys stay as they were turned. */
static void test_kind(const char *kind) {
    static const int lengths[SEVERAL] = {12, 40, 16, 64, 17}; /* on one decoder: over and back */
    static const int prompts[] = {12, 20};
    const hora_base_options o = {.dtype = HORA_F32};
    hora_st *want;
    hora_base *b;
    hora_device *host;
    const float *z;
    assert_ok(hora_device_open(&host, "host"));
    assert_ok(hora_st_open(&want, file_of(kind, "expect.safetensors")));
    assert_ok(hora_base_open(&b, file_of(kind, "base"), &o));
    assert_int_equal(b->far_positions, 16);
    assert_int_equal(b->max_positions, 64);
    const int32_t *ids = hora_st_find(want, "ids")->view.data;
    for (int cache = 0; cache < 2; cache++) {
        const hora_decoder_config c = {
            .base = b, .device = host, .context = 64, .cache = cache, .prefill = 7};
        hora_decoder *d;
        assert_ok(hora_decoder_new(&d, &c));
        for (int i = 0; i < SEVERAL; i++) {
            const size_t n = (size_t)lengths[i], kept = hora_decoder_rewind(d, ids, n);
            assert_ok(hora_decoder_feed(d, ids + kept, n - kept, &z));
            near_row(z, want, hora_test_text("logits_%d", lengths[i]), lengths[i] - 1);
        }
        for (size_t i = 0; i < HORA_COUNT(prompts) && cache; i++) {
            hora_decoder_reset(d);
            assert_ok(hora_decoder_feed(d, ids, (size_t)prompts[i], &z));
            for (int k = 0; k <= 12; k++) {
                near_row(z, want, hora_test_text("fed_%d", prompts[i]), k);
                if (k < 12)
                    assert_ok(hora_decoder_feed(d, ids + prompts[i] + k, 1, &z));
            }
        }
        hora_decoder_free(d);
    }
    hora_base_close(b);
    hora_device_free(host);
    hora_st_close(want);
}

static void test_far(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        test_kind(kinds[i]);
}

/* The same in one pass of a batch, as hora forward and training lay it out. */
static void test_kind_pass(const char *kind) {
    static const int lengths[] = {12, 17, 40};
    const char *out = hora_test_path(hora_test_tmp(), "logits.safetensors");
    hora_st *want, *got;
    assert_ok(hora_st_open(&want, file_of(kind, "expect.safetensors")));
    const int32_t *ids = hora_st_find(want, "ids")->view.data;
    for (size_t i = 0; i < HORA_COUNT(lengths); i++) {
        hora_str batch = {0};
        for (int k = 0; k < lengths[i]; k++)
            hora_str_printf(&batch, "%s%d", k ? ", " : "{\"input_ids\": [[", ids[k]);
        hora_str_puts(&batch, "]]}");
        const char *file = hora_test_path(hora_test_tmp(), "batch.json");
        assert_ok(hora_file_write(file, batch.s, batch.n));
        hora_str_release(&batch);
        const char *command = hora_test_text("%s forward --model '%s' --batch '%s' --out '%s' "
                                             "--overwrite",
                                             hora_test_tool(), file_of(kind, "base"), file, out);
        assert_int_equal(hora_test_run(command, NULL, NULL), 0);
        assert_ok(hora_st_open(&got, out));
        for (int k = 0; k < lengths[i]; k++)
            near_row((const float *)hora_st_find(got, "logits")->view.data + k * VOCAB, want,
                     hora_test_text("logits_%d", lengths[i]), k);
        hora_st_close(got);
    }
    hora_st_close(want);
}

static void test_far_pass(void **state) {
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        test_kind_pass(kinds[i]);
}

HORA_TESTS(vectors_rope, {"every scaling", test_cases, HORA_SHORT},
           {"both sides of the length where they change", test_far, HORA_SHORT},
           {"that length in a batch", test_far_pass, HORA_SHORT});
