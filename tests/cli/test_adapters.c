/* Several adapters in one training, and what version 0.1 left behind. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/lapack.h"
#include "base/text.h"
#include "base/yaml.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

/* As in version-0.1's trainings. */
static const char *data_file(void) {
    hora_str s = {0};
    for (int i = 0; i < 60; i++)
        hora_str_printf(&s, "line %d of a small text; ", i);
    const char *path = tiny_file("data.txt", s.s);
    hora_str_release(&s);
    return path;
}

static bool there(const char *dir, const char *name) {
    return hora_path_exists(hora_test_path(dir, name));
}

static double loss_of(const char *options) {
    hora_json *e = tool_json("eval --model '%s' --data '%s' --seq-len 16 --json %s", tiny_model(),
                             data_file(), options);
    const double loss = tool_number(e, "loss");
    hora_json_free(e);
    return loss;
}

static double loss_with(const char *adapter) {
    char *options = hora_format("--adapter '%s'", adapter);
    const double loss = loss_of(options);
    hora_free(options);
    return loss;
}

/* Two of one method and one of another: none overwrites a neighbour, and all count. */
static void test_several(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "several");
    const char *again = hora_test_path(hora_test_tmp(), "again");
    char *text = hora_format(
        "model: %s\ndata: %s\nsteps: 4\nsave_every: 2\nlr: 0.01\nseq_len: 16\n"
        "batch_size: 2\nsave_limit: 0\nmethods:\n"
        "- {method: lora, adapter_name: style, rank: 2, targets: [q, v]}\n"
        "- method: lora\n  adapter_name: facts\n  rank: 3\n  lr: 0.02\n  targets: down\n"
        "- method: hora\n  rank: 2\n",
        tiny_model(), data_file());
    const char *recipe = tiny_file("several.yaml", text);
    tool_check(0, "4 steps", NULL, "train '%s' --out '%s'", recipe, out);
    assert_true(there(out, "adapter_config.json") && there(out, "facts/adapter_config.json"));
    assert_true(there(out, "hora/hora_state.safetensors"));
    assert_true(there(out, "checkpoint-2/facts/adapter_model.safetensors"));
    hora_json *c;
    assert_ok(hora_json_load(&c, hora_test_path(out, "facts/adapter_config.json")));
    assert_int_equal((int)tool_number(c, "r"), 3);
    hora_json_free(c);
    assert_ok(hora_yaml_load(&c, hora_test_path(out, "recipe.yaml")));
    assert_int_equal((int)hora_json_len(hora_json_get(c, "methods")), 3);
    assert_null(hora_json_get(c, "method"));
    hora_json_free(c);

    const double all = loss_with(out), base = loss_of("");
    const double one = loss_with(hora_test_path(out, "facts"));
    assert_true(all < one && one < base);
    assert_true(loss_with(hora_test_path(out, "checkpoint-4")) == all);
    tool_check(0, NULL, "", "generate --model '%s' --adapter '%s' --prompt li", tiny_model(), out);
    hora_json *i = tool_json("inspect '%s' --json", out);
    assert_int_equal((int)hora_json_len(hora_json_get(i, "adapters")), 2);
    hora_json_free(i);

    /* from the middle, with the recipe as run */
    tool_check(10, NULL, "lr is 0.02 there and 0.5 here",
               "train '%s' --out '%s' --resume --set methods.1.lr=0.5", recipe, out);
    tool_check(0, NULL, NULL, "train '%s' --out '%s'", recipe, again);
    assert_ok(hora_remove_tree(hora_test_path(again, "checkpoint-4")));
    tool_check(0, NULL, NULL, "train --resume --out '%s'", again);
    static const char *const files[] = {"adapter_model.safetensors",
                                        "facts/adapter_model.safetensors",
                                        "hora/hora_state.safetensors"};
    for (size_t k = 0; k < HORA_COUNT(files); k++)
        hora_assert_same_file(out, again, files[k]);
    hora_free(text);
}

