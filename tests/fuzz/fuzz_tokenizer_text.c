/* Text of any bytes through the embedded model's tokenizer: encoded where it is UTF-8, else
 * refused. */
#include "fuzz.h"
#include "fuzz_tokens.h"

HORA_FUZZ(tokenizer_text) {
    static hora_tokenizer *t;
    size_t bad;
    hora_ids ids = {0};
    if (!t)
        must(hora_tokenizer_open(&t, hora_fuzz_model()) == HORA_OK);
    const bool valid = hora_utf8_valid(data, n, &bad);
    must((hora_tokenizer_encode(t, data, n, true, &ids) == HORA_OK) == valid);
    hora_ids_release(&ids);
    hora_fuzz_text(t, data, n);
    return valid;
}
