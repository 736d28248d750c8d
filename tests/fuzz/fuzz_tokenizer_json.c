/* tokenizer.json: what opens encodes and decodes. */
#include "fuzz.h"
#include "fuzz_tokens.h"
#include "token/tokenizer_impl.h"

HORA_FUZZ(tokenizer_json) {
    hora_tokenizer *t = hora_calloc(1, sizeof *t);
    t->special_map = hora_json_new_object();
    t->bos = t->eos = t->pad = -1;
    return hora_fuzz_tokens(t, hora_tok_load_json(t, data, n, "fuzz"));
}
