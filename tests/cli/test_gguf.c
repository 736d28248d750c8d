/* A GGUF file as --model at the tool, from the golden files: everything that a folder can do. */
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "hora_test.h"
#include "model/family.h"
#include "tiny_model.h"
#include "tool.h"

static void test_commands(void **state) {
    const char *model = hora_test_shared("gguf/models/llama/q4_k.gguf"), *tmp = hora_test_tmp();
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    const char *out = hora_test_path(tmp, "out"), *whole = hora_test_path(tmp, "whole");
    (void)state;
    tool_check(0, "Q4_K", NULL, "inspect '%s' --json", model);
    tool_check(0, "403", NULL, "tokenize --model '%s' --text 'Once upon'", model);
    tool_check(0, NULL, NULL, "plan --model '%s' --data '%s' --seq-len 16", model, data);
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --seq-len 16 --method hora --steps 2 --out '%s' -q",
               model, data, out);
    tool_check(0, "loss", NULL, "eval --model '%s' --adapter '%s' --data '%s' --seq-len 16", model,
               out, data);
    tool_check(0, NULL, NULL, "generate --model '%s' --adapter '%s' --prompt Once --max-tokens 4",
               model, out);
    tool_check(2, NULL, "--dtype", "merge --model '%s' --adapter '%s' --out '%s'", model, out,
               whole);
    assert_false(hora_path_exists(whole));
    tool_check(0, NULL, "tokenizer", "merge --model '%s' --adapter '%s' --out '%s' --dtype f32",
               model, out, whole);
    tool_check(8, NULL, "GGUF file", "train --model '%s/none.gguf' --data '%s' --out '%s/x'", tmp,
               data, tmp);
}

/* The cpu backend takes every block type itself: with it alone, nothing is left to ref. */
static void test_backend(void **state) {
    static const char *const types[] = {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1",  "q2_k",
                                        "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"};
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(types); i++) {
        const char *model = hora_test_shared(hora_test_text("gguf/models/llama/%s.gguf", types[i]));
        const char *dtypes[] = {"f32", "bf16"};
        for (int k = 0; k < 2; k++)
            tool_check(0, NULL, NULL,
                       "train --model '%s' --data '%s' --seq-len 16 --method lora --targets "
                       "all-linear --steps 1 --backends cpu --dtype %s --out '%s/%s-%s' -q",
                       model, data, dtypes[k], hora_test_tmp(), types[i], dtypes[k]);
    }
}

/* A token at a time, with few rows in every product, is the whole text at once. */
static void test_decoding(void **state) {
    const char *tmp = hora_test_tmp(), *files[] = {"llama/q4_k", "llama/q8_0", "qwen3/q5_0"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        hora_str cached = {0}, whole = {0};
        const char *model = hora_test_shared(hora_test_text("gguf/models/%s.gguf", files[i]));
        tool_check(0, NULL, NULL,
                   "generate --model '%s' --prompt 'Once upon a' --max-tokens 12 --temperature 0 "
                   "> '%s/cached'",
                   model, tmp);
        tool_check(0, NULL, NULL,
                   "generate --model '%s' --prompt 'Once upon a' --max-tokens 12 --temperature 0 "
                   "--no-cache > '%s/whole'",
                   model, tmp);
        assert_ok(hora_file_read(&cached, hora_test_path(tmp, "cached")));
        assert_ok(hora_file_read(&whole, hora_test_path(tmp, "whole")));
        assert_true(cached.n > 4);
        assert_string_equal(cached.s, whole.s);
        hora_str_release(&cached);
        hora_str_release(&whole);
    }
}

/* Root mean square distance of weight i from what it was made of. */
static double rms(const hora_base *b, const hora_base *from, int i) {
    const hora_view *v = &b->weights[i].view, *w = &from->weights[i].view;
    const int64_t n = v->shape.d[1];
    double *x = hora_malloc((size_t)n * sizeof *x), *y = hora_malloc((size_t)n * sizeof *y);
    double sum = 0;
    for (int64_t r = 0; r < v->shape.d[0]; r++) {
        hora_row_values(v, r, x);
        hora_row_values(w, r, y);
        for (int64_t k = 0; k < n; k++)
            sum += (x[k] - y[k]) * (x[k] - y[k]);
    }
    hora_free(x);
    hora_free(y);
    return sqrt(sum / (double)hora_elems(v));
}

