#include "fuzz_tokens.h"

#include "fuzz.h"

void hora_fuzz_text(const hora_tokenizer *t, const char *text, size_t n) {
    hora_ids ids = {0}, same = {0};
    hora_offsets from = {0};
    hora_str whole = {0}, stable = {0};
    if (hora_tokenizer_encode(t, text, n, true, &ids) == HORA_OK) {
        for (size_t k = 0; k < ids.n; k++)
            must(hora_tokenizer_token(t, ids.at[k]));
        must(hora_tokenizer_encode_offsets(t, text, n, true, &same, &from) == HORA_OK);
        must(same.n == ids.n && from.n == ids.n);
        for (size_t k = 0; k < from.n; k++)
            must(from.at[k].from <= from.at[k].to && from.at[k].to <= n);
        must(hora_tokenizer_decode(t, ids.at, ids.n, n % 2, &whole) == HORA_OK);
        must(hora_tokenizer_decode_stable(t, ids.at, ids.n, n % 2, &stable) == HORA_OK);
        must(stable.n <= whole.n);
    }
    hora_ids_release(&ids);
    hora_ids_release(&same);
    hora_free(from.at);
    hora_str_release(&whole);
    hora_str_release(&stable);
}

bool hora_fuzz_tokens(hora_tokenizer *own_t, hora_status s) {
    static const char *const texts[] = {"", "ab a\n1", " <s> a",
                                        "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80 'S",
                                        "e\xcc\x81\xcc\xa3  \t\r\n"};
    must_say(s, ";");
    for (size_t i = 0; s == HORA_OK && i < HORA_COUNT(texts); i++)
        hora_fuzz_text(own_t, texts[i], strlen(texts[i]));
    hora_tokenizer_close(own_t);
    return s == HORA_OK;
}