/* An adapter's own learning rate: the run's as one's own changes no bit; one that is next to
 * nothing leaves the adapter as it began. */
static void test_own_rate(void **state) {
    (void)state;
    char *head =
        hora_format("model: %s\ndata: %s\nsteps: 4\nlr: 0.01\nseq_len: 16\nbatch_size: 2\n"
                    "methods:\n- {method: lora, adapter_name: style, rank: 2, targets: q}\n"
                    "- {method: lora, adapter_name: facts, rank: 3, targets: down",
                    tiny_model(), data_file());
    static const char *const rates[] = {"", ", lr: 0.01", ", learning_rate: 1e-30"};
    const char *out[3];
    for (size_t i = 0; i < HORA_COUNT(rates); i++) {
        char *text = hora_format("%s%s}\n", head, rates[i]), *name = hora_format("rate%zu", i);
        out[i] = hora_test_path(hora_test_tmp(), name);
        tool_check(0, NULL, i == 2 ? "lr 0.01, facts 1e-30" : "lr 0.01", "train '%s' --out '%s'",
                   tiny_file("rate.yaml", text), out[i]);
        hora_free(name);
        hora_free(text);
    }
    hora_assert_same_file(out[0], out[1], "adapter_model.safetensors");
    hora_assert_same_file(out[0], out[1], "facts/adapter_model.safetensors");
    assert_true(loss_with(hora_test_path(out[2], "facts")) == loss_of(""));
    assert_true(loss_with(hora_test_path(out[0], "facts")) < loss_of(""));
    hora_free(head);
}

/* The run's decay, an equal one of its own, and 0, which only `style` of the run's then has. */
static void test_own_decay(void **state) {
    (void)state;
    char *head =
        hora_format("model: %s\ndata: %s\nsteps: 4\nlr: 0.01\nseq_len: 16\nbatch_size: 2\n"
                    "methods:\n- {method: lora, adapter_name: style, rank: 2, targets: q}\n"
                    "- {method: lora, adapter_name: facts, rank: 3, targets: down",
                    tiny_model(), data_file());
    static const struct {
        const char *own, *run, *said;
    } rows[] = {{"", "weight_decay: 5", "lr 0.01"},
                {", weight_decay: 5", "weight_decay: 5", "facts weight_decay 5"},
                {", wd: 0, lr: 0.01", "weight_decay: 5", "facts 0.01 weight_decay 0"},
                {", weight_decay: 5", "weight_decay: 0", "facts weight_decay 5"},
                {"", "weight_decay: 0", "lr 0.01"}};
    const char *out[HORA_COUNT(rows)], *file = "adapter_model.safetensors",
                                       *facts = "facts/adapter_model.safetensors";
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *text = hora_format("%s%s}\n%s\n", head, rows[i].own, rows[i].run);
        out[i] = hora_test_path(hora_test_tmp(), hora_test_text("decay%zu", i));
        tool_check(0, NULL, rows[i].said, "train '%s' --out '%s'", tiny_file("decay.yaml", text),
                   out[i]);
        hora_free(text);
    }
    hora_assert_same_file(out[0], out[1], file);
    hora_assert_same_file(out[0], out[1], facts);
    static const struct {
        int a, b;
        const char *which;
    } differ[] = {{0, 2, "facts"}, {0, 3, ""}, {3, 4, "facts"}, {2, 4, ""}};
    for (size_t i = 0; i < HORA_COUNT(differ); i++)
        assert_true(loss_with(hora_test_path(out[differ[i].a], differ[i].which)) !=
                    loss_with(hora_test_path(out[differ[i].b], differ[i].which)));
    tool_check(0, NULL, NULL, "train --resume --steps 5 --out '%s'", out[2]); /* its recipe knows */
    tool_check(2, "", "weight_decay", "train '%s' --out '%s' --set methods.1.weight_decay=-1",
               tiny_file("decay.yaml", hora_test_text("%s}\n", head)),
               hora_test_path(hora_test_tmp(), "none"));
    hora_free(head);
}

