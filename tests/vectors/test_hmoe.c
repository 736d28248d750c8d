/* `hora theory hmoe --case` against tools/oracle/make_hmoe_cases.py, which shares nothing with
 * hora: every tensor want.NAME of a case is found in the output as NAME. */
#include <math.h>

#include "format/safetensors.h"
#include "tool.h"

/* Compares, counts; *tied is not among them: it is hora's own summary. */
static int compare_all(const hora_st *want, const hora_st *got) {
    int n = 0;
    for (int i = 0; i < hora_st_count(want); i++) {
        const hora_st_tensor *w = hora_st_at(want, i);
        if (strncmp(w->name, "want.", 5))
            continue;
        const hora_st_tensor *g = hora_st_find(got, w->name + 5);
        if (!g || !hora_shape_equal(&g->view.shape, &w->view.shape))
            fail_msg("%s is missing or has another shape", w->name + 5);
        for (int64_t k = 0; k < hora_elems(&w->view); k++) {
            const double a = ((const double *)w->view.data)[k];
            const double b = ((const double *)g->view.data)[k];
            if (isnan(a) ? !isnan(b) : !(fabs(a - b) <= 1e-11 * fmax(1, fabs(a))))
                fail_msg("%s[%d] is %.17g, should be %.17g", w->name + 5, (int)k, b, a);
        }
        n++;
    }
    return n;
}

static void test_cases(void **state) {
    (void)state;
    static const char *const names[] = {"lora_causal", "hora_both_ways", "hora_multi_query"};
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        char *path = hora_format("tests/vectors/files/hmoe/%s.safetensors", names[i]);
        const char *file = hora_test_source(path);
        const char *out = hora_test_path(hora_test_tmp(), "out.safetensors");
        hora_st *want, *got;
        hora_json *r =
            tool_json("theory hmoe --case '%s' --out '%s' --overwrite --json -q", file, out);
        hora_json_free(r);
        assert_ok(hora_st_open(&want, file));
        assert_ok(hora_st_open(&got, out));
        assert_int_equal(compare_all(want, got), 37);
        hora_st_close(want);
        hora_st_close(got);
        hora_free(path);
    }
}

/* Models with biases, norms on q and k, windows and scaled rotations, with adapters of PyTorch's
 * making: the engine, attention and mixture agree in every layer. */
static void test_models(void **state) {
    (void)state;
    static const char *const shipped[] = {"tiny_llama/lora_all",    "tiny_llama/hora_qkvo",
                                          "tiny_llama/rslora",      "tiny_llama/hora_share_qv_off",
                                          "tiny_llama/lora_layers", "tiny_qwen3/hora_qkvo"};
    for (size_t i = 0; i < HORA_COUNT(shipped); i++) {
        char *model = hora_strdup(shipped[i]);
        *strchr(model, '/') = 0;
        tool_check(0, "coupling rank", "",
                   "theory hmoe --model '%s/%s/base' --adapter '%s/%s/adapter' --random 2 "
                   "--tokens 20",
                   hora_test_source("tests/vectors/files"), model,
                   hora_test_source("tests/vectors/files"), shipped[i]);
        hora_free(model);
    }
    static const char *const bases[] = {"tiny_qwen2", "tiny_mistral", "tiny_llama_rope3"};
    for (size_t i = 0; i < HORA_COUNT(bases); i++)
        tool_check(0, "layer 1: |attention - engine|", "",
                   "theory hmoe --model '%s/%s/base' --random 2 --tokens 20",
                   hora_test_shared("vectors"), bases[i]);
}

HORA_TESTS(vectors_hmoe, {"models and adapters made elsewhere", test_models, HORA_MEDIUM},
           {"cases: outputs, gates and every diagnostic", test_cases, HORA_SHORT});