static hora_base *opened(const char *path) {
    const hora_base_options o = {.dtype = HORA_F32};
    hora_base *b;
    assert_ok(hora_base_open(&b, path, &o));
    return b;
}

/* Where both took the same type, what we write is as close to the model as what llama.cpp wrote. */
static int as_close(const char *model, const char *ours, const char *type) {
    hora_base *from = opened(hora_test_shared(hora_test_text("gguf/models/%s/hf", model)));
    hora_base *b = opened(ours);
    hora_base *want =
        opened(hora_test_shared(hora_test_text("gguf/models/%s/%s.gguf", model, type)));
    int compared = 0;
    for (int i = 0; i < from->nweights; i++) {
        const hora_weight *w = &from->weights[i];
        if (w->tied || w->view.shape.n != 2 ||
            b->weights[i].view.dtype != want->weights[i].view.dtype)
            continue;
        const double e = rms(b, from, i), theirs = rms(want, from, i);
        if (!(e <= theirs * (1 + 1e-9)))
            fail_msg("%s %s: %s is off by %g, llama.cpp's by %g", model, type, w->name, e, theirs);
        compared++;
    }
    hora_base_close(from);
    hora_base_close(b);
    hora_base_close(want);
    return compared;
}

static void test_quantize(void **state) {
    static const char *const cases[][2] = {{"llama", "q8_0"},
                                           {"llama", "q4_0"},
                                           {"llama", "q4_k"},
                                           {"qwen2", "q4_k"},
                                           {"qwen3", "q4_k"}};
    const char *out = hora_test_path(hora_test_tmp(), "own.gguf");
    int compared = 0;
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        const char *model = hora_test_shared(hora_test_text("gguf/models/%s/hf", cases[i][0]));
        tool_check(0, "bits a weight", NULL,
                   "quantize --model '%s' --out '%s' --type %s --overwrite", model, out,
                   cases[i][1]);
        compared += as_close(cases[i][0], out, cases[i][1]);
    }
    assert_true(compared >= 20);
    const char *qwen3 = hora_test_shared("gguf/models/qwen3/hf");
    tool_check(0, NULL,
               "o_proj.weight is the first) have rows that are no whole blocks of Q4_K: "
               "they become Q5_0",
               "quantize --model '%s' --out '%s' --overwrite", qwen3, out);
    tool_check(2, NULL, "--out", "quantize --model '%s'", qwen3);
    tool_check(0, "Q4_K", NULL, "inspect '%s' --json", out);
}

/* Safetensors become blocks as they are opened; the cpu backend trains on them alone. */
static void test_on_the_fly(void **state) {
    static const char *const types[] = {"q8_0", "q4_0", "q4_k", "nf4", "nf4 --double-quant"};
    const char *model = hora_test_shared("gguf/models/llama/hf"), *tmp = hora_test_tmp();
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(types); i++) {
        tool_check(0, NULL, NULL,
                   "train --model '%s' --data '%s' --seq-len 16 --method lora --steps 2 --backends "
                   "cpu --out '%s/fly' --overwrite -q --quantize %s",
                   model, data, tmp, types[i]);
        tool_check(0, "loss", NULL,
                   "eval --model '%s' --adapter '%s/fly' --data '%s' --seq-len 16 --quantize %s",
                   model, tmp, data, types[i]);
        tool_check(0, NULL, NULL,
                   "generate --model '%s' --adapter '%s/fly' --prompt Once --max-tokens 4 "
                   "--quantize %s",
                   model, tmp, types[i]);
    }
    tool_check(2, NULL, "in blocks of", "eval --model '%s' --data '%s' --quantize nf4",
               hora_test_shared("gguf/models/llama/q4_k.gguf"), data);
    tool_check(0, NULL, "no whole blocks of Q4_K: they become Q5_0",
               "plan --model '%s' --data '%s' --seq-len 16 --quantize q4_k",
               hora_test_shared("gguf/models/qwen3/hf"), data);
    tool_check(0, "merged", NULL, "quantize --model '%s' --adapter '%s/fly' --out '%s/m.gguf'",
               model, tmp, tmp);
    tool_check(0, NULL, NULL, "generate --model '%s/m.gguf' --prompt Once --max-tokens 4", tmp);
}

