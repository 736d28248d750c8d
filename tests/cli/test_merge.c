/* Merging at the tool: PEFT's merged logits, the source's shards and dtypes, nothing
 * half-written. */
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "model/family.h"
#include "tiny_model.h"
#include "tool.h"
#include "vectors/golden.h"

static hora_st *forward(const char *model, const char *adapter, const char *batch) {
    const char *out = hora_test_path(hora_test_tmp(), "logits.safetensors");
    hora_st *st;
    tool_check(0, NULL, NULL, "forward --model '%s' %s --batch '%s' --out '%s' --overwrite", model,
               adapter, batch, out);
    assert_ok(hora_st_open(&st, out));
    return st;
}

/* Merges a case and compares; false: refused as something that is not supported. */
static bool merges(const char *vectors, const char *name) {
    char *dir = hora_path_join(vectors, name), *out = hora_path_join(hora_test_tmp(), name);
    char *command = hora_format("%s merge --model '%s/base' --adapter '%s/adapter' --out '%s'",
                                hora_test_tool(), vectors, dir, out);
    hora_str said = {0};
    const int code = hora_test_run(command, NULL, &said);
    if (code && code != 5)
        fail_msg("%s: exit code %d: %s", command, code, said.s ? said.s : "");
    if (!code) {
        char *file = hora_path_join(dir, "expect.safetensors");
        char *batch = hora_path_join(vectors, "base/batch.safetensors");
        hora_st *want, *got = forward(out, "", batch);
        assert_ok(hora_st_open(&want, file));
        golden_compare(name, hora_st_find(got, "logits")->view.data, want, "merged_logits", 0,
                       1e-4);
        hora_st_close(got);
        hora_st_close(want);
        hora_free(file);
        hora_free(batch);
    }
    hora_str_release(&said);
    hora_free(command);
    hora_free(dir);
    hora_free(out);
    return code == 0;
}

/* What PEFT's merge_and_unload computes afterwards, for every adapter that is read; a new method
 * joins by itself. LoRA on embeddings is not read yet. */
static void test_peft(void **state) {
    (void)state;
    const char *vectors = hora_test_shared("vectors/tiny_llama");
    char **names;
    int n, merged = 0;
    assert_ok(hora_list_dir(vectors, &names, &n));
    for (int i = 0; i < n; i++) {
        char *adapter = hora_format("%s/%s/adapter", vectors, names[i]);
        if (hora_path_is_dir(adapter) && !hora_eq(names[i], "lora_embed"))
            merged += merges(vectors, names[i]);
        hora_free(adapter);
    }
    assert_true(merged >= 20);
    hora_list_free(names, n);
}

static void rewrite(const char *dir, hora_dtype dtype, uint64_t shard) {
    hora_st *st;
    char *from = hora_path_join(dir, "model.safetensors");
    hora_str all = {0};
    assert_ok(hora_file_read(&all, from));
    char *copy = (char *)tiny_file("copy.safetensors", "");
    assert_ok(hora_file_write(copy, all.s, all.n));
    assert_ok(hora_st_open(&st, copy));
    const int n = hora_st_count(st);
    hora_st_entry *e = hora_calloc((size_t)n, sizeof *e);
    for (int i = 0; i < n; i++) /* a norm stays f32, as real models have it */
        e[i] = (hora_st_entry){hora_st_at(st, i)->name, hora_st_at(st, i)->view,
                               hora_ends(hora_st_at(st, i)->name, "model.norm.weight") ? HORA_F32
                                                                                       : dtype};
    assert_int_equal(remove(from), 0);
    assert_ok(hora_st_write_model(dir, e, n, NULL, 0, shard));
    hora_st_close(st);
    hora_free(e);
    hora_free(from);
    hora_str_release(&all);
}

static const char *trained(const char *model, const char *how) {
    hora_str text = {0};
    const char *out = hora_test_path(hora_test_tmp(), "adapter");
    for (int i = 0; i < 60; i++)
        hora_str_printf(&text, "line %d of a small text; ", i);
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --out '%s' --steps 3 --lr 0.05 --seq-len 16 %s",
               model, tiny_file("text.txt", text.s), out, how);
    hora_str_release(&text);
    return out;
}

/* Shards, names, dtypes and what nothing changed are the source's; changed numbers are the f32 sum
 * rounded to nearest even. */