static void test_refusals(void **state) {
    (void)state;
    char *head =
        hora_format("model: %s\ndata: %s\nsteps: 1\nseq_len: 16\n", tiny_model(), data_file());
    static const struct {
        const char *methods, *text;
    } rows[] = {
        {"methods: [{method: lora}, {method: lora, rank: 2}]\n", "two adapters are called `lora`"},
        {"methods: [{method: lora}, {rank: 2}]\n", "element 2 names no method"},
        {"methods: [{method: lora}, {method: hora, rnak: 2}]\n", "rnak"},
        {"methods: [{method: lora}, 3]\n", "element 2 is no mapping"},
        {"method: lora\nmethods: [{method: hora}]\n", "contradict"},
        {"methods: [{method: head}, {method: lora, modules_to_save: lm_head}]\n",
         "both train lm_head.weight"},
        {"method: lora\nadapter_name: checkpoint-3\n", "adapter_name=checkpoint-3"},
        {"method: lora\nadapter_name: ../x\n", "adapter_name=../x"},
        {"method: lora\nadapter_name: README.md\n", "adapter_name=README.md"},
        {"method: lora\nadapter_name: log.jsonl\n", "adapter_name=log.jsonl"},
        {"methods: [{method: hora, magnitude: doran}, {method: full}]\n", "stands on it as it is"},
        {"methods: [{method: full}, {method: lora, use_dora: true}]\n", "stands on it as it is"},
        {"method: lora\nalpha: inf\n", "finite"},
        {"method: lora\neps: 0\n", "eps"},
        {"method: lora\nmin_lr: 0.5\n", "min_lr=0.5 is above the learning rate"},
        {"method: lora\nuse_dora: true\nlora_bias: true\n", "exclude each other"},
        {"method: lora\ntrainable_tokens: 3+x\n", "`x` is no token number"},
        {"method: lora\ntrainable_tokens: 3+3\n", "token 3 is there twice"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *text = hora_format("%s%s", head, rows[i].methods);
        const char *out = hora_test_path(hora_test_tmp(), "refused");
        tool_check(2, "", rows[i].text, "train '%s' --out '%s'", tiny_file("bad.yaml", text), out);
        assert_false(hora_path_exists(out));
        hora_free(text);
    }
    hora_free(head);
}

/* A name that matches nothing is a typing mistake, wherever it stands. */
static void test_typing_mistakes(void **state) {
    (void)state;
    static const struct {
        const char *options, *text;
        int code;
    } rows[] = {
        {"--targets q_prj", "no site matches `q_prj`", 8},
        {"--targets all-linear --exclude o_prj", "exclude: `o_prj` matches no module", 8},
        {"--targets all-linear --exclude 're:.*attn\\.z'", "exclude: `re:.*attn", 8},
        {"--rank-pattern k_proj:4", "rank_pattern: `k_proj` matches none", 8},
        {"--alpha-pattern 'layers.7.*:4'", "alpha_pattern: `layers.7.*` matches none", 8},
        {"--modules-to-save lm_haed", "modules_to_save: `lm_haed` is no module", 8},
        {"--trainable-tokens 99999", "there is no token 99999", 2},
        {"--targets q+lm_head --use-dora", "use_dora of lm_head", 5},
        {"--targets q+embed_tokens --lora-bias", "lora_bias of model.embed_tokens", 5},
        {"--trainable-tokens 3 --modules-to-save embed_tokens", "trains already", 5},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        tool_check(rows[i].code, "", rows[i].text,
                   "train --model '%s' --data '%s' --seq-len 16 --steps 1 --method lora %s --out "
                   "'%s'",
                   tiny_model(), data_file(), rows[i].options,
                   hora_test_path(hora_test_tmp(), "mistaken"));
    tool_check(8, "", "there is no such adapter folder", "generate --model '%s' --adapter '%s/no'",
               tiny_model(), hora_test_tmp());
    /* exclude takes out what all-linear and a regex would take */
    const char *out = hora_test_path(hora_test_tmp(), "excluded");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --seq-len 16 --steps 1 --method lora --targets "
               "all-linear --exclude 're:.*mlp.*' --out '%s'",
               tiny_model(), data_file(), out);
    hora_st *st;
    assert_ok(hora_st_open(&st, hora_test_path(out, "adapter_model.safetensors")));
    for (int i = 0; i < hora_st_count(st); i++)
        assert_null(strstr(hora_st_at(st, i)->name, "mlp"));
    hora_st_close(st);
}

/* Both ends of a tied model are trained alone; merged they come apart, and it is said. Trained
 * tokens keep them together. */
static void test_tied_ends(void **state) {
    (void)state;
    static const struct {
        const char *options;
        bool apart;
    } rows[] = {{"--targets q+lm_head+embed_tokens", true},
                {"--modules-to-save lm_head", true},
                {"--modules-to-save embed_tokens", true},
                {"--trainable-tokens 7+9", false}};
    const char *base = hora_test_source("examples/tiny/base"),
               *data = hora_test_source("examples/tiny/test.jsonl");
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *name = hora_format("ends%zu", i), *whole = hora_format("whole%zu", i);
        const char *out = hora_test_path(hora_test_tmp(), name),
                   *merged = hora_test_path(hora_test_tmp(), whole);
        tool_check(0, NULL, NULL,
                   "train --model '%s' --data '%s' --seq-len 64 --batch-size 1 --steps 3 --lr 0.02 "
                   "--warmup 0 --method lora %s --out '%s'",
                   base, data, rows[i].options, out);
        tool_check(0, NULL, rows[i].apart ? "have changed apart" : NULL,
                   "merge --model '%s' --adapter '%s' --out '%s'", base, out, merged);
        hora_json *c, *a, *b;
        bool tied = false;
        assert_ok(hora_json_load(&c, hora_test_path(merged, "config.json")));
        assert_true(hora_json_bool(hora_json_get(c, "tie_word_embeddings"), &tied));
        assert_int_equal(tied, !rows[i].apart);
        a = tool_json("eval --model '%s' --adapter '%s' --data '%s' --seq-len 64 --json", base, out,
                      data);
        b = tool_json("eval --model '%s' --data '%s' --seq-len 64 --json", merged, data);
        const double d = tool_number(a, "loss") - tool_number(b, "loss");
        assert_true(d < 1e-4 && d > -1e-4);
        hora_json_free(a);
        hora_json_free(b);
        hora_json_free(c);
        hora_free(name);
        hora_free(whole);
    }
}

