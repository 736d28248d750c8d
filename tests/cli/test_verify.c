/* hora verify: what was merged and exported against the adapter attached. */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

static const char *trained(const char *name, const char *options) {
    const char *out = hora_test_path(hora_test_tmp(), name);
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --out '%s' --steps 3 --lr 0.05 --seq-len 16 "
               "--batch-size 2 -q %s",
               tiny_model(), tiny_file("v.txt", "a small text; and another, of some length; more"),
               out, options);
    return out;
}

static const hora_json *result(const hora_json *r, const char *name) {
    const hora_json *list = hora_json_get(r, "results");
    for (size_t i = 0; i < hora_json_len(list); i++)
        if (strstr(hora_json_string(hora_json_get(hora_json_at(list, i), "name"), NULL), name))
            return hora_json_at(list, i);
    fail_msg("no result %s", name);
    return NULL;
}

/* What is written in f32 gives the same, whatever the format; bf16 does not, from layer 0 on. */
static void test_formats(void **state) {
    static const char *const formats[] = {"peft", "mlx", "gguf-lora", "gguf", "merge"};
    static const char *const methods[] = {"--method hora --rank 2",
                                          "--method lora --rslora --rank-pattern q_proj:3"};
    (void)state;
    for (size_t k = 0; k < HORA_COUNT(methods); k++) {
        char *name = hora_format("a%zu", k);
        const char *a = trained(name, methods[k]);
        hora_str against = {0};
        for (size_t i = 0; i < HORA_COUNT(formats); i++) {
            char *out = hora_format("%s/%zu-%s%s", hora_test_tmp(), k, formats[i],
                                    hora_starts(formats[i], "gguf") ? ".gguf" : "");
            if (hora_eq(formats[i], "merge"))
                tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s'",
                           tiny_model(), a, out);
            else
                tool_check(0, NULL, NULL, "export --model '%s' --adapter '%s' --to %s --out '%s'",
                           tiny_model(), a, formats[i], out);
            hora_str_printf(&against, " --against '%s'", out);
            hora_free(out);
        }
        hora_json *r = tool_json("verify --model '%s' --adapter '%s' %s --tolerance 1e-4 --json "
                                 "--prompt 'a text' --prompt 'more of it'",
                                 tiny_model(), a, against.s);
        for (size_t i = 0; i < HORA_COUNT(formats); i++) {
            char *part = hora_format("%zu-%s", k, formats[i]);
            const hora_json *o = result(r, part);
            assert_true(tool_number(o, "largest") < 1e-4);
            assert_true(tool_number(o, "agree") == 1);
            assert_int_equal(hora_json_type(hora_json_get(o, "layer")), HORA_JNULL);
            assert_int_equal(hora_json_len(hora_json_get(o, "blocks")), 2);
            hora_free(part);
        }
        hora_json_free(r);
        r = tool_json("verify --model '%s' --adapter '%s' --dtype bf16 --json", tiny_model(), a);
        assert_true(tool_number(result(r, "as written"), "largest") >
                    10 * tool_number(result(r, "f32"), "largest"));
        assert_true(tool_number(result(r, "as written"), "layer") == 0);
        const hora_json *one = hora_json_at(hora_json_get(r, "rounding"), 0);
        assert_true(tool_number(one, "share") > 1e-5 && tool_number(one, "largest") > 0);
        hora_json_free(r);
        hora_str_release(&against);
        hora_free(name);
    }
}

static void test_differences(void **state) {
    (void)state;
    const char *a = trained("a", "--method lora --layers 1"), *b = trained("b", "--method ia3"),
               *serial = trained("c", "--method serial");
    hora_json *r = tool_json("verify --model '%s' --adapter '%s' --against '%s' --json",
                             tiny_model(), a, tiny_model());
    assert_true(tool_number(result(r, "tiny"), "layer") == 1); /* the adapter is in that block */
    assert_true(tool_number(result(r, "tiny"), "kl") > 1e-6);
    hora_json_free(r);
    tool_check(10, "parts", "tolerance",
               "verify --model '%s' --adapter '%s' --against '%s' "
               "--tolerance 1e-3",
               tiny_model(), a, b);
    tool_check(5, "cannot be merged", "nothing can be compared",
               "verify --model '%s' --adapter '%s' --tolerance 1e-3", tiny_model(), serial);
    tool_check(0, "cannot be merged", NULL, "verify --model '%s' --adapter '%s'", tiny_model(),
               serial);
    tool_check(0, "merged", NULL,
               "verify --model '%s' --adapter '%s:0.5' --adapter '%s' "
               "--tolerance 1e-4",
               tiny_model(), a, b);
    tool_check(2, NULL, "nothing to compare", "verify --model '%s'", tiny_model());
    tool_check(2, "", "this file is no GGUF file", "verify --model '%s' --against '%s'",
               tiny_model(), tiny_file("notes.txt", "not a model"));
    tool_check(8, NULL, "there is nothing", "verify --model '%s' --against '%s/no'", tiny_model(),
               hora_test_tmp());
}

HORA_TESTS(cli_verify, {"every format gives the same", test_formats, HORA_SHORT},
           {"what differs is said", test_differences, HORA_SHORT});
