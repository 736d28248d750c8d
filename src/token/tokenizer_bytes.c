/*
 * A tokenizer without a file: each byte is a token, so that texts can be looked at where no model
 * is chosen yet. [SEP] ends each text, that an empty one is a token too.
 */
#include "token/tokenizer_impl.h"

#define END 256 /* behind the 256 bytes */
static const char pipeline[] = "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                               "\"add_prefix_space\": false, \"use_regex\": false},"
                               " \"decoder\": {\"type\": \"ByteLevel\"},"
                               " \"post_processor\": {\"type\": \"TemplateProcessing\","
                               " \"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},"
                               " {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}],"
                               " \"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},"
                               " {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}},"
                               " {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}},"
                               " {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 1}}],"
                               " \"special_tokens\": {\"[SEP]\": {\"id\": \"[SEP]\", \"ids\": "
                               "[256], \"tokens\": [\"[SEP]\"]}}},"
                               " \"model\": {\"type\": \"BPE\", \"merges\": []}}";

static hora_json *vocabulary(void) {
    hora_json *all = hora_json_new_object();
    hora_str spelling = {0};
    for (int b = 0; b < END; b++) {
        const char byte = (char)b;
        spelling.n = 0;
        hora_tok_add_byte_chars(&spelling, &byte, 1);
        hora_json_set(all, spelling.s, hora_json_new_int(b));
    }
    hora_str_release(&spelling);
    hora_json_set(all, "[SEP]", hora_json_new_int(END));
    return all;
}

hora_status hora_tok_load_bytes(hora_tokenizer *t) {
    static const char what[] = "tokens of bytes";
    hora_json *root;
    HORA_TRY(hora_json_parse(&root, pipeline, strlen(pipeline), what));
    hora_json *model = hora_json_copy(hora_json_get(root, "model"));
    hora_json_set(model, "vocab", vocabulary());
    hora_json_set(root, "model", model);
    const hora_status s = hora_tok_load_root(t, root, what);
    hora_json_free(root);
    return s;
}