/* Several --adapter, one of them in part: measured and merged agree, and every command that takes
 * one takes more. */
static void test_mixed(void **state) {
    (void)state;
    const char *a = hora_test_path(hora_test_tmp(), "mixed/a"),
               *c = hora_test_path(hora_test_tmp(), "mixed/b"),
               *whole = hora_test_path(hora_test_tmp(), "mixed/whole");
    for (int i = 0; i < 2; i++)
        tool_check(0, NULL, NULL,
                   "train --model '%s' --data '%s' --seq-len 16 --batch-size 2 --steps 3 --lr 0.05 "
                   "--method %s --out '%s' --quiet",
                   tiny_model(), data_file(), i ? "ia3" : "lora", i ? c : a);
    char *both = hora_format("--adapter '%s:0.5' --adapter '%s'", a, c),
         *none = hora_format("--adapter '%s:0' --adapter='%s:0'", a, c),
         *three = hora_format("--adapter '%s' --adapter '%s:-1' --adapter '%s'", a, a, c);
    tool_check(0, "lora and ia3", NULL, "merge --model '%s' %s --out '%s'", tiny_model(), both,
               whole);
    hora_json *e =
        tool_json("eval --model '%s' --data '%s' --seq-len 16 --json", whole, data_file());
    assert_true(fabs(tool_number(e, "loss") - loss_of(both)) < 1e-5);
    hora_json_free(e);
    assert_true(fabs(loss_of(none) - loss_of("")) < 1e-6);
    assert_true(fabs(loss_of(three) - loss_with(c)) < 1e-5);
    assert_true(fabs(loss_of(both) - loss_of("")) > 1e-3);
    tool_check(0, NULL, NULL, "generate --model '%s' %s --prompt 'line' --max-new-tokens 2",
               tiny_model(), both);
    tool_check(8, NULL, "no such adapter folder",
               "eval --model '%s' --adapter '%s:half' --data '%s'", tiny_model(), a, data_file());
    tool_check(9, NULL, "adapter",
               "quantize --model '%s' --adapter '%s:0.5' --adapter '%s' --overwrite --out "
               "'%s/adapter_model.safetensors'",
               tiny_model(), a, c, a);
    hora_free(both);
    hora_free(none);
    hora_free(three);
}

