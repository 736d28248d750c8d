/* hora new and hora inspect. */
#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

static uint64_t weights_hash(const char *dir) {
    hora_st *st;
    assert_ok(hora_st_open_model(&st, dir));
    const uint64_t h = hora_st_hash(st);
    hora_st_close(st);
    return h;
}

static void test_new(void **state) {
    (void)state;
    const char *tmp = hora_test_tmp(), *tiny = tiny_model();
    const char *config = hora_test_path(tiny, "config.json");
    const char *a = hora_test_path(tmp, "a"), *b = hora_test_path(tmp, "b");
    const char *c = hora_test_path(tmp, "c"), *d = hora_test_path(tmp, "d");
    hora_json *r = tool_json("new --config '%s' --out '%s' --seed 1 --json", config, a);
    tool_check(0, "llama", "", "new --config '%s' --out '%s' --seed 1 --threads 1", config, b);
    tool_check(0, NULL, "", "new --config '%s' --out '%s' --seed 2", config, c);
    tool_check(0, NULL, "", "new --config '%s' --out '%s' --dtype bf16 --tokenizer '%s'", config, d,
               tiny);
    assert_true(weights_hash(a) == weights_hash(b));
    assert_true(weights_hash(a) != weights_hash(c));
    assert_true(hora_path_exists(hora_test_path(d, "tokenizer.json")));
    hora_st *st;
    assert_ok(hora_st_open_model(&st, d));
    for (int i = 0; i < hora_st_count(st); i++)
        assert_string_equal(hora_st_at(st, i)->dtype_name, "BF16");
    hora_st_close(st);
    /* embeddings and head 2 x 100 x 32; per block q o 2 x 32 x 32, k v 2 x 16 x 32, mlp
     * 3 x 48 x 32, norms 2 x 32; last norm 32 */
    assert_int_equal((int)tool_number(r, "parameters"),
                     2 * 3200 + 2 * (2 * 1024 + 2 * 512 + 3 * 1536 + 64) + 32);
    hora_json_free(r);
    tool_check(9, "", "exists", "new --config '%s' --out '%s'", config, a);
    tool_check(0, NULL, "", "new --config '%s' --out '%s' --overwrite --seed 2", config, a);
    assert_true(weights_hash(a) == weights_hash(c));
    tool_check(0, "x", "", "generate --model '%s' --prompt x --max-new-tokens 1 | tr -c x x", d);
}

static void test_inspect_model(void **state) {
    (void)state;
    hora_json *r = tool_json("inspect '%s' --json", tiny_model());
    assert_string_equal(hora_json_string(hora_json_get(r, "kind"), NULL), "model");
    assert_string_equal(hora_json_string(hora_json_get(r, "model_type"), NULL), "llama");
    assert_int_equal((int)tool_number(r, "layers"), 2);
    assert_int_equal((int)tool_number(r, "kv_heads"), 2);
    assert_int_equal(hora_json_len(hora_json_get(r, "sites")), 7);
    for (size_t i = 0; i < 7; i++) /* each sort once, of both layers */
        assert_int_equal((int)tool_number(hora_json_at(hora_json_get(r, "sites"), i), "layers"), 2);
    assert_int_equal((int)tool_number(hora_json_get(r, "config"), "rope_theta"), 10000);
    hora_json_free(r);
    const char *file = hora_test_path(tiny_model(), "model.safetensors");
    r = tool_json("inspect '%s' --json", file);
    assert_string_equal(hora_json_string(hora_json_get(r, "kind"), NULL), "safetensors");
    assert_int_equal((int)tool_number(r, "numbers"), 2 * 3200 + 2 * 7744 + 32);
    assert_int_equal((int)tool_number(r, "count"), 3 + 2 * 9);
    hora_json_free(r);
    tool_check(0, "model_type: llama", "", "inspect '%s'", tiny_model());
    tool_check(8, "", "is not there", "inspect '%s/nothing'", tiny_model());
    tool_check(4, "", "is no model", "inspect '%s'", hora_test_tmp());
    tool_check(4, "", "model.safetensors", "inspect '%s'",
               tiny_file("model.safetensors", "not safetensors at all"));
}

/* The golden adapter, and the same update as a plain LoRA. */
static void test_inspect_adapter(void **state) {
    (void)state;
    const char *base = hora_test_shared("vectors/tiny_llama/base");
    const char *adapter = hora_test_shared("vectors/tiny_llama/hora_relu/adapter");
    hora_json *r = tool_json("inspect '%s' --heads --model '%s' --json", adapter, base);
    assert_string_equal(hora_json_string(hora_json_get(r, "method"), NULL), "hora");
    assert_true(tool_number(r, "trainable") > tool_number(r, "lora_of_same_rank"));
    const int rank = (int)tool_number(r, "rank");
    const hora_json *heads = hora_json_get(r, "heads"), *sites = hora_json_get(heads, "sites");
    assert_int_equal(hora_json_len(sites), 4); /* q and v of two blocks */
    for (size_t i = 0; i < hora_json_len(sites); i++) {
        const hora_json *s = hora_json_at(sites, i), *sv = hora_json_get(s, "singular_values");
        const hora_json *norms = hora_json_get(s, "head_norms");
        double from_values = 0, from_heads = 0, v;
        assert_int_equal(hora_json_len(sv), rank);
        for (size_t k = 0; k < hora_json_len(sv); k++) {
            assert_true(hora_json_real(hora_json_at(sv, k), &v));
            from_values += v * v;
        }
        for (size_t k = 0; k < hora_json_len(norms); k++) {
            assert_true(hora_json_real(hora_json_at(norms, k), &v));
            from_heads += v * v;
        }
        assert_int_equal(hora_json_len(norms), i % 2 ? 2 : 4);
        /* both are the squared Frobenius norm of Delta W */
        assert_true(from_values > 0);
        assert_true(from_heads > from_values * (1 - 1e-9) && from_heads < from_values * (1 + 1e-9));
        assert_true(tool_number(s, "effective_rank") <= rank + 1e-9);
        assert_true(tool_number(s, "effective_rank") >= 1);
        assert_true(tool_number(s, "head_angle_smallest") <= tool_number(s, "head_angle_largest"));
        assert_true(tool_number(s, "head_angle_largest") <= 90 + 1e-6);
    }
    assert_non_null(hora_json_get(hora_json_get(heads, "units_that_never_fire"), "layers.0.w1_a"));
    hora_json_free(r);
    tool_check(8, "", "--model DIR", "inspect '%s' --heads", adapter);
}

HORA_TESTS(cli_files, {"new models", test_new, HORA_SHORT},
           {"inspecting models and files", test_inspect_model, HORA_SHORT},
           {"inspecting adapters and heads", test_inspect_adapter, HORA_SHORT});
