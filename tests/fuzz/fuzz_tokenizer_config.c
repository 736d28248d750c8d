/* tokenizer_config.json beside a tokenizer.json that is right. */
#include "fuzz.h"
#include "fuzz_tokens.h"

HORA_FUZZ(tokenizer_config) {
    static const char right[] = "{\"added_tokens\": [], \"model\": {\"type\": \"BPE\", \"vocab\": "
                                "{\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}";
    hora_tokenizer *t = NULL;
    hora_fuzz_file("tokenizer.json", right, sizeof right - 1);
    hora_fuzz_file("tokenizer_config.json", data, n);
    const hora_status s = hora_tokenizer_open(&t, hora_fuzz_dir());
    must((s == HORA_OK) == (t != NULL));
    return hora_fuzz_tokens(t, s);
}