/* (IA)3 and norms: one folder that PEFT reads, which measures as the half of both. */
static void test_combine_others(void **state) {
    static const char *const methods[] = {"ia3", "ln_tuning"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        const char *out[3];
        for (int k = 0; k < 3; k++) {
            char *name = hora_format("others/%s-%d", methods[i], k);
            out[k] = hora_test_path(hora_test_tmp(), name);
            hora_free(name);
        }
        for (int k = 0; k < 2; k++)
            tool_check(0, NULL, NULL,
                       "train --model '%s' --data '%s' --seq-len 16 --batch-size 2 --steps 3 --lr "
                       "0.05 --method %s --seed %d --out '%s' --quiet",
                       tiny_model(), data_file(), methods[i], k + 1, out[k]);
        tool_check(2, NULL, "in one way",
                   "combine --model '%s' --adapter '%s:0.5' --adapter '%s:0.5' --type cat --out "
                   "'%s'",
                   tiny_model(), out[0], out[1], out[2]);
        assert_false(hora_path_exists(out[2]));
        tool_check(0, "one adapter of", NULL,
                   "combine --model '%s' --adapter '%s:0.5' --adapter '%s:0.5' --out '%s'",
                   tiny_model(), out[0], out[1], out[2]);
        assert_true(there(out[2], "adapter_config.json"));
        assert_true(fabs(loss_with(out[2]) - loss_of("")) > 1e-4);
        /* an adapter and itself, half and half, is the adapter */
        tool_check(0, NULL, NULL,
                   "combine --model '%s' --adapter '%s:0.5' --adapter '%s:0.5' --out '%s' "
                   "--overwrite",
                   tiny_model(), out[0], out[0], out[2]);
        assert_true(fabs(loss_with(out[2]) - loss_with(out[0])) < 1e-5);
    }
}

