/* hora export at the tool: what it refuses, and that nothing of a user's is touched. */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static const char *train(const char *name, const char *options) {
    const char *out = hora_test_path(hora_test_tmp(), name);
    const char *data = tiny_file("export.txt", "a small text; and another, of some length; more\n");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --out '%s' --steps 2 --seq-len 16 --batch-size 2 -q "
               "%s",
               tiny_model(), data, out, options);
    return out;
}

static void check(int code, const char *says, const char *adapter, const char *to,
                  const char *out) {
    tool_check(code, code ? NULL : says, code ? says : NULL,
               "export --model '%s' --adapter '%s' --to %s --out '%s'", tiny_model(), adapter, to,
               out);
}

static void test_writes(void **state) {
    const char *hora = train("hora", "--method hora"), *tmp = hora_test_tmp();
    const char *file = hora_test_path(tmp, "a.gguf"), *dir = hora_test_path(tmp, "plain");
    (void)state;
    check(0, "hora as gguf-lora: a plain LoRA of rank 8 in 4 modules, exact", hora, "gguf-lora",
          file);
    check(9, "exists", hora, "gguf-lora", file);
    check(0, "hora as peft", hora, "peft", dir);
    check(9, "exists", hora, "peft", dir);
    tool_check(0, "hora as mlx", NULL,
               "export --model '%s' --adapter '%s' --to mlx --out '%s' --overwrite", tiny_model(),
               hora, dir);
    assert_false(hora_path_exists(hora_test_path(dir, "adapter_model.safetensors")));
    assert_true(hora_path_exists(hora_test_path(dir, "adapters.safetensors")));
    assert_ok(hora_file_write(hora_test_path(dir, "mine.txt"), "x", 1));
    tool_check(9, NULL, "mine.txt",
               "export --model '%s' --adapter '%s' --to peft --out '%s' --overwrite", tiny_model(),
               hora, dir);
    assert_true(hora_path_exists(hora_test_path(dir, "adapters.safetensors")));
}

/* A rotation of what a projection reads is no update as it stands, but its change has a rank. */
static void test_changes(void **state) {
    static const char *const forms[] = {"peft", "mlx", "gguf-lora"};
    const char *hra = train("hra", "--method hra --rank 2 --lr 0.1"), *tmp = hora_test_tmp(),
               *data = tiny_file("again.txt", "a small text; and another, of some length; more\n");
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(forms); i++)
        check(0, "a plain LoRA of rank 2 in 4 modules, exact", hra, forms[i],
              hora_test_path(tmp, forms[i]));
    char *half = hora_format("%s:0.5", hra);
    check(0, "a plain LoRA of rank 2 in 4 modules, exact", half, "peft",
          hora_test_path(tmp, "half"));
    const char *saved = train("saved", "--method hra --rank 2 --lr 0.1 --modules-to-save lm_head");
    check(0, "a plain LoRA of rank 2 in 4 modules, exact", saved, "peft",
          hora_test_path(tmp, "saved-peft"));
    check(5, "has trained lm_head.weight whole", saved, "mlx", hora_test_path(tmp, "none"));
    const char *pairs[][2] = {{hra, "peft"}, {half, "half"}, {saved, "saved-peft"}};
    double loss[HORA_COUNT(pairs)][2];
    for (size_t k = 0; k < HORA_COUNT(pairs); k++) {
        for (int side = 0; side < 2; side++) {
            hora_json *e = tool_json(
                "eval --model '%s' --adapter '%s' --data '%s' --seq-len 16 --dtype f32 --json",
                tiny_model(), side ? hora_test_path(tmp, pairs[k][1]) : pairs[k][0], data);
            loss[k][side] = tool_number(e, "loss");
            hora_json_free(e);
        }
        assert_true(fabs(loss[k][0] - loss[k][1]) < 1e-5);
    }
    assert_true(fabs(loss[0][0] - loss[1][0]) > 1e-4 && fabs(loss[0][0] - loss[2][0]) > 1e-6);
    tool_check(0, "0.0000% of an update is left", NULL,
               "convert --model '%s' --adapter '%s' --to lora --out '%s'", tiny_model(), saved,
               hora_test_path(tmp, "converted"));
    hora_free(half);
    /* nothing, and what no rank is known of: by the name of the one that is to blame */
    char *off = hora_format("%s:0", hra), *both = NULL;
    check(2, "changes nothing", off, "peft", hora_test_path(tmp, "none"));
    both = hora_format("%s' --adapter '%s", hra, train("with-ia3", "--method ia3"));
    check(5, "method ia3 is no low-rank update", both, "peft", hora_test_path(tmp, "none"));
    hora_free(both);
    both = hora_format("%s' --adapter '%s", hra, train("with-dora", "--method lora --use-dora"));
    check(5, "magnitudes (DoRA) and adapter hra (hra)", both, "peft", hora_test_path(tmp, "none"));
    assert_false(hora_path_exists(hora_test_path(tmp, "none")));
    hora_free(both);
    hora_free(off);
}