static void test_as_source(void **state) {
    (void)state;
    static const hora_dtype dtypes[] = {HORA_F32, HORA_BF16, HORA_F16};
    for (size_t d = 0; d < HORA_COUNT(dtypes); d++) {
        char *name = hora_format("out%zu", d), *exact = hora_format("exact%zu", d);
        const char *model = tiny_model(), *out = hora_test_path(hora_test_tmp(), name);
        const char *full = hora_test_path(hora_test_tmp(), exact);
        int changed = 0;
        rewrite(model, dtypes[d], 20000);
        const char *adapter = trained(model, "--method lora --rank 2 --targets q+v+down");
        tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s'", model, adapter,
                   out);
        tool_check(0, NULL, NULL, "merge --model '%s' --adapter '%s' --out '%s' --dtype f32", model,
                   adapter, full);
        hora_st *a, *b, *f;
        assert_ok(hora_st_open_model(&a, model));
        assert_ok(hora_st_open_model(&b, out));
        assert_ok(hora_st_open_model(&f, full));
        assert_true(hora_st_files(a) > 1);
        assert_int_equal(hora_st_files(a), hora_st_files(b));
        assert_int_equal(hora_st_count(a), hora_st_count(b));
        for (int i = 0; i < hora_st_count(a); i++) {
            const hora_st_tensor *x = hora_st_at(a, i), *y = hora_st_find(b, x->name);
            const hora_st_tensor *z = hora_st_find(f, x->name);
            assert_non_null(y);
            assert_int_equal(x->view.dtype, y->view.dtype);
            assert_string_equal(hora_path_base(hora_st_file_path(a, x->file)),
                                hora_path_base(hora_st_file_path(b, y->file)));
            const bool differs = memcmp(x->view.data, y->view.data, x->bytes) != 0;
            changed += differs;
            if (!strstr(x->name, "q_proj") && !strstr(x->name, "v_proj") &&
                !strstr(x->name, "down_proj"))
                assert_false(differs);
            for (int64_t k = 0; x->view.dtype == HORA_BF16 && k < hora_elems(&x->view); k++)
                assert_int_equal(((const uint16_t *)y->view.data)[k],
                                 hora_f32_to_bf16(((const float *)z->view.data)[k]));
        }
        assert_int_equal(changed, 2 * 3);
        static const char *const files[] = {"config.json", "tokenizer.json",
                                            "tokenizer_config.json"};
        for (size_t i = 0; i < HORA_COUNT(files); i++)
            hora_assert_same_file(model, out, files[i]);
        hora_st_close(a);
        hora_st_close(b);
        hora_st_close(f);
        assert_ok(hora_remove_tree(model));
        assert_ok(hora_remove_tree(adapter));
        hora_free(name);
        hora_free(exact);
    }
}

static void test_logits(void **state) {
    (void)state;
    static const char *const how[] = {"--method lora --rank 2", "--method hora --rank 2",
                                      "--method head"};
    const char *model = tiny_model();
    const char *batch = tiny_file("batch.json", "{\"input_ids\": [[5, 9, 17, 33, 60, 2, 80]]}");
    for (size_t i = 0; i < HORA_COUNT(how); i++) {
        const char *adapter = trained(model, how[i]);
        const char *out = hora_test_path(hora_test_tmp(), "merged");
        char *with = hora_format("--adapter '%s'", adapter);
        hora_json *r = tool_json("merge --model '%s' %s --out '%s' --json", model, with, out);
        assert_int_equal((int)hora_json_len(hora_json_get(r, "adapters")), 1);
        hora_st *want = forward(model, with, batch);
        float *kept = hora_malloc(7 * 100 * sizeof *kept);
        memcpy(kept, hora_st_find(want, "logits")->view.data, 7 * 100 * sizeof *kept);
        hora_st_close(want);
        hora_st *got = forward(out, "", batch);
        hora_assert_close(hora_st_find(got, "logits")->view.data, kept, 7 * 100, 1e-4, how[i]);
        hora_st_close(got);
        hora_json_free(r);
        hora_free(kept);
        hora_free(with);
        assert_ok(hora_remove_tree(out));
        assert_ok(hora_remove_tree(adapter));
    }
}

/* Killed at any moment: no model is there, or a whole one; the next merge needs nothing but
 * leave. */
static void test_killed(void **state) {
    (void)state;
    const char *model = tiny_model(), *out = hora_test_path(hora_test_tmp(), "out");
    rewrite(model, HORA_F32, 20000);
    const char *adapter = trained(model, "--method lora --rank 2");
    for (int i = 0; i < 12; i++) {
        char *command =
            hora_format("timeout -s KILL 0.%02d %s merge --overwrite --model '%s' --adapter "
                        "'%s' --out '%s'",
                        1 + i, hora_test_tool(), model, adapter, out);
        hora_test_run(command, NULL, NULL);
        hora_free(command);
        if (!hora_path_exists(hora_test_path(out, "config.json"))) {
            if (hora_path_exists(hora_test_path(out, ".hora-old.tmp")))
                tool_check(4, "", "give that command again", "inspect '%s'", out);
            continue;
        }
        hora_st *st;
        assert_ok(hora_st_open_model(&st, out));
        hora_st_close(st);
        assert_true(hora_path_exists(hora_test_path(out, "tokenizer.json")));
    }
    tool_check(0, "merged in", NULL, "merge --overwrite --model '%s' --adapter '%s' --out '%s'",
               model, adapter, out);
    hora_assert_same_file(model, out, "tokenizer.json");
}

static void test_refused(void **state) {
    (void)state;
    const char *model = tiny_model(), *out = hora_test_path(hora_test_tmp(), "out");
    const char *adapter = trained(model, "--method lora --rank 2");
    tool_check(2, "", "--out is missing", "merge --model '%s' --adapter '%s'", model, adapter);
    tool_check(2, "", "--adapter is missing", "merge --model '%s' --out '%s'", model, out);
    tool_check(2, "", "nothing to merge", "merge --model '%s' --adapter '%s' --out '%s'", model,
               model, out);
    tool_check(9, "", "exists", "merge --model '%s' --adapter '%s' --out '%s'", model, adapter,
               adapter);
    assert_false(hora_path_exists(out));
    tool_check(9, "", NULL, "merge --model '%s' --adapter '%s' --out '%s'", model, adapter, model);
}

HORA_TESTS(cli_merge, {"logits are PEFT's merged ones", test_peft, HORA_SHORT},
           {"shards and dtypes of the source", test_as_source, HORA_SHORT},
           {"merged computes what attached does", test_logits, HORA_SHORT},
           {"killed at any moment", test_killed, HORA_SHORT},
           {"refusals", test_refused, HORA_SHORT});