/* A golden model in a folder that may be written to. */
static const char *copied(const char *name) {
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    const char *to = hora_test_path(hora_test_tmp(), name);
    const char *from = hora_test_shared("gguf/models/llama/hf");
    assert_ok(hora_mkdirs(to));
    for (size_t i = 0; i < HORA_COUNT(files); i++)
        assert_ok(hora_copy_file(hora_test_path(from, files[i]), hora_test_path(to, files[i])));
    return to;
}

/* Loss of the model in q4_k. */
static double loss_in_blocks(const char *model, const char *data, const char *options) {
    hora_json *r = tool_json("eval --model '%s' --data '%s' --seq-len 16 --quantize q4_k %s --json",
                             model, data, options);
    const double loss = tool_number(r, "loss");
    hora_json_free(r);
    return loss;
}

/* Another number at the end of a file. */
static void change(const char *path) {
    hora_str s = {0};
    assert_ok(hora_file_read(&s, path));
    s.s[s.n - 2] ^= 0x10;
    assert_ok(hora_file_write(path, s.s, s.n));
    hora_str_release(&s);
}

/* Bytes in the midst of a file are 0 from now on; or it ends there. */
static void damage(const char *path, bool cut) {
    hora_str s = {0};
    assert_ok(hora_file_read(&s, path));
    memset(s.s + s.n / 2, 0, 512);
    assert_ok(hora_file_write(path, s.s, cut ? s.n / 2 : s.n));
    hora_str_release(&s);
}

/* Blocks that are kept beside the model are those that would be made; nobody's file is lost. */
static void test_cache(void **state) {
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    const char *model = copied("kept"), *kept = hora_test_path(model, "hora-Q4_K.safetensors");
    const char *weights = hora_test_path(model, "model.safetensors");
    const char *keep = hora_test_text("eval --model '%s' --data '%s' --seq-len 16 --quantize q4_k "
                                      "--quantize-cache",
                                      model, data);
    const double loss = loss_in_blocks(model, data, "");
    (void)state;
    assert_false(hora_path_exists(kept)); /* only where it is asked for */
    tool_check(0, NULL, "blocks are kept in", "%s", keep);
    assert_true(hora_path_exists(kept));
    tool_check(0, NULL, "blocks are taken from", "%s", keep);
    assert_true(loss_in_blocks(model, data, "--quantize-cache") == loss);
    tool_check(0, NULL, "blocks are taken from",
               "train --model '%s' --data '%s' --seq-len 16 --steps 1 --method lora --quantize "
               "q4_k --quantize-cache --out '%s/o'",
               model, data, hora_test_tmp());
    change(weights);
    tool_check(0, NULL, "made from other weights", "%s", keep);
    assert_true(loss_in_blocks(model, data, "--quantize-cache") == loss_in_blocks(model, data, ""));
    tool_check(0, NULL, "blocks are taken from", "%s", keep);
    for (int cut = 0; cut < 2; cut++) {
        damage(kept, cut);
        assert_true(loss_in_blocks(model, data, "--quantize-cache") ==
                    loss_in_blocks(model, data, ""));
        damage(kept, cut);
        tool_check(0, NULL, "is damaged: it is written anew", "%s", keep);
        tool_check(0, NULL, "blocks are taken from", "%s", keep);
    }
    assert_ok(hora_copy_file(weights, kept));
    tool_check(2, NULL, "left alone", "%s", keep);
    assert_int_equal(hora_file_size(kept), hora_file_size(weights));
    tool_check(2, NULL, "give --quantize too", "eval --model '%s' --data '%s' --quantize-cache",
               model, data);
    tool_check(2, NULL, "model directory", "eval --model '%s' --data '%s' --quantize-cache",
               hora_test_shared("gguf/models/llama/q8_0.gguf"), data);
}