static void test_refuses(void **state) {
    const char *dora = train("dora", "--method lora --use-dora"),
               *ia3 = train("ia3", "--method ia3"), *norms = train("norms", "--method ln_tuning"),
               *prefix = train("prefix", "--method prefix");
    const char *tmp = hora_test_tmp(), *out = hora_test_path(tmp, "none");
    (void)state;
    check(5, "magnitude", dora, "gguf-lora", out);
    check(0, "lora as mlx: a DoRA of rank 8", dora, "mlx", hora_test_path(tmp, "dora-mlx"));
    check(5, "hora convert --to lora:16", ia3, "peft", out);
    check(5, "PEFT reads its folder as it stands; fold", norms, "mlx", out);
    check(5, "does not merge; PEFT reads its folder", prefix, "gguf-lora", out);
    check(2, "gguf-lora", dora, "nothing", out);
    check(9, "model", dora, "peft --overwrite", tiny_model());
    check(9, "adapter", dora, "peft --overwrite", dora);
    check(8, NULL, hora_test_path(tmp, "no-adapter"), "peft", out);
    tool_check(2, NULL, "--to", "export --model '%s' --adapter '%s' --out '%s'", tiny_model(), dora,
               out);
    tool_check(2, NULL, "--dtype",
               "export --model '%s' --adapter '%s' --to peft --dtype f16 --out '%s'", tiny_model(),
               dora, out);
    assert_false(hora_path_exists(out));
    check(0, "lora as gguf: merged into the model, matrices in q8_0", dora, "gguf --dtype q8_0",
          out); /* merged, it can be said */
    check(9, "exists", dora, "gguf", out);
    tool_check(0, "loss", NULL, "eval --model '%s' --data '%s' --seq-len 16", out,
               tiny_file("again.txt", "a small text; and another, of some length; more\n"));
}

/* The template is what the model's own renders around a system text, a prompt and an answer. */
static void test_modelfile(void **state) {
    const char *tmp = hora_test_tmp(), *base = tiny_model();
    (void)state;
    tool_check(0, NULL, NULL, "export --model '%s' --to gguf --modelfile --out '%s/m.gguf'", base,
               tmp);
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_path(tmp, "Modelfile")));
    assert_true(hora_starts(text.s, "FROM ./m.gguf\n"));
    assert_non_null(strstr(text.s, "PARAMETER stop \""));
    assert_non_null(strstr(text.s, "TEMPLATE \"\"\""));
    assert_non_null(strstr(text.s, "{{ .Prompt }}"));
    assert_non_null(strstr(text.s, "{{ .Response }}"));
    assert_null(strstr(text.s, "Hora"));
    hora_str_release(&text);
    tool_check(9, NULL, "Modelfile", "export --model '%s' --to gguf --modelfile --out '%s/n.gguf'",
               base, tmp);
    assert_false(hora_path_exists(hora_test_path(tmp, "n.gguf")));
    tool_check(2, NULL, "--modelfile",
               "export --model '%s' --adapter x --to peft --modelfile --out "
               "'%s/n'",
               base, tmp);
}

HORA_TESTS(cli_export, {"an Ollama Modelfile", test_modelfile, HORA_SHORT},
           {"adapters are written once", test_writes, HORA_SHORT},
           {"a change of low rank", test_changes, HORA_SHORT},
           {"refusals leave nothing behind", test_refuses, HORA_SHORT});
