#include "tiny_tokenizer.h"

#include <string.h>

#include "base/file.h"
#include "hora_test.h"

const char tiny_chat[] = "{% for m in messages %}{{ '<|a|>' if m.role == 'assistant' else '<|u|>' "
                         "}}{{ m.content }}<|end|>"
                         "{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}";

static const char *const specials[] = {"<unk>", "<s>", "</s>", "<|u|>", "<|a|>", "<|end|>"};
static const char *const merges[] = {"yz", "xy", "ab", "abc"};

static hora_json *string(hora_json *obj, const char *key, const char *value) {
    return hora_json_set(obj, key, hora_json_new_string(value));
}

static hora_json *vocabulary(void) {
    hora_json *v = hora_json_new_object();
    int64_t n = 0;
    for (size_t i = 0; i < HORA_COUNT(specials); i++)
        hora_json_set(v, specials[i], hora_json_new_int(n++));
    for (char c = '\n'; c <= '~'; c = c == '\n' ? ' ' : (char)(c + 1)) {
        const char key[2] = {c, 0};
        hora_json_set(v, key, hora_json_new_int(n++));
    }
    for (size_t i = 0; i < HORA_COUNT(merges); i++)
        hora_json_set(v, merges[i], hora_json_new_int(n++));
    return v;
}

static hora_json *description(void) {
    static const char post[] =
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], "
        "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [1], \"tokens\": [\"<s>\"]}}}";
    hora_json *root = hora_json_new_object(), *part;
    string(root, "version", "1.0");
    hora_json *added = hora_json_set(root, "added_tokens", hora_json_new_array());
    for (size_t i = 0; i < HORA_COUNT(specials); i++) {
        hora_json *a = hora_json_push(added, hora_json_new_object());
        hora_json_set(a, "id", hora_json_new_int((int64_t)i));
        string(a, "content", specials[i]);
        static const char *const no[] = {"single_word", "lstrip", "rstrip", "normalized"};
        for (size_t k = 0; k < HORA_COUNT(no); k++)
            hora_json_set(a, no[k], hora_json_new_bool(false));
        hora_json_set(a, "special", hora_json_new_bool(true));
    }
    assert_ok(hora_json_parse(&part, post, sizeof post - 1, "post-processor"));
    hora_json_set(root, "normalizer", hora_json_new_null());
    hora_json_set(root, "pre_tokenizer", hora_json_new_null());
    hora_json_set(root, "post_processor", part);
    string(hora_json_set(root, "decoder", hora_json_new_object()), "type", "Fuse");
    hora_json *model = hora_json_set(root, "model", hora_json_new_object());
    string(model, "type", "BPE");
    string(model, "unk_token", "<unk>");
    hora_json_set(model, "vocab", vocabulary());
    hora_json *list = hora_json_set(model, "merges", hora_json_new_array());
    for (size_t i = 0; i < HORA_COUNT(merges); i++) {
        size_t n = strlen(merges[i]);
        char *pair = hora_format("%.*s %s", (int)n - 1, merges[i], merges[i] + n - 1);
        hora_json_push(list, hora_json_new_string(pair));
        hora_free(pair);
    }
    return root;
}

static void write_json(const char *name, const hora_json *v) {
    char *path = hora_path_join(hora_test_tmp(), name);
    hora_str text = {0};
    hora_json_dump(v, 0, false, &text);
    assert_ok(hora_file_write(path, text.s, text.n));
    hora_str_release(&text);
    hora_free(path);
}

hora_tokenizer *tiny_tokenizer(void) {
    hora_tokenizer *t = NULL;
    hora_json *tok = description(), *config = hora_json_new_object();
    string(config, "bos_token", "<s>");
    string(config, "eos_token", "</s>");
    string(config, "chat_template", tiny_chat);
    write_json("tokenizer.json", tok);
    write_json("tokenizer_config.json", config);
    hora_json_free(tok);
    hora_json_free(config);
    assert_ok(hora_tokenizer_open(&t, hora_test_tmp()));
    return t;
}

int32_t tiny_id(const hora_tokenizer *t, const char *token) {
    int32_t id = hora_tokenizer_id(t, token);
    assert_true(id >= 0);
    return id;
}