/* A model with a cache of latents: convert, inspect, evaluate, generate, train, merge. */
static void test_latent(void **state) {
    const char *m = hora_test_path(hora_test_tmp(), "latent"),
               *a = hora_test_path(hora_test_tmp(), "latent-lora"),
               *whole = hora_test_path(hora_test_tmp(), "latent-merged");
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    tool_check(0, "nothing left over", NULL,
               "convert --model '%s' --to latent:16 --rotary-pairs 4 --out '%s'", tiny_model(), m);
    hora_json *e = tool_json("eval --model '%s' --data '%s' --seq-len 16 --json", m, data_file());
    assert_true(fabs(tool_number(e, "loss") - loss_of("")) < 1e-5);
    hora_json_free(e);
    tool_check(0, "as latent:6; at most", NULL,
               "convert --model '%s' --to latent:6 --rotary-pairs 1 --calibrate '%s' --out '%s' "
               "--overwrite",
               tiny_model(), data_file(), m);
    e = tool_json("inspect '%s' --json", m);
    assert_string_equal(hora_json_string(hora_json_get(e, "family"), NULL), "latent");
    assert_true(tool_number(hora_json_get(e, "cache"), "share") < 0.5);
    hora_json_free(e);
    hora_json *kept = tool_json("generate --model '%s' --prompt x --max-new-tokens 9 --json", m);
    hora_json *anew =
        tool_json("generate --model '%s' --prompt x --max-new-tokens 9 --no-cache --json", m);
    assert_true(hora_json_equal(hora_json_get(kept, "ids"), hora_json_get(anew, "ids")));
    assert_true(tool_number(kept, "cache_bytes") > 0 && tool_number(anew, "cache_bytes") == 0);
    hora_json_free(kept);
    hora_json_free(anew);
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --seq-len 16 --batch-size 2 --steps 3 --lr 0.05 "
               "--method lora --rank 2 --targets all-linear --out '%s' --quiet",
               m, data_file(), a);
    tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s'", m, a, whole);
    e = tool_json("eval --model '%s' --adapter '%s' --data '%s' --seq-len 16 --json", m, a,
                  data_file());
    hora_json *of_whole =
        tool_json("eval --model '%s' --data '%s' --seq-len 16 --json", whole, data_file());
    assert_true(fabs(tool_number(e, "loss") - tool_number(of_whole, "loss")) < 1e-5);
    hora_json_free(e);
    hora_json_free(of_whole);
    tool_check(2, NULL, "latents already", "convert --model '%s' --to latent:6 --out '%s.x'", m, m);
    tool_check(2, NULL, "rank 24 at most",
               "convert --model '%s' --to latent:99 --rotary-pairs 2 --out '%s.x'", tiny_model(),
               m);
    tool_check(2, NULL, "rotary_by is for --to latent",
               "convert --model '%s' --adapter '%s' --to lora:2 --rotary-by high --out '%s.x'", m,
               a, m);
    tool_check(8, NULL, "cannot be opened",
               "convert --model '%s' --to latent:4 --calibrate /not/there --out '%s.x'",
               tiny_model(), m);
    tool_check(5, NULL, "not written to GGUF", "export --model '%s' --to gguf --out '%s.gguf'", m,
               m);
    assert_false(hora_path_exists(hora_test_path(hora_test_tmp(), "latent.x")));
}

/* One adapter instead of two: the exact types measure as both together do. */
static void test_combine_and_convert(void **state) {
    static const char *const types[] = {"cat", "svd --svd-rank 6"};
    (void)state;
    const char *a = hora_test_path(hora_test_tmp(), "put/a"),
               *c = hora_test_path(hora_test_tmp(), "put/b"),
               *one = hora_test_path(hora_test_tmp(), "put/one");
    for (int i = 0; i < 2; i++)
        tool_check(0, NULL, NULL,
                   "train --model '%s' --data '%s' --seq-len 16 --batch-size 2 --steps 3 --lr 0.05 "
                   "--rank 3 --method %s --out '%s' --quiet",
                   tiny_model(), data_file(), i ? "hora" : "lora", i ? c : a);
    char *both = hora_format("--adapter '%s:0.5' --adapter '%s'", a, c);
    for (size_t i = 0; i < HORA_COUNT(types); i++) {
        if (i && !hora_lapack())
            continue;
        tool_check(0, "one LoRA of rank 6", NULL,
                   "combine --model '%s' %s --type %s --out '%s' --overwrite", tiny_model(), both,
                   types[i], one);
        assert_true(fabs(loss_with(one) - loss_of(both)) < 1e-5);
    }
    tool_check(0, "exact", NULL, "convert --model '%s' --adapter '%s' --to lora --out '%s.plain'",
               tiny_model(), c, one);
    hora_free(both);
    both = hora_format("%s.plain", one);
    assert_true(fabs(loss_with(both) - loss_with(c)) < 1e-5);
    hora_free(both);
    tool_check(2, NULL, "lora[:N]", "convert --model '%s' --adapter '%s' --to x --out '%s.x'",
               tiny_model(), c, one);
    tool_check(2, NULL, "all weights are 0",
               "combine --model '%s' --adapter '%s:0' --adapter '%s:0' --out '%s.x'", tiny_model(),
               a, c, one);
    tool_check(9, NULL, "adapter",
               "combine --model '%s' --adapter '%s' --adapter '%s' --overwrite "
               "--out '%s'",
               tiny_model(), a, c, a);
    tool_check(2, NULL, "--density",
               "combine --model '%s' --adapter '%s' --adapter '%s' --type ties "
               "--out '%s.x'",
               tiny_model(), a, c, one);
    both = hora_format("%s.x", one);
    assert_false(hora_path_exists(both));
    hora_free(both);
}

