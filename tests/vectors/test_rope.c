/* Rotary frequencies against transformers, in every scaling: files/rope/cases.json, made by
 * tools/oracle/make_rope_vectors.py. */
#include "hora_test.h"

#include <math.h>

#include "format/hf_config.h"
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

HORA_TESTS(vectors_rope, {"every scaling", test_cases, HORA_SHORT});
