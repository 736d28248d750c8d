/* hora forward: padding on either side, JSON and safetensors alike, gradients, refusals. */
#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "tiny_model.h"
#include "tool.h"

/* Runs the batch (JSON text); the caller closes the result. */
static hora_st *run(const char *batch, const char *more) {
    const char *in = tiny_file("batch.json", batch);
    const char *out = hora_test_path(hora_test_tmp(), "out.safetensors");
    hora_st *st;
    tool_check(0, "", "", "forward --model '%s' --batch '%s' --out '%s' --overwrite %s",
               tiny_model(), in, out, more);
    assert_ok(hora_st_open(&st, out));
    return st;
}

static const float *values(const hora_st *st, const char *name) {
    const hora_st_tensor *t = hora_st_find(st, name);
    if (!t)
        fail_msg("the output has no `%s`", name);
    return t->view.data;
}

/* A sequence alone, padded on the right and padded on the left: rotary positions are relative, so
 * the kept rows agree; the loss is the mean over the same labels. */
static void test_padding(void **state) {
    (void)state;
    hora_st *alone = run("{\"input_ids\": [[5, 9, 40, 22]], \"labels\": [[5, 9, 40, 22]]}", "");
    hora_st *right = run("{\"input_ids\": [[5, 9, 40, 22, 77, 78]],"
                         " \"attention_mask\": [[1, 1, 1, 1, 0, 0]],"
                         " \"labels\": [[5, 9, 40, 22, -100, -100]]}",
                         "");
    hora_st *left = run("{\"input_ids\": [[77, 78, 5, 9, 40, 22], [1, 2, 3, 4, 5, 6]],"
                        " \"attention_mask\": [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],"
                        " \"labels\": [[-100, -100, -100, 9, 40, 22],"
                        " [-100, -100, -100, -100, -100, -100]]}",
                        "");
    const float *z = values(alone, "logits");
    hora_assert_close(values(right, "logits"), z, 4 * TINY_VOCAB, 1e-5, "padded on the right");
    hora_assert_close(values(left, "logits") + 2 * TINY_VOCAB, z, 4 * TINY_VOCAB, 1e-4,
                      "padded on the left");
    hora_assert_close(values(right, "loss"), values(alone, "loss"), 1, 1e-5, "loss");
    hora_assert_close(values(left, "loss"), values(alone, "loss"), 1, 1e-4, "loss");
    assert_int_equal(hora_st_find(left, "logits")->view.shape.d[0], 2);
    assert_int_equal(hora_st_find(left, "logits")->view.shape.d[2], TINY_VOCAB);
    hora_st_close(alone);
    hora_st_close(right);
    hora_st_close(left);
}

static void test_json_is_safetensors(void **state) {
    (void)state;
    int64_t ids[2][5] = {{1, 2, 3, 4, 5}, {9, 8, 7, 6, 5}};
    const hora_st_entry e = {"input_ids", {ids, HORA_I64, HORA_SHAPE2(2, 5)}, HORA_I64};
    const char *in = hora_test_path(hora_test_tmp(), "batch.safetensors");
    const char *out = hora_test_path(hora_test_tmp(), "second.safetensors");
    hora_st *a = run("{\"input_ids\": [[1, 2, 3, 4, 5], [9, 8, 7, 6, 5]]}", ""), *b;
    assert_ok(hora_st_write(in, &e, 1, NULL, 0));
    tool_check(0, "", "", "forward --model '%s' --batch '%s' --out '%s'", tiny_model(), in, out);
    assert_ok(hora_st_open(&b, out));
    assert_memory_equal(values(a, "logits"), values(b, "logits"),
                        2 * 5 * TINY_VOCAB * sizeof(float));
    assert_null(hora_st_find(a, "loss"));
    hora_st_close(a);
    hora_st_close(b);
}

static void test_gradients(void **state) {
    (void)state;
    const char *batch = "{\"input_ids\": [[1, 2, 3, 4, 5]], \"labels\": [[1, 2, 3, 4, 5]]}";
    hora_st *lora = run(batch, "--method lora --rank 2 --targets q --grads");
    const char *b0 = "grad.base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
    const char *a0 = "grad.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    float size = 0;
    for (int i = 0; i < 32 * 2; i++)
        size += values(lora, b0)[i] * values(lora, b0)[i];
    assert_true(size > 0);
    for (int i = 0; i < 32 * 2; i++) /* B starts at zero, so nothing reaches A */
        assert_true(values(lora, a0)[i] == 0);
    assert_int_equal(hora_st_count(lora), 2 + 2 * 2);
    hora_st_close(lora);
    hora_st *full = run(batch, "--method full --grads");
    values(full, "grad.model.embed_tokens.weight");
    values(full, "grad.model.layers.1.mlp.down_proj.weight");
    values(full, "grad.lm_head.weight");
    hora_st_close(full);
    hora_st *hora = run(batch, "--method hora --rank 2 --grads");
    values(hora, "grad.layers.0.w2_b_q");
    hora_st_close(hora);
}

static void refused(int code, const char *text, const char *batch, const char *more) {
    const char *in = tiny_file("bad.json", batch);
    const char *out = hora_test_path(hora_test_tmp(), "never.safetensors");
    tool_check(code, "", text, "forward --model '%s' --batch '%s' --out '%s' %s", tiny_model(), in,
               out, more);
    assert_false(hora_path_exists(out));
}

static void test_refusals(void **state) {
    (void)state;
    refused(5, "hole", "{\"input_ids\": [[1, 2, 3]], \"attention_mask\": [[1, 0, 1]]}", "");
    refused(2, "100 tokens", "{\"input_ids\": [[1, 100]]}", "");
    refused(2, "100 tokens", "{\"input_ids\": [[1, 2]], \"labels\": [[0, 100]]}", "");
    refused(2, "no label counts", "{\"input_ids\": [[1, 2]], \"labels\": [[1, -100]]}", "");
    refused(2, "gradients need a loss", "{\"input_ids\": [[1, 2]]}", "--method lora --grads");
    refused(2, "--grads needs", "{\"input_ids\": [[1, 2]], \"labels\": [[1, 2]]}", "--grads");
    refused(8, "input_ids", "{\"attention_mask\": [[1, 1]]}", "");
    refused(6, "one shape", "{\"input_ids\": [[1, 2]], \"labels\": [[1]]}", "");
    refused(4, "pad them", "{\"input_ids\": [[1, 2], [1]]}", "");
    refused(4, "no integer", "{\"input_ids\": [[1, \"a\"]]}", "");
    refused(5, "pixel_values", "{\"input_ids\": [[1, 2]], \"pixel_values\": [[1]]}", "");
    refused(2, "--act", "{\"input_ids\": [[1, 2]]}", "--method lora --act relu");
    char *line = hora_format("{\"input_ids\": [[1");
    for (int i = 0; i < TINY_POSITIONS; i++) {
        char *longer = hora_format("%s, 1", line);
        hora_free(line);
        line = longer;
    }
    char *batch = hora_format("%s]]}", line);
    refused(2, "96 positions", batch, "");
    hora_free(batch);
    hora_free(line);
}

HORA_TESTS(cli_forward, {"padding left, right, none", test_padding, HORA_SHORT},
           {"JSON is safetensors", test_json_is_safetensors, HORA_SHORT},
           {"gradients by their names on disk", test_gradients, HORA_SHORT},
           {"refusals write nothing", test_refusals, HORA_SHORT});
