/* Patterns of tokenizer.json: Oniguruma's in, PCRE2's out, or refused by name. */
#include "fuzz.h"
#include "token/tokenizer_impl.h"

HORA_FUZZ(tokenizer_pattern) {
    hora_tok_regex *r = NULL;
    const hora_status s = hora_tok_regex_new(&r, data, n);
    must((s == HORA_OK) == (r != NULL));
    must_say(s, ";");
    hora_tok_regex_free(r);
    return s == HORA_OK;
}
