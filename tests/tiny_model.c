#include "tiny_model.h"

#include "base/file.h"
#include "base/json.h"
#include "hora_test.h"
#include "model/family.h"

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 32,"
    " \"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"vocab_size\": 100, \"max_position_embeddings\": 96,"
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
    " \"initializer_range\": 0.2, \"tie_word_embeddings\": false, \"bos_token_id\": 0,"
    " \"eos_token_id\": 1, \"torch_dtype\": \"float32\"}";

static const char tokenizer_config[] =
    "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"model_max_length\": 96,"
    " \"tokenizer_class\": \"PreTrainedTokenizerFast\", \"chat_template\":"
    " \"{% for m in messages %}{{ '<s>' + m['role'] + '\\n' + m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}\"}";

static hora_json *parsed(const char *text) {
    hora_json *v;
    assert_ok(hora_json_parse(&v, text, strlen(text), "tiny tokenizer"));
    return v;
}

static hora_json *added(int id, const char *content) {
    hora_json *o = parsed("{\"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                          "\"normalized\": false, \"special\": true}");
    hora_json_set(o, "id", hora_json_new_int(id));
    hora_json_set(o, "content", hora_json_new_string(content));
    return o;
}

static hora_json *tokenizer(void) {
    hora_json *t = parsed("{\"version\": \"1.0\", \"truncation\": null, \"padding\": null}");
    hora_json *list = hora_json_set(t, "added_tokens", hora_json_new_array());
    hora_json_push(list, added(0, "<s>"));
    hora_json_push(list, added(1, "</s>"));
    hora_json_set(t, "normalizer", hora_json_new_null());
    const char *level = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                        "\"trim_offsets\": true, \"use_regex\": true}";
    hora_json_set(t, "pre_tokenizer", parsed(level));
    hora_json_set(t, "post_processor",
                  parsed("{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
                         "{\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", "
                         "\"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": \"A\", "
                         "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
                         "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [0], "
                         "\"tokens\": [\"<s>\"]}}}"));
    hora_json_set(t, "decoder", parsed(level));
    hora_json *model =
        hora_json_set(t, "model",
                      parsed("{\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                             "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
                             "\"fuse_unk\": false, \"byte_fallback\": false, \"merges\": []}"));
    hora_json *vocab = hora_json_set(model, "vocab", hora_json_new_object());
    hora_json_set(vocab, "<s>", hora_json_new_int(0));
    hora_json_set(vocab, "</s>", hora_json_new_int(1));
    hora_json_set(vocab, "\xc4\xa0", hora_json_new_int(2)); /* blank */
    hora_json_set(vocab, "\xc4\x8a", hora_json_new_int(3)); /* line break */
    for (int c = '!'; c <= '~'; c++) {
        char name[2] = {(char)c, 0};
        hora_json_set(vocab, name, hora_json_new_int(4 + c - '!'));
    }
    return t;
}

static void put(const char *dir, const char *name, const char *text, size_t n) {
    char *path = hora_path_join(dir, name);
    assert_ok(hora_file_write(path, text, n));
    hora_free(path);
}

const char *tiny_file(const char *name, const char *text) {
    put(hora_test_tmp(), name, text, strlen(text));
    return hora_test_path(hora_test_tmp(), name);
}

static const char encoder_config[] =
    "{\"architectures\": [\"BertModel\"], \"model_type\": \"bert\", \"hidden_size\": 32,"
    " \"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"vocab_size\": 100, \"max_position_embeddings\": 96, \"type_vocab_size\": 2,"
    " \"initializer_range\": 0.2, \"pad_token_id\": 1, \"torch_dtype\": \"float32\"}";

static const char *make(const char *name, const char *own_config, bool bare) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    if (hora_path_exists(dir))
        return dir;
    assert_ok(hora_mkdirs(dir));
    put(dir, "config.json", own_config, strlen(own_config));
    put(dir, "tokenizer_config.json", tokenizer_config, sizeof tokenizer_config - 1);
    hora_json *t = tokenizer();
    hora_str text = {0};
    hora_json_dump(t, 0, false, &text);
    put(dir, "tokenizer.json", text.s, text.n);
    hora_json_free(t);
    hora_str_release(&text);
    const hora_base_options o = {.dtype = HORA_F32, .bare = bare};
    hora_base *b;
    char *path = hora_path_join(dir, "config.json");
    assert_ok(hora_base_fresh(&b, path, &o, 7));
    assert_ok(hora_base_save(b, dir, NULL, HORA_F32));
    hora_base_close(b);
    hora_free(path);
    return dir;
}

const char *tiny_model(void) {
    return make("tiny", config, false);
}

const char *tiny_encoder(void) {
    return make("tiny_encoder", encoder_config, true);
}
