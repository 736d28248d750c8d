#include "train_world.h"

#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"

static const char config_text[] =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 32,"
    " \"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 3,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 64,"
    " \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
    " \"tie_word_embeddings\": false, \"torch_dtype\": \"float32\"}\n";

const char *world_path(const char *name) {
    static char paths[8][512];
    static int next;
    char *p = paths[next++ % 8];
    hora_snprintf(p, 512, "%s/%s", hora_test_tmp(), name);
    return p;
}

static void write_tokenizer(const char *path) {
    hora_str s = {0};
    hora_str_puts(&s,
                  "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, "
                  "\"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": null, "
                  "\"post_processor\": null, \"decoder\": null, \"model\": {\"type\": \"BPE\", "
                  "\"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "
                  "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
                  "\"ignore_merges\": false, \"vocab\": {");
    for (int i = 0; i < VOCAB; i++)
        hora_str_printf(&s, "%s\"%c\": %d", i ? ", " : "", 'A' + i == '\\' ? '!' : 'A' + i, i);
    hora_str_puts(&s, "}, \"merges\": []}}");
    assert_ok(hora_file_write(path, s.s, s.n));
    hora_str_release(&s);
}

/* Text with something to learn: the alphabet over and over, with some noise. */
void world_text(const char *path, int rows, uint64_t seed) {
    hora_rng r = hora_rng_new(seed, "text");
    hora_str s = {0};
    int c = 0;
    for (int i = 0; i < rows * LENGTH; i++) {
        c = hora_rng_below(&r, 8) ? (c + 1) % 26 : (int)hora_rng_below(&r, 26);
        hora_str_putc(&s, (char)('A' + c));
    }
    assert_ok(hora_file_write(path, s.s, s.n));
    hora_str_release(&s);
}

hora_base *world_base(uint64_t seed, hora_dtype dtype) {
    hora_base *b = NULL;
    const char *path = world_path("config.json");
    assert_ok(hora_file_write(path, config_text, strlen(config_text)));
    assert_ok(hora_base_fresh(&b, path, &(hora_base_options){.dtype = dtype}, seed));
    return b;
}

void world_make(uint64_t seed) {
    const char *dir = world_path("model");
    hora_base *b = world_base(seed, HORA_F32);
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_base_save(b, dir, NULL, HORA_F32));
    hora_base_close(b);
    write_tokenizer(world_path("model/tokenizer.json"));
    world_text(world_path("text.txt"), 40, 1);
}

void world_quiet(void *user, int level, const char *text) {
    hora_str *seen = user;
    (void)level;
    if (seen)
        hora_str_printf(seen, "%s\n", text);
}

/* Settings of a run of ten steps in the world; `more` is added. */
void world_settings(hora_settings *s, const char *out, const char *more) {
    hora_settings_put(s, "model", world_path("model"), "test");
    hora_settings_put(s, "data", world_path("text.txt"), "test");
    hora_settings_put(s, "out", world_path(out), "test");
    assert_ok(hora_settings_parse(s,
                                  "method=hora,rank=4,dropout=0.1,steps=10,batch_size=2,dtype=f32,"
                                  "grad_accum=2,seq_len=16,lr=1e-2,save_every=5,save_limit=0,"
                                  "weight_decay=0.01",
                                  "test"));
    assert_ok(hora_settings_parse(s, more, "test"));
}

hora_status world_train(const char *out, const char *more, const hora_run_hooks *hooks,
                        hora_run_result *result) {
    hora_settings s = {0};
    hora_run_result own;
    world_settings(&s, out, more);
    hora_status status = hora_run_train(&s, hooks, result ? result : &own);
    hora_settings_release(&s);
    return status;
}

hora_status world_resume(const char *out, const char *more, const hora_run_hooks *hooks,
                         hora_run_result *result) {
    hora_settings s = {0};
    hora_run_result own;
    hora_settings_put(&s, "out", world_path(out), "test");
    hora_settings_put(&s, "resume", "true", "test");
    assert_ok(hora_settings_parse(&s, more, "test"));
    hora_status status = hora_run_train(&s, hooks, result ? result : &own);
    hora_settings_release(&s);
    return status;
}

void world_same_file(const char *a, const char *b) {
    hora_str x = {0}, y = {0};
    assert_ok(hora_file_read(&x, a));
    assert_ok(hora_file_read(&y, b));
    if (x.n != y.n || memcmp(x.s, y.s, x.n))
        fail_msg("%s and %s differ", a, b);
    hora_str_release(&x);
    hora_str_release(&y);
}

void world_same_adapter(const char *a, const char *b) {
    static const char *const files[] = {"adapter_model.safetensors", "adapter_config.json",
                                        "hora_state.safetensors", "README.md"};
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        char x[256], y[256];
        hora_snprintf(x, sizeof x, "%s/%s", a, files[i]);
        hora_snprintf(y, sizeof y, "%s/%s", b, files[i]);
        world_same_file(world_path(x), world_path(y));
    }
}

/* Steps of log.jsonl, which must be 1, 2 .. n, each once. */
void world_log_counts(const char *path, int n) {
    hora_str text = {0};
    assert_ok(hora_file_read(&text, path));
    int seen = 0;
    for (char *line = text.s, *end; line && *line; line = end + 1) {
        hora_json *o;
        int64_t step;
        end = strchr(line, '\n');
        assert_non_null(end);
        assert_ok(hora_json_parse(&o, line, (size_t)(end - line), path));
        assert_true(hora_json_int(hora_json_get(o, "step"), &step));
        if (hora_json_get(o, "loss"))
            assert_int_equal(step, ++seen);
        hora_json_free(o);
    }
    assert_int_equal(seen, n);
    hora_str_release(&text);
}