/* Trained on one file of blocks, given to the merge in others: only the vectors are alike there,
 * which tells nothing. */
static void test_other_blocks(void **state) {
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    const char *model = hora_test_shared("gguf/models/llama/q4_k.gguf");
    const char *a = hora_test_path(hora_test_tmp(), "blocks"),
               *merged = hora_test_path(hora_test_tmp(), "blocks.gguf");
    (void)state;
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --seq-len 16 --steps 1 --method lora --out '%s'",
               model, data, a);
    tool_check(0, NULL, NULL, "quantize --model '%s' --adapter '%s' --type q8_0 --out '%s'", model,
               a, merged);
    tool_check(0, NULL, "cannot be told",
               "generate --model '%s' --adapter '%s' --prompt Once --max-tokens 2", merged, a);
}

/* Losses of a run's steps. */
static int losses(const char *out, double *loss, int most) {
    hora_str log = {0};
    int n = 0;
    assert_ok(hora_file_read(&log, hora_test_path(out, "log.jsonl")));
    for (const char *at = log.s; (at = strstr(at, "\"loss\": ")) && n < most; n++)
        loss[n] = strtod(at += 8, NULL);
    hora_str_release(&log);
    return n;
}

/* Training on blocks has the losses of training on the same model dequantized to f32, to the bit:
 * of the products that blocks have, which are our own. A library adds in another order, and where
 * that is bf16's (AMX) its rounding moves such a steep run by up to 0.006. */
static void test_losses(void **state) {
    enum { STEPS = 8 };
    static const char *const files[] = {"llama/q8_0", "llama/q4_k", "qwen3/q4_k"};
    static const char *const dtypes[] = {"f32", "bf16"};
    const char *data = tiny_file("gguf.txt", "Once upon a time there was a girl. She liked it.\n");
    const char *plain = hora_test_path(hora_test_tmp(), "plain.gguf");
    (void)state;
    setenv("HORA_MATMUL", "own", 1);
    for (size_t i = 0; i < HORA_COUNT(files) * HORA_COUNT(dtypes); i++) {
        const char *model = hora_test_shared(hora_test_text("gguf/models/%s.gguf", files[i / 2]));
        const char *out = hora_test_path(hora_test_tmp(), "losses");
        double got[STEPS], want[STEPS];
        tool_check(0, NULL, NULL,
                   "export --model '%s' --to gguf --dtype f32 --out '%s' --overwrite", model,
                   plain);
        for (int k = 0; k < 2; k++) {
            tool_check(0, NULL, NULL,
                       "train --model '%s' --data '%s' --seq-len 16 --method lora --lr 0.01 "
                       "--steps %d --log-every 1 --dtype %s --out '%s' --overwrite -q",
                       k ? plain : model, data, STEPS, dtypes[i % 2], out);
            assert_int_equal(losses(out, k ? want : got, STEPS), STEPS);
        }
        assert_true(fabs(want[STEPS - 1] - want[0]) > 0.01); /* it trains */
        for (int k = 0; k < STEPS; k++)
            if (got[k] != want[k])
                fail_msg("%s, %s: loss %g in step %d, %g on its values", files[i / 2],
                         dtypes[i % 2], got[k], k + 1, want[k]);
    }
    unsetenv("HORA_MATMUL");
}

HORA_TESTS(cli_gguf, {"commands take a GGUF file as the model", test_commands, HORA_SHORT},
           {"blocks are the cpu backend's own", test_backend, HORA_SHORT},
           {"decoding on blocks", test_decoding, HORA_SHORT},
           {"hora quantize is as close as llama.cpp", test_quantize, HORA_SHORT},
           {"blocks kept beside a model", test_cache, HORA_SHORT},
           {"an adapter on its merge in other blocks", test_other_blocks, HORA_SHORT},
           {"losses are those of the values", test_losses, HORA_SHORT},
           {"blocks made as a model is opened", test_on_the_fly, HORA_SHORT});