static void close_to(const char *a, const char *b) {
    hora_st *x, *y;
    assert_ok(hora_st_open(&x, a));
    assert_ok(hora_st_open(&y, b));
    assert_int_equal(hora_st_count(x), hora_st_count(y));
    for (int i = 0; i < hora_st_count(x); i++) {
        const hora_st_tensor *t = hora_st_at(x, i), *u = hora_st_find(y, t->name);
        assert_non_null(u);
        hora_assert_close(t->view.data, u->view.data, (size_t)hora_elems(&t->view), 1e-5, t->name);
    }
    hora_st_close(x);
    hora_st_close(y);
}

/* Adapters open, and a training goes on from where it was and ends where that version ended. */
static void test_version_0_1(void **state) {
    static const struct {
        const char *method, *file;
    } rows[] = {{"lora", "adapter_model.safetensors"},
                {"hora", "hora_state.safetensors"},
                {"head", "delta.safetensors"}};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *from = hora_format("tests/cli/files/version-0.1/%s", rows[i].method);
        const char *was = hora_test_source(from), *out = hora_test_path(hora_test_tmp(), "old");
        hora_free(from);
        char *copy = hora_format("rm -rf '%s' && cp -r '%s' '%s'", out, was, out);
        assert_int_equal(hora_test_run(copy, NULL, NULL), 0);
        hora_free(copy);
        assert_true(loss_with(out) < loss_of(""));
        tool_check(0, rows[i].method, "", "inspect '%s/checkpoint-2' --json", out);
        assert_ok(hora_remove_tree(hora_test_path(out, rows[i].file)));
        tool_check(0, "4 steps", NULL, "train --resume --out '%s' --model '%s' --data '%s'", out,
                   tiny_model(), data_file());
        close_to(hora_test_path(out, rows[i].file), hora_test_path(was, rows[i].file));
    }
}

/* The model of folder `from` with its numbers stored as f32, under the names that they have. */
static void f32_copy(const char *from, const char *to) {
    const char *file = hora_test_path(to, "model.safetensors");
    hora_st_entry e[64];
    void *all[64];
    hora_st *st;
    assert_int_equal(hora_test_run(hora_test_text("cp -r '%s' '%s'", from, to), NULL, NULL), 0);
    assert_ok(hora_remove_tree(file));
    assert_ok(hora_st_open(&st, hora_test_path(from, "model.safetensors")));
    const int n = hora_st_count(st);
    assert_true(n < 64);
    for (int i = 0; i < n; i++) {
        const hora_st_tensor *t = hora_st_at(st, i);
        const int64_t elems = hora_elems(&t->view);
        all[i] = hora_malloc((size_t)elems * sizeof(float));
        assert_ok(hora_convert(all[i], HORA_F32, t->view.data, t->view.dtype, elems));
        e[i] = (hora_st_entry){t->name, {all[i], HORA_F32, t->view.shape}, HORA_F32};
    }
    assert_ok(hora_st_write(file, e, n, NULL, 0));
    for (int i = 0; i < n; i++)
        hora_free(all[i]);
    hora_st_close(st);
}

/* A base of the same shape with other values, with or without another dtype: refused with the first
 * difference before anything is written, unless it is asked for. */
static void test_other_base(void **state) {
    (void)state;
    const char *m = tiny_model(), *a = hora_test_path(hora_test_tmp(), "own"),
               *merged = hora_test_path(hora_test_tmp(), "relative"),
               *out = hora_test_path(hora_test_tmp(), "never"),
               *narrow = hora_test_path(hora_test_tmp(), "narrow"),
               *b = hora_test_path(hora_test_tmp(), "own-narrow"),
               *other = hora_test_path(hora_test_tmp(), "other-narrow"),
               *wide = hora_test_path(hora_test_tmp(), "wide"),
               *wide_other = hora_test_path(hora_test_tmp(), "other-wide");
    const char *train =
        "train --model '%s' --data '%s' --out '%s' --method lora --steps 3 --lr 0.01 "
        "--seq-len 16 %s";
    char *from = hora_format("--init-adapter '%s'", a), *any = hora_format("%s --any-base", from);
    tool_check(0, NULL, NULL, train, m, data_file(), a, "");
    assert_true(there(a, "hora_base.json"));
    assert_true(there(a, "checkpoint-3/hora_base.json"));
    tool_check(0, NULL, "", "generate --model '%s' --adapter '%s' --prompt li", m, a);
    tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s'", m, a, merged);

    /* q is the first that a merge changes in the order of the file */
    const char *differs = "self_attn.q_proj.weight has other values";
    tool_check(10, "", differs, "generate --model '%s' --adapter '%s' --prompt li", merged, a);
    tool_check(0, NULL, differs, "generate --model '%s' --adapter '%s' --prompt li --any-base",
               merged, a);
    tool_check(10, "", differs, "merge --model '%s' --adapter '%s' --out '%s'", merged, a, out);
    tool_check(10, NULL, differs, train, merged, data_file(), out, from);
    assert_false(hora_path_exists(out));
    tool_check(0, NULL, differs, train, merged, data_file(), out, any);

    tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --dtype bf16 --out '%s'", m, a,
               narrow);
    tool_check(0, NULL, "cannot be told", "generate --model '%s' --adapter '%s' --prompt li",
               narrow, a);
    /* bf16 stored as f32 holds the same numbers; another base does so there too */
    tool_check(0, NULL, NULL, train, narrow, data_file(), b, "");
    tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --dtype bf16 --out '%s'", narrow,
               b, other);
    f32_copy(narrow, wide);
    f32_copy(other, wide_other);
    tool_check(0, NULL, "", "generate --model '%s' --adapter '%s' --prompt li", wide, b);
    tool_check(10, "", differs, "generate --model '%s' --adapter '%s' --prompt li", wide_other, b);
    assert_int_equal(
        hora_test_run(
            hora_test_text("sed -i 's/\"layers\": 2/\"layers\": 3/' '%s/hora_base.json'", a), NULL,
            NULL),
        0);
    tool_check(10, "", "layers is 2, was 3", "generate --model '%s' --adapter '%s' --prompt li", m,
               a);
    hora_free(from);
    hora_free(any);
}

HORA_TESTS(cli_adapters, {"an adapter of another base", test_other_base, HORA_SHORT},
           {"several in one training", test_several, HORA_SHORT},
           {"a learning rate of its own", test_own_rate, HORA_SHORT},
           {"a weight decay of its own", test_own_decay, HORA_SHORT},
           {"several given, some in part", test_mixed, HORA_SHORT},
           {"combine and convert", test_combine_and_convert, HORA_SHORT},
           {"combine what is no LoRA", test_combine_others, HORA_SHORT},
           {"a cache of latents", test_latent, HORA_SHORT}, {"refusals", test_refusals, HORA_SHORT},
           {"typing mistakes", test_typing_mistakes, HORA_SHORT},
           {"the ends of a tied model", test_tied_ends, HORA_SHORT},
           {"version 0.1's folders", test_version_0_1, HORA_SHORT});
